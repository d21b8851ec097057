"""Schemas whose fields carry the labels of their columns, and what must not be in anything that is sent (LG-02, LG-06, LG-08)."""

from .labelled import LabelledSchema, check_schema, field_of, label_of, schema_of, without_label
from .load import loaded
from .screen import Found, Screen

__all__ = [
    "Found",
    "LabelledSchema",
    "Screen",
    "check_schema",
    "field_of",
    "label_of",
    "loaded",
    "schema_of",
    "without_label",
]
