"""The extension, and who is asking."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import request, session
from flask_login import LoginManager

from flask_lgprivacy import Actor, EmergencyNotice, LGPrivacy, flask_login_actor
from flask_lgprivacy.errors import RequestInvalid

from .models import Account, Membership, SchoolNotice, Student, db


def tell_the_school(notice: EmergencyNotice) -> None:
    """Put a notice where the school's administrator sees it (`GET /notices`); a mail would go out
    here too.
    """
    categories, until = ", ".join(sorted(notice.categories)), f"{notice.until:%Y-%m-%d %H:%M} UTC"
    text = f"{notice.ground}, case {notice.case}: an agent may see {categories} until {until}"
    db.session.add(
        SchoolNotice(school_id=UUID(notice.client), told_at=datetime.now(UTC), text=text)
    )
    db.session.commit()


privacy = LGPrivacy(notify=tell_the_school)
login = LoginManager()


def _describe(user: Account | Student) -> Actor:
    if isinstance(user, Student):
        return Actor(
            user.id, role=user.acts_as, client=user.acts_for, subjects=[("student", user.id)]
        )
    subjects = [("account", user.id), ("contact", user.id)]
    is_strong = session.get("strong") == str(user.id)
    return Actor(
        user.id,
        role=user.acts_as,
        client=user.acts_for,
        subjects=subjects,
        strongly_authenticated=is_strong,
    )


_signed_in = flask_login_actor(_describe)


@privacy.actor_loader
def current_actor() -> Actor | None:
    """Whoever is signed in; who signs in is nobody yet."""
    return None if request.endpoint == "access.sign_in" else _signed_in()


@login.user_loader
def load_user(user_id: str) -> Any:
    """The user behind a session cookie that is still good: rows are loaded, nothing of them is
    opened.
    """
    user = db.session.get(Account, UUID(user_id)) or db.session.get(Student, UUID(user_id))
    if user is None or not user.is_active or session.get("number") != user.session_number:
        return None
    if isinstance(user, Account) and user.school_id is not None:
        chosen = session.get("membership")
        user.membership = db.session.get(Membership, UUID(chosen)) if chosen else None
        if (
            user.membership is None
            or user.membership.account_id != user.id
            or not user.membership.is_active
        ):
            return None  # the role that the session began with has ended or was taken away
    return user


def acting() -> Actor:
    """Who is signed in, in a view that is only for people who are."""
    actor = _signed_in()
    if actor is None:
        raise RequestInvalid("nobody is signed in")
    return actor
