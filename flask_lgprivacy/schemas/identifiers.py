"""Well-formed identifiers in free text: social security numbers (NIR), bank accounts (IBAN), payment cards; by their check digits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import iban, luhn
from stdnum.fr import nir

from ..policy import Identifier

_GAP = r"[ .\-\u00a0\u202f]"
_GROUPS = re.compile(rf"(?<![0-9A-Za-z])[0-9][0-9ABab]*(?:{_GAP}[0-9ABab]+)*(?![0-9A-Za-z])")
_SPLIT = re.compile(_GAP)
_ACCOUNT = re.compile(rf"(?<![0-9A-Za-z])[A-Za-z]{{2}}[0-9]{{2}}(?:{_GAP}?[0-9A-Za-z])+")
_NOT_ALNUM = re.compile(r"[^0-9A-Za-z]")
IBAN_LENGTHS = range(15, 35)
CARD_LENGTHS = range(13, 20)
NIR_LENGTH = 15


def identifier_in(text: str) -> Identifier | None:
    """The first well-formed identifier in a text, or None; a number that only looks like one has wrong check digits."""
    if len(text) < CARD_LENGTHS.start:
        return None
    for found in _GROUPS.finditer(text):
        for number in _joined(_SPLIT.split(found[0].upper())):
            if len(number) == NIR_LENGTH and nir.is_valid(number):
                return Identifier.NIR
            if len(number) in CARD_LENGTHS and _is_card(number):
                return Identifier.CARD
    for found in _ACCOUNT.finditer(text):
        number = _NOT_ALNUM.sub("", found[0][:80])
        if any(iban.is_valid(number[:length]) for length in IBAN_LENGTHS if length <= len(number)):
            return Identifier.IBAN
    return None


def _joined(groups: list[str]) -> Iterator[str]:
    """Neighbouring groups as one number, for every run of them that could be an identifier."""
    for start in range(len(groups)):
        number = ""
        for group in groups[start:]:
            number += group
            if len(number) >= CARD_LENGTHS.stop:
                break
            if len(number) >= CARD_LENGTHS.start:
                yield number


def _is_card(number: str) -> bool:
    """Whether a number has the check digit and the first digits of a payment card (ISO/IEC 7812)."""
    if not number.isdigit() or not luhn.is_valid(number):
        return False
    first_two, first_four = int(number[:2]), int(number[:4])
    if first_two in (34, 37):
        return len(number) == 15
    if number[0] == "4":
        return len(number) in (13, 16, 19)
    return len(number) >= 16 and (
        51 <= first_two <= 55 or 2221 <= first_four <= 2720 or first_two in (36, 38, 60, 62, 64, 65)
    )
