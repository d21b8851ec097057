"""The sealed record opens only as what it was sealed as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_lgprivacy.crypto import BlindIndex
from flask_lgprivacy.crypto.envelope import (
    associated_data_prefix,
    build_associated_data,
    seal,
    unseal,
)
from flask_lgprivacy.crypto.keys import ClientKey, SubjectKey
from flask_lgprivacy.errors import SealBroken

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "v1.json").read_text())
KEY = bytes(range(32))
BOUND = build_associated_data(
    associated_data_prefix(client=b"c1", group=b"student.profile", table=b"student"), "00ff", 1, 7
)


def counting(length: int) -> bytes:
    return bytes(range(length))


def test_format_1_is_what_it_was() -> None:
    client = ClientKey("c1", 1, bytes(range(64)))
    subject = "student\x00s1\x00c1"
    index = BlindIndex()
    made = {
        "binding": BOUND.hex(),
        "envelope": seal(
            KEY, b'{"first_name":"A"}', key_version=1, bound_to=BOUND, randomness=counting
        ).hex(),
        "wrapped": client.wrap(
            bytes(range(48)), subject=subject, version=1, randomness=counting
        ).hex(),
        "index": index.of(
            index.key(client.index_key, table="student", column="last_name"), " Le  GOFF "
        ).hex(),
        "pseudonym": SubjectKey("c1", 1, bytes(range(48))).pseudonym(2026),
    }
    assert made == VECTORS


@given(st.binary(max_size=300))
def test_what_was_sealed_opens(content: bytes) -> None:
    assert (
        unseal(
            KEY, seal(KEY, content, key_version=1, bound_to=BOUND), bound_to=BOUND, key_version=1
        )
        == content
    )


@given(st.binary(max_size=60), st.data())
def test_a_flipped_bit_is_refused(content: bytes, data: st.DataObject) -> None:
    envelope = bytearray(seal(KEY, content, key_version=1, bound_to=BOUND))
    position = data.draw(st.integers(0, len(envelope) * 8 - 1))
    envelope[position // 8] ^= 1 << (position % 8)
    with pytest.raises(SealBroken):
        unseal(KEY, bytes(envelope), key_version=1, bound_to=BOUND)


@given(st.binary(max_size=200))
def test_anything_else_is_refused(envelope: bytes) -> None:
    with pytest.raises(SealBroken):
        unseal(KEY, envelope, key_version=1, bound_to=BOUND)


@pytest.mark.parametrize(
    "other",
    [
        {"client": b"c2"},
        {"group": b"student.activity"},
        {"table": b"teacher"},
        {"row": "00fe"},
        {"key_version": 2},
        {"row_version": 6},
        {"client": b"c1s", "group": b"tudent.profile"},
        {"group": b"student.profiles", "table": b"tudent"},
    ],
)
def test_a_record_under_another_binding_is_refused(other: dict[str, object]) -> None:
    parts = {
        "client": b"c1",
        "group": b"student.profile",
        "table": b"student",
        "row": "00ff",
        "key_version": 1,
        "row_version": 7,
    }
    changed: dict[str, Any] = {**parts, **other}
    prefix = associated_data_prefix(
        client=changed["client"], group=changed["group"], table=changed["table"]
    )  # type: ignore[arg-type]
    bound = build_associated_data(
        prefix, changed["row"], changed["key_version"], row_version=changed["row_version"]
    )  # type: ignore[arg-type]
    with pytest.raises(SealBroken):
        unseal(KEY, seal(KEY, b"x", key_version=1, bound_to=BOUND), key_version=1, bound_to=bound)


def test_the_refusal_is_the_same_for_every_cause() -> None:
    said = set()
    for envelope in (b"", b"\x02" * 60, seal(bytes(32), b"x", key_version=1, bound_to=BOUND)):
        with pytest.raises(SealBroken) as refused:
            unseal(KEY, envelope, key_version=1, bound_to=BOUND)
        said.add(str(refused.value))
    assert len(said) == 1
