"""A few plain pages: start, students, one student, the trail."""

from __future__ import annotations

from collections import deque
from typing import Any
from uuid import UUID

from flask import Blueprint, current_app, render_template, request
from flask_login import current_user
from sqlalchemy import select

from flask_lgprivacy.audit import read_trail, verify_trail
from flask_lgprivacy.errors import RequestNotFound

from .access import memberships_of
from .demonstration import ACCOUNTS
from .models import Exercise, School, Student, db
from .privacy import privacy

pages = Blueprint("pages", __name__)
STAFF = {"teacher", "administrator"}


@pages.app_context_processor
def whom_to_ask() -> dict[str, Any]:
    """The contact of the policy document, for every page (LG-31)."""
    return {"contact": privacy.policy.contact}


@pages.get("/")
@privacy.exempt("lists the accounts of the demonstration; opens nothing")
def start() -> Any:
    """What can be tried."""
    schools = db.session.scalars(select(School).order_by(School.name)).all()
    role = current_user.acts_as if current_user.is_authenticated else None
    school = current_user.acts_for if current_user.is_authenticated else None
    on_device = school is not None and privacy.storage.of(school) == "device"
    return render_template(
        "start.html",
        accounts=ACCOUNTS,
        schools=schools,
        role=role,
        on_device=on_device,
        memberships=list(memberships_of(current_user)),
    )


@pages.get("/pages/students")
@privacy.handles("student.profile", roles={"support"}, purpose="assistance")
@privacy.handles("student.profile", roles=STAFF | {"guest"}, purpose="provide-service")
def students_page() -> Any:
    """The students of the actor's school; an agent, who acts for none, chooses one."""
    school = current_user.acts_for or request.args.get("school", type=UUID)
    if school is None:
        schools = db.session.scalars(select(School).order_by(School.name)).all()
        return render_template("students.html", students=[], schools=schools)
    query = select(Student).where(Student.school_id == school)
    return render_template("students.html", students=db.session.scalars(query).all(), schools=[])


@pages.get("/pages/students/<uuid:student_id>")
@privacy.handles(
    "student.profile", "student.activity", roles={"student"} | STAFF, purpose="provide-service"
)
def student_page(student_id: UUID) -> Any:
    """One student with the exercises."""
    student = db.get_or_404(Student, student_id)
    written = db.session.scalars(select(Exercise).where(Exercise.student_id == student_id)).all()
    return render_template("student.html", student=student, exercises=written)


@pages.get("/pages/device")
@privacy.handles(roles=STAFF, purpose="provide-service")
def device_page() -> Any:
    """Profiles that stay in the browser, for a school that keeps them on its devices."""
    if current_user.acts_for is None or privacy.storage.of(current_user.acts_for) != "device":
        raise RequestNotFound("your school keeps its profiles on the server: see the students")
    return render_template("device.html")


@pages.get("/trail")
@privacy.handles(roles={"auditor"}, purpose="provide-service")
def trail_page() -> Any:
    """The newest events, and whether the chains hold."""
    directory = current_app.config["LGPRIVACY_TRAIL_DIRECTORY"]
    events = list(deque(read_trail(directory), maxlen=50))
    return render_template("trail.html", report=verify_trail(directory), events=reversed(events))
