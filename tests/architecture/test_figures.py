"""What the figures of the text promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("figures.py")


def printed_figures() -> dict[str, float]:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=True)
    rows = (line.rpartition(" ") for line in done.stdout.splitlines())
    return {name.strip(): float(figure) for name, _, figure in rows}


def test_names_say_what_they_hold() -> None:
    assert printed_figures()["mean name, letters"] > 7
