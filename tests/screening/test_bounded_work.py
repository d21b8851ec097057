"""What a sender may make a worker do is bounded, and tables are looked at by their header (for the cost see `tox run -e bench`)."""

from __future__ import annotations

import base64
import random
from pathlib import Path
from typing import Any

import pytest
from school import Backend, make_backend

from flask_lgprivacy.errors import ConfigurationError
from flask_lgprivacy.policy import load_policy
from flask_lgprivacy.screening import SensitiveDataScanner
from flask_lgprivacy.screening.csv_scan import scan_table
from flask_lgprivacy.testing import acting_as, assert_refused

SCREEN = SensitiveDataScanner(load_policy())
DICE = random.Random(2026)


def test_a_body_that_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    backend = make_backend(tmp_path / "backend", LGPRIVACY_LONGEST_BODY=1000)

    class Unread:
        def read(self, *_: Any) -> bytes:
            raise AssertionError("read")

    with acting_as(backend.app, backend.teacher()):
        answer = backend.app.test_client().post(
            "/privacy/export",
            environ_overrides={"wsgi.input": Unread(), "CONTENT_LENGTH": "1001"},
            content_type="application/json",
        )
        assert_refused(answer, code="body-too-long")
        assert answer.status_code == 413
        unsaid = backend.app.test_client().post(
            "/privacy/export", data=b'{"a": "' + b"x" * 2000 + b'"}', content_type="application/json",
            environ_overrides={"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
        )  # fmt: skip
        assert unsaid.status_code == 413


def test_a_limit_is_a_number_of_bytes(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="LONGEST_BODY"):
        make_backend(tmp_path / "backend", LGPRIVACY_LONGEST_BODY=0)


# --- what a table shows of itself ---


@pytest.mark.parametrize(
    "table",
    [
        "nom,prenom\nWhite,Emma\n", "nom,prenom\nMartin,Faith\n", "ecole,ville\nLycée de la Santé,Lyon\n",
        "nom,adresse\nMartin,12 rue du Syndicat\n", "matiere,salle\nReligions of Rome,9\n", "Élèves 2026\n\nnom,prenom\nHandicap,Lou\n",
        "x,y\n" + "\n".join(f"{DICE.random()},{DICE.random()}" for _ in range(100)), "siret\n30356612300019\n",
    ],
)  # fmt: skip
def test_only_the_header_of_a_table_is_taken_for_names(table: str) -> None:
    assert scan_table(SCREEN, table.encode(), "") is None


@pytest.mark.parametrize(
    "table",
    [
        "nom,Santé,note\nWhite,x,1\n",
        "sep=;\nnom;Dyslexie\nWhite;x\n",
        "Liste des élèves\nnom,religion\nWhite,x\n",
        "PAI\nWhite\n",
    ],
)
def test_the_refusal_of_a_table_names_a_place_and_no_cell(table: str) -> None:
    found = scan_table(SCREEN, table.encode(), "")
    assert found is not None
    assert "line" in found.path
    assert not any(cell in found.path for cell in ("White", "Santé", "Dyslexie", "religion", "PAI"))


def test_a_picture_that_a_schema_takes_is_not_refused_for_what_its_base64_spells(
    backend: Backend,
) -> None:
    for number in range(30):
        picture = base64.b64encode(random.Random(number).randbytes(100_000)).decode()
        assert SCREEN.find({"portrait": picture}) is None
