"""Every HTTP call with a request and its answer, as a small application gives them
at this moment.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import Actor, LGPrivacy, sealed, subject
from flask_lgprivacy.testing import InMemoryAuditTrail, acting_as, make_key_file

NOW = dt.datetime(2026, 11, 2, 9, 30, tzinfo=dt.UTC)
SCHOOL, PUPIL, HEAD, TEACHER, GUEST, AGENT, OFFICER = (UUID(int=number) for number in range(1, 8))
HERE = {"host": "OVH SAS, Roubaix", "country": "FR"}


def make_application(folder: Path) -> tuple[Flask, SQLAlchemy]:
    """One school with a pupil, its people, a support agent and a privacy officer."""
    app = Flask("examples", static_folder=None, instance_path=str(folder))
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/data.db",
        LGPRIVACY_STORES=dict.fromkeys(("database", "trail", "key-service:root"), HERE),
        LGPRIVACY_AGENTS=[("account", AGENT)],
    )
    db = SQLAlchemy(engine_options={"hide_parameters": True})

    class Student(db.Model):  # type: ignore[name-defined]
        __privacy__ = subject("student", client="school_id")
        id: Mapped[UUID] = mapped_column(primary_key=True)
        school_id: Mapped[UUID]
        first_name: Mapped[str] = sealed("student.profile")

    class Account(db.Model):  # type: ignore[name-defined]
        __privacy__ = subject("account", client="school_id")
        id: Mapped[UUID] = mapped_column(primary_key=True)
        school_id: Mapped[UUID | None]
        email: Mapped[str] = sealed("account.identity")

    class Contact(db.Model):  # type: ignore[name-defined]
        __privacy__ = subject("contact")
        id: Mapped[UUID] = mapped_column(primary_key=True)
        email: Mapped[str] = sealed("commercial.contact")

    privacy = LGPrivacy(trail=InMemoryAuditTrail(), utcnow=lambda: NOW, notify=lambda _notice: None)
    db.init_app(app)
    privacy.init_app(app)
    privacy.actor_loader(lambda: None)
    make_key_file(folder / "lgprivacy.key")
    with app.app_context():
        privacy.initialise()
        db.create_all()
        head = actor(HEAD, "administrator")
        rows = (
            (
                "student.profile",
                "provide-service",
                [Student(id=PUPIL, school_id=SCHOOL, first_name="Noé")],
            ),
            (
                "account.identity",
                "provide-service",
                [
                    Account(id=person, school_id=SCHOOL, email=f"{role}@ecole.example")
                    for person, role in ((HEAD, "head"), (TEACHER, "teacher"), (GUEST, "guest"))
                ],
            ),
        )  # fmt: skip
        for category, purpose, people in rows:
            with privacy.processing(
                category, actor=head, purpose=purpose, actions={"write"}, job="examples"
            ):
                db.session.add_all(people)
                db.session.commit()
        with privacy.processing(
            "commercial.contact",
            actor=Actor(HEAD, role="contact", subjects=[("contact", HEAD)]),
            purpose="exercise-rights",
            actions={"write"},
            job="examples",
        ):
            db.session.add(Contact(id=HEAD, email="head@ecole.example"))
            db.session.commit()
    return app, db


def actor(person: UUID, role: str) -> Actor:
    """Somebody of the school, or of the publisher where the role is theirs."""
    is_staff = role in ("support", "operator")
    subjects = [("account", person)]
    if person == HEAD:
        subjects.append(("contact", person))
    return Actor(
        person,
        role=role,
        client=None if is_staff else SCHOOL,
        subjects=subjects,
        strongly_authenticated=is_staff,
    )


def examples() -> str:
    """Every call, one after the other, as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        app, db = make_application(Path(folder))
        try:
            return "\n\n".join(_calls(app))
        finally:
            with app.app_context():
                db.engine.dispose()


def _calls(app: Flask) -> list[str]:
    shown: list[str] = []
    head, teacher = actor(HEAD, "administrator"), actor(TEACHER, "teacher")
    agent, officer = actor(AGENT, "support"), actor(OFFICER, "operator")
    pupil = {"subject": {"kind": "student", "id": str(PUPIL)}}

    def call(who: Actor, method: str, path: str, route: str, body: Any = None) -> Any:
        with acting_as(app, who):
            answer = app.test_client().open(f"/privacy{path}", method=method, json=body)
        assert answer.status_code < 300, (method, path, answer.text)
        shown.append(_shown(who.role, method, path, route, body, answer))
        return answer.json if answer.is_json else None

    def link(request: Any, name: str) -> str:
        return str(request["links"][name]).removeprefix("/privacy")

    export = call(head, "POST", "/export", "/export", pupil)
    changes = {**pupil, "changes": {"first_name": "Noah"}}
    call(head, "POST", "/rectify", "/rectify", changes)
    call(head, "GET", "/requests", "/requests")
    call(head, "GET", link(export, "self"), "/requests/<request_id>")
    call(head, "GET", link(export, "archive"), "/requests/<request_id>/archive")
    call(head, "GET", "/consents", "/consents")
    consent = {"purpose": "product-updates", "given": True, "text_version": "2026-11"}
    call(head, "PUT", "/consents", "/consents", consent)
    guest = {
        "kind": "guest",
        "to": {"kind": "account", "id": str(GUEST)},
        "categories": ["student.profile"],
        "all": True,
        "until": "2026-11-30T18:00:00+01:00",
    }
    grant = call(head, "POST", "/grants", "/grants", guest)
    asked = {"categories": ["student.profile"], "all": True, "hours": 4, "reference": "T-1042"}
    assistance = call(teacher, "POST", "/assistance", "/assistance", asked)
    call(agent, "GET", "/assistance", "/assistance")
    call(agent, "POST", link(assistance, "ask"), "/assistance/<assistance_id>/ask", {})
    support = {
        "kind": "support",
        "assistance": assistance["id"],
        "to": {"kind": "account", "id": str(AGENT)},
        "hours": 2,
    }
    call(head, "POST", "/grants", "/grants", support)
    call(head, "DELETE", link(assistance, "close"), "/assistance/<assistance_id>")
    emergency = {
        "kind": "emergency",
        "client": str(SCHOOL),
        "to": {"kind": "account", "id": str(AGENT)},
        "ground": "fraud-and-security",
        "case": "INC-7",
        "categories": ["student.profile"],
        "all": True,
        "hours": 2,
    }
    call(officer, "POST", "/grants", "/grants", emergency)
    call(head, "GET", "/grants", "/grants")
    call(head, "DELETE", link(grant, "revoke"), "/grants/<grant_id>")
    erasure = call(head, "POST", "/delete", "/delete", pupil)
    certificate = link(erasure, "certificate")
    call(head, "GET", certificate, "/requests/<request_id>/certificate")
    return shown


def _shown(role: str, method: str, path: str, route: str, body: Any, answer: Any) -> str:
    parts = [
        f"### `{method} /privacy{route}` as {role}",
        "```http",
        f"{method} /privacy{path} HTTP/1.1",
    ]
    if body is not None:
        parts += ["Content-Type: application/json", "", _pretty(body)]
    parts += [
        "```",
        "",
        "```http",
        f"HTTP/1.1 {answer.status}",
        f"Content-Type: {answer.mimetype}",
        "",
    ]
    parts += [_pretty(answer.json) if answer.is_json else f"({len(answer.data)} bytes)", "```"]
    return "\n".join(parts)


def _pretty(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
