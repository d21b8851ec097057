"""The pages on extending the package: their code runs from outside of it, as one new file and one changed line."""

from __future__ import annotations

from pathlib import Path

import pytest
from snippets import blocks, run_in

APPLICATION = """
from pathlib import Path
from uuid import UUID, uuid4

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import Actor, LGPrivacy, sealed, subject
from flask_lgprivacy.testing import make_key_file

app = Flask("extended", instance_path=str(Path.cwd()))
here = {"host": "this machine", "country": "FR"}
app.config.update(
    SQLALCHEMY_DATABASE_URI=f"sqlite:///{Path.cwd()}/data.db",
    LGPRIVACY_STORES=dict.fromkeys(("database", "trail", "key-service:root"), here),
)
db = SQLAlchemy(engine_options={"hide_parameters": True})


class Student(db.Model):
    __privacy__ = subject("student", client="school_id")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID]
    first_name: Mapped[str] = sealed("student.profile")


db.init_app(app)
make_key_file(Path("lgprivacy.key"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_a_trail_of_ones_own_is_written_read_and_verified(folder: Path) -> None:
    module, changed = blocks("docs/extending/trail.md", "python")
    (folder / "lines_trail.py").write_text(module, encoding="utf-8")
    trial = """
privacy.init_app(app)
privacy.actor_loader(lambda: None)
with app.app_context():
    privacy.initialise()
    db.create_all()
    school = uuid4()
    writer = Actor("writer", role="teacher", client=school)
    with privacy.processing("student.profile", actor=writer, purpose="provide-service", actions={"write"}, job="trial"):
        db.session.add(Student(school_id=school, first_name="Noé"))
        db.session.commit()
command = app.test_cli_runner()
shown = command.invoke(args=["privacy", "audit", "show", "--category", "student.profile"])
assert "write student.profile of 1" in shown.output, shown.output
assert command.invoke(args=["privacy", "audit", "verify"]).exit_code == 0
assert not Path("trail").exists()
events = Path("events.jsonl")
events.write_text(events.read_text().replace("writer", "x").replace('"teacher"', '"guest"', 1))
verified = command.invoke(args=["privacy", "audit", "verify"])
assert (verified.exit_code, "TAMPERED" in verified.output) == (1, True), verified.output
with app.app_context():
    db.engine.dispose()
"""
    run_in(folder, f"{APPLICATION}\nfrom lines_trail import LinesTrail\n{changed}{trial}")
