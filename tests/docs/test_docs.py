"""Every snippet and command of the README and of every page runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from snippets import ROOT, blocks, environment, run_in

from example_app.demonstration import ROSTERS

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "docs").rglob("*.md")
    if not {"generated", "_build"} & set(path.parts)
)
HOW_TO = [page for page in PAGES if page.startswith("docs/howto/") and blocks(page, "python")]
COMMANDS = [
    "docs/howto/first-start.md",
    "docs/howto/key-services.md",
    "docs/howto/rotate-keys.md",
    "docs/howto/change-models.md",
    "docs/howto/restore-backup.md",
    "docs/howto/verify-trail.md",
    "docs/howto/read-trail.md",
    "docs/howto/compare-policy.md",
]
"""The pages with commands; the first ones make what the others look at."""
MODELS_HOLD = """
with app.app_context():
    models = app.extensions["lgprivacy"].runtime.models
    models.check_again()
    assert models.graph.subjects
"""
"""What follows a page: its models start."""
TRY = """
from flask_lgprivacy.testing import acting_as, assert_refused

client = app.test_client()
"""
"""What the how-to pages take from the tutorial besides its application."""
RUN_ALL = """
import json, sys, traceback
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from flask.cli import main

for command in json.load(sys.stdin):
    sys.argv, said, status = command, StringIO(), 0
    try:
        with redirect_stdout(said), redirect_stderr(said):
            main()
    except SystemExit as end:
        status = end.code or 0
    if status:
        sys.exit(f"{' '.join(command)}: {status}: {said.getvalue()}")
"""


IMPORTS = """
from uuid import UUID, uuid4

from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from flask_lgprivacy import Actor, LGPrivacy, sealed, subject
"""
"""What the README says that its quickstart imports."""


def test_the_quickstart_of_the_readme_ends_in_its_refusal(tmp_path: Path) -> None:
    [code] = blocks("README.md", "python")
    [refusal] = blocks("README.md", "json")
    trial = f"""
with app.app_context():
    privacy.initialise()
    db.create_all()
    schools = [uuid4(), uuid4()]
    for school in schools:
        writer = Actor("writer", role="teacher", client=school)
        with privacy.processing(
            "student.profile", actor=writer, purpose="provide-service", actions={{"write"}}, job="trial"
        ):
            db.session.add(Student(school_id=school, first_name="A"))
            db.session.commit()
    own = {{"X-School": str(schools[0])}}
answer = app.test_client().get("/students", headers=own)
printed = {json.loads(refusal)!r}
assert {{name: answer.json[name] for name in printed}} == printed, answer.text
assert answer.json["says"] and answer.json["contact"]
with app.app_context():
    from sqlalchemy import text

    own_id = UUID(own["X-School"]).hex
    db.session.execute(text("DELETE FROM student WHERE school_id != :own"), {{"own": own_id}})
    db.session.commit()
assert app.test_client().get("/students", headers=own).json == ["A"]
"""
    assert len(re.findall(r"^[^\n]", code, re.M)) <= 24
    names = set(
        re.findall(
            r"`(\w+)`",
            (ROOT / "README.md")
            .read_text("utf-8")
            .split("The imports are")[1]
            .split("flask_lgprivacy")[0],
        )
    )
    assert all(name in IMPORTS for name in names)
    run_in(tmp_path, IMPORTS + code + trial)


def test_the_install_line_of_the_readme_installs_the_package(tmp_path: Path) -> None:
    [line] = blocks("README.md", "console")
    words = shlex.split(line)
    assert words[:4] == ["python3", "-m", "pip", "install"]
    copy = tmp_path / "input" / "checkout"
    shutil.copytree(ROOT / "flask_lgprivacy", copy / "flask_lgprivacy")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    wanted = words[4].replace("flask-lgprivacy", str(copy))
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "-t",
        str(tmp_path / "installed"),
        wanted,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "installed" / "flask_lgprivacy" / "policy" / "policy.schema.json").exists()


def test_the_tutorial_runs_from_top_to_bottom(tmp_path: Path) -> None:
    run_in(tmp_path, "\n".join(blocks("docs/tutorial.md", "python")))


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: Path(page).stem)
def test_a_how_to_page_runs_after_the_tutorial(tmp_path: Path, page: str) -> None:
    tutorial = blocks("docs/tutorial.md", "python")
    first_request = next(number for number, block in enumerate(tutorial) if "acting_as" in block)
    run_in(
        tmp_path, "\n".join([*tutorial[:first_request], TRY, *blocks(page, "python"), MODELS_HOLD])
    )


def test_every_command_of_the_pages_runs(tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "roster"), "zip", ROSTERS / "port")
    lines = [line for page in COMMANDS for text in blocks(page, "sh") for line in text.splitlines()]
    commands = [shlex.split(line) for line in dict.fromkeys(lines)]
    assert {words[0] for words in commands} == {"flask"}
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input=json.dumps(commands),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_no_page_has_a_command_that_is_not_run() -> None:
    assert [page for page in PAGES if blocks(page, "sh")] == sorted(COMMANDS)


def test_continuous_integration_runs_the_second_command_of_the_readme() -> None:
    _, command = (text.strip() for text in blocks("README.md", "sh"))
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_first_command_of_the_readme_ends_in_an_application_that_answers(
    tmp_path: Path,
) -> None:
    command, _ = (text.strip() for text in blocks("README.md", "sh"))
    checkout = tmp_path / "input" / "checkout"
    shutil.copytree(
        ROOT,
        checkout,
        ignore=shutil.ignore_patterns(
            ".git", ".tox", ".tools", ".deps", "instance", ".mypy_cache", "build"
        ),
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    clean: dict[str, Any] = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "TOX"))
    }
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    command = command.replace("python3 ", f"{shlex.quote(str(python))} ")
    process = subprocess.Popen(
        ["bash", "-c", f"{command} --port {port}"],
        cwd=checkout,
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        page = ""
        for _ in range(1200):
            if process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
                    page = answer.read().decode()
                break
            except OSError:
                time.sleep(0.1)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 15)
        said = process.communicate(timeout=20)[0].decode(errors="replace")
    assert "Accounts to try" in page, said[-2000:]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", *PAGES])
def test_every_link_leads_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("https://"):
            assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", [*PAGES, "README.md"])
def test_a_page_is_read_in_an_editor_of_a_hundred_columns(page: str) -> None:
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    long = [line for line in lines if len(line) > 100 and not line.startswith(("|", "flask "))]
    assert long == []
