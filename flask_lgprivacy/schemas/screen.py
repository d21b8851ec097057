"""Looks through what was sent for what must not be taken in: keys that stand for sensitive data, identifiers that have no place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema

from ..policy import Identifier, Policy, SensitiveTerms
from .identifiers import identifier_in
from .labelled import label_of, nested_in

_PLAIN_KEY = re.compile(r"^[^\W\d][\w -]{0,39}$")
MOST_LEVELS = 64
SMALLEST_NUMBER = 10**12
NAMES = {
    Identifier.NIR: "a social security number",
    Identifier.IBAN: "a bank account number",
    Identifier.CARD: "a payment card number",
}


@dataclass(frozen=True, slots=True)
class Found:
    """Something that must not be taken in: where, why, and the clause; never the value."""

    path: str
    why: str
    clause: str | None


class Screen:
    """What a policy document keeps out of everything that is sent."""

    def __init__(self, policy: Policy) -> None:
        self._terms = SensitiveTerms(policy)
        self._categories = policy.categories
        self._clause = policy.clause_of("minimisation")

    def find(self, content: Any, schema: Schema | None = None) -> Found | None:
        """The first thing in a JSON value that must not be taken in, or None.

        Parameters: `schema`, where there is one, says by its labels in which fields an identifier has its place.
        """
        waiting: list[tuple[Any, str, Schema | None, frozenset[Identifier], int]] = [
            (content, "", schema, frozenset(), 0)
        ]
        while waiting:
            value, path, known, allowed, level = waiting.pop()
            if level > MOST_LEVELS:
                return Found(path[:200], f"is nested more than {MOST_LEVELS} levels deep", self._clause)
            if isinstance(value, Mapping):
                fields = {} if known is None else {one.data_key or name: one for name, one in known.fields.items()}
                for number, (key, inner) in enumerate(value.items()):
                    where = f"{path}.{shown(key, number)}".lstrip(".")
                    found = self.of_key(key, where)
                    if found is not None:
                        return found
                    field = fields.get(key)
                    label = None if field is None else label_of(field)
                    admitted = self._categories[label.category].allows if label is not None else allowed
                    waiting.append((inner, where, nested_in(field), admitted, level + 1))
            elif isinstance(value, list | tuple):
                waiting.extend(
                    (inner, f"{path}[{number}]", known, allowed, level + 1) for number, inner in enumerate(value)
                )
            else:
                found = self._of_value(value, path, allowed)
                if found is not None:
                    return found
        return None

    def of_names(self, names: Iterable[str], place: str) -> Found | None:
        """The first of some names (columns of a table, fields of a form) that stands for sensitive data, or None."""
        named = ((self.of_key(name, f"{place}{shown(name, number)}")) for number, name in enumerate(names))
        return next((found for found in named if found is not None), None)

    def of_key(self, key: Any, path: str) -> Found | None:
        """Whether one key stands for sensitive data."""
        prohibition = self._terms.match(str(key))
        return None if prohibition is None else Found(path, prohibition.says, prohibition.clause)

    def of_text(self, text: str, path: str) -> Found | None:
        """Whether a text holds an identifier; nothing says that it has its place there."""
        return self._of_value(text, path, frozenset())

    def _of_value(self, value: Any, path: str, allowed: frozenset[Identifier]) -> Found | None:
        if not isinstance(value, str) and (type(value) is not int or value < SMALLEST_NUMBER):
            return None
        identifier = identifier_in(str(value))
        if identifier is None or identifier in allowed:
            return None
        return Found(path, f"{NAMES[identifier]} has no place here", self._clause)


def shown(key: Any, number: int) -> str:
    """A key as a path may show it: by name where it is one, else by its position, because it could be a value."""
    return key if isinstance(key, str) and _PLAIN_KEY.match(key) else f"[{number}]"
