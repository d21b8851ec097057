"""No key and no value shows: in a repr, a pickle, a dump of a row, a page of settings or a traceback that prints locals."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import Any

import pytest
from databases import run_sql
from school import CANARY, Backend, Student, db

from flask_lgprivacy.errors import PrivacyError, SealBroken
from flask_lgprivacy.vault import (
    ClientKey,
    KeyCache,
    KeyServices,
    LocalKeyFile,
    SubjectKey,
    new_client_material,
    new_subject_material,
)

MATERIAL = b"0123456789abcdef" * 4


def holders(backend: Backend) -> list[Any]:
    cache: KeyCache[str, SubjectKey] = KeyCache(size=2, seconds=9, clock=lambda: 0.0)
    cache.put("a", SubjectKey("c", 1, MATERIAL[:48]))
    file = LocalKeyFile(backend.folder / "lgprivacy.key")
    client, person = ClientKey("c", 1, MATERIAL), SubjectKey("c", 1, MATERIAL[:48])
    return [
        client, person, person.key, person.secret, client.index_key, cache, file, KeyServices({"root": file}), backend.house,
        new_client_material(lambda _: MATERIAL), new_subject_material(lambda _: MATERIAL),
    ]  # fmt: skip


def test_what_holds_a_key_neither_prints_nor_pickles_it(backend: Backend) -> None:
    for holder in holders(backend):
        shown = f"{holder!r} {holder} {[holder]}"
        assert "0123456789abcdef" not in shown
        with pytest.raises(TypeError):
            pickle.dumps(holder)


def with_locals(fault: BaseException) -> str:
    """What an error reporter sends that takes the locals of every frame."""
    return "".join(traceback.TracebackException.from_exception(fault, capture_locals=True).format())


def secrets_of(backend: Backend) -> list[str]:
    one = backend.students[backend.schools[0]][0].hex
    with backend.app.app_context():
        key = backend.house.keys.load(db.session(), "student", [one])[one]
        owner = backend.house.keys.index_key(db.session(), backend.schools[0].hex)
    return [bytes.__repr__(bytes(secret))[2:20] for secret in (key.key, key.secret, owner)]


def test_a_broken_record_tells_nothing_in_a_traceback_with_locals(backend: Backend) -> None:
    secrets = secrets_of(backend)
    one = backend.students[backend.schools[0]][0]
    run_sql(
        backend.folder,
        "data",
        "update student set lgprivacy_student_picture = lgprivacy_student_profile where id = :one",
        one=one.hex,
    )
    with backend.app.app_context(), backend.reading():
        student = db.session.get(Student, one)
        with pytest.raises(SealBroken) as refused:
            _ = student.picture
    told = with_locals(refused.value)
    assert not [secret for secret in secrets if secret in told]
    assert CANARY not in told


def test_a_refused_read_tells_nothing_in_a_traceback_with_locals(backend: Backend) -> None:
    secrets = secrets_of(backend)
    with backend.app.app_context(), backend.reading(1), pytest.raises(PrivacyError) as refused:
        _ = db.session.get(Student, backend.students[backend.schools[0]][0]).first_name
    told = with_locals(refused.value)
    assert not [secret for secret in secrets if secret in told]
    assert CANARY not in told


def test_an_opened_row_shows_nothing(backend: Backend) -> None:
    with backend.app.app_context(), backend.reading():
        student = db.session.get(Student, backend.students[backend.schools[0]][0])
        assert student.first_name.startswith(CANARY)
        assert CANARY not in f"{student!r} {vars(student)!r} {student.__dict__}"
        for carry in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                carry(student)


def test_a_page_of_settings_shows_no_key(backend: Backend) -> None:
    shown = repr(dict(backend.app.config)) + repr(backend.app.extensions["lgprivacy"].settings)
    key = (backend.folder / "lgprivacy.key").read_text().split('"r1": "')[1][:20]
    assert key not in shown
