"""flask_lgprivacy: the privacy policy is what the software does."""

from .crypto.blind_index import BlindIndex
from .disclosure.references import FieldReference, labelled, non_personal
from .errors import AccessDenied, ConfigurationError, PrivacyError
from .extension import LGPrivacy
from .gate.actor import Actor
from .orm.fields import not_personal, sealed, tagged
from .orm.mapping import belongs_to, subject
from .orm.ownership_labels import (
    EVERYTHING,
    clear,
    concerns,
    delete_row,
    keep,
    no_personal_data,
    one_of,
    owner,
    owns,
    refers,
    shares,
)
from .orm.queries import find_by, find_matching
from .permissions.grants import EmergencyNotice, GrantScope
from .schemas.labelled import LabelledSchema, field_of, schema_of, without_label
from .web.login import flask_login_actor

__version__ = "0.1.0"
__all__ = [
    "EVERYTHING",
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
    "clear",
    "concerns",
    "delete_row",
    "field_of",
    "find_by",
    "find_matching",
    "flask_login_actor",
    "keep",
    "labelled",
    "no_personal_data",
    "non_personal",
    "not_personal",
    "one_of",
    "owner",
    "owns",
    "refers",
    "schema_of",
    "sealed",
    "shares",
    "subject",
    "tagged",
    "without_label",
]
