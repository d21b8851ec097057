"""Looks through what was sent for what must not be taken in: keys that stand for sensitive data,
identifiers that have no place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema

from ..policy.model import Identifier, Policy
from ..policy.sensitive_terms import SensitiveTerms
from ..schemas.labelled import label_of, nested_in
from ..schemas.paths import path_segment
from .identifiers import TooManyCandidates, identifier_in, may_hold_identifier

MOST_LEVELS = 64
SMALLEST_NUMBER = 10**12
SHORTEST_SUSPECT = 13
MOST_KNOWN = 50_000
"""How many ordinary keys a process remembers, so that they are not looked at again."""
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
NAMES = {
    Identifier.NIR: "a social security number",
    Identifier.IBAN: "a bank account number",
    Identifier.CARD: "a payment card number",
}
Step = tuple[Any, str]
"""Where something stands: the step before, or None, and what to add to the path."""


@dataclass(frozen=True, slots=True)
class ScreeningFinding:
    """Something that must not be taken in: where, why, and the clause; never the value."""

    path: str
    why: str
    clause: str | None


class SensitiveDataScanner:
    """What a policy document keeps out of everything that is sent."""

    def __init__(self, policy: Policy) -> None:
        self._terms = SensitiveTerms(policy)
        self._categories = policy.categories
        self._clause = policy.clause_of("minimisation")
        self._ordinary: set[str] = set()

    def find(self, content: Any, schema: Schema | None = None) -> ScreeningFinding | None:
        """The first thing in a JSON value that must not be taken in, or None.

        What passes is gone through once, without its paths; they are written only where something
        was found.

        Args:
            content: A JSON value.
            schema: Says by its labels in which fields an identifier has its place.
        """
        return self._located(content, schema) if self._is_suspect(content) else None

    def _is_suspect(self, content: Any) -> bool:
        """Whether anything in a JSON value may have to be refused."""
        names: set[Any] = set()
        texts: list[str] = []
        return (
            not _gather(content, names, texts)
            or self._are_suspect_names(names)
            or self._are_suspect_texts(texts)
        )

    def _are_suspect_names(self, names: set[Any]) -> bool:
        fresh = list(names - self._ordinary)
        if not fresh:
            return False
        if not all(type(name) is str for name in fresh):
            return True
        if self._terms.suspects(fresh) or self._are_suspect_texts(fresh):
            return True
        if len(self._ordinary) < MOST_KNOWN:
            self._ordinary.update(fresh)
        return False

    def _are_suspect_texts(self, texts: list[str]) -> bool:
        together = ",".join(texts)
        if together.isascii() and "\0" not in together and not may_hold_identifier(together):
            return False
        return any(self.is_suspect_text(text) for text in texts)

    @staticmethod
    def is_suspect_text(text: str) -> bool:
        """Whether a text holds an identifier, or is none."""
        if len(text) < SHORTEST_SUSPECT and text.isprintable():
            return False
        try:
            return _NO_TEXT.search(text) is not None or identifier_in(text) is not None
        except TooManyCandidates:
            return True

    def _located(self, content: Any, schema: Schema | None) -> ScreeningFinding | None:
        """The same with the path of what was found, and with what a schema's labels allow."""
        waiting: list[tuple[Any, Step | None, Schema | None, frozenset[Identifier], int]] = [
            (content, None, schema, frozenset(), 0)
        ]
        while waiting:
            value, step, known_schema, allowed, level = waiting.pop()
            if level > MOST_LEVELS:
                return ScreeningFinding(
                    "body", f"is nested more than {MOST_LEVELS} levels deep", self._clause
                )
            if isinstance(value, Mapping):
                fields = (
                    {}
                    if known_schema is None
                    else {
                        schema_field.data_key or name: schema_field
                        for name, schema_field in known_schema.fields.items()
                    }
                )
                for number, (key, inner) in enumerate(value.items()):
                    place = (step, f".{path_segment(key, number)}")
                    finding = self.of_key(key, place)
                    if finding is not None:
                        return finding
                    field = fields.get(key)
                    label = None if field is None else label_of(field)
                    admitted = (
                        self._categories[label.category].allows if label is not None else allowed
                    )
                    waiting.append((inner, place, nested_in(field), admitted, level + 1))
            elif isinstance(value, list | tuple):
                for number, inner in enumerate(value):
                    if isinstance(inner, str | Mapping | list | tuple) or _is_unusual(inner):
                        waiting.append(
                            (inner, (step, f"[{number}]"), known_schema, allowed, level + 1)
                        )
            else:
                finding = self._of_value(value, step, allowed)
                if finding is not None:
                    return finding
        return None

    def of_names(self, names: Iterable[str], place: str) -> ScreeningFinding | None:
        """The first of some names (columns of a table, fields of a form) that must not be there, or
        None.
        """
        findings = (
            self.of_key(name, (None, f"{place}{path_segment(name, number)}"))
            for number, name in enumerate(names)
        )
        return next((finding for finding in findings if finding is not None), None)

    def of_key(self, key: Any, step: Step) -> ScreeningFinding | None:
        """Whether one key stands for sensitive data, or is an identifier itself."""
        return self.of_word(str(key), step) or self._of_value(str(key), step, frozenset())

    def of_word(self, word: str, step: Step) -> ScreeningFinding | None:
        """Whether one word stands for sensitive data."""
        prohibition = self._terms.match(word)
        return (
            None
            if prohibition is None
            else ScreeningFinding(path_of(step), prohibition.says, prohibition.clause)
        )

    def of_text(self, text: str, path: str) -> ScreeningFinding | None:
        """Whether a text holds an identifier; nothing says that it has its place there."""
        return self._of_value(text, (None, path), frozenset())

    def _of_value(
        self, value: Any, step: Step | None, allowed: frozenset[Identifier]
    ) -> ScreeningFinding | None:
        if not isinstance(value, str):
            if not _is_unusual(value):
                return None
            if not math.isfinite(value):
                return ScreeningFinding(path_of(step), "is no number of JSON", self._clause)
            value = str(int(value))
        if _NO_TEXT.search(value):
            return ScreeningFinding(
                path_of(step), "holds characters that are no text", self._clause
            )
        try:
            identifier = identifier_in(value)
        except TooManyCandidates:
            return ScreeningFinding(
                path_of(step),
                "holds more that looks like account numbers than can be looked through",
                self._clause,
            )
        if identifier is None or identifier in allowed:
            return None
        return ScreeningFinding(
            path_of(step), f"{NAMES[identifier]} has no place here", self._clause
        )


def _gather(content: Any, names: set[Any], texts: list[str]) -> bool:
    """Put the names and texts of a JSON value into a set and a list; False where it is too deep, or
    holds a number that is suspect.
    """
    level = [content]
    for _ in range(MOST_LEVELS + 1):
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str:
                texts.append(value)
            elif kind is dict:
                names.update(value)
                below.extend(value.values())
            elif kind is list or kind is tuple:
                below.extend(value)
            elif (kind is int or kind is float) and not (
                -SMALLEST_NUMBER < value < SMALLEST_NUMBER
            ):
                return False
        if not below:
            return True
        level = below
    return False


def path_of(step: Step | None) -> str:
    """A path as people read it, `pupil.extras[2].note`."""
    parts: list[str] = []
    while step is not None:
        step, part = step
        parts.append(part)
    return "".join(reversed(parts)).lstrip(".") or "body"


def _is_unusual(value: Any) -> bool:
    """Whether a number is large enough to be an identifier, or none at all."""
    return type(value) in (int, float) and not (-SMALLEST_NUMBER < value < SMALLEST_NUMBER)
