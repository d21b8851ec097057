"""flask_lgprivacy: the privacy policy is what the software does."""

from .disclosure import constant, labelled
from .errors import AccessDenied, ConfigurationError, PrivacyError
from .extension import LGPrivacy
from .gate import Actor, flask_login_actor
from .models import belongs_to, find_by, matching, not_personal, sealed, subject, tagged
from .vault import BlindIndex

__all__ = [
    "AccessDenied",
    "Actor",
    "BlindIndex",
    "ConfigurationError",
    "LGPrivacy",
    "PrivacyError",
    "belongs_to",
    "constant",
    "find_by",
    "flask_login_actor",
    "labelled",
    "matching",
    "not_personal",
    "sealed",
    "subject",
    "tagged",
]
