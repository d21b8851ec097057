"""The sealed record, format 1: AES-256-GCM bound to its client, group, row, key version and row
version.

Layout: format byte `0x01`, key version (4 bytes, big endian), nonce (12 bytes), ciphertext with its
16-byte tag (NIST SP 800-38D). Frozen: `tests/vectors` pins it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from struct import error as StructError  # noqa: N812  the module's only name for it

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import SealBroken

FORMAT = 1
_HEADER = Struct(">BI")
_NONCE = 12
_SMALLEST = _HEADER.size + _NONCE + 16
_LENGTHS = Struct(">HHH")
_VERSIONS = Struct(">IQ")
_DOMAIN = b"lgprivacy record\x01"


@lru_cache(maxsize=16)
def _header(key_version: int) -> bytes:
    return _HEADER.pack(FORMAT, key_version)


def associated_data_prefix(*, client: bytes, group: bytes, table: bytes) -> bytes:
    """The part of a binding that the records of a client's group in a table share, each part led by
    its length.
    """
    return _DOMAIN + _LENGTHS.pack(len(client), len(group), len(table)) + client + group + table


def build_associated_data(prefix: bytes, row: str, key_version: int, row_version: int) -> bytes:
    """The associated data of a record: what it is bound to, as bytes without ambiguity.

    Args:
        prefix: From `associated_data_prefix`.
        row: The primary key as text.
        key_version: Counts the subject's keys, from 1.
        row_version: Counts the writes of the row, from 1.

    Raises:
        SealBroken: A version is not a non-negative integer of the stated width.
    """
    try:
        return prefix + row.encode() + _VERSIONS.pack(key_version, row_version)
    except StructError:
        raise SealBroken from None


def seal(
    key: bytes,
    plaintext: bytes,
    *,
    key_version: int,
    bound_to: bytes,
    randomness: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Seal one record.

    Args:
        key: 32 bytes.
        plaintext: What is sealed.
        key_version: The version that the envelope names.
        bound_to: From `build_associated_data` with the same `key_version`.
        randomness: Returns so many random bytes; gives the nonce.

    Returns:
        The envelope.
    """
    return seal_with(AESGCM(key), plaintext, key_version, bound_to, randomness)


def seal_with(
    cipher: AESGCM,
    plaintext: bytes,
    key_version: int,
    bound_to: bytes,
    randomness: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """The same with a cipher that has the key."""
    nonce = randomness(_NONCE)
    return _header(key_version) + nonce + cipher.encrypt(nonce, plaintext, bound_to)


def envelope_key_version(envelope: bytes) -> int | None:
    """The key version that an envelope names, or None where it is no envelope of this format."""
    if len(envelope) < _SMALLEST or envelope[0] != FORMAT:
        return None
    return int(_HEADER.unpack_from(envelope)[1])


def unseal(key: bytes, envelope: bytes, *, key_version: int, bound_to: bytes) -> bytes:
    """Open one record with the key of the version that it names; raises `SealBroken`, the same for
    every cause.
    """
    return unseal_with(AESGCM(key), envelope, key_version, bound_to)


def unseal_with(cipher: AESGCM, envelope: bytes, key_version: int, bound_to: bytes) -> bytes:
    """The same with a cipher that has the key."""
    if envelope[:5] != _header(key_version):
        raise SealBroken
    try:
        return cipher.decrypt(envelope[5:17], envelope[17:], bound_to)
    except (
        InvalidTag,
        ValueError,
    ):  # a nonce that was cut off is a value that the cipher does not take
        raise SealBroken from None
