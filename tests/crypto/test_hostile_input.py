"""Whatever stands in an envelope or a key row: one opaque refusal, no crash, nothing told by message or time."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_lgprivacy.crypto import LocalKeyFile
from flask_lgprivacy.crypto.envelope import (
    associated_data_prefix,
    build_associated_data,
    envelope_key_version,
    seal,
    unseal,
)
from flask_lgprivacy.crypto.keys import ClientKey, new_subject_material
from flask_lgprivacy.errors import KeyUnavailable, SealBroken
from flask_lgprivacy.testing import make_key_file

KEY = bytes(range(32))
CLIENT = ClientKey("c1", 1, bytes(64))
REFUSAL = str(SealBroken())


def bound(
    client: str = "c1",
    group: str = "g",
    table: str = "t",
    row: str = "r",
    key: int = 1,
    version: int = 1,
) -> bytes:
    prefix = associated_data_prefix(
        client=client.encode(), group=group.encode(), table=table.encode()
    )
    return build_associated_data(prefix, row, key, version)


def refused(
    envelope: bytes, *, key: bytes = KEY, version: int = 1, bound_to: bytes | None = None
) -> None:
    with pytest.raises(SealBroken) as fault:
        unseal(key, envelope, key_version=version, bound_to=bound_to or bound())
    assert str(fault.value) == REFUSAL
    assert fault.value.__cause__ is None


@given(st.binary(max_size=300))
def test_no_bytes_open_that_were_not_sealed(envelope: bytes) -> None:
    refused(envelope)
    assert envelope_key_version(envelope) is None or envelope[0] == 1


@given(st.binary(max_size=80), st.data())
def test_every_change_of_an_envelope_is_refused(plaintext: bytes, data: st.DataObject) -> None:
    envelope = seal(KEY, plaintext, key_version=1, bound_to=bound())
    position = data.draw(st.integers(0, len(envelope) * 8 - 1))
    flipped = bytearray(envelope)
    flipped[position // 8] ^= 1 << position % 8
    refused(bytes(flipped))
    refused(envelope[: data.draw(st.integers(0, len(envelope) - 1))])
    refused(envelope + data.draw(st.binary(min_size=1, max_size=20)))


@given(
    st.dictionaries(
        st.sampled_from(["client", "group", "table", "row"]),
        st.text(min_size=1, max_size=8),
        min_size=1,
    ),
    st.integers(2, 9),
)
def test_a_record_opens_nowhere_else(elsewhere: dict[str, str], other: int) -> None:
    envelope = seal(KEY, b"value", key_version=1, bound_to=bound())
    places = {
        name: text
        for name, text in elsewhere.items()
        if text != {"client": "c1", "group": "g", "table": "t", "row": "r"}[name]
    }
    if places:
        refused(envelope, bound_to=bound(**places))  # type: ignore[arg-type]
    refused(envelope, bound_to=bound(version=other))
    refused(envelope, version=other, bound_to=bound(key=other))
    refused(bytes((other,)) + envelope[1:])


@given(st.binary(max_size=200))
def test_no_bytes_are_a_wrapped_subject_key(wrapped: bytes) -> None:
    with pytest.raises(SealBroken) as fault:
        CLIENT.unwrap(wrapped, subject="s", version=1, client="c1")
    assert str(fault.value) == REFUSAL


@given(st.data())
def test_a_wrapped_subject_key_opens_for_its_own_subject_version_and_epoch_only(
    data: st.DataObject,
) -> None:
    wrapped = CLIENT.wrap(new_subject_material(), subject="s", version=1, randomness=os.urandom)
    CLIENT.unwrap(wrapped, subject="s", version=1, client="c1")
    position = data.draw(st.integers(0, len(wrapped) * 8 - 1))
    flipped = bytearray(wrapped)
    flipped[position // 8] ^= 1 << position % 8
    for owner, content, subject, version in (
        (CLIENT, bytes(flipped), "s", 1),
        (CLIENT, wrapped, "t", 1),
        (CLIENT, wrapped, "s", 2),
        (ClientKey("c1", 2, bytes(64)), wrapped, "s", 1),
        (ClientKey("c2", 1, bytes(64)), wrapped, "s", 1),
    ):
        with pytest.raises(SealBroken):
            owner.unwrap(content, subject=subject, version=version, client="c1")


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> LocalKeyFile:
    path = tmp_path_factory.mktemp("keys") / "k.key"
    make_key_file(path)
    return LocalKeyFile(path)


@given(wrapped=st.binary(max_size=200))
def test_no_bytes_are_a_wrapped_client_key(key_file: LocalKeyFile, wrapped: bytes) -> None:
    for content in (wrapped, b"\x02r1" + wrapped):
        with pytest.raises(KeyUnavailable):
            key_file.unwrap(content, context=b"c")


def test_a_damaged_key_file_is_refused_without_its_content(tmp_path: Path) -> None:
    from flask_lgprivacy.errors import ConfigurationError

    for number, content in enumerate(
        (b"", b"{", b"[]", b'{"format":1}', b'{"format":1,"roots":{"r1":"!!"},"newest":"r1"}')
    ):
        path = tmp_path / f"{number}.key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ConfigurationError, match="is damaged; restore it from its backup"):
            LocalKeyFile(path)


def test_where_an_envelope_was_changed_does_not_show_in_the_time_of_the_refusal() -> None:
    """The tag is checked over everything before anything is told: early and late changes take alike."""
    envelope = seal(KEY, bytes(4096), key_version=1, bound_to=bound())
    first, last = bytearray(envelope), bytearray(envelope)
    first[17] ^= 1
    last[-1] ^= 1
    seconds: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(3000):
        for which, changed in enumerate((bytes(first), bytes(last))):
            begun = time.perf_counter()
            try:
                unseal(KEY, changed, key_version=1, bound_to=bound())
            except SealBroken:
                seconds[which].append(time.perf_counter() - begun)
    early, late = (statistics.median(seconds[which]) for which in (0, 1))
    assert len(seconds[0]) == len(seconds[1]) == 3000
    assert 0.8 < early / late < 1.25
