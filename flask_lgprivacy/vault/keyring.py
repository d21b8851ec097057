"""Keys of clients and subjects: made, wrapped, unwrapped, and cached within bounds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2s
from itertools import islice, takewhile
from typing import Final, Generic, NoReturn, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import SealBroken
from .envelope import binding, named_version, seal_with, unseal_with
from .keyfile import KeyProvider
from .secret import SecretBytes

PUBLISHER: Final = "publisher"
"""The owner of what the publisher holds as controller."""

MOST_SECONDS = 60.0
_NONCE = 12
K = TypeVar("K")
V = TypeVar("V")


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

    def wrap(self, material: bytes, *, subject: str, version: int, randomness: Callable[[int], bytes]) -> bytes:
        """Wrap a subject's material; bound to client, epoch, subject and version."""
        nonce = randomness(_NONCE)
        return nonce + self._cipher.encrypt(nonce, material, f"{self._bound_to}{subject}\x00{version}".encode())

    def unwrap(self, wrapped: bytes, *, subject: str, version: int, client: str) -> SubjectKey:
        """Unwrap the key of a subject of `client`; raises `SealBroken`."""
        bound_to = f"{self._bound_to}{subject}\x00{version}".encode()
        try:
            return SubjectKey(client, version, self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], bound_to))
        except (InvalidTag, ValueError):
            raise SealBroken from None


class SubjectKey(_Secret):
    """The newest key of one data subject, and the secret under which the trail names this subject.

    While keys are rotated, `older` is the key before it, under which some records still stand. `cipher` is the key expanded for
    all its records, which saves a third of what opening one costs; it holds 2.5 kB.
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
        key: SubjectKey | None = self
        while key is not None and key.version != version:
            key = key.older
        return key

    def after(self, older: SubjectKey | None) -> SubjectKey:
        """The same key with another one before it; the key itself is shared and stays as it is."""
        key = SubjectKey(self.client, self.version, self._material)
        key.older = older
        return key

    def seal(self, plaintext: bytes, prefix: bytes, row: str, row_version: int) -> bytes:
        """Seal one record under this key; the parameters are those of `unseal`."""
        return seal_with(self.cipher, plaintext, self.version, binding(prefix, row, self.version, row_version))

    def unseal(self, envelope: bytes, prefix: bytes, row: str, row_version: int) -> bytes:
        """Open one record with this key, or with the older one that it names; raises `SealBroken`, the same for every cause.

        Parameters: `prefix` from `binding_prefix`; `row` is the primary key as text; `row_version` counts the writes of the row.
        """
        try:
            bound_to = binding(prefix, row, self.version, row_version)
            return unseal_with(self.cipher, envelope, self.version, bound_to)
        except SealBroken:
            named = self.at(named_version(envelope) or self.version)
            if named is None or named is self:
                raise
        return named.unseal(envelope, prefix, row, row_version)

    @property
    def key(self) -> bytes:
        """The 32 bytes that seal records."""
        return SecretBytes(self._material[:32])

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
            self._pseudonym = blake2s(name, key=self._material[32:], digest_size=8, person=b"lgprivps").hexdigest()
            self._year = year
        return self._pseudonym


@lru_cache(maxsize=16)
def _client_and_year(client: str, year: int) -> bytes:
    return f"{client}\x00{year}".encode()


def new_client_material(randomness: Callable[[int], bytes] = os.urandom) -> bytes:
    """64 random bytes: a client key and the key of its blind indexes, neither derived from the other."""
    return SecretBytes(randomness(64))


def new_subject_material(randomness: Callable[[int], bytes] = os.urandom) -> bytes:
    """48 random bytes: a subject key and the secret of its pseudonyms."""
    return SecretBytes(randomness(48))


def renewed_subject_material(key: SubjectKey, randomness: Callable[[int], bytes] = os.urandom) -> bytes:
    """A new key for a subject that keeps its secret, so that the trail goes on naming it alike."""
    return SecretBytes(randomness(32) + key.secret)


def renewed_client_material(key: ClientKey, randomness: Callable[[int], bytes] = os.urandom) -> bytes:
    """A new key for a client that keeps the key of its blind indexes, so that what is stored is still found."""
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


class KeyCache(Generic[K, V]):
    """A bounded map whose entries expire; what falls out is read from the key table again.

    Parameters: `size` entries at most; `seconds` an entry lives, 60 at most, because a process that holds a key
    could open what was erased elsewhere meanwhile; `clock` counts seconds.
    """

    __slots__ = ("_clock", "_entries", "_lock", "_seconds", "_size", "_until")

    def __init__(self, *, size: int, seconds: float, clock: Callable[[], float]) -> None:
        self._entries: dict[K, V] = {}
        self._until: dict[K, float] = {}
        self._lock = threading.Lock()
        self._size = size
        self._seconds = min(seconds, MOST_SECONDS)
        self._clock = clock

    def get(self, name: K) -> V | None:
        """The entry, or None where it is absent or expired."""
        value = self._entries.get(name)
        if value is not None and self._until.get(name, 0.0) < self._clock():
            self.forget(name)
            return None
        return value

    def get_all(self, names: Sequence[K]) -> dict[K, V]:
        """The living entries under some names."""
        now, until = self._clock(), self._until
        found = zip(names, map(self._entries.get, names), strict=True)
        return {name: value for name, value in found if value is not None and until.get(name, 0.0) >= now}

    def put(self, name: K, value: V) -> None:
        """Keep an entry; the oldest goes when there are too many."""
        self.put_all({name: value})

    def put_all(self, entries: Mapping[K, V]) -> None:
        """Keep many entries; those whose time is over go, and the oldest when there are too many."""
        now = self._clock()
        with self._lock:
            for name in entries if self._entries else ():
                self._entries.pop(name, None)  # so that the oldest stay in front
            self._entries.update(entries)
            self._until.update(dict.fromkeys(entries, now + self._seconds))
            surplus = len(self._entries) - self._size
            if surplus > 0:
                leaving = list(islice(self._entries, surplus + self._size // 8))
            else:
                leaving = list(takewhile(lambda name: self._until[name] < now, self._entries))
            for name in leaving:
                del self._entries[name], self._until[name]

    def forget(self, name: K) -> None:
        """Drop an entry, if there is one."""
        self.forget_all((name,))

    def forget_all(self, names: Iterable[K]) -> None:
        """Drop those entries that there are."""
        with self._lock:
            for name in names:
                self._entries.pop(name, None)
                self._until.pop(name, None)

    def forget_where(self, condition: Callable[[K, V], bool]) -> None:
        """Drop every entry for which a condition holds."""
        with self._lock:
            for name in [name for name, value in self._entries.items() if condition(name, value)]:
                del self._entries[name], self._until[name]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._entries.clear()
            self._until.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<KeyCache of {len(self._entries)} entries>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cache cannot be pickled")
