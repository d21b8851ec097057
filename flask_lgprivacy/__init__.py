"""flask_lgprivacy: the privacy policy is what the software does."""

from .disclosure import constant, labelled
from .errors import AccessDenied, ConfigurationError, PrivacyError
from .extension import LGPrivacy
from .gate import Actor, flask_login_actor
from .gate.granting import Notice
from .gate.grants import Scope
from .models import belongs_to, find_by, matching, not_personal, sealed, subject, tagged
from .schemas import LabelledSchema, field_of, schema_of, without_label
from .vault import BlindIndex

__version__ = "0.1.0"
__all__ = [
    "AccessDenied",
    "Actor",
    "BlindIndex",
    "ConfigurationError",
    "LGPrivacy",
    "LabelledSchema",
    "Notice",
    "PrivacyError",
    "Scope",
    "belongs_to",
    "constant",
    "field_of",
    "find_by",
    "flask_login_actor",
    "labelled",
    "matching",
    "not_personal",
    "schema_of",
    "sealed",
    "subject",
    "tagged",
    "without_label",
]
