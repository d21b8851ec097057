"""Recognises names that stand for sensitive data (GDPR Art. 9; LG-08), however they are joined, inflected or accented."""

from __future__ import annotations

import re
import unicodedata

from .vocabulary import Policy, Prohibition

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ENDINGS = (
    ("ies", "y"),
    ("aux", "al"),
    ("elles", "el"),
    ("elle", "el"),
    ("ees", ""),
    ("ee", ""),
    ("es", ""),
    ("s", ""),
    ("e", ""),
)
SHORTEST_JOINED = 6


def fold(name: str) -> str:
    """A name as lower-case words with single spaces: `demographicRaceTwoOrMoreRaces` and `Santé` alike."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return " ".join(word.lower() for word in _WORD.findall(plain))


def stem(word: str) -> str:
    """A word without the endings of number and gender, so that `allergies`, `médicaux` and `handicapée` are recognised."""
    for ending, instead in _ENDINGS:
        if len(word) > len(ending) + 3 and word.endswith(ending):
            return word[: -len(ending)] + instead
    return word


def stems(name: str) -> str:
    """The stems of a name's words, with a space around each."""
    return f" {' '.join(stem(word) for word in fold(name).split())} "


class SensitiveTerms:
    """The terms of a policy's prohibitions, ready to be matched against names of columns, keys and headers."""

    def __init__(self, policy: Policy) -> None:
        self._words = [(stems(term), found) for found in policy.prohibitions for term in found.terms]
        self._joined = [
            (stems(term).replace(" ", ""), found)
            for found in policy.prohibitions
            for term in found.terms
            if len(stems(term).replace(" ", "")) >= SHORTEST_JOINED
        ]
        self._whole = {stems(term): found for found in policy.prohibitions for term in found.whole_terms}
        self._exceptions = [stems(term) for found in policy.prohibitions for term in found.except_terms]

    def match(self, name: str) -> Prohibition | None:
        """The prohibition whose term stands in `name`: as words, joined to others, or as the whole name; else None."""
        words = stems(name)
        for exception in self._exceptions:
            words = words.replace(exception, " ")
        if words in self._whole:
            return self._whole[words]
        found = next((prohibition for term, prohibition in self._words if term in words), None)
        if found is not None:
            return found
        joined = words.replace(" ", "")
        return next((prohibition for term, prohibition in self._joined if term in joined), None)
