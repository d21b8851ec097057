"""Applications made of a schema that says whose rows are, and what people of them are shown and leave behind."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from databases import IS_POSTGRESQL, uri
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from school import MADE, STORES
from sqlalchemy import event, text
from sqlalchemy.orm import DeclarativeBase

from flask_lgprivacy import Actor, LGPrivacy
from flask_lgprivacy.policy import Right
from flask_lgprivacy.policy.loader import SHIPPED
from flask_lgprivacy.rights.requests import RightsRequest
from flask_lgprivacy.testing import make_key_file

KINDS = ("account", "customer", "clinician")
"""Kinds of subject of the document below; whatever is held of the first may be held of each."""


def policy_document() -> str:
    """The shipped document, with two more kinds of subject that may do what account holders may."""
    document = SHIPPED.read_text(encoding="utf-8")
    document = document.replace(
        "[subjects]\n", '[subjects]\ncustomer = "buys"\nclinician = "heals"\n'
    )
    document = document.replace('subjects = ["account"]', f"subjects = {json.dumps(KINDS)}")
    rights = document.split("[[rights]]")
    for part in rights:
        if 'subject = "account"' in part:
            for kind in KINDS[1:]:
                copy = part.partition("# ---")[0].replace(
                    'subject = "account"', f'subject = "{kind}"'
                )
                document += f"\n[[rights]]{copy}"
    return document


def fresh_database() -> Any:
    """A database object with a metadata of its own."""

    class Base(DeclarativeBase):
        pass

    return SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True})


@dataclass
class Application:
    """One application on a schema.

    Attributes:
        app: Started.
        privacy: Its extension.
        db: Its database.
        folder: Where it stands.
    """

    app: Flask
    privacy: LGPrivacy
    db: Any
    folder: Path

    @property
    def runtime(self) -> Any:
        """Of the extension."""
        return self.app.extensions["lgprivacy"].runtime

    def writing(self) -> Any:
        """A job that records people."""
        return self.privacy.processing(
            "account.identity",
            actor=Actor("set-up", role="job"),
            purpose="provide-service",
            actions={"write"},
            job="set-up",
        )

    def ask(self, right: Right, kind: str, one: Any) -> RightsRequest:
        """A person exercises a right."""
        self.db.session.expunge_all()
        myself = Actor(one, role="teacher", subjects=[(kind, one)])
        return self.privacy.rights.submit(right, myself, kind=kind, one=str(one))

    def export(self, kind: str, one: Any) -> dict[str, list[dict[str, Any]]]:
        """What a person is shown, by table."""
        request = self.ask(Right.EXPORT, kind, one)
        assert request.state == "completed", request
        myself = Actor(one, role="teacher", subjects=[(kind, one)])
        content = self.privacy.rights.archive(myself, request.id)
        shown: dict[str, list[dict[str, Any]]] = json.loads(
            zipfile.ZipFile(io.BytesIO(content)).read("data.json")
        )
        return shown

    def erase(self, kind: str, one: Any) -> RightsRequest:
        """A person is erased."""
        return self.ask(Right.DELETE, kind, one)

    def stored(self, table: str) -> list[tuple[Any, ...]]:
        """The rows of a table as the database has them."""
        rows = self.db.session.execute(text(f'SELECT * FROM "{table}"')).all()
        self.db.session.commit()
        return sorted((tuple(row) for row in rows), key=str)


def start(
    db: Any, folder: Path, *, enforced: bool = True, initialised: bool = True, **config: Any
) -> Application:
    """Start an application on the models of a database; foreign keys hold on SQLite where they are `enforced`."""
    folder.mkdir(parents=True, exist_ok=True)
    app = Flask("ownership", instance_path=str(folder), static_folder=None)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=uri(folder, "data"),
        LGPRIVACY_STORES=STORES,
        LGPRIVACY_POLICY=str(folder / "policy.toml"),
    )
    app.config.update(config)
    (folder / "policy.toml").write_text(policy_document(), encoding="utf-8")
    if not (folder / "lgprivacy.key").exists():
        make_key_file(folder / "lgprivacy.key")
    db.init_app(app)
    privacy = LGPrivacy()
    made = Application(app, privacy, db, folder)
    with app.app_context():
        if enforced and not IS_POSTGRESQL:
            event.listen(db.engine, "connect", enforce)
        privacy.init_app(app)
        if initialised:
            privacy.initialise()
        db.create_all()
        _ = made.runtime.models.graph
    MADE.append(made)  # type: ignore[arg-type]
    return made


def enforce(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


def as_text(values: Mapping[str, Any], columns: list[str]) -> str:
    """A row as `1|two|NULL`."""
    return "|".join("NULL" if values.get(name) is None else str(values[name]) for name in columns)
