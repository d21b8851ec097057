"""Writes a checked bundle into the database: all of it, or nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from flask_lgprivacy import Actor, find_by
from flask_lgprivacy.errors import PrivacyError, SubjectErased

from .access import hasher
from .models import Account, Enrollment, School, SchoolClass, Student, Teaching, db
from .privacy import privacy
from .roster_bundle import Bundle, BundleRefused, Fault, Row
from .roster_format import ROLES

Advance = Callable[[int], None]
PERSONAL = ("student.profile", "student.credentials", "account.identity", "account.credentials")


@dataclass(slots=True)
class Imported:
    """How many rows of each kind an import wrote, and what deserves a look."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    remarks: list[Fault] = field(default_factory=list)


def import_bundle(
    bundle: Bundle, *, advance: Advance = lambda _: None, dry_run: bool = False, only_school: UUID | None = None
) -> Imported:
    """Import a bundle in one transaction, each school's people on behalf of that school.

    Parameters: `advance` is called with the number of lines done; `dry_run` rolls back at the end; `only_school` is the one that the
    administrator acts for, where one imports over the web. Raises `BundleRefused`; then nothing is stored.
    """
    try:
        done = _Import(bundle, advance, only_school).run()
        if dry_run:
            db.session.rollback()
        else:
            db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    return done


class _Import:
    def __init__(self, bundle: Bundle, advance: Advance, only_school: UUID | None) -> None:
        self._bundle = bundle
        self._advance = advance
        self._only_school = only_school
        self._done = Imported()
        self._roles = _roles(bundle)
        self._births = {row["sourcedId"]: row.get("birthDate", "") for _, row in bundle.of("demographics")}

    def run(self) -> Imported:
        schools = dict(self._schools())
        people = defaultdict(list)
        for line, row in self._bundle.of("users"):
            people[self._org_of(row)].append((line, row))
        members: dict[str, Account | Student] = {}
        for org, rows in people.items():
            with self._acting_for(schools[org]):
                for line, row in rows:
                    members[row["sourcedId"]] = self._person(line, row, schools[org])
                    self._advance(1)
                db.session.flush()
        classes = {row["sourcedId"]: self._class(row, schools) for _, row in self._bundle.of("classes")}
        by_school = defaultdict(list)
        for line, row in self._bundle.of("enrollments"):
            by_school[classes[row["classSourcedId"]].school_id].append((line, row))
        for school_id, rows in by_school.items():
            with self._acting_for(school_id):
                for line, row in rows:
                    self._enrollment(line, row, classes[row["classSourcedId"]], members[row["userSourcedId"]])
                    self._advance(1)
                db.session.flush()
        return self._done

    def _acting_for(self, school_id: UUID) -> Any:
        actor = Actor("roster-import", role="administrator", client=school_id)
        return privacy.processing(
            *PERSONAL, actor=actor, purpose="provide-service", actions={"write"}, why="kaligo import-roster"
        )

    def _schools(self) -> Iterator[tuple[str, UUID]]:
        for line, row in self._bundle.of("orgs"):
            school_id = uuid5(NAMESPACE_URL, f"oneroster:org:{row['sourcedId']}")
            if self._only_school not in (None, school_id):
                raise BundleRefused([Fault("orgs.csv", line, "is another school than the one you act for", "LG-03")])
            school = db.session.get(School, school_id) or School(id=school_id)
            school.name, school.kind = row["name"], row["type"]
            db.session.add(school)
            self._done.counts["schools"] += 1
            self._advance(1)
            yield row["sourcedId"], school_id
        db.session.flush()

    def _org_of(self, row: Row) -> str:
        stated = row.get("orgSourcedIds", "").split(",")[0].strip() or row.get("primaryOrgSourcedId", "")
        return stated or self._roles[row["sourcedId"]][1]

    def _person(self, line: int, row: Row, school_id: UUID) -> Account | Student:
        role = ROLES[row.get("role") or self._roles[row["sourcedId"]][0]]
        one = uuid5(school_id, f"user:{row['sourcedId']}")
        self._done.counts["students" if role == "student" else "accounts"] += 1
        try:
            person = (
                self._student(one, row, school_id) if role == "student" else self._account(one, row, school_id, role)
            )
            db.session.add(person)
            db.session.flush()
        except SubjectErased:
            what = "this person was erased at the request of the school; a new profile needs a new sourcedId"
            raise BundleRefused([Fault("users.csv", line, what)]) from None
        except IntegrityError:
            db.session.rollback()
            what = "username is taken by another student of this school"
            raise BundleRefused([Fault("users.csv", line, what)]) from None
        except PrivacyError as refusal:
            raise BundleRefused([Fault("users.csv", line, refusal.message, refusal.clause)]) from None
        return person

    def _student(self, one: UUID, row: Row, school_id: UUID) -> Student:
        student = db.session.get(Student, one) or Student(id=one, school_id=school_id)
        birth = self._births.get(row["sourcedId"])
        student.username = row["username"]
        student.first_name = row["givenName"]
        student.last_name = row["familyName"]
        student.birth_date = date.fromisoformat(birth) if birth else None
        student.email = row.get("email") or None
        student.level = row.get("grades") or None
        student.password_hash = hasher.hash(row["password"]) if row.get("password") else None
        return student

    def _account(self, one: UUID, row: Row, school_id: UUID, role: str) -> Account:
        account = db.session.get(Account, one)
        if account is None:
            account = Account(id=one, school_id=school_id)
            self._refuse_taken_username(row)
        account.role = role
        account.username = row["username"]
        account.name = f"{row['givenName']} {row['familyName']}"
        account.email = row.get("email") or None
        account.password_hash = hasher.hash(row["password"]) if row.get("password") else None
        return account

    def _refuse_taken_username(self, row: Row) -> None:
        with privacy.processing(
            "account.identity", actor=Actor("roster-import", role="public"), purpose="sign-in", why="username is free"
        ):
            taken = db.session.execute(find_by(Account, username=row["username"]).with_only_columns(Account.id)).first()
        if taken is not None:
            raise PrivacyError("username is taken by somebody else; usernames of staff are unique in the service")

    def _class(self, row: Row, schools: dict[str, UUID]) -> SchoolClass:
        school_id = schools[row["schoolSourcedId"]]
        one = uuid5(school_id, f"class:{row['sourcedId']}")
        found = db.session.get(SchoolClass, one) or SchoolClass(id=one, school_id=school_id)
        found.title = row["title"]
        db.session.add(found)
        self._done.counts["classes"] += 1
        self._advance(1)
        return found

    def _enrollment(self, line: int, row: Row, in_class: SchoolClass, person: Account | Student) -> None:
        one = uuid5(in_class.school_id, f"enrollment:{row['sourcedId']}")
        self._done.counts["enrollments"] += 1
        if isinstance(person, Student):
            if row["role"] != "student":
                raise BundleRefused([Fault("enrollments.csv", line, "gives a student another role than student")])
            if db.session.get(Enrollment, one) is None:
                db.session.add(Enrollment(id=one, class_id=in_class.id, student_id=person.id))
            return
        if row["role"] == "student":
            self._done.remarks.append(
                Fault("enrollments.csv", line, "enrols a member of staff as a student; kept as it is")
            )
        teaching = db.session.get(Teaching, one) or Teaching(id=one, class_id=in_class.id, account_id=person.id)
        teaching.role = row["role"]
        db.session.add(teaching)


def _roles(bundle: Bundle) -> dict[str, tuple[str, str]]:
    """Each user's role and organisation in roles.csv; the primary one where there are several."""
    found: dict[str, tuple[str, str]] = {}
    for _, row in bundle.of("roles"):
        if row["userSourcedId"] not in found or row.get("roleType") == "primary":
            found[row["userSourcedId"]] = (row["role"], row["orgSourcedId"])
    return found


def counted() -> dict[str, int]:
    """How many rows of each kind the database holds."""
    tables = {
        "schools": School,
        "accounts": Account,
        "students": Student,
        "classes": SchoolClass,
        "enrollments": Enrollment,
        "teachings": Teaching,
    }
    return {
        name: db.session.execute(select(func.count()).select_from(model)).scalar_one() for name, model in tables.items()
    }
