"""The people of a bundle: a profile in each school that has them as a student, and one account for
all their other roles.
"""

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
from .roster_places import Place, Places, is_to_be_deleted

PERSONAL = (
    "student.profile",
    "student.activity",
    "student.credentials",
    "account.identity",
    "account.credentials",
)
BY_REQUEST = "a school erases a person by a request (POST /privacy/delete)"
TAKEN = "username is taken by somebody else; usernames of staff are unique in the service"
Remark = Callable[[str, int, str], None]
Task = Callable[[], None]


@dataclass(slots=True)
class Person:
    """Somebody of a bundle: the student's profile in each school, the account, and the schools in
    which it has a role.
    """

    profiles: dict[UUID, UUID] = field(default_factory=dict)
    account: UUID | None = None
    works_in: frozenset[UUID] = frozenset()


def acting_for(school_id: UUID) -> Any:
    """The processing in which a roster is written for a school."""
    actor = Actor("roster-import", role="administrator", client=school_id)
    return privacy.processing(
        *PERSONAL,
        actor=actor,
        purpose="provide-service",
        actions={"write"},
        job="kaligo import-roster",
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
        self._births = {
            row["sourcedId"]: row.get("birthDate", "") for _, row in bundle.of("demographics")
        }
        ours = list(schools.values())
        self._profiles = frozenset(
            db.session.scalars(select(Student.id).where(Student.school_id.in_(ours)))
        )
        self._homes, self._acts_for = _accounts_of(ours)
        self._on_device = {
            school_id for school_id in ours if privacy.storage.of(school_id) == "device"
        }
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
                known = db.session.scalars(
                    select(Student).where(Student.school_id == school_id)
                ).all()  # one query
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
        every = self._places.of(row)
        places = [place for place in every if place.org in self._schools]
        self._say_who_is_out(line, row, every, places)
        studies = {self._schools[place.org] for place in places if place.role == "student"}
        if studies & self._on_device:
            what = (
                "is a student of a school that keeps its profiles on its devices; the server "
                "keeps none"
            )
            raise BundleRefused([Fault("users.csv", line, what, "LG-06")])
        person = Person({school_id: _profile_id(school_id, row) for school_id in sorted(studies)})
        for school_id in person.profiles:
            self._tasks[school_id].append(partial(self._profile, line, row, school_id))
        self._plan_leaving(line, row, person)
        self._plan_account(
            line, row, person, [place for place in places if place.role != "student"]
        )
        return person if places else None

    def _say_who_is_out(self, line: int, row: Row, every: list[Place], places: list[Place]) -> None:
        outside = {place.org for place in every} - self._schools.keys()
        if is_to_be_deleted(row):
            self._remark(
                "users.csv",
                line,
                f"is marked tobedeleted: not imported, and the roles here end; {BY_REQUEST}",
            )
        elif not places:
            self._remark(
                "users.csv",
                line,
                f"has no role today: not imported, and the roles here end; {BY_REQUEST}",
            )
        elif outside:
            self._remark(
                "users.csv",
                line,
                f"is also of {len(outside)} schools that are not in this bundle; not taken",
            )

    def _plan_leaving(self, line: int, row: Row, person: Person) -> None:
        """Plan that a pupil leaves the schools of the bundle that no longer have them."""
        if not self._profiles:
            return
        left = [
            school_id
            for org, school_id in self._schools.items()
            if _profile_id(school_id, row) in self._profiles and self._places.has_left(row, org)
        ]
        for school_id in left:
            self._tasks[school_id].append(partial(leave_as_student, _profile_id(school_id, row)))
        if left and person.profiles:
            what = (
                "has moved to another school, where the profile is new; the one before took it "
                "out of its classes, and "
            )
            self._remark("users.csv", line, what + BY_REQUEST)

    def _plan_account(self, line: int, row: Row, person: Person, works: list[Place]) -> None:
        """Plan what is written of an account; one that acts for other schools too is not theirs to
        change.
        """
        account_id = self._account_id(row, works)
        if account_id is None:
            return
        ours = set(self._schools.values())
        home = self._homes.get(account_id) or self._schools[works[0].org]
        is_shared = home not in ours or not self._acts_for.get(account_id, set()) <= ours
        ends = is_shared and _is_disabled(row)
        if is_shared and works:
            what = "the roles in this school end" if ends else "only the roles here are taken"
            self._remark("users.csv", line, f"has an account that is of other schools too: {what}")
        elif works and _is_disabled(row):
            self._remark(
                "users.csv",
                line,
                "enabledUser is false: the record is kept, and the person does not sign in",
            )
        works = [] if ends else works
        person.account = account_id if works else None
        person.works_in = frozenset(self._schools[place.org] for place in works)
        at = home if home in ours else next(iter(person.works_in or ours))
        write = partial(
            self._account, line, row, account_id, home, works, is_shared=is_shared, ends=ends
        )
        self._tasks[at].append(write)

    def _account_id(self, row: Row, works: list[Place]) -> UUID | None:
        """The account that somebody has already, made by whichever of the schools came first, or
        else a new one's.
        """
        stated = [self._schools[place.org] for place in works]
        if self._homes:
            for school_id in dict.fromkeys(
                [*stated, *self._schools.values(), *self._homes.values()]
            ):
                if _account_id(school_id, row) in self._homes:
                    return _account_id(school_id, row)
        return _account_id(stated[0], row) if stated else None

    # --- what is written ---

    @contextmanager
    def _faults_of(self, line: int, taken: str) -> Iterator[None]:
        try:
            yield
            if self._line_by_line:
                db.session.flush()
        except SubjectErased:
            what = (
                "this person was erased at the request of the school; a new profile needs a "
                "new sourcedId"
            )
            raise BundleRefused([Fault("users.csv", line, what)]) from None
        except IntegrityError:
            db.session.rollback()
            raise BundleRefused([Fault("users.csv", line, taken)]) from None
        except PrivacyError as refusal:
            raise BundleRefused(
                [Fault("users.csv", line, refusal.message, refusal.clause)]
            ) from None

    def _profile(self, line: int, row: Row, school_id: UUID) -> None:
        """Write a student's profile; what the bundle does not speak of stays as it is."""
        profile_id = _profile_id(school_id, row)
        self._count("students")
        if _is_disabled(row):
            self._remark(
                "users.csv",
                line,
                "enabledUser is false: the record is kept, and the person does not sign in",
            )
        with self._faults_of(line, "username is taken by another student of this school"):
            student = db.session.get(Student, profile_id) if profile_id in self._profiles else None
            student = student or Student(id=profile_id, school_id=school_id)
            student.username = row["username"]
            student.first_name = row["givenName"]
            student.last_name = row["familyName"]
            if "demographics" in self._bundle.rows:
                birth = self._births.get(row["sourcedId"])
                if birth is not None or "demographics" not in self._bundle.delta:
                    student.birth_date = date.fromisoformat(birth) if birth else None
            if "email" in row:
                student.email = row["email"] or None
            if "grades" in row:
                student.level = row["grades"] or None
            _let_in(student, row)
            db.session.add(student)

    def _account(
        self,
        line: int,
        row: Row,
        account_id: UUID,
        home: UUID,
        works: list[Place],
        *,
        is_shared: bool,
        ends: bool,
    ) -> None:
        if works:
            self._count("accounts")
        with self._faults_of(line, TAKEN):
            if works and not is_shared:
                self._write_account(row, account_id, home, works[0].role)
            self._write_memberships(row, account_id, works, ends=ends)

    def _write_account(self, row: Row, account_id: UUID, home: UUID, role: str) -> None:
        account = db.session.get(Account, account_id) if account_id in self._homes else None
        if account is None:
            db.session.flush()  # the look below is another processing and writes nothing
            _refuse_taken_username(row)
            account = Account(id=account_id, school_id=home)
        account.role = role
        account.username = row["username"]
        account.name = f"{row['givenName']} {row['familyName']}"
        if "email" in row:
            account.email = row["email"] or None
        _let_in(account, row)
        db.session.add(account)

    def _write_memberships(
        self, row: Row, account_id: UUID, works: list[Place], *, ends: bool
    ) -> None:
        """Write what the bundle says of an account's roles in its schools, and take away what it no
        longer says.
        """
        ours = set(self._schools.values())
        there = {}
        if account_id in self._homes:
            query = select(Membership).where(Membership.account_id == account_id)
            there = {
                (one.school_id, one.role, one.source): one for one in db.session.scalars(query)
            }
        wanted = {
            (self._schools[place.org], place.role, place.source): place.ends_on for place in works
        }
        for (school_id, role, source), ends_on in wanted.items():
            membership = there.get((school_id, role, source)) or Membership(
                account_id=account_id, school_id=school_id, role=role, source=source
            )
            membership.ends_on = ends_on
            db.session.add(membership)
        schools = {school_id for school_id, _, _ in wanted}
        for (school_id, role, source), membership in there.items():
            if school_id not in ours or (school_id, role, source) in wanted:
                continue
            if not (ends or self._places.speaks_of(row, source)):
                continue
            if school_id in schools:
                db.session.delete(membership)
            else:
                leave_as_staff(account_id, school_id)


def _accounts_of(schools: list[UUID]) -> tuple[dict[UUID, UUID], dict[UUID, set[UUID]]]:
    """The accounts of some schools and of their members: the school that each was made by, and
    those for which it acts.
    """
    members = select(Membership.account_id).where(Membership.school_id.in_(schools))
    accounts = select(Account.id, Account.school_id).where(
        Account.school_id.in_(schools) | Account.id.in_(members)
    )
    homes = {
        account_id: home for account_id, home in db.session.execute(accounts) if home is not None
    }
    acts_for: dict[UUID, set[UUID]] = defaultdict(set)
    whose = accounts.with_only_columns(Account.id)
    query = select(Membership.account_id, Membership.school_id).where(
        Membership.account_id.in_(whose)
    )
    for account_id, school_id in db.session.execute(query):
        acts_for[account_id].add(school_id)
    return homes, acts_for


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
    """An account leaves a school and its classes; without any school it has no role, and nobody
    signs in with it.
    """
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
        account.session_number += 1


def _is_disabled(row: Row) -> bool:
    return row.get("enabledUser", "").lower() == "false"


def _let_in(person: Account | Student, row: Row) -> None:
    person.may_sign_in = not _is_disabled(row)
    if row.get("password"):
        person.password_hash = hasher.hash(row["password"])


def _refuse_taken_username(row: Row) -> None:
    with privacy.processing(
        "account.identity",
        actor=Actor("roster-import", role="public"),
        purpose="sign-in",
        job="username is free",
    ):
        taken = db.session.execute(
            find_by(Account, username=row["username"]).with_only_columns(Account.id)
        ).first()
    if taken is not None:
        raise PrivacyError(TAKEN)


def _profile_id(school_id: UUID, row: Row) -> UUID:
    return uuid5(school_id, f"user:{row['sourcedId']}")


def _account_id(school_id: UUID, row: Row) -> UUID:
    return uuid5(school_id, f"account:{row['sourcedId']}")
