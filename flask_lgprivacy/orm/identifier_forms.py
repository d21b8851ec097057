"""In which form an identifier is assigned: keys and records know a row by what stands in the
database.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Column
from sqlalchemy.types import TypeDecorator

from ..database.identifiers import canonical_id
from ..errors import RequestInvalid
from .columns import GENERIC_DIALECT, python_type

_CANONICAL_UUID = re.compile(r"[0-9a-f]{32}")
_LARGEST = 2**63


def refuse_other_form(value: Any, column: Column[Any], name: str) -> None:
    """Refuse an identifier that the database would store in another form than it is assigned in.

    Args:
        value: Of a new row.
        column: That takes it.
        name: Of model and attribute, for the message.

    Raises:
        RequestInvalid: It would be found under another identifier than its key.
    """
    form = ""
    if isinstance(column.type, TypeDecorator):
        stored: Any = column.type.process_bind_param(value, GENERIC_DIALECT)
        is_kept = canonical_id(stored) == canonical_id(value)
    elif column.type.python_type is int:
        form = " (int)"
        is_kept = type(value) is not bool and isinstance(value, int) and abs(value) < _LARGEST
    else:
        form = f" ({column.type.python_type.__name__})"
        is_kept = isinstance(value, column.type.python_type)
    if not is_kept:
        raise RequestInvalid(
            f"{name}: an identifier is assigned in the form in which the column keeps it{form}, "
            "and this is another"
        )


def is_spelled(column: Column[Any], identifier: str) -> bool:
    """Whether a column holds texts, and an identifier is a UUID, which texts spell in several
    ways.
    """
    return python_type(column) is str and _CANONICAL_UUID.fullmatch(identifier) is not None
