"""Well-formed identifiers in free text: social security numbers (NIR), bank accounts (IBAN), payment cards.

Each is recognised by the way it is written, in one run or in its own groups, and by its check digits: a list of numbers, a phone number
or an id that only looks like one is none. Every pattern is linear in the length of the text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from stdnum import iban, luhn, numdb
from stdnum.fr import nir

from ..policy import Identifier

_GAP = r"[\s.\-_/]{1,2}"
_OWN_IDS = re.compile(
    r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|(?<![0-9A-Za-z])[0-9a-fA-F]{32,}(?![0-9A-Za-z])"
)
_CARD = re.compile(
    rf"(?<![0-9])(?:[0-9]{{14,16}}|[0-9]{{19}}|[0-9]{{4}}(?:{_GAP}[0-9]{{4}}){{3}}(?:{_GAP}[0-9]{{3}})?|"
    rf"3[0-9]{{3}}{_GAP}[0-9]{{6}}{_GAP}[0-9]{{4,5}})(?![0-9])"
)
_NIR = re.compile(
    rf"(?<![0-9])[1-478](?:{_GAP})?[0-9]{{2}}(?:{_GAP})?[0-9]{{2}}(?:{_GAP})?[0-9][0-9ABab](?:{_GAP})?[0-9]{{3}}(?:{_GAP})?[0-9]{{3}}"
    rf"(?:{_GAP})?[0-9]{{2}}(?![0-9])"
)
_ACCOUNT = re.compile(r"[A-Za-z]{2}[0-9]{2}")
_NOT_ALNUM = re.compile(r"[^0-9A-Za-z]")
_LONGEST_WRITTEN = 80
_LEAST_DIGITS = re.compile(r"[0-9]{2}")


def identifier_in(text: str) -> Identifier | None:
    """The first well-formed identifier in a text, or None."""
    if len(text) < 13 or _LEAST_DIGITS.search(text) is None:
        return None
    text = _OWN_IDS.sub(" ", text)
    if any(nir.is_valid(_compact(found[0])) for found in _NIR.finditer(text)):
        return Identifier.NIR
    if any(_is_card(_compact(found[0])) for found in _CARD.finditer(text)):
        return Identifier.CARD
    if any(_is_account(text, found.start()) for found in _ACCOUNT.finditer(text)):
        return Identifier.IBAN
    return None


def _compact(written: str) -> str:
    return _NOT_ALNUM.sub("", written).upper()


def _is_card(number: str) -> bool:
    """Whether a number has the check digit, length and first digits of a payment card (ISO/IEC 7812)."""
    if not luhn.is_valid(number):
        return False
    first_two, first_four = int(number[:2]), int(number[:4])
    if len(number) == 14:
        return first_two in (36, 38, 39) or 3000 <= first_four <= 3059
    if len(number) == 15:
        return first_two in (34, 37)
    return number[0] == "4" or 51 <= first_two <= 55 or 2221 <= first_four <= 2720 or first_two in (60, 62, 64, 65)


def _is_account(text: str, start: int) -> bool:
    length = _account_length(text[start : start + 2].upper())
    if length is None:
        return False
    number = _compact(text[start : start + _LONGEST_WRITTEN])[:length]
    return len(number) == length and iban.is_valid(number)


@lru_cache(maxsize=700)
def _account_length(country: str) -> int | None:
    """How long the accounts of a country are, by the registry of ISO 13616; None where it has none."""
    structure = numdb.get("iban").info(country)[0][1].get("bban")
    return 4 + sum(int(part) for part in re.findall(r"([0-9]+)!", structure)) if structure else None
