"""Ingest without reading: whoever has a client's public key may add records for it and can open
none (HPKE, RFC 9180).

Layout: format byte `0x02`, key identifier (8 bytes), then what HPKE gives: X25519, HKDF-SHA256,
AES-256-GCM.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from ..errors import SealBroken

FORMAT = b"\x02"
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_HEAD = len(FORMAT) + 8


def ingest_key(index_key: bytes) -> bytes:
    """The public key, 32 bytes, under which records for a client are sealed; its private half
    follows from the index key.
    """
    return _private(index_key).public_key().public_bytes_raw()


def seal_for_ingest(public_key: bytes, content: bytes, *, client: str, model: str) -> bytes:
    """Seal a record for a client, on a device that can open nothing.

    Args:
        public_key: From `ingest_key`, 32 bytes.
        content: What is sealed.
        client: Bound to the record.
        model: Bound to the record.

    Raises:
        ValueError: `public_key` is not a public key.

    Source: RFC 9180.
    """
    sealed = _SUITE.encrypt(
        content, X25519PublicKey.from_public_bytes(public_key), info=_info(client, model)
    )
    return FORMAT + _identifier(public_key) + sealed


def open_ingested(index_key: bytes, sealed: bytes, *, client: str, model: str) -> bytes:
    """Open a record that was sealed for a client; raises `SealBroken`, the same for every cause."""
    private = _private(index_key)
    if sealed[:_HEAD] != FORMAT + _identifier(private.public_key().public_bytes_raw()):
        raise SealBroken
    try:
        return _SUITE.decrypt(sealed[_HEAD:], private, info=_info(client, model))
    except (InvalidTag, ValueError):
        raise SealBroken from None


def names_ingest_key(index_key: bytes, sealed: bytes) -> bool:
    """Whether a record names the ingest key that follows from an index key."""
    return sealed[:_HEAD] == FORMAT + _identifier(ingest_key(index_key))


def _private(index_key: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(
        hmac.digest(index_key, b"lgprivacy ingest\x01", "sha256")
    )


def _identifier(public_key: bytes) -> bytes:
    return hashlib.sha256(b"lgprivacy ingest key\x01" + public_key).digest()[:8]


def _info(client: str, model: str) -> bytes:
    return b"lgprivacy ingest record\x01" + f"{client}\x00{model}".encode()
