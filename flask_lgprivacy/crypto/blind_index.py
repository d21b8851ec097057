"""Blind indexes: find by equality without reading. A keyed, truncated hash per client, column and
normaliser.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..errors import ModelInvalid
from .secret_bytes import SecretBytes

INDEX_BYTES = 16
FULL_BITS: Final = 8 * INDEX_BYTES
MAX_TRUNCATED_BITS: Final = 16
"""An index of so many bits or fewer is shared by several values where there are many, so that it
gives no single one away.
"""
_AS_TYPED: Final = str.maketrans(
    dict.fromkeys("‘’‛ʹʻʼʽˈ′＇`´", "'") | dict.fromkeys("‐‑‒–−﹣－", "-")
)
"""Signs that keyboards and word processors put for the apostrophe and the hyphen of a name."""
_LETTERS: Final = str.maketrans(
    {"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "þ": "th"}
)
"""Letters that Unicode does not take apart, as people type them who do not have them."""


def _spaced(value: str) -> str:
    return " ".join(value.split())


def _text(value: str) -> str:
    return _spaced(unicodedata.normalize("NFKC", value).casefold())


def _unaccented(value: str) -> str:
    apart = unicodedata.normalize("NFKD", value.casefold())
    return _spaced(
        unicodedata.normalize(
            "NFKC", "".join(letter for letter in apart if not unicodedata.combining(letter))
        )
    )


def _name(value: str) -> str:
    seen = "".join(
        letter for letter in value.translate(_AS_TYPED) if unicodedata.category(letter) != "Cf"
    )
    return _unaccented(seen).translate(_LETTERS)


def _email(value: str) -> str:
    return unicodedata.normalize("NFKC", value).strip().casefold()


def _exact(value: str) -> str:
    return unicodedata.normalize("NFC", value)


NORMALISERS: dict[str, tuple[str, Callable[[str], str]]] = {
    "text": ("nfkc-casefold-spaces-1", _text),
    "accents": ("unaccented-casefold-spaces-1", _unaccented),
    "name": ("name-as-typed-1", _name),
    "email": ("email-casefold-1", _email),
    "exact": ("nfc-1", _exact),
}
"""What counts as equal, by name: its identifier, which is part of the format, and how a value is
brought to its normal form.
"""


@dataclass(frozen=True, slots=True)
class BlindIndex:
    """How a sealed field is found.

    Args:
        normaliser: `text` (case, width and runs of spaces do not count), `accents` (nor do
            accents), `name` (nor do the kind of apostrophe or hyphen, joined letters such as œ, and
            characters that are not visible), `email` (case and outer spaces do not count) or
            `exact`.
        bits: Bits of the hash that are kept: 128 or, for values that are easily guessed, at most
            16.

    Raises:
        ModelInvalid: There is no such normaliser, or the bits are out of range.
    """

    normaliser: str = "text"
    bits: int = FULL_BITS

    def __post_init__(self) -> None:
        if self.normaliser not in NORMALISERS:
            raise ModelInvalid(
                f"BlindIndex: no normaliser {self.normaliser!r}; there are {', '.join(NORMALISERS)}"
            )
        if self.bits != FULL_BITS and not 4 <= self.bits <= MAX_TRUNCATED_BITS:
            raise ModelInvalid(
                f"BlindIndex: bits is {FULL_BITS}, or between 4 and {MAX_TRUNCATED_BITS} for "
                "values that are easily guessed"
            )

    @property
    def is_whole(self) -> bool:
        """Whether equal indexes mean equal values; else candidates are compared after opening."""
        return self.bits == FULL_BITS

    def normal(self, value: str) -> str:
        """The normal form of a value."""
        return NORMALISERS[self.normaliser][1](value)

    def key(self, index_key: bytes, *, table: str, column: str) -> bytes:
        """The key of one column's index for one client: 32 bytes."""
        name = NORMALISERS[self.normaliser][0] + ("" if self.is_whole else f"/{self.bits}")
        info = f"lgprivacy index\x01{table}\x00{column}\x00{name}".encode()
        return SecretBytes(hmac.digest(index_key, info, "sha256"))

    def of(self, key: bytes, value: str) -> bytes:
        """The index of a value under a `key`: 16 bytes, or as few as hold `bits`."""
        digest = hmac.digest(key, self.normal(value).encode("utf-8", "surrogatepass"), "sha256")
        if self.is_whole:
            return digest[:INDEX_BYTES]
        kept = int.from_bytes(digest[:4], "big") >> (32 - self.bits)
        return kept.to_bytes((self.bits + 7) // 8, "big")
