"""The extension, and who is asking."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import request
from flask_login import LoginManager

from flask_lgprivacy import Actor, LGPrivacy, flask_login_actor
from flask_lgprivacy.errors import RequestInvalid

from .models import Account, Student, db

privacy = LGPrivacy()
login = LoginManager()


def _describe(user: Account | Student) -> Actor:
    if isinstance(user, Student):
        return Actor(user.id, role="student", client=user.school_id, subjects=[("student", user.id)])
    return Actor(user.id, role=user.role, client=user.school_id, subjects=[("account", user.id), ("contact", user.id)])


_signed_in = flask_login_actor(_describe)


@privacy.actor_loader
def current_actor() -> Actor | None:
    """Whoever is signed in; who signs in is nobody yet."""
    return None if request.endpoint == "access.sign_in" else _signed_in()


@login.user_loader
def load_user(user_id: str) -> Any:
    """The user behind a session cookie: rows are loaded, nothing of them is opened."""
    return db.session.get(Account, UUID(user_id)) or db.session.get(Student, UUID(user_id))


def acting() -> Actor:
    """Who is signed in, in a view that is only for people who are."""
    actor = _signed_in()
    if actor is None:
        raise RequestInvalid("nobody is signed in")
    return actor
