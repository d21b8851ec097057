"""Every store is declared, and stands where its categories must; the start fails and `check` lists them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from school import HERE, Backend, make_backend

from flask_lgprivacy.errors import ConfigurationError
from flask_lgprivacy.policy import SHIPPED, load_policy
from flask_lgprivacy.stores import check_stores, parse_stores

NAMES = ("database", "database:keys", "key-service:root", "trail")
ALL = dict.fromkeys(NAMES, HERE)


def start(folder: Path, stores: Any) -> Backend:
    return make_backend(folder / "b", filled=False, LGPRIVACY_STORES=stores)


@pytest.mark.parametrize("missing", NAMES)
def test_a_store_that_is_not_declared_stops_the_start(tmp_path: Path, missing: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"the store '{missing}' is not declared; .*\[LG-16\]"
    ):
        start(tmp_path, {name: HERE for name in NAMES if name != missing})


@pytest.mark.parametrize("outside", NAMES)
def test_a_store_outside_its_region_stops_the_start(tmp_path: Path, outside: str) -> None:
    backend_stores = {**ALL, outside: {"host": "somebody", "country": "DE"}}
    with pytest.raises(
        ConfigurationError, match=rf"\['{outside}'\]: stands in DE, and .* stays in region FR \[LG-"
    ):
        _ = start(tmp_path, backend_stores).runtime.models.graph


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"files:photos": HERE}, "categories is missing; name what it may hold"),
        ({"files:photos": {**HERE, "categories": ["student.smile"]}}, "has no category 'student.smile'"),
        ({"cellar": HERE}, "no such store; this application has database, "),
        ({"key-service:other": HERE}, "no such store"),
        ({"queue:celery": {"country": "FR", "categories": ["student.profile"]}}, "host is missing"),
        ({"queue:celery": {"host": "us", "country": "France"}}, "country is two capital letters"),
        ({"queue:celery": {**HERE, "colour": 1}}, "takes host, country"),
        ({"queue:celery": "FR"}, "takes host, country"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_named(given: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        policy = load_policy(SHIPPED)
        check_stores(parse_stores({**ALL, **given}, policy), NAMES, policy)


def test_a_file_store_of_commercial_data_may_not_stand_outside_the_eea(
    tmp_path: Path,
) -> None:
    def files(country: str, category: str) -> Any:
        return {
            **ALL,
            "files:crm": {"host": "somebody", "country": country, "categories": [category]},
        }

    assert start(tmp_path, files("DE", "commercial.contact")).runtime.models.graph
    for country, category in (("US", "commercial.contact"), ("DE", "student.profile")):
        with pytest.raises(ConfigurationError, match="files:crm.*stays in region"):
            _ = start(tmp_path, files(country, category)).runtime.models.graph


def test_check_lists_the_stores(backend: Backend) -> None:
    said = backend.app.test_cli_runner().invoke(args=["privacy", "check"])
    assert (
        "store: database: this machine (FR) account.credentials, account.identity, commercial.contact, "
        in said.output
    )
    stores = json.loads(
        backend.app.test_cli_runner().invoke(args=["privacy", "check", "--json"]).stdout
    )["stores"]
    assert [store["name"] for store in stores] == [
        "database",
        "trail",
        "key-service:root",
        "database:keys",
    ]
