"""What looking through a body costs, against `json.loads` of the same bytes: a megabyte of each."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable
from typing import Any

from flask_lgprivacy.policy import load_policy
from flask_lgprivacy.screening import SensitiveDataScanner
from flask_lgprivacy.screening.csv_scan import scan_table

DICE = random.Random(2026)
WORDS = ["le", "la", "maison", "cahier", "2024", "lettre", "12", "points", "bonjour"]


def intake(row: Callable[..., None]) -> None:
    """The rows of this file."""
    screen = SensitiveDataScanner(load_policy())
    for name, (body, aim) in bodies().items():
        text = json.dumps(body)

        def look(body: Any = body) -> None:
            screen._ordinary.clear()  # as if the names were never seen
            screen.find(body)

        row(
            f"looking through {name}, against json.loads",
            look,
            lambda text=text: json.loads(text),
            aim=aim,
        )
    table = "nom,prenom,note\n" + "\n".join(f"Martin{n},Lea,{n % 20}" for n in range(55_000))
    text = json.dumps(table)
    row(
        "looking through CSV, against json.loads",
        lambda: scan_table(screen, table.encode(), ""), lambda: json.loads(text), aim=3,
    )  # fmt: skip


def bodies() -> dict[str, tuple[Any, float | None]]:
    """Bodies of a megabyte, with the aim of each."""
    return {
        "records of pupils": (
            [
                {
                    "id": f"{DICE.getrandbits(128):032x}",
                    "name": "Lea",
                    "marks": [DICE.randint(0, 20)] * 9,
                    "at": "2026-11-26T08:30:00Z",
                }
                for _ in range(7_000)
            ],
            3,
        ),
        "strokes as numbers": (
            [[[DICE.random() * 600, DICE.random()] for _ in range(200)] for _ in range(130)],
            3,
        ),
        "points as objects": ([{"x": n % 97, "y": n % 89, "p": 1} for n in range(35_000)], 3),
        "strokes as an SVG path": (svg(3, 60_000), 3),
        "strokes as an SVG path, 14 digits": (svg(14, 25_000), 3),
        "a picture in base64": (base64.b64encode(DICE.randbytes(750_000)).decode(), 3),
        "prose with numbers": (" ".join(DICE.choice(WORDS) for _ in range(150_000)), 3),
        "hostile beginnings of accounts": (" RU11" * 200_000, 3),
        "hostile digits and spaces": ("1 " * 500_000, 3),
        "hostile numbers of fifteen digits": (
            ",".join(str(DICE.randrange(10**14, 10**15)) for _ in range(60_000)),
            3,
        ),
        "hostile keys": (
            {"".join(DICE.choices(string.ascii_lowercase, k=10)): 0 for _ in range(50_000)},
            3,
        ),
    }


def svg(digits: int, points: int) -> str:
    """A stroke as front ends write it."""
    return "M" + " L".join(
        f"{DICE.random() * 600:.{digits}f},{DICE.random() * 600:.{digits}f}" for _ in range(points)
    )
