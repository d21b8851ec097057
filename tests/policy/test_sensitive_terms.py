"""Names that the vocabulary was not built from: most that stand for sensitive data are refused, nearly all others pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_lgprivacy.policy import SensitiveTerms, load_policy
from flask_lgprivacy.policy.sensitive_terms import SHIPPED_VOCABULARIES, unmasked, vocabulary

HERE = Path(__file__).parent
TERMS = SensitiveTerms(load_policy())


def names(file: str) -> list[tuple[str, str, str]]:
    lines = (HERE / file).read_text(encoding="utf-8").splitlines()
    return [
        (name, language, domain)
        for name, language, domain in (line.split("\t") for line in lines if line.strip())
    ]


def test_names_of_sensitive_fields_are_refused() -> None:
    sensitive = names("names_sensitive.tsv")
    passing = [name for name in sensitive if TERMS.match(name[0]) is None]
    print(
        f"{1 - len(passing) / len(sensitive):.1%} of {len(sensitive)} names of sensitive fields are refused"
    )
    assert len(passing) / len(sensitive) <= 0.05


def test_ordinary_names_pass() -> None:
    ordinary = names("names_ordinary.tsv")
    refused = [name for name in ordinary if TERMS.match(name[0]) is not None]
    print(f"{len(refused) / len(ordinary):.1%} of {len(ordinary)} ordinary names are refused")
    assert len(refused) / len(ordinary) < 0.02


@pytest.mark.parametrize("language", ["en", "fr", "es"])
def test_no_language_is_forgotten(language: str) -> None:
    sensitive = [name for name in names("names_sensitive.tsv") if name[1] == language]
    assert (
        len([name for name in sensitive if TERMS.match(name[0]) is not None]) / len(sensitive) > 0.9
    )


@pytest.mark.parametrize(
    "name",
    [
        "r\u0435ligion", "r&eacute;ligion", "re1igion", "reli\u200bgion", "ｒｅｌｉｇｉｏｎ", "RELIGION", "reLigion", "pupilReligion",
        "religión", "religion–élève", "bloodgroup", "blood-group", "BloodGroup", "groupe_sanguin", "race_id", "raceDescriptor", "pupilRace",
        "PAI", "notification MDPH", "élève TDAH", "fiche_sanitaire", "regime_halal", "couleur_de_peau", "is_muslim",
    ],
)  # fmt: skip
def test_a_sensitive_name_is_recognised_in_any_disguise(name: str) -> None:
    assert TERMS.match(name) is not None
    assert TERMS.suspects(["first_name", name, "id"])


@pytest.mark.parametrize(
    "name",
    [
        "paiement", "paiements", "papier", "pape", "papillon", "assurance", "disabled", "is_disabled", "error_diagnostics",
        "diagnostic_assessment", "sciences_politiques", "politique_mot_de_passe", "white", "platino", "dx", "dy", "race_condition",
        "healthz", "health_check", "union_all", "k1", "", "x" * 5000, "pais", "sante_du_serveur",
    ],
)  # fmt: skip
def test_an_ordinary_name_passes(name: str) -> None:
    assert TERMS.match(name) is None


def test_what_is_suspected_in_many_names_is_what_is_matched_in_each() -> None:
    every = [
        name for file in ("names_sensitive.tsv", "names_ordinary.tsv") for name, _, _ in names(file)
    ]
    for name in every:
        assert TERMS.suspects([name]) == (TERMS.match(name) is not None), name


@pytest.mark.parametrize("shipped", SHIPPED_VOCABULARIES)
def test_a_vocabulary_is_written_as_it_is_compared(shipped: str) -> None:
    terms = vocabulary(shipped)
    assert set(terms) == {"terms", "parts", "whole_terms", "except_terms", "unstemmed"}
    for kind, listed in terms.items():
        assert len(set(listed)) == len(listed), kind
        assert [
            one for one in listed if one != unmasked(one).lower() or one != " ".join(one.split())
        ] == [], kind
    assert set(terms["unstemmed"]) <= {*terms["terms"], *terms["whole_terms"]}
