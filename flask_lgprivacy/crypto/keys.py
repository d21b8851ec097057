"""Keys of clients (key encryption keys) and subjects (data encryption keys): made, wrapped and
unwrapped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import blake2s
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import SealBroken
from .envelope import build_associated_data, envelope_key_version, seal_with, unseal_with
from .providers.base import KeyProvider
from .secret_bytes import SecretBytes

PUBLISHER: Final = "publisher"
"""The owner of what the publisher holds as controller."""
_NONCE = 12


class _Secret:
    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled")


class ClientKey(_Secret):
    """A client's key, which wraps its subjects' keys, and the key of its blind indexes."""

    __slots__ = ("_bound_to", "_cipher", "_index_key", "client", "epoch")

    def __init__(self, client: str, epoch: int, material: bytes) -> None:
        self.client = client
        self.epoch = epoch
        self._cipher = AESGCM(material[:32])
        self._index_key = SecretBytes(material[32:])
        self._bound_to = f"lgprivacy subject key\x01{client}\x00{epoch}\x00"

    @property
    def index_key(self) -> bytes:
        """The 32 bytes from which each column's blind index takes its own key."""
        return self._index_key

    def wrap(
        self, material: bytes, *, subject: str, version: int, randomness: Callable[[int], bytes]
    ) -> bytes:
        """Wrap a subject's material; bound to client, epoch, subject and version."""
        nonce = randomness(_NONCE)
        return nonce + self._cipher.encrypt(
            nonce, material, f"{self._bound_to}{subject}\x00{version}".encode()
        )

    def unwrap(self, wrapped: bytes, *, subject: str, version: int, client: str) -> SubjectKey:
        """Unwrap the key of a subject of `client`; raises `SealBroken`."""
        bound_to = f"{self._bound_to}{subject}\x00{version}".encode()
        try:
            return SubjectKey(
                client, version, self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], bound_to)
            )
        except (InvalidTag, ValueError):
            raise SealBroken from None


class SubjectKey(_Secret):
    """The newest key of one data subject, and the secret under which the trail names this subject.

    While keys are rotated, `older` is the key before it, under which some records still stand.
    `cipher` is the key expanded for all its records, which saves a third of what opening one costs;
    it holds 2.5 kB.
    """

    __slots__ = ("_material", "_pseudonym", "_year", "cipher", "client", "older", "version")

    def __init__(self, client: str, version: int, material: bytes) -> None:
        self.client = client
        self.version = version
        self.older: SubjectKey | None = None
        self._material = material if type(material) is bytes else bytes(material)
        self.cipher = AESGCM(material[:32])
        self._year = 0
        self._pseudonym = ""

    def at(self, version: int) -> SubjectKey | None:
        """This key, or the older one of the same subject, that a record names by its version."""
        return next((key for key in self.versions() if key.version == version), None)

    def versions(self) -> Iterator[SubjectKey]:
        """This key and the older ones of the same subject, the newest first."""
        key: SubjectKey | None = self
        while key is not None:
            yield key
            key = key.older

    def after(self, older: SubjectKey | None) -> SubjectKey:
        """Return a copy of this key whose `older` is another key; this one is shared and
        unchanged.
        """
        key = SubjectKey(self.client, self.version, self._material)
        key.older = older
        return key

    def seal(self, plaintext: bytes, prefix: bytes, row: str, row_version: int) -> bytes:
        """Seal one record under this key; the parameters are those of `unseal`."""
        return seal_with(
            self.cipher,
            plaintext,
            self.version,
            build_associated_data(prefix, row, self.version, row_version),
        )

    def unseal(self, envelope: bytes, prefix: bytes, row: str, row_version: int) -> bytes:
        """Open one record with this key, or with the previous one that it names.

        Args:
            envelope: The sealed record.
            prefix: From `associated_data_prefix`.
            row: The primary key as text.
            row_version: Counts the writes of the row.

        Raises:
            SealBroken: The same for every cause.
        """
        try:
            bound_to = build_associated_data(prefix, row, self.version, row_version)
            return unseal_with(self.cipher, envelope, self.version, bound_to)
        except SealBroken:
            named_key = self.at(envelope_key_version(envelope) or self.version)
            if named_key is None or named_key is self:
                raise
        return named_key.unseal(envelope, prefix, row, row_version)

    @property
    def key(self) -> bytes:
        """The 32 bytes that seal records."""
        return SecretBytes(self._material[:32])

    @property
    def material(self) -> bytes:
        """Key and secret, to be wrapped."""
        return SecretBytes(self._material)

    @property
    def secret(self) -> bytes:
        """The 16 bytes behind the pseudonyms."""
        return SecretBytes(self._material[32:])

    def pseudonym(self, year: int) -> str:
        """The subject's name in the trail: 16 hexadecimal digits that change with the school year.

        Unlinked from the subject when the key is destroyed (GDPR Art. 4(5)).
        """
        if self._year != year:
            name = _client_and_year(self.client, year)
            self._pseudonym = blake2s(
                name, key=self._material[32:], digest_size=8, person=b"lgprivps"
            ).hexdigest()
            self._year = year
        return self._pseudonym


@lru_cache(maxsize=16)
def _client_and_year(client: str, year: int) -> bytes:
    return f"{client}\x00{year}".encode()


def new_client_material(randomness: Callable[[int], bytes] = os.urandom) -> bytes:
    """64 random bytes: a client key and the key of its blind indexes, neither derived from the
    other.
    """
    return SecretBytes(randomness(64))


def new_subject_material(randomness: Callable[[int], bytes] = os.urandom) -> bytes:
    """48 random bytes: a subject key and the secret of its pseudonyms."""
    return SecretBytes(randomness(48))


def renewed_subject_material(
    key: SubjectKey, randomness: Callable[[int], bytes] = os.urandom
) -> bytes:
    """A new key for a subject that keeps its secret, so that the trail goes on naming it alike."""
    return SecretBytes(randomness(32) + key.secret)


def renewed_client_material(
    key: ClientKey, randomness: Callable[[int], bytes] = os.urandom
) -> bytes:
    """A new key for a client that keeps the key of its blind indexes, so that what is stored is
    still found.
    """
    return SecretBytes(randomness(32) + key.index_key)


def wrap_client_material(provider: KeyProvider, client: str, epoch: int, material: bytes) -> bytes:
    """Wrap a client's material under the root key."""
    return provider.wrap(material, context=_client_context(client, epoch))


def unwrap_client_key(provider: KeyProvider, client: str, epoch: int, wrapped: bytes) -> ClientKey:
    """Unwrap a client's key; raises `KeyUnavailable`."""
    return ClientKey(client, epoch, unwrap_client_material(provider, client, epoch, wrapped))


def unwrap_client_material(provider: KeyProvider, client: str, epoch: int, wrapped: bytes) -> bytes:
    """Unwrap a client's material, to be wrapped anew; raises `KeyUnavailable`."""
    return SecretBytes(provider.unwrap(wrapped, context=_client_context(client, epoch)))


def _client_context(client: str, epoch: int) -> bytes:
    return f"lgprivacy client key\x01{client}\x00{epoch}".encode()
