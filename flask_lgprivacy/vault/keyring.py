"""Keys of clients and subjects: made, wrapped, unwrapped, and cached within bounds."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Generic, NoReturn, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import SealBroken
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

    __slots__ = ("_cipher", "_index_key", "client", "epoch")

    def __init__(self, client: str, epoch: int, material: bytes) -> None:
        self.client = client
        self.epoch = epoch
        self._cipher = AESGCM(material[:32])
        self._index_key = SecretBytes(material[32:])

    @property
    def index_key(self) -> bytes:
        """The 32 bytes from which each column's blind index takes its own key."""
        return self._index_key

    def wrap(self, material: bytes, *, subject: str, version: int, randomness: Callable[[int], bytes]) -> bytes:
        """Wrap a subject's material; bound to client, epoch, subject and version."""
        nonce = randomness(_NONCE)
        return nonce + self._cipher.encrypt(nonce, material, self._bound_to(subject, version))

    def unwrap(self, wrapped: bytes, *, subject: str, version: int, client: str) -> SubjectKey:
        """Unwrap the key of a subject of `client`; raises `SealBroken`."""
        try:
            material = SecretBytes(
                self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], self._bound_to(subject, version))
            )
        except (InvalidTag, ValueError):
            raise SealBroken from None
        return SubjectKey(client, version, material)

    def _bound_to(self, subject: str, version: int) -> bytes:
        return f"lgprivacy subject key\x01{self.client}\x00{self.epoch}\x00{subject}\x00{version}".encode()


class SubjectKey(_Secret):
    """The newest key of one data subject, and the secret under which the trail names this subject.

    While keys are rotated, `older` is the key before it, under which some records still stand.
    """

    __slots__ = ("_pseudonym", "_secret", "client", "key", "older", "version")

    def __init__(self, client: str, version: int, material: bytes) -> None:
        self.client = client
        self.version = version
        self.key = SecretBytes(material[:32])
        self._secret = SecretBytes(material[32:])
        self._pseudonym: tuple[int, str] | None = None
        self.older: SubjectKey | None = None

    def at(self, version: int) -> SubjectKey | None:
        """This key, or the older one of the same subject, that a record names by its version."""
        key: SubjectKey | None = self
        while key is not None and key.version != version:
            key = key.older
        return key

    def after(self, older: SubjectKey | None) -> SubjectKey:
        """The same key with another one before it; the key itself is shared and stays as it is."""
        key = SubjectKey(self.client, self.version, self.key + self._secret)
        key.older = older
        return key

    @property
    def secret(self) -> bytes:
        """The 16 bytes behind the pseudonyms."""
        return self._secret

    def pseudonym(self, year: int) -> str:
        """The subject's name in the trail: 16 hexadecimal digits that change with the school year.

        Unlinked from the subject when the key is destroyed (GDPR Art. 4(5)).
        """
        known = self._pseudonym
        if known is None or known[0] != year:
            name = f"{self.client}\x00{year}".encode()
            digest = hashlib.blake2s(name, key=self._secret, digest_size=8, person=b"lgprivps").hexdigest()
            known = self._pseudonym = (year, digest)
        return known[1]


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

    __slots__ = ("_clock", "_entries", "_lock", "_seconds", "_size")

    def __init__(self, *, size: int, seconds: float, clock: Callable[[], float]) -> None:
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()
        self._size = size
        self._seconds = min(seconds, MOST_SECONDS)
        self._clock = clock

    def get(self, name: K) -> V | None:
        """The entry, or None where it is absent or expired."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry[0] < self._clock():
            self.forget(name)
            return None
        return entry[1]

    def get_all(self, names: Iterable[K]) -> tuple[dict[K, V], list[K]]:
        """The living entries among `names`, and the names that have none."""
        now, entries = self._clock(), self._entries
        found: dict[K, V] = {}
        missing: list[K] = []
        for name in names:
            entry = entries.get(name)
            if entry is None or entry[0] < now:
                missing.append(name)
            else:
                found[name] = entry[1]
        return found, missing

    def put(self, name: K, value: V) -> None:
        """Keep an entry; the oldest goes when there are too many."""
        self.put_all(((name, value),))

    def put_all(self, entries: Iterable[tuple[K, V]]) -> None:
        """Keep many entries; the oldest go when there are too many."""
        until = self._clock() + self._seconds
        with self._lock:
            self._entries.update((name, (until, value)) for name, value in entries)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def forget(self, name: K) -> None:
        """Drop an entry, if there is one."""
        with self._lock:
            self._entries.pop(name, None)

    def forget_where(self, condition: Callable[[K, V], bool]) -> None:
        """Drop every entry for which a condition holds."""
        with self._lock:
            for name in [name for name, (_, value) in self._entries.items() if condition(name, value)]:
                del self._entries[name]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<KeyCache of {len(self._entries)} entries>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cache cannot be pickled")
