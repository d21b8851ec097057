"""The pages on extending the package: their code runs from outside of it, as one new file and at most one changed line."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from snippets import ROOT, blocks, run_in

from flask_lgprivacy.policy import SHIPPED

PAGES = ROOT / "docs" / "extending"
APPLICATION = """
from pathlib import Path
from uuid import UUID, uuid4

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import LGPrivacy, sealed, subject

app = Flask("extended", instance_path=str(Path.cwd()))
here = {"host": "this machine", "country": "FR"}
app.config.update(
    SQLALCHEMY_DATABASE_URI=f"sqlite:///{Path.cwd()}/data.db",
    LGPRIVACY_STORES={
        **dict.fromkeys(("database", "trail", "key-service:root"), here),
        "files:drawings": {**here, "categories": ["student.activity"]},
    },
    LGPRIVACY_AGENTS=[("account", "a2")],
)
app.config.from_prefixed_env()
db = SQLAlchemy(engine_options={"hide_parameters": True})


class Student(db.Model):
    __privacy__ = subject("student", client="school_id")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    school_id: Mapped[UUID]
    first_name: Mapped[str] = sealed("student.profile")
    objects: Mapped[bool | None] = sealed("student.profile")


class Account(db.Model):
    __privacy__ = subject("account", client="school_id")
    id: Mapped[str] = mapped_column(primary_key=True)
    school_id: Mapped[UUID]
    email: Mapped[str] = sealed("account.identity")


class Contact(db.Model):
    __privacy__ = subject("contact")
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = sealed("commercial.contact")
    email: Mapped[str] = sealed("commercial.contact")


privacy = LGPrivacy()


def start():
    db.init_app(app)
    privacy.init_app(app)
    privacy.actor_loader(lambda: None)
    with app.app_context():
        privacy.initialise()
        db.create_all()
"""
TRIAL = """
import io
import json
import zipfile

from application import *
from flask_lgprivacy import Actor, labelled
from flask_lgprivacy.testing import acting_as

start()
school, pupil = uuid4(), uuid4()
teacher = Actor("teacher", role="teacher", client=school)
administrator = Actor("head", role="administrator", client=school)


def write(*rows):
    with privacy.processing(
        "student.profile", actor=teacher, purpose="provide-service", actions={"write"}, job="trial"
    ):
        db.session.add_all(rows)
        db.session.commit()


def post(actor, path, body):
    with acting_as(app, actor):
        return app.test_client().post("/privacy" + path, json=body)


def get(actor, path):
    with acting_as(app, actor):
        return app.test_client().get("/privacy" + path)


about = {"subject": {"kind": "student", "id": str(pupil)}}
with app.app_context():
    write(Student(id=pupil, school_id=school, first_name="Noé"))
"""
END = """
with app.app_context():
    db.engine.dispose()
"""


@dataclass
class Extended:
    """An application to which a page's code was added."""

    folder: Path

    def tries(self, trial: str, **environment: str) -> None:
        run_in(self.folder, TRIAL + trial + END, **environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "application.py").write_text(APPLICATION, encoding="utf-8")
    return tmp_path


def extend(folder: Path, page: str) -> Extended:
    """Do what a page says: its first block becomes the file that it names, its second one replaces a line."""
    text = (PAGES / page).read_text(encoding="utf-8")
    named = re.search(r"^One new file, `(\w+\.py)`", text, re.MULTILINE)
    assert named is not None
    module, *changed = blocks(f"docs/extending/{page}", "python")
    assert not (folder / named[1]).exists()
    (folder / named[1]).write_text(module, encoding="utf-8")
    before = APPLICATION.splitlines()
    is_changed = [line for line in changed if line.startswith("privacy = LGPrivacy(")]
    after = [
        is_changed[0].rstrip() if is_changed and line == "privacy = LGPrivacy()" else line
        for line in before
    ]
    (folder / "application.py").write_text("\n".join(after), encoding="utf-8")
    added = [line for line in difflib.ndiff(before, after) if line.startswith("+ ")]
    assert len(added) == len(is_changed) <= 1
    return Extended(folder)


def own_document(folder: Path, old: str, new: str) -> dict[str, str]:
    """A policy document of the publisher's own, which promises something that the package does not do by itself."""
    shipped = SHIPPED.read_text(encoding="utf-8")
    assert old in shipped
    (folder / "policy.toml").write_text(shipped.replace(old, new, 1), encoding="utf-8")
    return {"FLASK_LGPRIVACY_POLICY": str(folder / "policy.toml")}


def refuses_to_start(folder: Path, says: str, **environment: str) -> None:
    trial = f"""
from application import *
from flask_lgprivacy import ConfigurationError
try:
    start()
except ConfigurationError as error:
    assert {says!r} in str(error), error
else:
    raise SystemExit("it started")
"""
    run_in(folder, trial, **environment)


def test_a_trail_of_ones_own_takes_the_place_of_the_files(folder: Path) -> None:
    trial = """
command = app.test_cli_runner()
shown = command.invoke(args=["privacy", "audit", "show", "--category", "student.profile"])
assert "write student.profile of 1" in shown.output, shown.output
assert command.invoke(args=["privacy", "audit", "verify"]).exit_code == 0
assert not Path("trail").exists()
events = Path("events.jsonl")
events.write_text(events.read_text().replace("writer", "x").replace('"teacher"', '"guest"', 1))
verified = command.invoke(args=["privacy", "audit", "verify"])
assert (verified.exit_code, "TAMPERED" in verified.output) == (1, True), verified.output
"""
    extend(folder, "trail.md").tries(trial)


def test_a_right_of_ones_own_is_exercised_over_http(folder: Path) -> None:
    names = 'rights = ["export", "delete", "rectify"]'
    document = own_document(folder, names, names.replace('"]', '", "object"]'))
    refuses_to_start(folder, "no code handles the right object", **document)
    trial = """
done = post(administrator, "/object", about)
assert (done.status_code, done.json["right"], done.json["state"]) == (202, "object", "completed"), done.text
assert post(teacher, "/object", about).status_code == 403
with app.app_context(), privacy.processing(
    "student.profile", actor=teacher, purpose="provide-service", job="trial"
):
    assert db.session.get(Student, pupil).objects is True
shown = app.test_cli_runner().invoke(args=["privacy", "audit", "show"])
assert "object" in shown.output, shown.output
"""
    extend(folder, "right.md").tries(trial, **document)


def test_a_connector_of_ones_own_sends_labelled_values(folder: Path) -> None:
    caller = blocks("docs/extending/connector.md", "python")[1]
    trial = f"""
from http.server import BaseHTTPRequestHandler

import pipedrive
from example_app.mailchimp_standin import MailchimpStandIn


class StandIn(MailchimpStandIn):
    def _handler(self):
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                content = json.dumps({{"data": {{"id": 7}}}}).encode()
                self.send_response(201)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        return Handler


stand_in = StandIn(Path.cwd())
stand_in.start()
from flask_lgprivacy.disclosure.address import parse_recipient_addresses

{caller}
with app.app_context():
    state = app.extensions["lgprivacy"]
    state.config.recipients.update(
        parse_recipient_addresses(
            state.policy,
            {{"pipedrive": {{"base_url": stand_in.base_url, "ca_file": str(stand_in.ca_file)}}}},
        )
    )
    with privacy.processing(
        "commercial.contact",
        actor=Actor("nightly", role="job"),
        purpose="customer-journey",
        actions={{"read", "write", "disclose"}},
        job="trial",
    ):
        contact = Contact(name="A. Martin", email="a.martin@ecole.example")
        db.session.add(contact)
        db.session.commit()
        assert tell_pipedrive(contact) == 7
[(path, body)] = stand_in.received
assert (path, json.loads(body)["name"]) == ("/3.0/persons", "A. Martin"), path
stand_in.stop()
"""
    extend(folder, "connector.md").tries(trial)


def test_a_key_provider_kind_of_ones_own_is_named_in_the_settings(folder: Path) -> None:
    (folder / "passphrase").write_text("correct horse battery staple\n", encoding="utf-8")
    [setting] = blocks("docs/extending/key-provider.md", "json")
    setting = setting.replace("/run/secrets/passphrase", str(folder / "passphrase"))
    trial = """
from flask_lgprivacy.errors import KeyUnavailable
assert not Path("lgprivacy.key").exists()
with app.app_context(), privacy.processing(
    "student.profile", actor=teacher, purpose="provide-service", job="trial"
):
    assert db.session.get(Student, pupil).first_name == "Noé"
"""
    extended = extend(folder, "key-provider.md")
    extended.tries(trial, FLASK_LGPRIVACY_KEY_SERVICES=setting)
    wrong = setting.replace("passphrase_file", "passphrase_path")
    refuses_to_start(
        folder,
        "passphrase has no option 'passphrase_path'; it has passphrase_file, cost",
        FLASK_LGPRIVACY_KEY_SERVICES=wrong,
    )


def test_a_grant_workflow_of_ones_own_is_named_in_the_document(folder: Path) -> None:
    document = own_document(folder, 'workflow = "invitation"', 'workflow = "until-tonight"')
    refuses_to_start(folder, "no code does the workflow until-tonight", **document)
    trial = """
with app.app_context(), privacy.processing(
    "account.identity", actor=administrator, purpose="provide-service", actions={"write"}, job="trial"
):
    db.session.add(Account(id="a1", school_id=school, email="guest@ecole.example"))
    db.session.commit()
wanted = {
    "kind": "guest", "to": {"kind": "account", "id": "a1"}, "categories": ["student.profile"],
    "all": True,
}
given = post(administrator, "/grants", wanted)
assert given.status_code == 201, given.text
assert given.json["until"].endswith("23:59:59+00:00"), given.json
assert post(teacher, "/grants", wanted).status_code == 403
"""
    extend(folder, "grant-kind.md").tries(trial, **document)


def test_a_store_of_ones_own_takes_part_in_rights(folder: Path) -> None:
    trial = """
drawing = Path("drawings") / pupil.hex / "house.svg"
drawing.parent.mkdir(parents=True)
drawing.write_text("<svg/>")
exported = post(administrator, "/export", about)
assert exported.json["state"] == "completed", exported.text
content = get(administrator, exported.json["links"]["archive"].removeprefix("/privacy")).data
archive = zipfile.ZipFile(io.BytesIO(content))
assert archive.read("files/drawings/house.svg") == b"<svg/>", archive.namelist()
erased = post(administrator, "/delete", about)
assert erased.json["state"] == "completed", erased.text
certificate = get(administrator, erased.json["links"]["certificate"].removeprefix("/privacy")).json
assert certificate["erased"] == {"Student": 1, "archives": 1, "files:drawings": 1}, certificate
assert not drawing.exists()
"""
    extend(folder, "store.md").tries(trial)


def test_a_notifier_of_ones_own_tells_a_client_of_an_emergency(folder: Path) -> None:
    trial = """
import mailbox
operator = Actor("officer", role="operator", subjects=[("account", "a9")], strongly_authenticated=True)
given = post(
    operator,
    "/grants",
    {
        "kind": "emergency", "to": {"kind": "account", "id": "a2"}, "client": str(school), "case": "INC-7",
        "ground": "fraud-and-security", "categories": ["student.profile"], "all": True, "hours": 2,
    },
)
assert given.status_code == 201, given.text
[message] = mailbox.Maildir("outbox")
assert "INC-7" in message["Subject"] and given.json["id"] in message.get_payload()
"""
    extend(folder, "notifier.md").tries(trial)


def test_a_renderer_of_ones_own_adds_a_file_to_the_archive(folder: Path) -> None:
    trial = """
exported = post(administrator, "/export", about)
content = get(administrator, exported.json["links"]["archive"].removeprefix("/privacy")).data
archive = zipfile.ZipFile(io.BytesIO(content))
assert "Noé" in archive.read("data.xml").decode()
assert "data.xml" in json.loads(archive.read("manifest.json"))
"""
    extend(folder, "renderer.md").tries(trial)


def test_a_part_that_cannot_be_imported_is_named(folder: Path) -> None:
    application = APPLICATION.replace("LGPrivacy()", 'LGPrivacy(trail="no_such_module:TRAIL")')
    (folder / "application.py").write_text(application, encoding="utf-8")
    refuses_to_start(folder, "LGPrivacy(trail=…): 'no_such_module:TRAIL' cannot be imported")
