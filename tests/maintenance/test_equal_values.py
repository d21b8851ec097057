"""Values that a unique index would not take are named before anything is sealed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from databases import past_the_gate
from ownership import Application, fresh_database, start
from sqlalchemy import Column, Integer, String, insert
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import BlindIndex, sealed, subject

SOON = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)).isoformat()
COMMAND = ["privacy", "keys", "migrate", "Person"]


def deployed(folder: Path, *emails: str | None, is_text: bool = False) -> Application:
    db = fresh_database()

    class Person(db.Model):  # type: ignore[misc, name-defined]
        __privacy__ = subject("account")
        id = mapped_column(String(20) if is_text else Integer, primary_key=True)
        email: Mapped[str | None] = sealed(
            "account.identity", index=BlindIndex("email"), unique=True,
            migrates_from=Column("email", String(80)),
        )  # fmt: skip

    application = start(db, folder, LGPRIVACY_MIGRATION_WINDOWS={"Person": SOON})
    rows = [
        {"id": f"name-{number}" if is_text else number, "email": email, "lgprivacy_version": 0}
        for number, email in enumerate(emails, 1)
    ]
    with application.app.app_context(), db.engine.begin() as connection:
        past_the_gate(connection).execute(insert(Person.__table__), rows)
    return application


@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["rehearsal", "migration"])
def test_equal_values_are_named_by_their_rows(options: list[str], tmp_path: Path) -> None:
    application = deployed(
        tmp_path / "a", "Ada@example.org", "bob@example.org", "ada@EXAMPLE.org ", None, None
    )
    done = application.app.test_cli_runner().invoke(args=[*COMMAND, *options])
    assert done.exit_code == 1
    assert (
        "Person.email: 2 rows have a value that another one has, as its unique index compares "
        "them (1, 3); change all but one of each, then run this again"
    ) in done.output
    assert "example.org" not in done.output.lower()
    with application.app.app_context():
        assert len([row for row in application.stored("person") if "Ada@example.org" in row]) == 1


def test_rows_whose_identifier_may_be_a_name_are_counted(tmp_path: Path) -> None:
    application = deployed(tmp_path / "a", "a@example.org", "a@example.org", is_text=True)
    done = application.app.test_cli_runner().invoke(args=COMMAND)
    assert "Person.email: 2 rows have a value that another one has" in done.output
    assert "name-1" not in done.output


def test_values_that_differ_are_sealed(tmp_path: Path) -> None:
    application = deployed(tmp_path / "a", "a@example.org", "b@example.org", None, None)
    runner = application.app.test_cli_runner()
    assert "rows: 4" in runner.invoke(args=[*COMMAND, "--dry-run"]).output
    assert "rows sealed: 4" in runner.invoke(args=COMMAND).output
