"""Coverage-guided fuzzing of everything that parses bytes from a database: `tox run -e fuzz`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["flask_lgprivacy.crypto"]):
    from flask_lgprivacy.crypto import LocalKeyFile
    from flask_lgprivacy.crypto.envelope import envelope_key_version, unseal
    from flask_lgprivacy.crypto.keys import ClientKey
    from flask_lgprivacy.errors import KeyUnavailable, SealBroken

CLIENT = ClientKey("c1", 1, bytes(64))
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
LocalKeyFile.create(FOLDER / "k.key")
KEY_FILE = LocalKeyFile(FOLDER / "k.key")


def one_input(content: bytes) -> None:
    version = envelope_key_version(content)
    for stated in {1, version or 1}:
        try:
            unseal(bytes(32), content, key_version=stated, bound_to=b"fuzz")
        except SealBroken:
            continue
        raise AssertionError("an envelope opened that nobody sealed")
    try:
        CLIENT.unwrap(content, subject="s", version=1, client="c1")
    except SealBroken:
        pass
    else:
        raise AssertionError("a subject key opened that nobody wrapped")
    LocalKeyFile.root_of(content)
    for wrapped in (content, b"\x02r1" + content):
        try:
            KEY_FILE.unwrap(wrapped, context=b"fuzz")
        except KeyUnavailable:
            continue
        raise AssertionError("a client key opened that nobody wrapped")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
