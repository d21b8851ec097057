"""What a roster takes away, whom it keeps out, and what the files of ordinary programs look like."""

from __future__ import annotations

import io
import struct
import zipfile
from contextvars import Context
from datetime import date
from typing import Any
from uuid import uuid5

import pytest
from sqlalchemy import select

from example_app.models import (
    Account,
    Enrollment,
    Membership,
    School,
    SchoolClass,
    Student,
    Teaching,
    db,
)
from example_app.privacy import privacy
from example_app.roster_bundle import BundleRefused, read_bundle
from example_app.roster_import import Imported, counted, import_bundle
from flask_lgprivacy import Actor

MANIFEST = "propertyName,value\nmanifest.version,1.0\noneroster.version,1.1\nfile.orgs,bulk\nfile.users,bulk\nfile.classes,bulk\nfile.enrollments,{}\n"
ORGS = "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\no1,,,School,school,,\no2,,,Other,school,,\n"
USERS = "sourcedId,status,dateLastModified,enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password\n"
TEACHER = "u1,,,true,o1,teacher,y.kerbrat,,Yann,Kerbrat,,,,,,,,a-long-password\n"
PUPIL = "u2,,,true,o1,student,lou.k,,Lou,Kermeur,,,,,,,CP,\n"
CLASSES = "sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods\nc1,{},,CP,,x,,homeroom,,o1,t,,,\n"
ENROLLMENTS = "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate\n"
PLACES = "e1,,,c1,o1,u1,teacher,true,,\ne2,,,c1,o1,u2,student,false,,\n"


def files(
    users: str = TEACHER + PUPIL, places: str = PLACES, *, mode: str = "bulk", status: str = ""
) -> dict[str, str]:
    return {
        "manifest.csv": MANIFEST.format(mode), "orgs.csv": ORGS, "users.csv": USERS + users, "classes.csv": CLASSES.format(status),
        "enrollments.csv": ENROLLMENTS + places,
    }  # fmt: skip


def zipped(of: dict[str, Any], *, prefix: str = "") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in of.items():
            archive.writestr(prefix + name, content)
    return made.getvalue()


def imported(of: dict[str, Any] | bytes, **options: Any) -> Imported:
    return import_bundle(
        read_bundle(of if isinstance(of, bytes) else zipped(of), privacy.policy), **options
    )


def refused(of: dict[str, Any] | bytes) -> str:
    with pytest.raises(BundleRefused) as fault:
        imported(of)
    return " · ".join(map(str, fault.value.faults))


def remarks(done: Imported) -> str:
    return " · ".join(map(str, done.remarks))


def signs_in(app: Any, username: str = "y.kerbrat", password: str = "a-long-password") -> bool:
    answer = app.test_client().post("/sign-in", json={"username": username, "password": password})
    return bool(answer.status_code == 200)


def asked(client: Any, path: str) -> Any:
    """The answer to a request that starts with nothing of the one before, as on a server; tests stand in one app context."""
    return Context().run(client.get, path)


def chosen(client: Any, membership_id: Any) -> int:
    return int(Context().run(client.post, f"/memberships/{membership_id}/act", json={}).status_code)


# --- who leaves ---


@pytest.mark.parametrize("mode", ["bulk", "delta"])
def test_an_enrolment_marked_tobedeleted_only_takes_a_pupil_out(app: Any, mode: str) -> None:
    gone = PLACES.replace("e2,,", "e2,tobedeleted,")
    done = imported(files(places=gone, mode=mode))
    assert (
        counted()["enrollments"],
        "enrollments.csv, line 3: is marked tobedeleted: not taken in" in remarks(done),
    ) == (0, True)
    imported(files(mode=mode))
    assert counted()["enrollments"] == 1
    done = imported(files(places=gone, mode=mode))
    assert (counted()["enrollments"], "taken out" in remarks(done)) == (0, True)


def test_a_class_marked_tobedeleted_goes_with_its_places(app: Any) -> None:
    imported(files())
    assert counted()["classes"] == 1
    imported(files(status="tobedeleted"))
    assert [counted()[name] for name in ("classes", "enrollments", "teachings", "students")] == [
        0,
        0,
        0,
        1,
    ]


def test_a_person_marked_tobedeleted_signs_in_no_more(app: Any) -> None:
    marked = TEACHER.replace("u1,,", "u1,tobedeleted,") + PUPIL
    assert "POST /privacy/delete" in remarks(imported(files(marked)))
    assert counted()["accounts"] == 0
    imported(files())
    assert signs_in(app)
    imported(files(marked))
    assert not signs_in(app)
    assert counted()["teachings"] == 0


def test_a_full_import_takes_out_who_is_no_longer_in_it_when_asked(app: Any) -> None:
    imported(files())
    done = imported(files(TEACHER, "e1,,,c1,o1,u1,teacher,true,,\n"))
    assert "1 enrolments of a school are no longer in this full import; they stay" in remarks(done)
    assert "1 students of a school are no longer in this full import" in remarks(done)
    assert counted()["enrollments"] == 1
    imported(files(TEACHER, "e1,,,c1,o1,u1,teacher,true,,\n"), remove_missing=True)
    assert counted()["enrollments"] == 0
    assert not db.session.scalars(select(Student)).one().may_sign_in


def test_a_delta_says_nothing_of_who_is_not_in_it(app: Any) -> None:
    imported(files())
    done = imported(files(places="", mode="delta"), remove_missing=True)
    assert (counted()["enrollments"], "no longer" in remarks(done)) == (1, False)


@pytest.mark.parametrize(
    ("begin", "end", "is_active"),
    [
        ("", "", True),
        ("2026-09-01", "2027-07-05", True),
        ("2025-09-01", "2026-07-05", False),
        ("2027-09-01", "", False),
    ],
)
def test_an_enrolment_is_active_from_its_beginning_to_its_end(
    app: Any, begin: str, end: str, is_active: bool
) -> None:
    imported(files(places=f"e2,,,c1,o1,u2,student,false,{begin},{end}\n"), today=date(2026, 11, 26))
    assert counted()["enrollments"] == int(is_active)


def test_a_pupil_who_changes_school_leaves_the_classes_of_the_one_before(app: Any) -> None:
    imported(files())
    done = imported(
        files(TEACHER + PUPIL.replace(",o1,", ",o2,"), "e1,,,c1,o1,u1,teacher,true,,\n")
    )
    assert "has moved to another school" in remarks(done)
    assert counted()["enrollments"] == 0
    assert sorted(one.may_sign_in for one in db.session.scalars(select(Student))) == [False, True]


# --- several schools and roles ---


def memberships() -> set[tuple[str, str]]:
    rows = db.session.execute(
        select(School.name, Membership.role).join(School, School.id == Membership.school_id)
    )
    return {(name, role) for name, role in rows}


def roles(*lines: str, users: str = "", mode: str = "bulk") -> dict[str, str]:
    """A bundle of version 1.2: the roles stand in a file of their own."""
    header = "sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password,userMasterIdentifier,preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns,resourceSourcedIds\n"
    user = "u1,,,true,y.kerbrat,,Yann,Kerbrat,,,,,,,,a-long-password,,,,,o1,,\n"
    manifest = (
        MANIFEST.format("absent")
        .replace("1.1", "1.2")
        .replace("file.classes,bulk", "file.classes,absent")
    )
    return {
        "manifest.csv": manifest + f"file.roles,{mode}\n", "orgs.csv": ORGS, "users.csv": header + (users or user),
        "roles.csv": "sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId\n"
        + "".join(f"{line}\n" for line in lines),
    }  # fmt: skip


TEACHES_HERE = "r1,,,u1,primary,teacher,,,o1,"
TEACHES_THERE = "r2,,,u1,secondary,teacher,,,o2,"
LEADS_HERE = "r3,,,u1,secondary,principal,,,o1,"


def test_every_school_and_role_of_somebody_is_kept(app: Any) -> None:
    done = imported(roles(TEACHES_HERE, TEACHES_THERE, LEADS_HERE))
    assert memberships() == {
        ("School", "teacher"),
        ("Other", "teacher"),
        ("School", "administrator"),
    }
    assert (done.counts["accounts"], counted()["accounts"]) == (1, 1)


def test_the_schools_of_version_1_1_are_kept(app: Any) -> None:
    imported(files(TEACHER.replace(",o1,", ',"o1,o2",') + PUPIL))
    assert memberships() == {("School", "teacher"), ("Other", "teacher")}


def test_somebody_chooses_the_one_role_to_act_in(app: Any) -> None:
    imported(roles(TEACHES_HERE, TEACHES_THERE, LEADS_HERE))
    client = app.test_client()
    client.post("/sign-in", json={"username": "y.kerbrat", "password": "a-long-password"})
    assert asked(client, "/me").json["role"] == "teacher"
    leads = next(
        one for one in asked(client, "/memberships").json if one["role"] == "administrator"
    )
    assert asked(client, "/notices").status_code == 403
    assert chosen(client, leads["id"]) == 200
    assert (asked(client, "/me").json["role"], asked(client, "/notices").status_code) == (
        "administrator",
        200,
    )


def test_nobody_acts_in_a_membership_of_somebody_else(app: Any) -> None:
    other = "u9,,,true,other,,Ada,Riou,,,,,,,,another-long-password,,,,,o1,,\n"
    mine = "u1,,,true,y.kerbrat,,Yann,Kerbrat,,,,,,,,a-long-password,,,,,o1,,\n"
    imported(roles(TEACHES_HERE, "r9,,,u9,primary,administrator,,,o1,", users=mine + other))
    theirs = db.session.scalars(
        select(Membership.id).where(Membership.role == "administrator")
    ).one()
    client = app.test_client()
    assert chosen(client, theirs) == 404
    client.post("/sign-in", json={"username": "y.kerbrat", "password": "a-long-password"})
    assert chosen(client, theirs) == 404
    assert asked(client, "/me").json["role"] == "teacher"


@pytest.mark.parametrize(
    "left",
    [
        (TEACHES_HERE,),
        (TEACHES_HERE, TEACHES_THERE.replace("r2,,", "r2,tobedeleted,")),
        (TEACHES_HERE, TEACHES_THERE.replace("teacher,,", "teacher,,2026-07-05")),
    ],
)
def test_a_role_that_is_over_ends_the_session_that_uses_it(app: Any, left: tuple[str, ...]) -> None:
    imported(roles(TEACHES_HERE, TEACHES_THERE))
    client = app.test_client()
    client.post("/sign-in", json={"username": "y.kerbrat", "password": "a-long-password"})
    there = next(one for one in asked(client, "/memberships").json if one["school"] == "Other")
    chosen(client, there["id"])
    imported(roles(*left), today=date(2026, 11, 26))
    assert memberships() == {("School", "teacher")}
    assert asked(client, "/me").status_code == 401
    assert signs_in(app)


def test_a_delta_of_roles_takes_away_only_what_it_names(app: Any) -> None:
    imported(roles(TEACHES_HERE, TEACHES_THERE, LEADS_HERE))
    imported(roles(LEADS_HERE.replace("r3,,", "r3,tobedeleted,"), TEACHES_HERE, mode="delta"))
    assert memberships() == {("School", "teacher"), ("Other", "teacher")}


def test_somebody_without_a_role_signs_in_no_more(app: Any) -> None:
    imported(roles(TEACHES_HERE, TEACHES_THERE))
    gone = (
        TEACHES_HERE.replace("r1,,", "r1,tobedeleted,"),
        TEACHES_THERE.replace("r2,,", "r2,tobedeleted,"),
    )
    assert "has no role today" in remarks(imported(roles(*gone)))
    assert (memberships(), signs_in(app)) == (set(), False)


def test_a_pupil_of_two_schools_has_a_profile_in_each(app: Any) -> None:
    imported(files(TEACHER + PUPIL.replace(",o1,", ',"o1,o2",')))
    schools = db.session.scalars(
        select(School.name).join(Student, Student.school_id == School.id)
    ).all()
    assert sorted(schools) == ["Other", "School"]


def test_who_teaches_and_learns_has_an_account_and_a_profile(app: Any) -> None:
    imported(roles(TEACHES_HERE, "r4,,,u1,secondary,student,,,o2,"))
    assert memberships() == {("School", "teacher")}
    assert (counted()["accounts"], counted()["students"]) == (1, 1)


def test_a_school_that_imports_alone_changes_no_account_of_another(app: Any) -> None:
    """The administrator of one school could else set a password with which a shared teacher acts in the other."""
    imported(roles(TEACHES_HERE, TEACHES_THERE))
    there = db.session.scalars(select(School.id).where(School.name == "Other")).one()
    stolen = "u1,,,true,y.kerbrat,,Yann,Kerbrat,,,,,,,,chosen-by-another-school,,,,,o2,,\n"
    alone = roles(TEACHES_THERE, users=stolen)
    alone["orgs.csv"] = ORGS.replace("o1,,,School,school,,\n", "")
    done = imported(alone, only_school=there)
    assert "has an account that is of other schools too" in remarks(done)
    assert (signs_in(app), signs_in(app, password="chosen-by-another-school")) == (True, False)
    assert memberships() == {("School", "teacher"), ("Other", "teacher")}


@pytest.mark.parametrize(
    "now", [TEACHES_HERE.replace("teacher", "aide"), TEACHES_HERE.replace(",o1,", ",o2,")]
)
def test_a_line_of_a_delta_replaces_what_it_said_before(app: Any, now: str) -> None:
    imported(roles(TEACHES_HERE))
    imported(roles(now, mode="delta"))
    assert memberships() == {("School", "guest") if "aide" in now else ("Other", "teacher")}


def test_a_role_ends_on_its_last_day_without_another_import(app: Any) -> None:
    imported(
        roles(TEACHES_HERE, TEACHES_THERE.replace("teacher,,", "teacher,,2026-07-05")),
        today=date(2026, 7, 1),
    )
    client = app.test_client()
    client.post("/sign-in", json={"username": "y.kerbrat", "password": "a-long-password"})
    assert [one["school"] for one in asked(client, "/memberships").json] == ["School"]
    ended = db.session.scalars(select(Membership.id).where(Membership.ends_on.is_not(None))).one()
    assert chosen(client, ended) == 404


@pytest.mark.parametrize(
    "line",
    [
        "u1,,,true,y.kerbrat,,Yann,Kerbrat,,,,,,,,chosen-by-another-school,,,,,o1,,\n",
        "u1,,,false,y.kerbrat,,Yann,Kerbrat,,,,,,,,,,,,,o1,,\n",
    ],
    ids=["a password", "disabled"],
)
def test_the_school_that_somebody_left_has_no_hold_of_the_account(app: Any, line: str) -> None:
    imported(roles(TEACHES_HERE))
    imported(roles(TEACHES_THERE))
    here = db.session.scalars(select(School.id).where(School.name == "School")).one()
    alone = roles(TEACHES_HERE, users=line)
    alone["orgs.csv"] = ORGS.replace("o2,,,Other,school,,\n", "")
    imported(alone, only_school=here)
    assert (signs_in(app), signs_in(app, password="chosen-by-another-school")) == (True, False)
    assert ("Other", "teacher") in memberships()


@pytest.mark.parametrize(
    "last",
    [
        (TEACHES_THERE.replace("r2,,", "r2,tobedeleted,"), "true"),
        (TEACHES_THERE.replace("teacher", "student"), "true"),
        (TEACHES_THERE, "false"),
    ],
    ids=["the role ends", "now a student", "disabled"],
)
def test_a_school_alone_ends_the_roles_that_it_gave(app: Any, last: tuple[str, str]) -> None:
    imported(roles(TEACHES_HERE, TEACHES_THERE))
    there = db.session.scalars(select(School.id).where(School.name == "Other")).one()
    line, enabled = last
    alone = roles(line, users=f"u1,,,{enabled},y.kerbrat,,Yann,Kerbrat,,,,,,,,,,,,,o2,,\n")
    alone["orgs.csv"] = ORGS.replace("o1,,,School,school,,\n", "")
    imported(alone, only_school=there)
    assert (memberships(), signs_in(app)) == ({("School", "teacher")}, True)


def test_a_pupil_who_also_works_at_the_school_signs_in_as_a_pupil(app: Any) -> None:
    both = roles(
        "r1,,,u1,primary,aide,,,o1,", "r4,,,u1,secondary,student,,,o1,",
    )  # fmt: skip
    imported(both)
    school, pupil = db.session.execute(select(Student.school_id, Student.id)).one()
    client = app.test_client()
    sent = {"username": "y.kerbrat", "password": "a-long-password", "school": str(school)}
    assert client.post("/sign-in", json=sent).status_code == 200
    assert asked(client, f"/students/{pupil}").status_code == 200


# --- what a bundle does not say ---


@pytest.mark.parametrize("how", ["a delta", "without the file", "without the columns"])
def test_what_a_bundle_does_not_speak_of_stays(app: Any, how: str) -> None:
    pupil = PUPIL.replace(",Kermeur,,,,", ",Kermeur,,,lou@x.example,")
    whole = files(TEACHER + pupil)
    births = "sourcedId,status,dateLastModified,birthDate\nu2,,,2017-03-09\n"
    imported(
        {
            **whole,
            "demographics.csv": births,
            "manifest.csv": whole["manifest.csv"] + "file.demographics,bulk\n",
        }
    )
    if how == "a delta":
        whole["manifest.csv"] = whole["manifest.csv"].replace("file.users,bulk", "file.users,delta")
    if how == "without the columns":
        rows = [line.split(",") for line in whole["users.csv"].splitlines()]
        kept = [number for number, name in enumerate(rows[0]) if name not in ("email", "grades")]
        whole["users.csv"] = "".join(
            ",".join(row[number] for number in kept) + "\n" for row in rows
        )
    imported(whole)
    student = db.session.scalars(select(Student)).one()
    reader = Actor("x", role="administrator", client=student.school_id)
    with privacy.processing("student.profile", actor=reader, purpose="provide-service", job="look"):
        email = "lou@x.example"
        assert (student.birth_date, student.email, student.level) == (date(2017, 3, 9), email, "CP")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("e2,,,c2,o1,u2,student,false,,\n", ("CE1", "u2")),
        ("e2,,,c1,o1,u3,student,false,,\n", ("CP", "u3")),
    ],
    ids=["another class", "another pupil"],
)
def test_an_enrolment_that_speaks_of_somebody_else_is_changed(
    app: Any, place: str, expected: tuple[str, str]
) -> None:
    both = TEACHER + PUPIL + PUPIL.replace("u2,", "u3,").replace("lou.k", "mia.r")
    made = files(both, "e2,,,c1,o1,u2,student,false,,\n")
    made["classes.csv"] += "c2,,,CE1,,x,,homeroom,,o1,t,,,\n"
    imported(made)
    made["enrollments.csv"] = ENROLLMENTS + place
    imported(made)
    row = db.session.execute(
        select(SchoolClass.title, Enrollment.student_id).join_from(
            SchoolClass, Enrollment, SchoolClass.id == Enrollment.class_id
        )
    ).one()
    school = db.session.scalars(select(School.id).where(School.name == "School")).one()
    assert (row.title, row.student_id) == (expected[0], uuid5(school, f"user:{expected[1]}"))


def test_a_full_import_without_any_enrolment_says_so(app: Any) -> None:
    imported(files())
    done = imported(files(places=""), remove_missing=True)
    assert (
        "2 enrolments of a school are no longer in this full import; they were taken out"
        in remarks(done)
    )
    assert (counted()["enrollments"], counted()["teachings"]) == (0, 0)


def test_a_class_that_is_no_longer_in_a_full_import_is_said(app: Any) -> None:
    imported(files())
    made = files(places="")
    made["classes.csv"] = made["classes.csv"].splitlines()[0] + "\n"
    assert "1 classes of a school are no longer in this full import" in remarks(imported(made))
    imported(made, remove_missing=True)
    assert counted()["classes"] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"users.csv": USERS + PUPIL.replace("u2,,", "u2,inactive,")},
            "status is empty, active or tobedeleted",
        ),
        (
            {"users.csv": USERS + PUPIL.replace(",true,", ",0,")},
            "enabledUser is empty, true or false",
        ),
        ({"orgs.csv": ORGS.replace("o2,,", "o2,tobedeleted,")}, "asks that a school be deleted"),
        (
            {"manifest.csv": MANIFEST.format("some")},
            "file.enrollments is one of bulk, delta, absent",
        ),
        (
            {"manifest.csv": MANIFEST.format("absent")},
            "says that enrollments.csv is absent, and it is in the bundle",
        ),
    ],
)
def test_a_word_that_nobody_knows_is_refused(app: Any, change: dict[str, str], says: str) -> None:
    assert says in refused({**files(), **change})


def test_words_are_read_in_any_case(app: Any) -> None:
    made = files(TEACHER + PUPIL.replace("u2,,", "u2,toBeDeleted,"), mode="Delta")
    assert "is marked tobedeleted" in remarks(imported(made))
    assert counted()["students"] == 0


@pytest.mark.parametrize("damage", ["a newer program", "the end"])
def test_a_damaged_zip_is_refused_in_words(app: Any, damage: str) -> None:
    content = bytearray(zipped(files()))
    if damage == "a newer program":
        at = content.index(b"PK\x01\x02")
        content[at + 6 : at + 8] = struct.pack("<H", 99)
    else:
        at = content.index(b"PK\x05\x06")
        content[at + 12 : at + 16] = struct.pack("<I", 2**31)
    assert "is not a ZIP file that can be read" in refused(bytes(content))


def test_pupils_of_a_school_that_keeps_profiles_on_devices_are_refused_by_line(app: Any) -> None:
    imported(files(TEACHER, ""))
    school = db.session.scalars(select(School.id).where(School.name == "School")).one()
    privacy.storage.choose(school, "device")
    assert (
        "users.csv, line 3: is a student of a school that keeps its profiles on its devices"
        in refused(files())
    )


def test_a_taken_username_of_staff_is_said_as_such(app: Any) -> None:
    twice = TEACHER + TEACHER.replace("u1,", "u7,")
    assert refused(files(twice, "")) == (
        "users.csv, line 3: username is taken by somebody else; usernames of staff are unique in the service"
    )


def test_a_school_outside_the_bundle_is_said(app: Any) -> None:
    assert "is also of 1 schools that are not in this bundle" in remarks(
        imported(files(TEACHER.replace(",o1,", ',"o1,o7",') + PUPIL))
    )
    assert memberships() == {("School", "teacher")}


# --- who may come in ---


def test_a_disabled_person_does_not_sign_in(app: Any) -> None:
    done = imported(files(TEACHER.replace(",true,", ",false,") + PUPIL))
    assert "enabledUser is false" in remarks(done)
    assert (signs_in(app), counted()["accounts"]) == (False, 1)


def test_a_person_who_is_disabled_later_is_signed_out(app: Any) -> None:
    imported(files())
    client = app.test_client()
    assert (
        client.post(
            "/sign-in", json={"username": "y.kerbrat", "password": "a-long-password"}
        ).status_code
        == 200
    )
    assert client.get("/me").status_code == 200
    imported(files(TEACHER.replace(",true,", ",false,") + PUPIL))
    assert client.get("/me").status_code == 401


def test_an_export_without_passwords_keeps_the_passwords(app: Any) -> None:
    imported(files())
    imported(files(TEACHER.replace("a-long-password", "") + PUPIL))
    assert signs_in(app)


def test_a_copy_of_a_cookie_is_worth_nothing_after_sign_out(app: Any) -> None:
    imported(files())
    client, thief = app.test_client(), app.test_client()
    client.post("/sign-in", json={"username": "y.kerbrat", "password": "a-long-password"})
    cookie = client.get_cookie("session")
    thief.set_cookie("session", cookie.value)
    assert thief.get("/me").status_code == 200
    assert client.post("/sign-out", json={}).status_code == 200
    assert thief.get("/me").status_code == 401


# --- files of ordinary programs ---


def test_what_systems_leave_in_a_zip_is_passed_over(app: Any) -> None:
    junk = {
        "__MACOSX/._users.csv": b"\0",
        ".DS_Store": b"\0",
        "roster/.DS_Store": b"\0",
        "Thumbs.db": b"\0",
        "desktop.ini": b"x",
    }
    imported({**files(), **junk})
    assert counted()["students"] == 1


@pytest.mark.parametrize(
    "change",
    [str.upper, str.capitalize, lambda name: f"roster\\{name}", lambda name: f"a/b/{name}"],
)
def test_names_in_a_zip_are_found_as_tools_write_them(app: Any, change: Any) -> None:
    imported({change(name): content for name, content in files().items()})
    assert counted()["students"] == 1


def test_two_files_of_one_name_are_refused_with_both_places(app: Any) -> None:
    said = refused({**files(), "2025/users.csv": USERS, "2026/Users.csv": USERS})
    assert "users.csv, 2025/users.csv, 2026/Users.csv" in said


def test_a_zip_that_is_not_ordinary_is_refused_in_words(app: Any) -> None:
    content = bytearray(zipped(files()))
    at = content.index(b"PK\x01\x02")
    encrypted = bytes(content[: at + 8]) + struct.pack("<H", 1) + bytes(content[at + 10 :])
    assert "is protected by a password" in refused(encrypted)
    unknown = bytes(content[: at + 10]) + struct.pack("<H", 97) + bytes(content[at + 12 :])
    assert "make an ordinary ZIP file" in refused(unknown)
    assert "is a spreadsheet; save each of its sheets as CSV" in refused(
        {**files(), "users.xlsx": b"PK"}
    )


def test_a_table_of_a_spreadsheet_is_taken_where_nothing_is_lost(app: Any) -> None:
    made = files()
    made["users.csv"] = (
        made["users.csv"].replace("\n", ",\n").replace("sourcedId,status", " sourcedId , status")
    )
    made["orgs.csv"] = "sep=,\n" + made["orgs.csv"]
    imported(made)
    assert counted()["students"] == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace(",", ";"), "separated by semicolons"),
        (lambda text: text.replace(",", "\t"), "separated by tabs"),
        (lambda text: text + '"u9"x,,,\n', "text follows a closing quote"),
        (lambda text: text + '"u9,,,\n', "a quote is opened and never closed"),
        (lambda text: text + f'u9,"{"x" * 140_000}"\n', "a cell has more than 131072 characters"),
    ],
)
def test_a_table_that_cannot_be_taken_is_refused_in_words_of_an_administrator(
    app: Any, change: Any, says: str
) -> None:
    made = files()
    made["users.csv"] = change(made["users.csv"])
    assert says in refused(made)
    assert counted()["students"] == 0


def test_what_is_unused_in_a_file_is_named(app: Any) -> None:
    bundle = read_bundle(
        zipped(files(TEACHER.replace("Kerbrat,,", "Kerbrat,Anne,") + PUPIL)), privacy.policy
    )
    assert bundle.not_taken == [
        "users.csv: middleName", "classes.csv: courseSourcedId", "classes.csv: classType", "classes.csv: termSourcedIds",
        "enrollments.csv: schoolSourcedId", "enrollments.csv: primary",
    ]  # fmt: skip


def test_a_username_that_is_taken_is_named_by_its_line(app: Any) -> None:
    imported(files())
    twice = TEACHER + PUPIL + PUPIL.replace("u2,", "u3,")
    assert (
        refused(files(twice))
        == "users.csv, line 4: username is taken by another student of this school"
    )
    assert {model: db.session.scalars(select(model.id)).all() for model in (Account, Student)}[
        Student
    ] != []
    assert len(db.session.scalars(select(SchoolClass.id)).all()) == 1
    assert [
        len(db.session.scalars(select(model.id)).all()) for model in (Enrollment, Teaching)
    ] == [1, 1]
