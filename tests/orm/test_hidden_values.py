"""No key and no value shows: in a repr, a pickle, a dump of a row, a page of settings or a traceback that prints locals."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from databases import run_sql
from school import CANARY, Backend, Student, db
from sqlalchemy.exc import DBAPIError

from flask_lgprivacy import find_by, find_matching
from flask_lgprivacy.crypto import LocalKeyFile
from flask_lgprivacy.crypto.cache import KeyCache
from flask_lgprivacy.crypto.keys import (
    ClientKey,
    SubjectKey,
    new_client_material,
    new_subject_material,
)
from flask_lgprivacy.crypto.providers.pool import KeyProviders
from flask_lgprivacy.errors import KeyUnavailable, PrivacyError, SealBroken
from flask_lgprivacy.policy import Right

MATERIAL = b"0123456789abcdef" * 4


def holders(backend: Backend) -> list[Any]:
    cache: KeyCache[str, SubjectKey] = KeyCache(size=2, seconds=9, clock=lambda: 0.0)
    cache.put("a", SubjectKey("c", 1, MATERIAL[:48]))
    file = LocalKeyFile(backend.folder / "lgprivacy.key")
    client, person = ClientKey("c", 1, MATERIAL), SubjectKey("c", 1, MATERIAL[:48])
    return [
        client, person, person.key, person.secret, client.index_key, cache, file, KeyProviders({"root": file}), backend.runtime,
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
        key = backend.runtime.keys.load(db.session(), "student", [one])[one]
        owner = backend.runtime.keys.index_key(db.session(), backend.schools[0].hex)
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
    shown = repr(dict(backend.app.config)) + repr(backend.app.extensions["lgprivacy"].config)
    key = (backend.folder / "lgprivacy.key").read_text().split('"r1": "')[1][:20]
    assert key not in shown


def without_table(backend: Backend, name: str, deed: Callable[[], Any]) -> str:
    """What a traceback with locals tells of a deed while one of the tables does not answer; the deed's own frame is the caller's."""
    bind = "keys" if name.endswith("_key") else "data"
    run_sql(backend.folder, bind, f"alter table {name} rename to gone")
    try:
        with pytest.raises((PrivacyError, DBAPIError)) as fault:
            deed()
    finally:
        db.session.rollback()
        run_sql(backend.folder, bind, f"alter table gone rename to {name}")
    told = list(traceback.walk_tb(fault.value.__traceback__))
    of_the_package = [frame for frame, _ in told if "/flask_lgprivacy/" in frame.f_code.co_filename]
    assert of_the_package
    return repr([frame.f_locals for frame in of_the_package])


def test_values_that_are_looked_for_or_rectified_are_in_no_local_where_a_table_does_not_answer(
    backend: Backend,
) -> None:
    one, head = str(backend.students[backend.schools[0]][0]), backend.administrator()

    def rectify() -> Any:
        return backend.privacy.rights.submit(
            Right.RECTIFY, head, kind="student", one=one, changes={"first_name": f"{CANARY}X"}
        )

    def look_up() -> Any:
        backend.runtime.keys.forget_all()
        return find_by(Student, last_name=f"{CANARY}Last")

    def match() -> Any:
        backend.runtime.keys.forget_all()
        return find_matching(db.session(), Student, last_name=f"{CANARY}Last")

    with backend.app.app_context():
        told = without_table(backend, "lgprivacy_request_step", rectify)
        with backend.reading():
            told += without_table(backend, "lgprivacy_client_key", look_up)
            told += without_table(backend, "lgprivacy_client_key", match)
        db.session.remove()
    assert CANARY not in told


def test_a_value_is_in_no_local_where_the_key_of_its_index_cannot_be_had(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> bytes:
        raise KeyUnavailable("away")

    with backend.app.app_context(), backend.writing():
        monkeypatch.setattr(backend.runtime.keys, "index_key", away)
        db.session.add(Student(school_id=backend.schools[0], first_name=CANARY, last_name=CANARY))
        with pytest.raises(KeyUnavailable) as fault:
            db.session.flush()
        db.session.rollback()
    frames = [
        frame
        for frame, _ in traceback.walk_tb(fault.value.__traceback__)
        if "/flask_lgprivacy/" in str(frame.f_code)
    ]
    assert frames
    assert CANARY not in repr([frame.f_locals for frame in frames])
