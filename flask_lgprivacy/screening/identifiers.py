"""Well-formed identifiers in free text: social security numbers (NIR), bank accounts (IBAN),
payment cards.

An identifier stands by itself: nothing but a short label is joined to it, it has its own length,
country or issuer, and check digits. What is inside base64, a list of numbers, a path or a fraction
is none. Texts without a place where one could stand are passed in a few passes over bytes.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from stdnum import luhn, numdb
from stdnum.fr import nir

from ..policy.model import Identifier

GAPS = " \t\n\r\f\v.-_/"
MOST_CANDIDATES = 5_000
"""How many places that look like an identifier and are none a text may have; one with more is
nobody's note.
"""
_DIGITS = b"0123456789"
_RUN_TABLE = bytes(0x30 if byte in _DIGITS else 0x78 for byte in range(256))
_SHORTEST_RUN = b"0" * 8
"""Digits without a letter among them that every identifier has somewhere, whatever gaps it is
written with.
"""
_HARMLESS = re.compile(
    r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{32,}|"
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.]{5,15}(?:Z|[+-][0-9:]{4,5})?)?|-?[0-9]{1,12}\.[0-9]+"
)
"""UUIDs, digests, moments and fractions, which are long digits and by their form nothing else."""
_GAP_BYTES = GAPS.encode()
_GAP = rf"[{re.escape(GAPS)}]"
_RUN = re.compile(rf"[0-9](?:{_GAP}*[0-9]){{12,}}")
_SOLID = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{0,5}([0-9]{13,19})(?![0-9A-Za-z])")
_CORSICAN = re.compile(
    rf"(?<![0-9A-Za-z])[A-Za-z]{{0,5}}([1-478](?:{_GAP}*[0-9]){{4}}{_GAP}*2[ABab](?:{_GAP}*[0-9]){{8}})(?![0-9A-Za-z])"
)
_CORSICA = ("2A", "2B", "2a", "2b")
_ACCOUNT = re.compile(
    rf"(?<![0-9A-Za-z])(?:IBAN|iban|Iban)?([A-Za-z]{_GAP}*[A-Za-z]{_GAP}*[0-9]{_GAP}*[0-9])"
)
_LABEL = re.compile(r"(?:^|[^0-9A-Za-z])[A-Za-z]{0,5}$")
_NOT_ALNUM = re.compile(r"[^0-9A-Za-z]+")
_LONGEST_WRITTEN = 120


class TooManyCandidates(Exception):
    """A text has more places that look like an identifier than anybody writes."""


def may_hold_identifier(text: str) -> bool:
    """Whether a text has as many digits together as every identifier has; two passes over its
    bytes, whatever it holds.
    """
    try:
        content = text.encode("latin-1")
    except UnicodeEncodeError:
        return True
    return _SHORTEST_RUN in content.translate(_RUN_TABLE, _GAP_BYTES) or (
        not text.isascii() and ("\xad" in text or "\xa0" in text)
    )


def identifier_in(text: str) -> Identifier | None:
    """The first well-formed identifier in a text, or None; raises `TooManyCandidates`."""
    if len(text) < 13 or not may_hold_identifier(text) or _HARMLESS.fullmatch(text):
        return None
    written = _plainly_written(text)
    if not may_hold_identifier(written):
        return None
    identifier = _number_in(written)
    if identifier is not None:
        return identifier
    if _is_corsican(written):
        return Identifier.NIR
    return Identifier.IBAN if _has_account(written) else None


def _is_corsican(text: str) -> bool:
    """Whether a social security number of a Corsican department, whose number has a letter, stands
    in a text.
    """
    return any(department in text for department in _CORSICA) and any(
        nir.is_valid(_compact(match[1])) for match in _CORSICAN.finditer(text)
    )


def _plainly_written(text: str) -> str:
    """A text with its digits, spaces and dashes as ASCII has them, and nothing that
    cannot be seen.
    """
    if text.isascii():
        return text
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        text = unicodedata.normalize("NFKC", text)
    else:
        return text.replace("\xad", "").replace("\xa0", " ")
    return "".join(
        "-"
        if (kind := unicodedata.category(letter)) == "Pd"
        else " "
        if kind == "Zs"
        else ""
        if kind == "Cf"
        else letter
        for letter in text
    )


def _number_in(text: str) -> Identifier | None:
    """A social security or card number among the runs of digits of a text."""
    for candidates, run in enumerate(_RUN.finditer(text)):
        if candidates > MOST_CANDIDATES:
            raise TooManyCandidates
        identifier = _number(text, run[0], run.start(), run.end())
        if identifier is not None:
            return identifier
    return None


def _number(text: str, run: str, start: int, end: int) -> Identifier | None:
    digits = _compact(run) if len(run) < _LONGEST_WRITTEN else run
    if len(digits) > 19:  # a list of numbers; one of them may still be one by itself
        solid = (_kind(match[1]) for match in _SOLID.finditer(run))
        return next((identifier for identifier in solid if identifier is not None), None)
    gaps = {gap for gap in run if gap not in "0123456789"}
    if len(gaps) > 1 or (gaps == {"."} and run.count(".") == 1):
        return None  # coordinates, ranges, a fraction
    if end < len(text) and text[end].isalnum():
        return None
    before = text[max(0, start - 6) : start]
    if before and not _LABEL.search(before):
        return None
    if before.endswith((",", "'")) and before[-2:-1].isdigit() and not gaps:
        return None  # digits after a decimal comma
    return _kind(digits)


def _kind(digits: str) -> Identifier | None:
    if len(digits) == 15 and digits[0] in "123478" and nir.is_valid(digits):
        return Identifier.NIR
    return Identifier.CARD if _is_card(digits) else None


def _is_card(number: str) -> bool:
    """Whether a number has an issuer's first digits and length, and the check digit, of a payment
    card (ISO/IEC 7812).
    """
    length, two, four = len(number), int(number[:2]), int(number[:4])
    if two in (36, 38, 39) or 3000 <= four <= 3059:
        return (
            length == 14 and luhn.is_valid(number) and not luhn.is_valid(number[:9])
        )  # a SIRET begins with a SIREN
    if two in (34, 37):
        return length == 15 and luhn.is_valid(number)
    if two == 35:
        return 3528 <= four <= 3589 and length == 16 and luhn.is_valid(number)
    if number[0] == "4":
        return length in (13, 16, 19) and luhn.is_valid(number)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16 and luhn.is_valid(number)
    return two in (60, 62, 64, 65) and 16 <= length <= 19 and luhn.is_valid(number)


def _has_account(text: str) -> bool:
    """Whether a bank account number stands in a text, in one run, in groups, or letter
    by letter.
    """
    for candidates, match in enumerate(_ACCOUNT.finditer(text)):
        if candidates > MOST_CANDIDATES:
            raise TooManyCandidates
        if _is_account(text, match.start(1)):
            return True
    return False


def _is_account(text: str, start: int) -> bool:
    written = text[start : start + _LONGEST_WRITTEN]
    country = _compact(written[:4])[:2].upper()
    length = _account_length(country)
    if length is None:
        return False
    taken = 0
    number: list[str] = []
    for letter in written:
        if letter in GAPS:
            taken += 1
        elif letter.isascii() and letter.isalnum() and len(number) < length:
            number.append(letter)
            taken += 1
        else:
            break
    after = written[taken : taken + 1]
    if len(number) != length or (after.isalnum() and written[taken - 1 : taken] not in GAPS):
        return False
    return _checks("".join(number).upper())


@lru_cache(maxsize=4_000)
def _checks(account: str) -> bool:
    """Whether an account's check digits are right (ISO 13616)."""
    moved = account[4:] + account[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


def _compact(written: str) -> str:
    return _NOT_ALNUM.sub("", written).upper()


@lru_cache(maxsize=700)
def _account_length(country: str) -> int | None:
    """How long the accounts of a country are, by the registry of ISO 13616; None where
    it has none.
    """
    structure = numdb.get("iban").info(country)[0][1].get("bban") if len(country) == 2 else None
    return 4 + sum(int(part) for part in re.findall(r"([0-9]+)!", structure)) if structure else None
