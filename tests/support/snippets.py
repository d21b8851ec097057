"""Code that stands in documents, run from outside the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(document: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```",
        (ROOT / document).read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **more}


def run_in(folder: Path, code: str, **more: str) -> None:
    (folder / "snippet.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-W", "error", "snippet.py"]
    importable = os.pathsep.join([str(folder), *filter(None, sys.path)])
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=importable, **more),
        check=False,
    )
    assert done.returncode == 0, done.stderr
