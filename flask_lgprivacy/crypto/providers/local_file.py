"""The local key file: root keys that only their owner can read."""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import ConfigurationError, KeyUnavailable
from ..file_ownership import refuse_open_folder
from ..secret_bytes import SecretBytes

if sys.platform != "win32":
    import fcntl


_NONCE = 12


class LocalKeyFile:
    """Root keys in a JSON file of mode 0600: the newest wraps, all of them unwrap.

    Layout: `{"format": 1, "roots": {"<id>": "<base64 of 32 bytes>"}, "newest": "<id>"}`.
    """

    __slots__ = ("_newest", "_path", "_randomness", "_read_at", "_roots")

    def __init__(self, path: Path, *, randomness: Callable[[int], bytes] = os.urandom) -> None:
        self._path = path
        self._randomness = randomness
        self._read_at = _stamp(path)
        self._roots, self._newest = _read(path)

    @staticmethod
    def create(path: Path, *, randomness: Callable[[int], bytes] = os.urandom) -> None:
        """Make a key file with one root key, readable by its owner only; raises
        `FileExistsError`.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, {"r1": SecretBytes(randomness(32))}, "r1")

    def add_root(self) -> str:
        """Add a root key, which wraps from now on; running processes notice at their next use.
        Returns its name.
        """
        with self._held():
            self._refresh()
            name = f"r{max(int(root_name.lstrip('r') or 0) for root_name in self._roots) + 1}"
            self._replace({**self._roots, name: SecretBytes(self._randomness(32))}, name)
        return name

    def drop_root(self, name: str) -> None:
        """Destroy a root key that wraps nothing any more; raises `ConfigurationError` for the
        newest or an unknown one.
        """
        with self._held():
            self._refresh()
            if name not in self._roots or name == self._newest:
                names = ", ".join(self._roots)
                raise ConfigurationError(
                    f"{self._path.name}: only an older root key can be dropped; it has {names}, of "
                    f"which {self._newest} wraps"
                )
            self._replace(
                {root_name: key for root_name, key in self._roots.items() if root_name != name},
                self._newest,
            )

    def roots(self) -> tuple[str, ...]:
        """The names of the root keys, the one that wraps last."""
        return tuple(sorted(self._roots, key=lambda name: name == self._newest))

    @staticmethod
    def root_of(wrapped: bytes) -> str:
        """The name of the root key under which something was wrapped."""
        return wrapped[1 : 1 + wrapped[0]].decode("ascii", "replace") if wrapped else ""

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Change the file alone: of two who change it at once, the later one would lose the other's
        key.
        """
        if sys.platform == "win32":
            yield
            return
        lock = os.open(
            self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _replace(self, roots: Mapping[str, bytes], newest: str) -> None:
        """Write the file anew beside the old one and put it in its place, so that a crash leaves
        one of the two whole.
        """
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        _write(fresh, roots, newest)
        fresh.rename(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._refresh()

    def _refresh(self) -> None:
        """Read the file again where another process changed it."""
        stamp = _stamp(self._path)
        if stamp is not None and stamp != self._read_at:
            self._roots, self._newest = _read(self._path)
            self._read_at = stamp

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        self._refresh()
        nonce = self._randomness(_NONCE)
        name = self._newest.encode()
        sealed = AESGCM(self._roots[self._newest]).encrypt(nonce, key, context + name)
        return bytes((len(name),)) + name + nonce + sealed

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        length = wrapped[0] if wrapped else 0
        name = wrapped[1 : 1 + length]
        root_name = name.decode("ascii", "replace")
        self._refresh()
        root = self._roots.get(root_name)
        if root is None:
            raise KeyUnavailable(
                f"{self._path.name}: the root key that wrapped a client key is not in the key file"
            )
        nonce = wrapped[1 + length : 1 + length + _NONCE]
        try:
            return AESGCM(root).decrypt(nonce, wrapped[1 + length + _NONCE :], context + name)
        except (InvalidTag, ValueError):
            raise KeyUnavailable(
                f"{self._path.name}: a wrapped client key does not open under its root key"
            ) from None

    def __repr__(self) -> str:
        return f"<LocalKeyFile {self._path.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key provider cannot be pickled")


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when the file is replaced; None where it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _write(path: Path, roots: Mapping[str, bytes], newest: str) -> None:
    document = {
        "format": 1,
        "roots": {name: base64.b64encode(key).decode() for name, key in roots.items()},
        "newest": newest,
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> tuple[Mapping[str, bytes], str]:
    remedy = "create it with 'flask privacy init', or point LGPRIVACY_KEY_FILE at it"
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise ConfigurationError(f"the key file {path.name} does not exist; {remedy}") from None
    except OSError as error:
        raise ConfigurationError(
            f"the key file {path.name} cannot be opened ({error.strerror}); {remedy}"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        _refuse_others_file(path, os.fstat(descriptor))
        raw = file.read()
    try:
        document = json.loads(raw)
        roots = {
            str(name): SecretBytes(base64.b64decode(key, validate=True))
            for name, key in document["roots"].items()
        }
        newest = str(document["newest"])
    except (ValueError, KeyError, AttributeError, TypeError, binascii.Error):
        raise ConfigurationError(
            f"the key file {path.name} is damaged; restore it from its backup"
        ) from None
    if (
        document.get("format") != 1
        or newest not in roots
        or any(len(key) != 32 for key in roots.values())
    ):
        raise ConfigurationError(f"the key file {path.name} is damaged; restore it from its backup")
    return roots, newest


def _refuse_others_file(path: Path, status: os.stat_result) -> None:
    """Refuse a key file that others can read, own, or replace; raises `ConfigurationError`."""
    if sys.platform == "win32":
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise ConfigurationError(
            f"the key file {path.name} has mode {mode:04o}, so others can use it; run 'chmod 600' "
            "on it, or mount a container's secret "
            "with mode 0400 (Kubernetes: defaultMode: 0400, and fsGroup left out)"
        )
    trusted_users = (os.geteuid(), 0)
    if status.st_uid not in trusted_users or path.lstat().st_uid not in trusted_users:
        raise ConfigurationError(
            f"the key file {path.name}, or the link to it, belongs to another user, who may "
            "replace it; run 'chown' on it, or start the "
            "service as its owner"
        )
    for folder in {path.parent, path.resolve().parent}:
        folder_status = folder.stat()
        refuse_open_folder(
            folder_status.st_mode,
            folder_status.st_uid,
            folder_status.st_gid,
            folder.name or "/",
            f"the key file {path.name}",
        )


class LazyKeyFile:
    """The local key file: read at start-up where it exists, else at first use, so that `flask
    privacy init` can make it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._provider = LocalKeyFile(path) if path.exists() else None

    def _loaded(self) -> LocalKeyFile:
        if self._provider is None:
            self._provider = LocalKeyFile(self._path)
        return self._provider

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        return self._loaded().wrap(key, context=context)

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        return self._loaded().unwrap(wrapped, context=context)
