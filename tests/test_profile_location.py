"""A client that keeps its profiles on its devices: the server writes nothing of them, and says under which clause."""

from __future__ import annotations

import pytest
from databases import run_sql
from school import CANARY, Backend, School, Student, db

from flask_lgprivacy.audit import read_trail
from flask_lgprivacy.errors import AccessDenied, ConfigurationError


def device_school(backend: Backend) -> None:
    with backend.app.app_context():
        school = School()
        db.session.add(school)
        db.session.commit()
        backend.schools.append(school.id)
        backend.privacy.storage.choose(school.id, "device")


def test_a_refused_profile_of_a_device_client_leaves_nothing(
    backend: Backend,
) -> None:
    device_school(backend)
    before = run_sql(backend.folder, "keys", "select count(*) from lgprivacy_subject_key")
    with backend.app.app_context(), backend.writing(2):
        db.session.add(Student(school_id=backend.schools[2], first_name=CANARY, last_name=CANARY))
        with pytest.raises(AccessDenied, match="the server keeps none") as refused:
            db.session.flush()
        db.session.rollback()
    assert (refused.value.clause, refused.value.missing) == (
        "LG-06",
        "storage in the client's cloud space",
    )
    assert run_sql(backend.folder, "data", "select count(*) from student") == [(4,)]
    assert run_sql(backend.folder, "keys", "select count(*) from lgprivacy_subject_key") == before
    codes = [
        one["clause"]
        for event in read_trail(backend.folder / "trail")
        for one in event.get("refused", [])
    ]
    assert codes == ["LG-06"]


def test_other_clients_do_not_notice(backend: Backend) -> None:
    device_school(backend)
    with backend.app.app_context(), backend.writing():
        db.session.add(Student(school_id=backend.schools[0], first_name=CANARY, last_name=CANARY))
        db.session.commit()


def test_a_client_whose_profiles_are_here_has_them_erased_first(backend: Backend) -> None:
    with backend.app.app_context():
        with pytest.raises(ConfigurationError, match="the server holds 2 records of this client"):
            backend.privacy.storage.choose(backend.schools[0], "device")
        assert backend.privacy.storage.of(backend.schools[0]) == "cloud"


def test_the_command_records_the_choice(backend: Backend) -> None:
    device_school(backend)
    run, mine = backend.app.test_cli_runner().invoke, backend.schools[2].hex
    assert run(args=["privacy", "storage", mine]).stdout == "device\n"
    assert run(args=["privacy", "storage", mine, "--set", "cloud"]).stdout == "cloud\n"
    told = [
        (event["operation"], event["stage"])
        for event in read_trail(backend.folder / "trail")
        if event["event"] == "key-operation"
    ]
    assert told == [("client-storage", "device"), ("client-storage", "cloud")]
    with backend.app.app_context(), backend.writing(2):
        db.session.add(Student(school_id=backend.schools[2], first_name=CANARY, last_name=CANARY))
        db.session.commit()
