"""Every snippet and command of the README and the guides runs."""

from __future__ import annotations

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

GUIDES = ["README.md", "docs/developer.md", "docs/auditor.md", "docs/operator.md"]


def test_the_idea_of_the_readme_runs_and_refuses(tmp_path: Path) -> None:
    [code] = blocks("README.md", "python")
    trial = """
with app.app_context():
    privacy.initialise()
    db.create_all()
    schools = [School(), School()]
    db.session.add_all(schools)
    db.session.commit()
    for school in schools:
        writer = Actor("writer", role="teacher", client=school.id)
        with privacy.processing("student.profile", actor=writer, purpose="provide-service", actions={"write"}, job="trial"):
            db.session.add(Student(school_id=school.id, first_name="A", last_name="B"))
            db.session.commit()
    own = str(schools[0].id)
answer = app.test_client().get("/students", headers={"X-School": own})
assert (answer.status_code, answer.json["clause"]) == (403, "LG-03"), answer.text
with app.app_context():
    from sqlalchemy import text

    db.session.execute(text("DELETE FROM student WHERE school_id != :own"), {"own": UUID(own).hex})
    db.session.commit()
answer = app.test_client().get("/students", headers={"X-School": own})
assert [one["name"] for one in answer.json] == ["A"], answer.text
assert app.test_client().get("/students").status_code == 401
"""
    assert len(code.splitlines()) <= 45
    run_in(tmp_path, code + trial)


def test_the_developers_guide_runs_from_top_to_bottom(tmp_path: Path) -> None:
    run_in(tmp_path, "\n".join(blocks("docs/developer.md", "python")))


def test_every_command_of_the_guides_runs(tmp_path: Path) -> None:
    """The operator's first, which make what the auditor's look at."""
    shutil.make_archive(str(tmp_path / "roster"), "zip", ROSTERS / "port")
    guides = ("docs/operator.md", "docs/auditor.md")
    commands = [
        line for guide in guides for text in blocks(guide, "sh") for line in text.splitlines()
    ]
    for command in dict.fromkeys(commands):
        words = shlex.split(command)
        assert words[0] == "flask", command
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    [code] = blocks("docs/auditor.md", "python")
    run_in(tmp_path, code)


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


@pytest.mark.parametrize("guide", GUIDES)
def test_every_link_leads_somewhere(guide: str) -> None:
    text = (ROOT / guide).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert ((ROOT / guide).parent / target).exists(), target
