"""The blind index of a field, and which fields can be guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

from ..crypto.blind_index import BlindIndex
from ..errors import ModelInvalid

GUESSABLE = frozenset(
    (
        *(
            "first_name",
            "firstname",
            "given_name",
            "prenom",
            "class",
            "class_name",
            "classe",
            "grade",
            "level",
            "niveau",
        ),
        *(
            "gender",
            "sex",
            "genre",
            "sexe",
            "birth_date",
            "birthdate",
            "date_of_birth",
            "naissance",
        ),
        *("language", "langue", "city", "ville", "country", "pays"),
    )
)
"""Fields whose values can all be tried, in English and French."""


@dataclass(frozen=True, slots=True)
class FieldIndex:
    """The blind index of a field: its column and how it is made."""

    column: str
    blind: BlindIndex

    def of(self, index_key: bytes, table: Table, field: str, value: Any) -> bytes:
        """The index of a value under a holder's index key."""
        key = self.blind.key(index_key, table=table.name, column=field)
        return self.blind.of(key, _as_text(value))

    def normal(self, value: Any) -> str:
        """The form of a value in which equal ones are equal."""
        return self.blind.normal(_as_text(value))


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def check_guessable(field: str, name: str, python: type, blind: BlindIndex) -> None:
    """Whoever holds an index key, or sees equal indexes, learns values of which there are few;
    unless several share each index.

    Raises `ModelInvalid`.
    """
    if blind.is_whole and (python is not str or name.lower() in GUESSABLE):
        raise ModelInvalid(
            f"{field}: a blind index over {name if python is str else python.__name__} could be "
            "guessed by trying every value; use "
            "index=BlindIndex(bits=8), which several values share, and find_matching(…) to find "
            "them"
        )
