"""The screen knows sensitive names however they are written, and identifiers from numbers that only look like one."""

from __future__ import annotations

import random
import tracemalloc
import uuid
from typing import Any

import pytest
from marshmallow import Schema, fields

from flask_lgprivacy.policy import load_policy
from flask_lgprivacy.screening import SensitiveDataScanner
from flask_lgprivacy.screening.identifiers import identifier_in

NIR = "1 85 05 78 006 084 91"
IBAN = "FR76 3000 6000 0112 3456 7890 189"
CARD = "4111 1111 1111 1111"
SCREEN = SensitiveDataScanner(load_policy())

INFLECTED = [
    "allergies",
    "religions",
    "maladies",
    "handicaps",
    "handicapé",
    "handicapée",
    "disabilities",
    "syndicats",
    "trade_unions",
    "ethnicities",
    "origines_ethniques",
    "médicaux",
    "médicales",
    "croyances",
    "opinions_politiques",
    "sexualOrientations",
    "orientations_sexuelles",
    "studentreligion",
    "dossiermedical",
    "healthinfo",
    "reLigion",
    "HEALTH_status",
    "race",
    "asian",
]
HARMLESS = [
    "disabled",
    "is_disabled",
    "white",
    "accept_politique_confidentialite",
    "whiteSpace",
    "white_background",
    "raceTrack",
    "trace",
    "embrace",
    "evaluation_diagnostic",
    "healthCheck",
    "asianElephant",
    "whiteboard",
    "puissante",
    "level",
    "username",
    "first_name",
    "grades",
    "interface",
    "syndication_url",
]


@pytest.mark.parametrize("key", INFLECTED)
def test_a_sensitive_key_is_recognised_however_it_is_inflected_or_joined(key: str) -> None:
    found = SCREEN.find({"pupil": [{key: "x"}]})
    assert found is not None and found.clause == "LG-08"


@pytest.mark.parametrize("key", HARMLESS)
def test_a_key_that_only_sounds_like_it_passes(key: str) -> None:
    assert SCREEN.find({key: "x"}) is None


@pytest.mark.parametrize(
    "text",
    [
        "CE12 paie par FR76 3000 6000 0112 3456 7890 189", "CB4111111111111111", "NIR185057800608491", "4111  1111  1111  1111",
        "4111\n1111\n1111\n1111", "IBANFR7630006000011234567890189.", "3714 496353 98431", "30569309025904", "1.85.05.78.006.084.91",
    ],
)  # fmt: skip
def test_an_identifier_is_found_however_it_is_written(text: str) -> None:
    assert identifier_in(f"note: {text}, thanks") is not None
    assert SCREEN.find({text: 1}) is not None


def test_numbers_of_json_are_looked_at_where_they_are_large() -> None:
    assert SCREEN.find({"a": [185057800608491]}) is not None
    assert SCREEN.find({"a": [4111111111111111.0]}) is not None
    assert SCREEN.find({"a": [float("nan")]}) is not None
    assert SCREEN.find({"strokes": [[1.5, 2, -3], [1763800000000, 10**11]]}) is None


def test_the_ids_and_lists_of_a_school_pass() -> None:
    chosen = random.Random(11)
    ids = [str(uuid.UUID(int=chosen.getrandbits(128), version=4)) for _ in range(20_000)]
    assert [one for one in ids + [one.replace("-", "") for one in ids] if identifier_in(one)] == []
    marks = [" ".join(str(chosen.randint(0, 20)) for _ in range(40)) for _ in range(300)]
    points = [" ".join(f"{chosen.random() * 600:.1f}" for _ in range(60)) for _ in range(300)]
    phones = [" ".join(f"{chosen.randint(0, 99):02d}" for _ in range(10)) for _ in range(300)]
    assert [one for one in marks + points + phones if identifier_in(one)] == []


def test_looking_through_a_large_body_takes_little_memory() -> None:
    """No path is written for what passes, and no pattern goes back and forth over a long text."""
    for text in (
        "1 " * 200_000,
        "4111 " * 100_000,
        "DE11" + "a" * 400_000,
        ",".join(["DE11" + "a" * 30] * 12_000),
        "1" * 400_000,
    ):
        assert identifier_in(text) is None
    deep: Any = list(range(50_000))
    for _ in range(60):
        deep = {"k" * 40: deep}
    tracemalloc.start()
    assert SCREEN.find(deep) is None
    top = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert top < 20_000_000


@pytest.mark.parametrize(
    "harmless",
    [
        "2019-03-09", "02 30 96 21 50", "+33 2 30 96 21 50", "f1d3ff84-4329-4732-866c-4f1a4a3b2c10", "1763800000000", "CE1 B", "4111 1111 1111 1112",
        "12345678-1234-4123-8123-123456789012", "FR76 3000 6000 0112 3456 7890 188", "les nombres de 1 à 20", "10 20 30 40 50 60 70 80",
    ],
)  # fmt: skip
def test_ordinary_school_data_is_no_identifier(harmless: str) -> None:
    assert identifier_in(harmless) is None


def test_a_category_that_allows_an_identifier_takes_it() -> None:
    class Payment(Schema):
        iban = fields.Str(
            metadata={
                "lgprivacy": __import__(
                    "flask_lgprivacy.schemas.labelled", fromlist=["Label"]
                ).Label("account.payment", "x")
            }
        )
        note = fields.Str()

    assert SCREEN.find({"iban": IBAN}, Payment()) is None
    found = SCREEN.find({"iban": CARD}, Payment())
    assert found is not None and found.path == "iban"
    found = SCREEN.find({"note": IBAN}, Payment())
    assert found is not None and found.path == "note"
