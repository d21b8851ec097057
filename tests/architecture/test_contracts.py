"""The contracts of the import linter fail where somebody breaks them: each is broken here, in a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint(copy: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
    ]
    return subprocess.run(
        [*command, "--no-cache", "--config", str(copy / "pyproject.toml")],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONSAFEPATH": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, to be changed."""
    shutil.copytree(
        ROOT / "flask_lgprivacy",
        tmp_path / "flask_lgprivacy",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def add_line(copy: Path, module: str, line: str) -> None:
    path = copy / "flask_lgprivacy" / module
    path.write_text(path.read_text() + f"\n{line}\n")


def test_every_contract_holds(copy: Path) -> None:
    linted = lint(copy)
    assert linted.returncode == 0, linted.stdout


BROKEN = [
    ("keys/store.py", "from ..rights import service", "Rooms import only from rooms named below them"),
    ("orm/codec.py", "from . import mapping", "No room has a circle inside"),
    ("crypto/hpke.py", "import sqlalchemy", "Core rooms know no Flask and no SQLAlchemy"),
    ("gate/context.py", "from flask import g", "Flask and WSGI stand at the edge"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "line", "contract"), BROKEN, ids=[row[2] for row in BROKEN])
def test_an_import_against_a_contract_fails(
    copy: Path, module: str, line: str, contract: str
) -> None:
    add_line(copy, module, line)
    linted = lint(copy)
    assert linted.returncode == 1
    assert f"{contract} BROKEN" in linted.stdout


def test_a_module_that_no_room_names_fails(copy: Path) -> None:
    (copy / "flask_lgprivacy" / "helpers.py").write_text('"""In no room."""\n')
    linted = lint(copy)
    assert linted.returncode == 1
    assert "helpers" in linted.stdout
