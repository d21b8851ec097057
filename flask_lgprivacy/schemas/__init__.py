"""Schemas whose fields carry the labels of their columns."""

from .labelled import LabelledSchema, field_of, schema_of, without_label

__all__ = ["LabelledSchema", "field_of", "schema_of", "without_label"]
