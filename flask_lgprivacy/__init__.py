"""flask_lgprivacy: the privacy policy is what the software does."""

from .crypto.blind_index import BlindIndex
from .disclosure.references import FieldReference, labelled, non_personal
from .errors import AccessDenied, ConfigurationError, PrivacyError
from .extension import LGPrivacy
from .gate.actor import Actor
from .orm.fields import not_personal, sealed, tagged
from .orm.mapping import belongs_to, subject
from .orm.queries import find_by, find_matching
from .permissions.grants import EmergencyNotice, GrantScope
from .schemas.labelled import LabelledSchema, field_of, schema_of, without_label
from .web.login import flask_login_actor

__version__ = "0.1.0"
__all__ = [
    "AccessDenied",
    "Actor",
    "BlindIndex",
    "ConfigurationError",
    "EmergencyNotice",
    "FieldReference",
    "GrantScope",
    "LGPrivacy",
    "LabelledSchema",
    "PrivacyError",
    "belongs_to",
    "field_of",
    "find_by",
    "find_matching",
    "flask_login_actor",
    "labelled",
    "non_personal",
    "not_personal",
    "schema_of",
    "sealed",
    "subject",
    "tagged",
    "without_label",
]
