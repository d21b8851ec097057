"""The mark of this package's own statements on labelled tables, which go around the flush."""

from __future__ import annotations

_TOKEN = object()
OWN_STATEMENT = {"lgprivacy_statement": _TOKEN}
"""Execution options of this package's own statements on labelled tables: migration, resealing,
erasure.
"""
