"""The people of a bundle: a profile in each school that has them as a student, and one account for all their other roles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from flask_lgprivacy import Actor, find_by
from flask_lgprivacy.errors import PrivacyError, SubjectErased

from .access import hasher
from .models import Account, Enrollment, Membership, SchoolClass, Student, Teaching, db
from .privacy import privacy
from .roster_bundle import Bundle, BundleRefused, Fault, Row
from .roster_places import Place, Places

PERSONAL = ("student.profile", "student.activity", "student.credentials", "account.identity", "account.credentials")
BY_REQUEST = "a school erases a person by a request (POST /privacy/delete)"
Remark = Callable[[str, int, str], None]
Task = Callable[[], None]


@dataclass(slots=True)
class Person:
    """Somebody of a bundle: the student's profile in each school, and the account, by their ids in the service."""

    profiles: dict[UUID, UUID] = field(default_factory=dict)
    account: UUID | None = None


def acting_for(school_id: UUID) -> Any:
    """The processing in which a roster is written for a school."""
    actor = Actor("roster-import", role="administrator", client=school_id)
    return privacy.processing(
        *PERSONAL, actor=actor, purpose="provide-service", actions={"write"}, why="kaligo import-roster"
    )


class People:
    """Writes the people of a bundle, each school's on behalf of that school and in one flush."""

    def __init__(
        self,
        bundle: Bundle,
        schools: Mapping[str, UUID],
        places: Places,
        *,
        remark: Remark,
        count: Callable[[str], None],
        advance: Callable[[int], None],
        line_by_line: bool,
    ) -> None:
        self._bundle = bundle
        self._schools = schools
        self._places = places
        self._remark = remark
        self._count = count
        self._advance = advance
        self._line_by_line = line_by_line
        self._births = {row["sourcedId"]: row.get("birthDate", "") for _, row in bundle.of("demographics")}
        ours = list(schools.values())
        self._profiles = frozenset(db.session.scalars(select(Student.id).where(Student.school_id.in_(ours))))
        self._homes = _homes(ours)
        self._tasks: dict[UUID, list[Task]] = defaultdict(list)

    def write(self) -> dict[str, Person]:
        """Write everybody; returns who there is now, by the bundle's identifiers.

        Raises:
            BundleRefused: A line cannot be stored.
        """
        people = {}
        for line, row in self._bundle.of("users"):
            person = self._plan(line, row)
            if person is not None:
                people[row["sourcedId"]] = person
        self._work(total=len(self._bundle.of("users")))
        return people

    def _work(self, total: int) -> None:
        planned = sum(map(len, self._tasks.values()))
        done = 0
        for school_id, tasks in self._tasks.items():
            with acting_for(school_id):
                known = db.session.scalars(select(Student).where(Student.school_id == school_id)).all()  # one query
                for task in tasks:
                    task()
                    before, done = done * total // planned, done + 1
                    self._advance(done * total // planned - before)
                db.session.flush()
                del known
        if not planned:
            self._advance(total)

    # --- what a line asks for ---

    def _plan(self, line: int, row: Row) -> Person | None:
        places = self._places.of(row)
        self._say_who_is_out(line, row, places)
        places = [place for place in places if place.org in self._schools]
        person = Person(
            {self._schools[org]: _id_in(self._schools[org], row) for org, role in places if role == "student"}
        )
        for school_id in person.profiles:
            self._tasks[school_id].append(partial(self._profile, line, row, school_id))
        self._plan_leaving(line, row, person)
        works = [place for place in places if place.role != "student"]
        account_id = self._account_id(row, works)
        if account_id is not None:
            home = self._homes.get(account_id) or self._schools[works[0].org]
            ours = home if home in self._schools.values() else self._schools[works[0].org]
            self._tasks[ours].append(partial(self._account, line, row, account_id, home, works))
            person.account = account_id if works else None
        return person if places else None

    def _say_who_is_out(self, line: int, row: Row, places: list[Place]) -> None:
        outside = {place.org for place in places} - self._schools.keys()
        if row.get("status") == "tobedeleted":
            self._remark("users.csv", line, f"is marked tobedeleted: not imported, and signs in no more; {BY_REQUEST}")
        elif len(outside) == len({place.org for place in places}):
            self._remark("users.csv", line, f"has no role today: not imported, and signs in no more; {BY_REQUEST}")
        elif outside:
            self._remark("users.csv", line, f"is also of {len(outside)} schools that are not in this bundle; not taken")
        if places and row.get("enabledUser", "").lower() == "false":
            self._remark("users.csv", line, "enabledUser is false: the record is kept, and the person does not sign in")

    def _plan_leaving(self, line: int, row: Row, person: Person) -> None:
        """Plan that a pupil leaves the schools of the bundle that no longer have them."""
        if not self._profiles:
            return
        left = [
            school_id
            for org, school_id in self._schools.items()
            if _id_in(school_id, row) in self._profiles and self._places.is_over(row, Place(org, "student"))
        ]
        for school_id in left:
            self._tasks[school_id].append(partial(leave_as_student, _id_in(school_id, row)))
        if left and person.profiles:
            what = (
                "has moved to another school, where the profile is new; the one before took it out of its classes, and "
            )
            self._remark("users.csv", line, what + BY_REQUEST)

    def _account_id(self, row: Row, works: list[Place]) -> UUID | None:
        """The account that somebody has already, made by whichever of the schools came first, or else a new one's."""
        stated = [self._schools[place.org] for place in works]
        if self._homes:
            for school_id in dict.fromkeys([*stated, *self._schools.values(), *self._homes.values()]):
                if _id_in(school_id, row) in self._homes:
                    return _id_in(school_id, row)
        return _id_in(stated[0], row) if stated else None

    # --- what is written ---

    @contextmanager
    def _faults_of(self, line: int) -> Iterator[None]:
        try:
            yield
            if self._line_by_line:
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

    def _profile(self, line: int, row: Row, school_id: UUID) -> None:
        one = _id_in(school_id, row)
        self._count("students")
        with self._faults_of(line):
            student = db.session.get(Student, one) if one in self._profiles else None
            student = student or Student(id=one, school_id=school_id)
            birth = self._births.get(row["sourcedId"])
            student.username = row["username"]
            student.first_name = row["givenName"]
            student.last_name = row["familyName"]
            student.birth_date = date.fromisoformat(birth) if birth else None
            student.email = row.get("email") or None
            student.level = row.get("grades") or None
            _let_in(student, row)
            db.session.add(student)

    def _account(self, line: int, row: Row, account_id: UUID, home: UUID, works: list[Place]) -> None:
        with self._faults_of(line):
            if works:
                self._count("accounts")
            if works and home in self._schools.values():
                self._write_account(row, account_id, home, works[0].role)
            elif works:
                self._remark("users.csv", line, "has the account from another school: only the roles here are taken")
            self._write_memberships(row, account_id, works)

    def _write_account(self, row: Row, account_id: UUID, home: UUID, role: str) -> None:
        account = db.session.get(Account, account_id) if account_id in self._homes else None
        if account is None:
            db.session.flush()  # the look below is another processing and writes nothing
            _refuse_taken_username(row)
            account = Account(id=account_id, school_id=home)
        account.role = role
        account.username = row["username"]
        account.name = f"{row['givenName']} {row['familyName']}"
        account.email = row.get("email") or None
        _let_in(account, row)
        db.session.add(account)

    def _write_memberships(self, row: Row, account_id: UUID, works: list[Place]) -> None:
        there: list[Membership] = []
        if account_id in self._homes:
            query = select(Membership).where(Membership.account_id == account_id)
            there = list(db.session.scalars(query))
        known = {(membership.school_id, membership.role) for membership in there}
        for org, role in works:
            if (self._schools[org], role) not in known:
                db.session.add(
                    Membership(
                        id=uuid5(account_id, f"membership:{org}:{role}"),
                        account_id=account_id,
                        school_id=self._schools[org],
                        role=role,
                    )
                )
        orgs = {school_id: org for org, school_id in self._schools.items()}
        for membership in there:
            here = orgs.get(membership.school_id)
            if here is None or not self._places.is_over(row, Place(here, membership.role)):
                continue
            if any(place.org == here for place in works):
                db.session.delete(membership)
            else:
                leave_as_staff(account_id, membership.school_id)


def _homes(schools: list[UUID]) -> dict[UUID, UUID]:
    """The accounts of some schools and of their members, and the school that each account was made by."""
    members = select(Membership.account_id).where(Membership.school_id.in_(schools))
    query = select(Account.id, Account.school_id).where(Account.school_id.in_(schools) | Account.id.in_(members))
    return {account_id: home for account_id, home in db.session.execute(query) if home is not None}


def leave_as_student(profile_id: UUID) -> None:
    """A pupil leaves the classes and signs in no more; the data is the school's to have erased."""
    student = db.session.get(Student, profile_id)
    if student is None:
        return
    student.may_sign_in = False
    student.session_number += 1
    for place in db.session.scalars(select(Enrollment).where(Enrollment.student_id == profile_id)):
        db.session.delete(place)


def leave_as_staff(account_id: UUID, school_id: UUID) -> None:
    """An account leaves a school and its classes; one that is left without a school signs in no more."""
    mine = select(Membership).where(Membership.account_id == account_id)
    for membership in db.session.scalars(mine.where(Membership.school_id == school_id)):
        db.session.delete(membership)
    classes = select(SchoolClass.id).where(SchoolClass.school_id == school_id)
    for place in db.session.scalars(
        select(Teaching).where(Teaching.account_id == account_id, Teaching.class_id.in_(classes))
    ):
        db.session.delete(place)
    account = db.session.get(Account, account_id)
    if account is not None and db.session.scalars(mine).first() is None:
        account.may_sign_in = False
        account.session_number += 1


def _let_in(person: Account | Student, row: Row) -> None:
    person.may_sign_in = row.get("enabledUser", "").lower() != "false"
    if row.get("password"):
        person.password_hash = hasher.hash(row["password"])


def _refuse_taken_username(row: Row) -> None:
    with privacy.processing(
        "account.identity", actor=Actor("roster-import", role="public"), purpose="sign-in", why="username is free"
    ):
        taken = db.session.execute(find_by(Account, username=row["username"]).with_only_columns(Account.id)).first()
    if taken is not None:
        raise PrivacyError("username is taken by somebody else; usernames of staff are unique in the service")


def _id_in(school_id: UUID, row: Row) -> UUID:
    """The id that a person of a roster has in a school, as student or as account."""
    return uuid5(school_id, f"user:{row['sourcedId']}")
