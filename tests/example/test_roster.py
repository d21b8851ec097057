"""Rosters: the bundles of others, and what is wrong with a bundle, by file and line, without its values."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from school import CANARY

from example_app.models import Student, db
from example_app.privacy import privacy
from example_app.roster_bundle import BundleRefused, read_bundle
from example_app.roster_import import counted, import_bundle
from flask_lgprivacy import Actor
from flask_lgprivacy.audit import read_trail

BUNDLES = Path(__file__).parents[3] / "shared" / "data" / "oneroster"
OUTSIDE = pytest.mark.skipif(not BUNDLES.is_dir(), reason="the outside bundles are not here")
MANIFEST = "propertyName,value\nmanifest.version,1.0\noneroster.version,1.1\nfile.orgs,bulk\nfile.users,bulk\nfile.classes,bulk\nfile.enrollments,bulk\n"
ORGS = (
    "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\no1,,,School,school,,\n"
)
USERS_HEADER = "sourcedId,status,dateLastModified,enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password"
USERS = f"{USERS_HEADER}\nu1,,,true,o1,teacher,{CANARY}t,,{CANARY},{CANARY},,,,,,,,\nu2,,,true,o1,student,{CANARY}s,,{CANARY},{CANARY},,,,,,,CP,\n"
CLASSES = "sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods\nc1,,,CP,,x,,homeroom,,o1,t,,,\n"
ENROLLMENTS = "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate\ne1,,,c1,o1,u2,student,false,,\n"
GOOD = {
    "manifest.csv": MANIFEST,
    "orgs.csv": ORGS,
    "users.csv": USERS,
    "classes.csv": CLASSES,
    "enrollments.csv": ENROLLMENTS,
}


def bundle_of(tmp_path: Path, files: Mapping[str, str | bytes]) -> Path:
    folder = tmp_path / "input"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "roster.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return folder / "roster.zip"


def faults_of(tmp_path: Path, **changed: str | bytes | None) -> list[str]:
    files: dict[str, Any] = {
        **GOOD,
        **{f"{name}.csv": content for name, content in changed.items()},
    }
    path = bundle_of(
        tmp_path, {name: content for name, content in files.items() if content is not None}
    )
    with pytest.raises(BundleRefused) as refused:
        import_bundle(read_bundle(path, privacy.policy))
    said = [str(fault) for fault in refused.value.faults]
    assert not any(CANARY in fault for fault in said)
    assert sum(counted().values()) == 0
    return said


def lines_in(path: Path, name: str, *, but: str = "-") -> int:
    with zipfile.ZipFile(path) as archive:
        return sum(
            1
            for row in csv.DictReader(io.StringIO(archive.read(f"{name}.csv").decode("utf-8-sig")))
            if any(row.values()) and row["status"] != but
        )


def active_in(path: Path) -> int:
    """How many enrolments of a bundle have begun and not ended."""
    today = date.today().isoformat()
    with zipfile.ZipFile(path) as archive:
        rows = csv.DictReader(io.StringIO(archive.read("enrollments.csv").decode("utf-8-sig")))
        return sum(
            1
            for row in rows
            if any(row.values()) and row["beginDate"] <= today <= (row["endDate"] or "9999-12-31")
        )


@OUTSIDE
@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("Test_full_data_set.zip", ()),
        ("Test_minimal_data_set.zip", ()),
        ("oneroster_test_data.zip", ("demographics.csv",)),
    ],
)
def test_an_outside_bundle_is_counted_as_its_files_count(
    app: Any, name: str, without: tuple[str, ...]
) -> None:
    import_bundle(read_bundle(BUNDLES / name, privacy.policy, without=without))
    counts = counted()
    assert counts["accounts"] + counts["students"] == lines_in(BUNDLES / name, "users")
    assert counts["enrollments"] + counts["teachings"] == active_in(BUNDLES / name)
    assert (counts["schools"], counts["classes"]) == (
        lines_in(BUNDLES / name, "orgs"),
        lines_in(BUNDLES / name, "classes", but="tobedeleted"),
    )


@OUTSIDE
def test_importing_twice_changes_no_count(app: Any) -> None:
    for _ in range(2):
        import_bundle(
            read_bundle(BUNDLES / "Test_full_data_set.zip", privacy.policy), today=date(2022, 4, 1)
        )
        counts = counted()
    assert counts == {
        "schools": 1,
        "accounts": 3,
        "students": 3,
        "classes": 1,
        "enrollments": 1,
        "teachings": 2,
        "memberships": 3,
    }


@OUTSIDE
def test_race_or_ethnicity_is_never_skipped_in_silence(app: Any) -> None:
    with pytest.raises(BundleRefused) as refused:
        read_bundle(BUNDLES / "oneroster_test_data.zip", privacy.policy)
    said = [str(fault) for fault in refused.value.faults]
    assert len(said) == 6  # "white" alone is a colour, too
    assert all(
        fault.startswith("demographics.csv, line 1: column ") and fault.endswith("[LG-08]")
        for fault in said
    )


@OUTSIDE
def test_the_malformed_bundle_is_refused_in_words_of_an_administrator(app: Any) -> None:
    result = app.test_cli_runner().invoke(
        args=["kaligo", "import-roster", str(BUNDLES / "v1p2_full_dataset.zip")]
    )
    assert result.exit_code == 1
    assert (
        "userprofiles.csv, line 1: its columns are those of roles.csv: the file is a copy of another one; export it again"
        in result.output
    )
    assert "nothing of it is stored" in result.output
    assert sum(counted().values()) == 0


@OUTSIDE
def test_a_refusal_by_a_clause_is_in_the_trail(app: Any, tmp_path: Path) -> None:
    app.test_cli_runner().invoke(
        args=["kaligo", "import-roster", str(BUNDLES / "oneroster_test_data.zip")]
    )
    assert len(list(read_trail(tmp_path / "instance" / "trail", where={"clause": "LG-08"}))) == 1


def test_the_command_reports_what_it_did(app: Any, tmp_path: Path) -> None:
    result = app.test_cli_runner().invoke(
        args=["kaligo", "import-roster", str(bundle_of(tmp_path, GOOD))]
    )
    assert (
        result.exit_code,
        "imported 1 schools, 1 accounts, 1 students, 1 classes, 1 enrollments" in result.output,
    ) == (0, True)
    assert CANARY not in result.output


def test_a_rehearsal_stores_nothing(app: Any, tmp_path: Path) -> None:
    result = app.test_cli_runner().invoke(
        args=["kaligo", "import-roster", str(bundle_of(tmp_path, GOOD)), "--dry-run"]
    )
    assert "would import 1 schools" in result.output
    assert sum(counted().values()) == 0


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"users": None}, "users.csv: is missing"),
        ({"manifest": None}, "manifest.csv: is missing"),
        ({"manifest": MANIFEST.replace("1.1", "9.9")}, "oneroster.version must be one of"),
        ({"users": USERS.replace("u2,", "u1,")}, "users.csv, line 3: repeats the sourcedId of line 2"),
        ({"users": USERS.replace("student", "wizard")}, "users.csv, line 3: role is none that this service knows"),
        ({"users": USERS.replace("o1", "o2", 1)}, "users.csv, line 2: orgSourcedIds points at nothing"),
        ({"users": USERS + "u3,,,true\n"}, "users.csv, line 4: has 4 cells where the header has 18"),
        ({"users": USERS.replace(f"{CANARY}s,,{CANARY}", f"{CANARY}s,,")}, "users.csv, line 3: givenName is empty"),
        ({"users": USERS.replace("password", "religion")}, "users.csv, line 1: column religion: sensitive data are not collected"),
        ({"users": USERS.replace("password", "shoeSize")}, "users.csv, line 1: column shoeSize is no column of this file"),
        ({"users": USERS.encode("utf-16")}, "users.csv: is not UTF-8"),
        ({"users": USERS + 'u3,,,true,o1,"student'}, "users.csv, line 4: is not CSV"),
        ({"classes": CLASSES.replace("o1", "o9")}, "classes.csv, line 2: schoolSourcedId points at nothing"),
        ({"enrollments": ENROLLMENTS.replace("u2", "u9")}, "enrollments.csv, line 2: userSourcedId points at nothing"),
        ({"enrollments": ENROLLMENTS.replace("u2,student", "u2,teacher")}, "enrollments.csv, line 2: gives a student another role"),
        ({"enrollments": None}, "manifest.csv: announces enrollments.csv"),
        ({"secrets": "a,b\n"}, "secrets.csv: is no file of OneRoster 1.1"),
        ({"orgs": USERS}, "orgs.csv, line 1: its columns are those of users.csv"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_file_and_line(
    app: Any, tmp_path: Path, changed: Any, says: str
) -> None:
    assert any(says in fault for fault in faults_of(tmp_path, **changed)), faults_of(
        tmp_path, **changed
    )


def test_a_file_that_is_no_zip_is_told_so(app: Any, tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "x.zip").write_bytes(b"PK not really")
    with pytest.raises(BundleRefused) as refused:
        read_bundle(tmp_path / "input" / "x.zip", privacy.policy)
    assert "is not a ZIP file" in str(refused.value.faults[0])


def test_somebody_who_was_erased_does_not_come_back_by_a_roster(app: Any, tmp_path: Path) -> None:
    import_bundle(read_bundle(bundle_of(tmp_path, GOOD), privacy.policy))
    student = db.session.scalars(db.select(Student)).one()
    admin = Actor("a", role="administrator", client=student.school_id)
    from flask_lgprivacy.policy import Right

    privacy.rights.submit(Right.DELETE, admin, kind="student", one=str(student.id))
    db.session.expunge_all()
    with pytest.raises(BundleRefused) as refused:
        import_bundle(read_bundle(bundle_of(tmp_path, GOOD), privacy.policy))
    assert "users.csv, line 3: this person was erased" in str(refused.value.faults[0])


def test_an_administrator_imports_no_other_school(app: Any, tmp_path: Path) -> None:
    from uuid import uuid4

    with pytest.raises(BundleRefused) as refused:
        import_bundle(read_bundle(bundle_of(tmp_path, GOOD), privacy.policy), only_school=uuid4())
    assert refused.value.faults[0].clause == "LG-03"
