"""Signing in and out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from flask import Blueprint, flash, jsonify, redirect, request, session, url_for
from flask_login import current_user, login_user, logout_user
from pyotp import TOTP
from sqlalchemy import select
from werkzeug.local import LocalProxy

from flask_lgprivacy import find_by

from .models import Account, Membership, School, Student, db
from .privacy import privacy

access = Blueprint("access", __name__)
hasher = PasswordHasher()
_SOMEBODY = hasher.hash("nobody has this password")


@access.post("/sign-in")
@privacy.handles(
    "account.identity",
    "account.credentials",
    "student.profile",
    "student.credentials",
    roles={"public"},
    purpose="sign-in",
)
def sign_in() -> Any:
    """Sign in with username and password; students name their school too, and staff who send the
    code of their second factor are strongly authenticated.
    """
    sent: Any = request.get_json(silent=True) if request.is_json else request.form.to_dict()
    if not isinstance(sent, dict):
        return jsonify(code="request-invalid", detail="send username and password"), 422
    username, password, school, code = (
        str(sent.get(name) or "") for name in ("username", "password", "school", "code")
    )
    user = _find(username, school)
    hashed = (user.password_hash if user is not None else None) or _SOMEBODY
    if not _matches(hashed, password) or user is None or not user.is_active:
        return _refused_sign_in("username or password is wrong; students also name their school")
    membership = next((one for one, _ in memberships_of(user)), None)
    if isinstance(user, Account) and user.school_id is not None and membership is None:
        return _refused_sign_in("no school has a role for this account any more")
    login_user(user)
    session.pop("strong", None)
    session["number"] = user.session_number
    session["membership"] = str(membership.id) if membership is not None else None
    has_factor = isinstance(user, Account) and user.second_factor is not None
    if (
        isinstance(user, Account)
        and user.second_factor
        and TOTP(user.second_factor).verify(code, valid_window=1)
    ):
        session["strong"] = str(user.id)
    is_strong = "strong" in session
    if has_factor and not is_strong:
        flash("signed in, but not strongly: the code of the second factor was missing or wrong")
    return (
        jsonify(signed_in=True, strongly=is_strong)
        if request.is_json
        else redirect(url_for("pages.start"))
    )


@access.get("/memberships")
@privacy.exempt("the schools in which whoever is signed in has a role; opens nothing")
def memberships() -> Any:
    """Where whoever is signed in may act, and where they act now."""
    return jsonify(
        [
            {
                "id": str(one.id),
                "school": school,
                "role": one.role,
                "now": one == current_user.membership,
            }
            for one, school in memberships_of(current_user)
        ]
    )


@access.post("/memberships/<uuid:membership_id>/act")
@privacy.exempt("chooses among one's own roles; opens nothing")
def act_in(membership_id: UUID) -> Any:
    """Act in another of one's own memberships from now on."""
    if membership_id not in {one.id for one, _ in memberships_of(current_user)}:
        return jsonify(
            code="not-found", detail="you have no such membership; GET /memberships lists them"
        ), 404
    session["membership"] = str(membership_id)
    return (
        jsonify(acting=str(membership_id)) if request.is_json else redirect(url_for("pages.start"))
    )


@access.post("/sign-out")
@privacy.exempt("ends a session; reads nothing")
def sign_out() -> Any:
    """Sign out everywhere: a copy of the cookie is worth nothing after this."""
    if current_user.is_authenticated:
        current_user.session_number += 1
        db.session.commit()
    logout_user()
    return jsonify(signed_in=False) if request.is_json else redirect(url_for("pages.start"))


@access.get("/schools")
@privacy.exempt("names of organisations, needed to sign in")
def schools() -> Any:
    """The schools that students can choose from."""
    return jsonify(
        [
            {"id": str(one.id), "name": one.name}
            for one in db.session.scalars(db.select(School).order_by(School.name))
        ]
    )


def memberships_of(user: Any) -> list[tuple[Membership, str]]:
    """The memberships of an account with the names of their schools, the one that it had first at
    the beginning.
    """
    if not isinstance(
        user._get_current_object() if isinstance(user, LocalProxy) else user, Account
    ):
        return []
    query = select(Membership, School.name).join(School, School.id == Membership.school_id)
    every = db.session.execute(query.where(Membership.account_id == user.id))
    rows = [(one, school) for one, school in every if one.is_active]
    at_home = (user.school_id, user.role)
    return sorted(
        rows, key=lambda row: ((row[0].school_id, row[0].role) != at_home, row[1], row[0].role)
    )


def _refused_sign_in(said: str) -> Any:
    if request.is_json:
        return jsonify(code="sign-in-failed", detail=said), 401
    flash(said)
    return redirect(url_for("pages.start"))


def _find(username: str, school: str) -> Account | Student | None:
    if not school:
        return db.session.scalars(find_by(Account, username=username)).one_or_none()
    try:
        return db.session.scalars(
            find_by(Student, of_client=UUID(school), username=username)
        ).one_or_none()
    except ValueError:
        return None


def _matches(hashed: str, password: str) -> bool:
    try:
        return hasher.verify(hashed, password)
    except (VerifyMismatchError, InvalidHashError):
        return False
