"""Recognises names that stand for sensitive data (GDPR Art. 9; LG-08), accents, case and joins folded."""

from __future__ import annotations

import re
import unicodedata

from .vocabulary import Policy, Prohibition

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def fold(name: str) -> str:
    """A name as lower-case words with single spaces: `demographicRaceTwoOrMoreRaces` and `Santé` alike."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return " ".join(word.lower() for word in _WORD.findall(plain))


class SensitiveTerms:
    """The terms of a policy's prohibitions, ready to be matched against names of columns, keys and headers."""

    def __init__(self, policy: Policy) -> None:
        self._terms: tuple[tuple[str, Prohibition], ...] = tuple(
            (f" {fold(term)} ", prohibition) for prohibition in policy.prohibitions for term in prohibition.terms
        )

    def match(self, name: str) -> Prohibition | None:
        """The prohibition whose term stands in `name` as whole words, or None."""
        words = f" {fold(name)} "
        return next((prohibition for term, prohibition in self._terms if term in words), None)
