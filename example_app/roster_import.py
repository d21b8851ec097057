"""Writes a checked bundle into the database: all of it, or nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple
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
Numbered = tuple[int, Row]
PERSONAL = ("student.profile", "student.activity", "student.credentials", "account.identity", "account.credentials")
BY_REQUEST = "a school erases a person by a request (POST /privacy/delete)"


@dataclass(slots=True)
class Imported:
    """How many rows of each kind an import wrote, and what deserves a look."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    remarks: list[Fault] = field(default_factory=list)


class _Member(NamedTuple):
    """Somebody of the bundle, by the identifier that the service has for them."""

    id: UUID
    is_student: bool


def import_bundle(
    bundle: Bundle,
    *,
    advance: Advance = lambda _: None,
    dry_run: bool = False,
    only_school: UUID | None = None,
    remove_missing: bool = False,
    today: date | None = None,
) -> Imported:
    """Import a bundle in one transaction, each school's people on behalf of that school and in one flush.

    Args:
        bundle: Checked by `read_bundle`.
        advance: Called with the number of lines done.
        dry_run: Roll back at the end.
        only_school: The one that the administrator acts for, where one imports over the web.
        remove_missing: Take out of the schools who is no longer in a full import: they leave their classes and do not sign in.
        today: The day on which an enrolment is active or not.

    Raises:
        BundleRefused: Nothing is stored.
    """
    on = today or date.today()  # noqa: DTZ011  enrolments are by the school's calendar
    try:
        done = _Import(bundle, advance, only_school, on, remove_missing=remove_missing, line_by_line=False).run()
    except (IntegrityError, SubjectErased):  # a username is taken, or somebody was erased; line by line it is known who
        db.session.rollback()
        done = _Import(bundle, lambda _: None, only_school, on, remove_missing=remove_missing, line_by_line=True).run()
    except BaseException:
        db.session.rollback()
        raise
    if dry_run:
        db.session.rollback()
    else:
        db.session.commit()
    return done


class _Import:
    def __init__(
        self,
        bundle: Bundle,
        advance: Advance,
        only_school: UUID | None,
        today: date,
        *,
        remove_missing: bool,
        line_by_line: bool,
    ) -> None:
        self._bundle = bundle
        self._advance = advance
        self._only_school = only_school
        self._today = today
        self._removes = remove_missing
        self._line_by_line = line_by_line
        self._done = Imported()
        self._there: frozenset[UUID] = frozenset()
        self._places: dict[UUID, Any] = {}
        self._roles = _roles(bundle)
        self._births = {row["sourcedId"]: row.get("birthDate", "") for _, row in bundle.of("demographics")}

    def run(self) -> Imported:
        schools = dict(self._schools())
        members = self._people(schools)
        classes = {row["sourcedId"]: self._class(line, row, schools) for line, row in self._bundle.of("classes")}
        self._enrollments(classes, members)
        for school_id in schools.values():
            with self._acting_for(school_id):
                self._missing(school_id, members)
                db.session.flush()
        return self._done

    def _acting_for(self, school_id: UUID) -> Any:
        actor = Actor("roster-import", role="administrator", client=school_id)
        return privacy.processing(
            *PERSONAL, actor=actor, purpose="provide-service", actions={"write"}, why="kaligo import-roster"
        )

    def _remark(self, file: str, line: int, what: str) -> None:
        self._done.remarks.append(Fault(file, line, what))

    def _schools(self) -> Iterator[tuple[str, UUID]]:
        for line, row in self._bundle.of("orgs"):
            school_id = _school_id(row["sourcedId"])
            if self._only_school not in (None, school_id):
                raise BundleRefused([Fault("orgs.csv", line, "is another school than the one you act for", "LG-03")])
            school = db.session.get(School, school_id) or School(id=school_id)
            school.name, school.kind = row["name"], row["type"]
            db.session.add(school)
            self._done.counts["schools"] += 1
            self._advance(1)
            yield row["sourcedId"], school_id
        db.session.flush()

    # --- people ---

    def _people(self, schools: dict[str, UUID]) -> dict[str, _Member]:
        by_org = defaultdict(list)
        for line, row in self._bundle.of("users"):
            by_org[self._org_of(row)].append((line, row))
        members: dict[str, _Member] = {}
        self._there = frozenset(
            db.session.scalars(select(Student.id).where(Student.school_id.in_(list(schools.values()))))
        )
        for org, rows in by_org.items():
            with self._acting_for(schools[org]):
                known = db.session.scalars(
                    select(Student).where(Student.school_id == schools[org])
                ).all()  # one query, not one for each
                for line, row in rows:
                    member = self._person(line, row, schools, org)
                    if member is not None:
                        members[row["sourcedId"]] = member
                    self._advance(1)
                db.session.flush()
                del known
        return members

    def _org_of(self, row: Row) -> str:
        stated = row.get("orgSourcedIds", "").split(",")[0].strip() or row.get("primaryOrgSourcedId", "")
        return stated or self._roles[row["sourcedId"]][0][1]

    def _person(self, line: int, row: Row, schools: dict[str, UUID], org: str) -> _Member | None:
        role = ROLES[row.get("role") or self._roles[row["sourcedId"]][0][0]]
        member = _Member(_person_id(schools[org], row), role == "student")
        if row.get("status") == "tobedeleted":
            self._leave(member)
            self._remark("users.csv", line, f"is marked tobedeleted: not imported, and signs in no more; {BY_REQUEST}")
            return None
        self._done.counts["students" if member.is_student else "accounts"] += 1
        try:
            person = (
                self._student(member.id, row, schools[org])
                if member.is_student
                else self._account(member.id, row, schools[org], role)
            )
            self._may_sign_in(line, row, person)
            db.session.add(person)
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
        self._say_more_places(line, row, member, schools, org)
        return member

    def _may_sign_in(self, line: int, row: Row, person: Account | Student) -> None:
        person.may_sign_in = row.get("enabledUser", "").lower() != "false"
        if not person.may_sign_in:
            self._remark("users.csv", line, "enabledUser is false: the record is kept, and the person does not sign in")
        if row.get("password"):
            person.password_hash = hasher.hash(row["password"])

    def _say_more_places(self, line: int, row: Row, member: _Member, schools: dict[str, UUID], org: str) -> None:
        """A person has one school and one role here; others are said, and a school that a pupil left lets go of the classes."""
        others = {one.strip() for one in row.get("orgSourcedIds", "").split(",") if one.strip()} | {
            of for _, of in self._roles.get(row["sourcedId"], ())
        }
        roles = {role for role, _ in self._roles.get(row["sourcedId"], ())}
        if len(others | {org}) > 1 or len(roles) > 1:
            self._remark(
                "users.csv",
                line,
                f"has {len(others | {org})} schools and {max(len(roles), 1)} roles; the first of each is taken",
            )
        for other, school_id in schools.items() if self._there and member.is_student else ():
            before = _Member(_person_id(school_id, row), is_student=True)
            if before.id in self._there and other not in others and other != org:
                self._moved(line, before, school_id)

    def _moved(self, line: int, before: _Member, school_id: UUID) -> None:
        db.session.flush()
        with self._acting_for(school_id):
            self._leave(before)
            db.session.flush()
        self._remark(
            "users.csv", line,
            f"has moved to another school, where the profile is new; the one before took it out of its classes, and {BY_REQUEST}",
        )  # fmt: skip

    def _leave(self, member: _Member) -> None:
        """Somebody leaves their classes and signs in no more; the data is their school's to have erased."""
        person = db.session.get(Student if member.is_student else Account, member.id)
        if person is None:
            return
        person.may_sign_in = False
        person.session_number += 1
        places = Enrollment.student_id == member.id if member.is_student else Teaching.account_id == member.id
        model: Any = Enrollment if member.is_student else Teaching
        for place in db.session.scalars(select(model).where(places)):
            self._remove(place)

    @staticmethod
    def _remove(place: Any) -> None:
        """Somebody leaves a class: nothing that is labelled goes with it, and nothing of the person is erased."""
        db.session.delete(place)

    def _student(self, one: UUID, row: Row, school_id: UUID) -> Student:
        student = db.session.get(Student, one) if one in self._there else None
        student = student or Student(id=one, school_id=school_id)
        birth = self._births.get(row["sourcedId"])
        student.username = row["username"]
        student.first_name = row["givenName"]
        student.last_name = row["familyName"]
        student.birth_date = date.fromisoformat(birth) if birth else None
        student.email = row.get("email") or None
        student.level = row.get("grades") or None
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
        return account

    def _refuse_taken_username(self, row: Row) -> None:
        with privacy.processing(
            "account.identity", actor=Actor("roster-import", role="public"), purpose="sign-in", why="username is free"
        ):
            taken = db.session.execute(find_by(Account, username=row["username"]).with_only_columns(Account.id)).first()
        if taken is not None:
            raise PrivacyError("username is taken by somebody else; usernames of staff are unique in the service")

    # --- classes ---

    def _class(self, line: int, row: Row, schools: dict[str, UUID]) -> SchoolClass:
        school_id = schools[row["schoolSourcedId"]]
        one = uuid5(school_id, f"class:{row['sourcedId']}")
        found = db.session.get(SchoolClass, one)
        self._advance(1)
        if row.get("status") == "tobedeleted":
            self._remark("classes.csv", line, "is marked tobedeleted: the class and who was in it are taken out")
            if found is not None:
                with self._acting_for(school_id):
                    both: tuple[Any, ...] = (Enrollment, Teaching)
                    for model in both:
                        for place in db.session.scalars(select(model).where(model.class_id == one)):
                            self._remove(place)
                    db.session.flush()
                db.session.delete(found)
            return SchoolClass(id=None, school_id=school_id)
        found = found or SchoolClass(id=one, school_id=school_id)
        found.title = row["title"]
        db.session.add(found)
        self._done.counts["classes"] += 1
        return found

    def _enrollments(self, classes: dict[str, SchoolClass], members: dict[str, _Member]) -> None:
        by_school: dict[UUID, list[Numbered]] = defaultdict(list)
        for line, row in self._bundle.of("enrollments"):
            by_school[classes[row["classSourcedId"]].school_id].append((line, row))
        for school_id, rows in by_school.items():
            self._places = self._places_of(school_id)
            with self._acting_for(school_id):
                for line, row in rows:
                    member = members.get(row["userSourcedId"])
                    self._enrollment(line, row, classes[row["classSourcedId"]], member)
                    self._advance(1)
                db.session.flush()
            if "enrollments" not in self._bundle.delta:
                with self._acting_for(school_id):
                    self._missing_places(school_id, {row["sourcedId"] for _, row in rows})
                    db.session.flush()

    @staticmethod
    def _places_of(school_id: UUID) -> dict[UUID, Any]:
        """Who is in which class of a school, by the place's id."""
        in_school = select(SchoolClass.id).where(SchoolClass.school_id == school_id)
        both: tuple[Any, ...] = (Enrollment, Teaching)
        return {
            place.id: place
            for model in both
            for place in db.session.scalars(select(model).where(model.class_id.in_(in_school)))
        }

    def _enrollment(self, line: int, row: Row, in_class: SchoolClass, member: _Member | None) -> None:
        one = uuid5(in_class.school_id, f"enrollment:{row['sourcedId']}")
        model: Any = Enrollment if member is None or member.is_student else Teaching
        found = self._places.get(one)
        why = self._why_not_active(row, in_class, member)
        if why is not None:
            self._remark("enrollments.csv", line, f"{why}: {'taken out' if found is not None else 'not taken in'}")
            if found is not None:
                self._remove(found)
            return
        assert member is not None  # noqa: S101  _why_not_active has looked
        self._done.counts["enrollments"] += 1
        if member.is_student:
            if row["role"] != "student":
                raise BundleRefused([Fault("enrollments.csv", line, "gives a student another role than student")])
            if found is None:
                db.session.add(model(id=one, class_id=in_class.id, student_id=member.id))
            return
        if row["role"] == "student":
            self._remark("enrollments.csv", line, "enrols a member of staff as a student; kept as it is")
        teaching = found or model(id=one, class_id=in_class.id, account_id=member.id)
        teaching.role = row["role"]
        db.session.add(teaching)

    def _why_not_active(self, row: Row, in_class: SchoolClass, member: _Member | None) -> str | None:
        if row.get("status") == "tobedeleted":
            return "is marked tobedeleted"
        if in_class.id is None or member is None:
            return "is of a class or person that is taken out"
        if row.get("endDate") and date.fromisoformat(row["endDate"]) < self._today:
            return "has ended"
        if row.get("beginDate") and date.fromisoformat(row["beginDate"]) > self._today:
            return "has not begun"
        return None

    # --- who is no longer in a full import ---

    def _missing_places(self, school_id: UUID, kept: set[str]) -> None:
        ids = {uuid5(school_id, f"enrollment:{one}") for one in kept}
        gone = [place for place in self._places_of(school_id).values() if place.id not in ids]
        self._say_missing("enrollments.csv", gone, "enrolments")
        for place in gone if self._removes else ():
            self._remove(place)

    def _missing(self, school_id: UUID, members: dict[str, _Member]) -> None:
        if "users" in self._bundle.delta:
            return
        kept = {member.id for member in members.values()}
        for model, is_student, name in ((Student, True, "students"), (Account, False, "accounts")):
            query = select(model.id).where(model.school_id == school_id, model.may_sign_in.is_(True))
            gone = [one for one in db.session.scalars(query) if one not in kept]
            self._say_missing("users.csv", gone, name)
            for one in gone if self._removes else ():
                self._leave(_Member(one, is_student))

    def _say_missing(self, file: str, gone: list[Any], what: str) -> None:
        if gone:
            done = (
                "they were taken out" if self._removes else "they stay; import with --remove-missing to take them out"
            )
            self._remark(file, 0, f"{len(gone)} {what} of a school are no longer in this full import; {done}")


def _school_id(org: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"oneroster:org:{org}")


def _person_id(school_id: UUID, row: Row) -> UUID:
    return uuid5(school_id, f"user:{row['sourcedId']}")


def _roles(bundle: Bundle) -> dict[str, list[tuple[str, str]]]:
    """Each user's roles and organisations in roles.csv, the primary one first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for _, row in bundle.of("roles"):
        if row.get("status") == "tobedeleted":
            continue
        held = found.setdefault(row["userSourcedId"], [])
        held.insert(0 if row.get("roleType") == "primary" else len(held), (row["role"], row["orgSourcedId"]))
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
