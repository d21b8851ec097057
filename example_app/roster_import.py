"""Writes a checked bundle into the database: all of it, or nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from flask_lgprivacy.errors import SubjectErased

from .models import Account, Enrollment, Membership, School, SchoolClass, Student, Teaching, db
from .roster_bundle import Bundle, BundleRefused, Fault, Row
from .roster_people import People, Person, acting_for, leave_as_staff, leave_as_student
from .roster_places import Places, is_active, is_to_be_deleted

Advance = Callable[[int], None]
Numbered = tuple[int, Row]


@dataclass(slots=True)
class Imported:
    """How many rows of each kind an import wrote, and what deserves a look."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    remarks: list[Fault] = field(default_factory=list)


def import_bundle(
    bundle: Bundle,
    *,
    advance: Advance = lambda _: None,
    dry_run: bool = False,
    only_school: UUID | None = None,
    remove_missing: bool = False,
    today: date | None = None,
) -> Imported:
    """Import a bundle in one transaction, each school's people on behalf of that school and in one
    flush.

    Args:
        bundle: Checked by `read_bundle`.
        advance: Called with the number of lines done.
        dry_run: Roll back at the end.
        only_school: The one that the administrator acts for, where one imports over the web.
        remove_missing: Take out of the schools who is no longer in a full import: they leave their
            classes and do not sign in.
        today: The day on which an enrolment is active or not.

    Raises:
        BundleRefused: Nothing is stored.
    """
    on = today or date.today()  # noqa: DTZ011  enrolments are by the school's calendar
    try:
        try:
            done = _Import(
                bundle, advance, only_school, on, remove_missing=remove_missing, line_by_line=False
            ).run()
        except (
            IntegrityError,
            SubjectErased,
        ):  # a username is taken, or somebody was erased; line by line it is known who
            db.session.rollback()
            again = _Import(
                bundle,
                lambda _: None,
                only_school,
                on,
                remove_missing=remove_missing,
                line_by_line=True,
            )
            done = again.run()
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
        self._in_class: dict[UUID, Any] = {}

    def run(self) -> Imported:
        schools = dict(self._schools())
        people = People(
            self._bundle,
            schools,
            Places(self._bundle, self._today),
            remark=self._remark,
            count=self._count,
            advance=self._advance,
            line_by_line=self._line_by_line,
        ).write()
        classes = {
            row["sourcedId"]: self._class(line, row, schools)
            for line, row in self._bundle.of("classes")
        }
        self._missing_classes(schools.values(), {one.id for one in classes.values()})
        self._enrollments(schools.values(), classes, people)
        for school_id in schools.values():
            with acting_for(school_id):
                self._missing(school_id, people)
                db.session.flush()
        return self._done

    def _count(self, name: str) -> None:
        self._done.counts[name] += 1

    def _remark(self, file: str, line: int, what: str) -> None:
        self._done.remarks.append(Fault(file, line, what))

    def _schools(self) -> Iterator[tuple[str, UUID]]:
        for line, row in self._bundle.of("orgs"):
            school_id = _school_id(row["sourcedId"])
            if self._only_school not in (None, school_id):
                raise BundleRefused(
                    [Fault("orgs.csv", line, "is another school than the one you act for", "LG-03")]
                )
            school = db.session.get(School, school_id) or School(id=school_id)
            school.name, school.kind = row["name"], row["type"]
            db.session.add(school)
            self._count("schools")
            self._advance(1)
            yield row["sourcedId"], school_id
        db.session.flush()

    # --- classes ---

    def _class(self, line: int, row: Row, schools: dict[str, UUID]) -> SchoolClass:
        school_id = schools[row["schoolSourcedId"]]
        one = uuid5(school_id, f"class:{row['sourcedId']}")
        found = db.session.get(SchoolClass, one)
        self._advance(1)
        if is_to_be_deleted(row):
            self._remark(
                "classes.csv",
                line,
                "is marked tobedeleted: the class and who was in it are taken out",
            )
            if found is not None:
                self._remove_class(found)
            return SchoolClass(id=None, school_id=school_id)
        found = found or SchoolClass(id=one, school_id=school_id)
        found.title = row["title"]
        db.session.add(found)
        self._count("classes")
        return found

    @staticmethod
    def _remove_class(of: SchoolClass) -> None:
        with acting_for(of.school_id):
            both: tuple[Any, ...] = (Enrollment, Teaching)
            for model in both:
                for place in db.session.scalars(select(model).where(model.class_id == of.id)):
                    db.session.delete(place)
            db.session.flush()
        db.session.delete(of)

    def _missing_classes(self, schools: Iterable[UUID], kept: set[UUID]) -> None:
        if "classes" not in self._bundle.rows or "classes" in self._bundle.delta:
            return
        db.session.flush()
        for school_id in schools:
            there = db.session.scalars(
                select(SchoolClass).where(SchoolClass.school_id == school_id)
            )
            gone = [one for one in there if one.id not in kept]
            self._say_missing("classes.csv", gone, "classes")
            for one in gone if self._removes else ():
                self._remove_class(one)

    def _enrollments(
        self, schools: Iterable[UUID], classes: dict[str, SchoolClass], people: dict[str, Person]
    ) -> None:
        if "enrollments" not in self._bundle.rows:
            return
        by_school: dict[UUID, list[Numbered]] = {school_id: [] for school_id in schools}
        for line, row in self._bundle.of("enrollments"):
            by_school[classes[row["classSourcedId"]].school_id].append((line, row))
        for school_id, rows in by_school.items():
            self._in_class = self._places_of(school_id)
            with acting_for(school_id):
                for line, row in rows:
                    self._enrollment(
                        line, row, classes[row["classSourcedId"]], people.get(row["userSourcedId"])
                    )
                    self._advance(1)
                db.session.flush()
            if "enrollments" not in self._bundle.delta:
                with acting_for(school_id):
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

    def _enrollment(
        self, line: int, row: Row, in_class: SchoolClass, person: Person | None
    ) -> None:
        one = uuid5(in_class.school_id, f"enrollment:{row['sourcedId']}")
        found = self._in_class.get(one)
        why = self._why_not_active(row, in_class, person)
        if why is not None:
            self._remark(
                "enrollments.csv",
                line,
                f"{why}: {'taken out' if found is not None else 'not taken in'}",
            )
            if found is not None:
                db.session.delete(found)
            return
        assert person is not None  # noqa: S101  _why_not_active has looked
        profile = person.profiles.get(in_class.school_id)
        is_student = profile is not None and (row["role"] == "student" or person.account is None)
        if found is not None and not _is_of(
            found, in_class, profile if is_student else person.account
        ):
            db.session.delete(found)  # the line speaks of another class or person now
            db.session.flush()
            found = None
        if row["role"] != "student" and person.account is None:
            raise BundleRefused(
                [Fault("enrollments.csv", line, "gives a student another role than student")]
            )
        self._count("enrollments")
        if is_student:
            db.session.add(found or Enrollment(id=one, class_id=in_class.id, student_id=profile))
            return
        if row["role"] == "student":
            self._remark(
                "enrollments.csv", line, "enrols a member of staff as a student; kept as it is"
            )
        teaching = found or Teaching(id=one, class_id=in_class.id, account_id=person.account)
        teaching.role = row["role"]
        db.session.add(teaching)

    def _why_not_active(self, row: Row, in_class: SchoolClass, person: Person | None) -> str | None:
        if is_to_be_deleted(row):
            return "is marked tobedeleted"
        if in_class.id is None or person is None:
            return "is of a class or person that is taken out"
        if in_class.school_id not in person.profiles and in_class.school_id not in person.works_in:
            return "is of somebody who is not of the school of the class"
        if row.get("endDate") and date.fromisoformat(row["endDate"]) < self._today:
            return "has ended"
        if not is_active(row, self._today):
            return "has not begun"
        return None

    # --- who is no longer in a full import ---

    def _missing_places(self, school_id: UUID, kept: set[str]) -> None:
        ids = {uuid5(school_id, f"enrollment:{one}") for one in kept}
        gone = [place for place in self._places_of(school_id).values() if place.id not in ids]
        self._say_missing("enrollments.csv", gone, "enrolments")
        for place in gone if self._removes else ():
            db.session.delete(place)

    def _missing(self, school_id: UUID, people: dict[str, Person]) -> None:
        if "users" in self._bundle.delta:
            return
        kept = {person.profiles.get(school_id) for person in people.values()}
        students = select(Student.id).where(
            Student.school_id == school_id, Student.may_sign_in.is_(True)
        )
        gone = [one for one in db.session.scalars(students) if one not in kept]
        self._say_missing("users.csv", gone, "students")
        for one in gone if self._removes else ():
            leave_as_student(one)
        kept = {person.account for person in people.values()}
        members = select(Membership.account_id).where(Membership.school_id == school_id).distinct()
        gone = [one for one in db.session.scalars(members) if one not in kept]
        self._say_missing("users.csv", gone, "accounts")
        for one in gone if self._removes else ():
            leave_as_staff(one, school_id)

    def _say_missing(self, file: str, gone: list[Any], what: str) -> None:
        if gone:
            done = (
                "they were taken out"
                if self._removes
                else "they stay; import with --remove-missing to take them out"
            )
            self._remark(
                file, 0, f"{len(gone)} {what} of a school are no longer in this full import; {done}"
            )


def _is_of(place: Any, in_class: SchoolClass, person_id: UUID | None) -> bool:
    """Whether a place is the one of a person, student or account, in a class."""
    whose = place.student_id if isinstance(place, Enrollment) else place.account_id
    return place.class_id == in_class.id and whose == person_id


def _school_id(org: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"oneroster:org:{org}")


def counted() -> dict[str, int]:
    """How many rows of each kind the database holds."""
    tables = {
        "schools": School,
        "accounts": Account,
        "students": Student,
        "classes": SchoolClass,
        "enrollments": Enrollment,
        "teachings": Teaching,
        "memberships": Membership,
    }
    return {
        name: db.session.execute(select(func.count()).select_from(model)).scalar_one()
        for name, model in tables.items()
    }
