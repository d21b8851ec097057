"""The JSON interface: students, classes, exercises, newsletter."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, current_app, jsonify, request
from flask_login import current_user
from marshmallow import fields, validate
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from flask_lgprivacy import field_of, find_by, labelled, schema_of, without_label
from flask_lgprivacy.disclosure.connectors import mailchimp
from flask_lgprivacy.errors import RequestConflict, RequestInvalid

from .models import (
    Account,
    Enrollment,
    Exercise,
    NewsletterContact,
    SchoolClass,
    SchoolNotice,
    Student,
    db,
)
from .privacy import acting, privacy
from .roster_bundle import BundleRefused, read_bundle
from .roster_import import import_bundle

api = Blueprint("api", __name__)
STAFF = {"teacher", "administrator"}
NEWSLETTER = "product-updates"
FIELDS = ("first_name", "last_name", "birth_date", "level")
PROFILE = schema_of(Student, "username", *FIELDS, "email")
NEW_STUDENT = schema_of(
    Student, "username", *FIELDS, email=field_of(Student, "email", validate=validate.Email())
)
CHANGED_STUDENT = schema_of(
    Student, *FIELDS, partial=True, email=field_of(Student, "email", validate=validate.Email())
)
WRITTEN = schema_of(Exercise, "word", "strokes")
SUBSCRIBER = schema_of(
    NewsletterContact,
    email=field_of(NewsletterContact, "email", validate=validate.Email()),
    agreed_to=without_label(fields.Str(required=True), "the version of a text"),
)


@api.get("/students")
@privacy.handles("student.profile", roles={"support"}, purpose="assistance")
@privacy.handles("student.profile", roles={"guest"}, purpose="provide-service")
@privacy.handles("student.profile", roles=STAFF, purpose="provide-service")
def students() -> Any:
    """The students of the actor's school; `school` asks for another one's: refused, but to an agent
    whom it let in.
    """
    school = _identifier(request.args.get("school")) or current_user.acts_for
    query = (
        select(Student).where(Student.school_id == school)
        if school is not None
        else select(Student)
    )
    return jsonify([_shown(student) for student in db.session.scalars(query)])


@api.post("/students/search")
@privacy.handles(
    "student.profile",
    roles=STAFF,
    purpose="provide-service",
    accepts=schema_of(Student, "last_name"),
)
def search() -> Any:
    """The students with a last name; a name has no place in a URL, so it is sent in the body."""
    query = find_by(Student, last_name=privacy.accepted["last_name"])
    return jsonify([_shown(student) for student in db.session.scalars(query)])


@api.get("/students/<uuid:student_id>")
@privacy.handles("student.profile", roles={"support"}, purpose="assistance")
@privacy.handles("student.profile", roles={"student", "guest"} | STAFF, purpose="provide-service")
def student(student_id: UUID) -> Any:
    """One student."""
    return jsonify(_shown(db.get_or_404(Student, student_id)))


@api.post("/students")
@privacy.handles(
    "student.profile",
    roles=STAFF,
    purpose="provide-service",
    actions={"read", "write"},
    accepts=NEW_STUDENT,
)
def add_student() -> Any:
    """Record a student of the actor's school."""
    row = Student(school_id=current_user.acts_for)
    _change(row, privacy.accepted)
    return jsonify(_shown(row)), 201


@api.patch("/students/<uuid:student_id>")
@privacy.handles(
    "student.profile",
    roles=STAFF,
    purpose="provide-service",
    actions={"read", "write"},
    accepts=CHANGED_STUDENT,
)
def change_student(student_id: UUID) -> Any:
    """Change fields of a student."""
    row = db.get_or_404(Student, student_id)
    _change(row, privacy.accepted)
    return jsonify(_shown(row))


@api.get("/classes")
@privacy.handles(roles=STAFF, purpose="provide-service")
def classes() -> Any:
    """The classes of the actor's school."""
    rows = db.session.scalars(
        select(SchoolClass).where(SchoolClass.school_id == current_user.acts_for)
    )
    return jsonify([{"id": str(row.id), "title": row.title} for row in rows])


@api.get("/classes/<uuid:class_id>/students")
@privacy.handles("student.profile", roles={"guest"} | STAFF, purpose="provide-service")
def students_of_class(class_id: UUID) -> Any:
    """The students of one class."""
    query = (
        select(Student)
        .join(Enrollment, Enrollment.student_id == Student.id)
        .where(Enrollment.class_id == class_id)
    )
    return jsonify([_shown(row) for row in db.session.scalars(query)])


@api.get("/students/<uuid:student_id>/exercises")
@privacy.handles("student.activity", roles={"student"} | STAFF, purpose="provide-service")
def exercises(student_id: UUID) -> Any:
    """What a student wrote."""
    rows = db.session.scalars(
        select(Exercise).where(Exercise.student_id == student_id).order_by(Exercise.written_at)
    )
    return jsonify([{"id": str(row.id), "word": row.word, "strokes": row.strokes} for row in rows])


@api.post("/students/<uuid:student_id>/exercises")
@privacy.handles(
    "student.activity",
    roles={"student"} | STAFF,
    purpose="provide-service",
    actions={"read", "write"},
    accepts=WRITTEN,
)
def add_exercise(student_id: UUID) -> Any:
    """Record what a student wrote, and count that somebody wrote something."""
    sent = privacy.accepted
    if not _are_strokes(sent["strokes"]):
        raise RequestInvalid(
            "strokes: a list of strokes, each a list of points, each a list of numbers"
        )
    row = Exercise(
        student_id=db.get_or_404(Student, student_id).id, word=sent["word"], strokes=sent["strokes"]
    )
    db.session.add(row)
    db.session.commit()
    privacy.usage.count("exercise.written", length="short" if len(sent["word"]) < 6 else "long")
    return jsonify(id=str(row.id)), 201


@api.get("/students/<uuid:student_id>/sheet")
@privacy.handles(
    "student.profile",
    "student.activity",
    roles={"student", "guest"} | STAFF,
    purpose="provide-service",
    withhold={"student.activity"},
)
def sheet(student_id: UUID) -> Any:
    """A student with what was written; who may see only the profile gets only the profile."""
    written = db.session.scalars(
        select(Exercise).where(Exercise.student_id == student_id).order_by(Exercise.written_at)
    )
    student = PROFILE().dump(db.get_or_404(Student, student_id))
    return jsonify(student=student, exercises=WRITTEN(many=True).dump(written))


@api.get("/notices")
@privacy.handles(roles={"administrator"}, purpose="provide-service")
def notices() -> Any:
    """What the publisher told the actor's school."""
    rows = db.session.scalars(
        select(SchoolNotice).where(SchoolNotice.school_id == current_user.acts_for)
    )
    return jsonify([{"at": row.told_at.isoformat(), "text": row.text} for row in rows])


@api.post("/roster")
@privacy.handles(roles={"administrator"}, purpose="provide-service")
def import_roster() -> Any:
    """Import the actor's own school's OneRoster bundle, sent as application/zip: all of it, or
    nothing.
    """
    if request.mimetype != "application/zip":
        raise RequestInvalid("send the bundle as the body, with Content-Type application/zip")
    try:
        bundle = read_bundle(
            request.get_data(), privacy.policy, without=request.args.getlist("without")
        )
        done = import_bundle(bundle, only_school=current_user.acts_for)
    except BundleRefused as refused:
        return jsonify(code="roster-refused", faults=[str(fault) for fault in refused.faults]), 422
    return jsonify(
        imported=done.counts,
        left_aside=bundle.left_aside,
        notes=[str(note) for note in done.remarks],
    )


@api.get("/me")
@privacy.handles(
    "account.identity",
    roles=STAFF | {"parent", "guest", "support", "auditor"},
    purpose="provide-service",
)
def me() -> Any:
    """The actor's own account."""
    account: Account = current_user
    return jsonify(
        id=str(account.id),
        name=account.name,
        username=account.username,
        email=account.email,
        role=account.acts_as,
    )


@api.post("/newsletter")
@privacy.handles(
    "commercial.contact",
    roles=STAFF | {"parent"},
    purpose=NEWSLETTER,
    actions={"read", "write", "disclose"},
    accepts=SUBSCRIBER,
)
def subscribe() -> Any:
    """Subscribe to the newsletter with an address of one's choice: consent, contact, Mailchimp, in
    this order.
    """
    sent = privacy.accepted
    contact = _contact()
    privacy.consents.give(
        ("contact", contact.id),
        purpose=NEWSLETTER,
        text_version=sent["agreed_to"],
        collected_via="web-form",
        actor=acting(),
    )
    contact.email = sent["email"]
    db.session.add(contact)
    db.session.commit()
    with privacy.disclose("mailchimp", purpose=NEWSLETTER, subject=contact) as out:
        mailchimp.subscribe(
            out, list_id=current_app.config["MAILCHIMP_LIST"], email=labelled(contact, "email")
        )
    return jsonify(subscribed=True)


@api.post("/newsletter/with-a-student")
@privacy.handles(
    "commercial.contact",
    roles=STAFF | {"parent"},
    purpose=NEWSLETTER,
    actions={"read", "write", "disclose"},
)
def subscribe_a_student() -> Any:
    """What must not work: a student's name on its way to the newsletter. Refused before any
    connection.
    """
    contact = _contact()
    pupil = db.session.scalars(
        select(Student).where(Student.school_id == current_user.acts_for)
    ).first()
    with privacy.disclose("mailchimp", purpose=NEWSLETTER, subject=contact) as out:
        out.send("PUT", ["lists", "any"], {"email_address": labelled(pupil, "first_name")})
    return jsonify(subscribed=True)


def _contact() -> NewsletterContact:
    found = db.session.scalars(
        select(NewsletterContact).where(NewsletterContact.account_id == current_user.id)
    ).first()
    return found or NewsletterContact(id=current_user.id, account_id=current_user.id)


def _are_strokes(sent: Any) -> bool:
    return isinstance(sent, list) and all(
        isinstance(stroke, list)
        and all(
            isinstance(point, list) and all(type(number) in (int, float) for number in point)
            for point in stroke
        )
        for stroke in sent
    )


def _shown(row: Student) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "username": row.username,
        "first_name": row.first_name,
        "last_name": row.last_name,
        "birth_date": row.birth_date.isoformat() if row.birth_date else None,
        "email": row.email,
        "level": row.level,
    }


def _change(row: Student, sent: dict[str, Any]) -> None:
    """Set fields and store the row; raises `RequestConflict`, and then nothing is stored."""
    for name, value in sent.items():
        setattr(row, name, value)
    db.session.add(row)
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        raise RequestConflict("username: another student of this school has it") from None


def _identifier(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise RequestInvalid("school: the id of a school") from None
