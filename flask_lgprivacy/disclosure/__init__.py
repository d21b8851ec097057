"""Disclosure: declared recipients, labelled bodies, a guarded client."""

from .client import DisclosureClient, RecipientResponse
from .references import FieldReference, NonPersonal, labelled, non_personal

__all__ = [
    "DisclosureClient",
    "FieldReference",
    "NonPersonal",
    "RecipientResponse",
    "labelled",
    "non_personal",
]
