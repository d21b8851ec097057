"""flask_lgprivacy: the privacy policy is what the software does."""

from .disclosure import constant, labelled
from .errors import AccessDenied, ConfigurationError, PrivacyError
from .extension import LGPrivacy
from .gate import Actor, flask_login_actor
from .models import belongs_to, find_by, not_personal, sealed, subject, tagged

__all__ = [
    "AccessDenied",
    "Actor",
    "ConfigurationError",
    "LGPrivacy",
    "PrivacyError",
    "belongs_to",
    "constant",
    "find_by",
    "flask_login_actor",
    "labelled",
    "not_personal",
    "sealed",
    "subject",
    "tagged",
]
