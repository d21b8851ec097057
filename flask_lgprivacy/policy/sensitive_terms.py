"""Recognises names that stand for sensitive data (GDPR Art. 9; LG-08), however they are joined,
inflected, accented or disguised.
"""

from __future__ import annotations

import html
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from .model import Policy, Prohibition

SHIPPED_VOCABULARIES = {"sensitive-names": "sensitive_names.toml"}
"""Vocabularies that a prohibition may name, and their files beside this one."""
QUALIFIERS = frozenset(
    """
    person people pupil student eleve enfant child staff teacher parent employee personne persona
    alumno alumna estudiante patient user member contact code id type tipo codigo description desc
    descriptor category categorie categoria label
    libelle name nom nombre value field flag is has key list other comment note
    """.split()  # noqa: SIM905  a list of words reads best as one
)
"""Words beside a `whole_term` that say nothing of what it is."""
SMALL_WORDS = frozenset(
    "de du des d l la le les un une et of the a an and del los las el y en".split()  # noqa: SIM905
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PLURALS = (("ies", "y"), ("aux", "al"), ("elles", "el"), ("ees", ""), ("es", ""), ("s", ""))
_GENDERS = (("elle", "el"), ("ee", ""), ("e", ""), ("a", ""), ("o", ""))
_LIGATURES = str.maketrans(
    {"œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "ß": "ss", "ø": "o", "Ø": "O", "ı": "i"}
)
_LOOKALIKES = str.maketrans(
    "авеіјкмнорстухѕΑΒΕΖΗΙΚΜΝΟΡΤΥΧαορν", "abeijkmhopctyxsABEZHIKMNOPTYXaopv"
)
"""Cyrillic and Greek letters that look like Latin ones (Unicode TR 39)."""
_DIGITS_AS_LETTERS = ("01345", "oleas"), ("01345", "oieas")
_NO_LETTER = re.compile(r"[^a-z\n]+")
_DIGIT_AMONG_LETTERS = re.compile(r"[a-zA-Z][01345][a-zA-Z]")
SHORTEST_PART = 6
"""Letters that a part has at least, so that it stands in no ordinary word by chance."""
LONGEST_NAME = 200
"""Letters of a name that are looked at; nobody calls a field by more."""
MOST_WORDS = 40


def unmasked(name: str) -> str:
    """A name in Latin letters without accents: entities, ligatures, full width, invisible
    characters and look-alikes undone.
    """
    if "&" in name:
        name = html.unescape(name)
    if name.isascii():
        return name
    plain = unicodedata.normalize("NFKD", name.translate(_LIGATURES)).translate(_LOOKALIKES)
    return "".join(
        letter
        for letter in plain
        if not unicodedata.combining(letter) and unicodedata.category(letter) != "Cf"
    )


def words_of(name: str) -> list[str]:
    """A name's words in lower case: `demographicRaceTwoOrMoreRaces` and `Santé` alike."""
    return [word.lower() for word in _WORD.findall(unmasked(name[:LONGEST_NAME]))][:MOST_WORDS]


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """A word without the endings of number and gender, so that `allergies`, `médicaux` and
    `handicapée` are recognised.
    """
    for endings in (_PLURALS, _GENDERS):
        for ending, instead in endings:
            if len(word) > len(ending) + 3 and word.endswith(ending):
                word = word[: -len(ending)] + instead
                break
    return word


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of one prohibition, in words as they are compared."""

    prohibition: Prohibition
    stemmed: frozenset[tuple[str, ...]]
    exact: frozenset[tuple[str, ...]]
    whole_stemmed: frozenset[tuple[str, ...]]
    whole_exact: frozenset[tuple[str, ...]]
    excepted: frozenset[tuple[str, ...]]
    parts: re.Pattern[str] | None
    longest: int
    anchors: frozenset[str]


class SensitiveTerms:
    """The terms of a policy's prohibitions, ready to be matched against names of columns, keys and
    headers.
    """

    def __init__(self, policy: Policy) -> None:
        self._terms = [
            _prepared(prohibition) for prohibition in policy.prohibitions if prohibition.has_terms
        ]
        self._anchors = frozenset().union(*(terms.anchors for terms in self._terms))
        self.match = lru_cache(maxsize=20_000)(self._match)

    def suspects(self, names: Sequence[str]) -> bool:
        """Whether any of some names may stand for sensitive data; `match` says which, and whether
        it does.

        Args:
            names: Any number; words that they share are looked at once.
        """
        text = "\n".join(names)
        if not text.isascii() or "&" in text or _DIGIT_AMONG_LETTERS.search(text):
            return any(self.match(name) is not None for name in names)
        words = {word.lower() for word in set(_WORD.findall(text))}
        anchors = [word for word in words if word in self._anchors or stem(word) in self._anchors]
        if anchors and any(
            self.match(name) is not None
            for name in names
            if any(word in name.lower() for word in anchors)
        ):
            return True
        joined = _NO_LETTER.sub("", text.lower())
        if not any(
            terms.parts is not None and terms.parts.search(joined) is not None
            for terms in self._terms
        ):
            return False
        return any(self.match(name) is not None for name in names)

    def _match(self, name: str) -> Prohibition | None:
        """The prohibition whose term stands in `name`: as words, joined to others, or as the whole
        name; else None.
        """
        readings = [name]
        if _DIGIT_AMONG_LETTERS.search(name):
            readings += [name.translate(str.maketrans(*pair)) for pair in _DIGITS_AS_LETTERS]
        for reading in readings:
            words = words_of(reading)
            for terms in self._terms:
                if _stands_in(terms, words):
                    return terms.prohibition
        return None


def _stands_in(terms: _Terms, words: list[str]) -> bool:
    for part in _without(terms.excepted, words, terms.longest):
        bare = [word for word in part if word not in SMALL_WORDS]
        for phrase_words in (part, bare) if bare != part else (part,):
            if _has_phrase(terms.exact, phrase_words, terms.longest) or _has_phrase(
                terms.stemmed, [stem(word) for word in phrase_words], terms.longest
            ):
                return True
        bare_words = tuple(word for word in bare if word not in QUALIFIERS)
        if len(part) == len(words) and (
            bare_words in terms.whole_exact or tuple(map(stem, bare_words)) in terms.whole_stemmed
        ):
            return True
        if terms.parts is not None and terms.parts.search("".join(part)) is not None:
            return True
    return False


def _without(
    excepted: frozenset[tuple[str, ...]], words: list[str], longest: int
) -> list[list[str]]:
    """What is left of a name's words where ordinary phrases are taken out: the words between them,
    kept apart.
    """
    parts: list[list[str]] = [[]]
    at = 0
    while at < len(words):
        length = next(
            (
                n
                for n in range(min(longest, len(words) - at), 0, -1)
                if tuple(map(stem, words[at : at + n])) in excepted
            ),
            0,
        )
        if length:
            parts.append([])
            at += length
        else:
            parts[-1].append(words[at])
            at += 1
    return [part for part in parts if part]


def _has_phrase(phrases: frozenset[tuple[str, ...]], words: list[str], longest: int) -> bool:
    return any(
        tuple(words[at : at + length]) in phrases
        for at in range(len(words))
        for length in range(1, min(longest, len(words) - at) + 1)
    )


@lru_cache(maxsize=64)  # the shipped vocabulary has thousands of terms, and asks for 20 ms
def _prepared(prohibition: Prohibition) -> _Terms:
    terms_by_kind = {
        name: list(getattr(prohibition, name))
        for name in ("terms", "parts", "whole_terms", "except_terms")
    }
    as_they_stand: set[str] = set()
    if prohibition.vocabulary is not None:
        shipped = vocabulary(prohibition.vocabulary)
        as_they_stand = set(shipped["unstemmed"])
        terms_by_kind = {name: [*terms, *shipped[name]] for name, terms in terms_by_kind.items()}
    phrases = {
        (name, is_exact): frozenset(
            tuple(term.split()) if is_exact else tuple(map(stem, term.split()))
            for term in terms_by_kind[name]
            if (term in as_they_stand) is is_exact
        )
        for name in ("terms", "whole_terms")
        for is_exact in (True, False)
    }
    excepted = frozenset(tuple(map(stem, words_of(term))) for term in terms_by_kind["except_terms"])
    every = [*excepted, *(phrase for of in phrases.values() for phrase in of)]
    parts = sorted({"".join(words_of(part)) for part in terms_by_kind["parts"]}, key=len)
    return _Terms(
        prohibition=prohibition,
        stemmed=phrases["terms", False],
        exact=phrases["terms", True],
        whole_stemmed=phrases["whole_terms", False],
        whole_exact=phrases["whole_terms", True],
        excepted=excepted,
        parts=re.compile(_by_first_letters(parts)) if parts else None,
        longest=max(map(len, every), default=1),
        anchors=frozenset(max(phrase, key=len) for of in phrases.values() for phrase in of),
    )


def _by_first_letters(parts: Iterable[str]) -> str:
    """An alternation as a tree of letters, which `re` decides letter by letter instead of term by
    term.
    """
    tree: dict[str, dict] = {}  # type: ignore[type-arg]
    for part in parts:
        node = tree
        for letter in part:
            if "" in node:
                break  # a shorter part stands here already
            node = node.setdefault(letter, {})
        else:
            node.clear()
            node[""] = {}

    def written(node: dict[str, dict]) -> str:  # type: ignore[type-arg]
        branches = [
            re.escape(letter) + written(below) for letter, below in sorted(node.items()) if letter
        ]
        return (
            ""
            if not branches
            else branches[0]
            if len(branches) == 1
            else f"(?:{'|'.join(branches)})"
        )

    return written(tree)


@lru_cache(maxsize=len(SHIPPED_VOCABULARIES))
def vocabulary(name: str) -> dict[str, list[str]]:
    """The terms of a shipped vocabulary, by what they are."""
    text = (
        resources.files(__package__)
        .joinpath(SHIPPED_VOCABULARIES[name])
        .read_text(encoding="utf-8")
    )
    return tomllib.loads(text)
