"""A device adds records for a client and can open none; they come in through the gate, or are refused and kept."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import uuid4

import pytest
from databases import run_sql
from hypothesis import given
from hypothesis import strategies as st
from school import CANARY, Backend, Exercise, Student, db
from sqlalchemy import select

from flask_lgprivacy.crypto import ingest_key, open_ingested, seal_for_ingest
from flask_lgprivacy.errors import AccessDenied, RequestInvalid, SealBroken, UndeclaredProcessing

INDEX_KEY = bytes(range(32))


def key_of(backend: Backend) -> tuple[str, bytes]:
    said = backend.app.test_cli_runner().invoke(
        args=["privacy", "keys", "ingest", str(backend.schools[0])]
    )
    found = json.loads(said.stdout)
    return found["client"], base64.b64decode(found["key"])


def leave(backend: Backend, model: str, content: Any, *, for_model: str | None = None) -> None:
    client, public = key_of(backend)
    sealed = seal_for_ingest(
        public, json.dumps(content).encode(), client=client, model=for_model or model
    )
    with backend.app.app_context():
        backend.privacy.ingest.deposit(backend.schools[0], model, sealed)


def absorb(backend: Backend, school: int = 0) -> dict[str, int]:
    with backend.app.app_context(), backend.writing(school):
        return backend.privacy.ingest.absorb(backend.schools[0])


def test_what_a_device_sealed_is_unreadable_until_it_is_taken_in(either: Backend) -> None:
    new = uuid4()
    leave(
        either,
        "Student",
        {
            "id": str(new),
            "first_name": f"{CANARY} I",
            "last_name": CANARY,
            "birth_date": "2018-02-01",
        },
    )
    leave(either, "Exercise", {"student_id": str(new), "strokes": [[f"{CANARY}-s", 1]]})
    held = run_sql(either.folder, "data", "select sealed, client, model from lgprivacy_inbox")
    assert len(held) == 2
    assert CANARY not in repr(held)
    assert absorb(either) == {"written": 2, "refused": 0}
    with either.app.app_context(), either.reading():
        assert db.session.get(Student, new).birth_date.year == 2018
        assert (
            db.session.scalars(select(Exercise).where(Exercise.student_id == new))
            .one()
            .strokes[0][0]
            == f"{CANARY}-s"
        )
        assert either.privacy.ingest.waiting(either.schools[0]) == 0


@pytest.mark.parametrize(
    "content",
    [
        {"first_name": CANARY}, {"first_name": 7, "last_name": CANARY}, [CANARY], {"nickname": CANARY, "first_name": CANARY, "last_name": CANARY},
        {"first_name": CANARY, "last_name": CANARY, "school_id": str(uuid4())}, {"first_name": CANARY, "last_name": CANARY, "birth_date": "soon"},
    ],
)  # fmt: skip
def test_a_record_that_fits_nothing_is_kept_as_refused(backend: Backend, content: Any) -> None:
    leave(backend, "Student", content)
    assert absorb(backend) == {"written": 0, "refused": 1}
    assert absorb(backend) == {"written": 0, "refused": 0}
    assert run_sql(backend.folder, "data", "select count(*) from student") == [(4,)]
    assert run_sql(
        backend.folder, "data", "select count(*) from lgprivacy_inbox where refused_at is not null"
    ) == [(1,)]


def test_a_record_moved_to_another_model_or_client_is_refused(backend: Backend) -> None:
    leave(backend, "Exercise", {"first_name": CANARY, "last_name": CANARY}, for_model="Student")
    leave(backend, "Account", {"name": CANARY})
    assert absorb(backend) == {"written": 0, "refused": 2}
    leave(backend, "Student", {"first_name": CANARY, "last_name": CANARY})
    run_sql(
        backend.folder,
        "data",
        "update lgprivacy_inbox set client = :other",
        other=backend.schools[1].hex,
    )
    with backend.app.app_context(), backend.writing(1):
        assert backend.privacy.ingest.absorb(backend.schools[1])["written"] == 0


def test_taking_in_needs_somebody_who_may_write(backend: Backend) -> None:
    leave(backend, "Student", {"first_name": CANARY, "last_name": CANARY})
    with pytest.raises(AccessDenied):
        absorb(backend, school=1)
    with backend.app.app_context(), pytest.raises(UndeclaredProcessing):
        backend.privacy.ingest.absorb(backend.schools[0])
    assert absorb(backend)["written"] == 1


def test_wrong_deposits_are_told(backend: Backend) -> None:
    with backend.app.app_context():
        for sealed in (b"", b"x" * (1 << 21)):
            with pytest.raises(RequestInvalid, match="at most 1048576 bytes"):
                backend.privacy.ingest.deposit(backend.schools[0], "Student", sealed)
        with pytest.raises(RequestInvalid, match="not for the publisher"):
            backend.privacy.ingest.public_key("publisher")
        backend.privacy.ingest.deposit(backend.schools[0], "Student", b"\x02nonsense")
    assert absorb(backend) == {"written": 0, "refused": 1}


@given(st.binary(max_size=120), st.data())
def test_no_change_of_a_deposit_opens(content: bytes, data: st.DataObject) -> None:
    sealed = seal_for_ingest(ingest_key(INDEX_KEY), content, client="c", model="M")
    assert open_ingested(INDEX_KEY, sealed, client="c", model="M") == content
    position = data.draw(st.integers(0, len(sealed) * 8 - 1))
    flipped = bytearray(sealed)
    flipped[position // 8] ^= 1 << position % 8
    for changed, client, model in (
        (bytes(flipped), "c", "M"),
        (sealed, "d", "M"),
        (sealed, "c", "N"),
        (sealed[:-1], "c", "M"),
    ):
        with pytest.raises(SealBroken):
            open_ingested(INDEX_KEY, changed, client=client, model=model)


@given(st.binary(max_size=200))
def test_no_bytes_are_a_deposit(content: bytes) -> None:
    with pytest.raises(SealBroken):
        open_ingested(INDEX_KEY, content, client="c", model="M")
