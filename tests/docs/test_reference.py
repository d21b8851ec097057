"""The reference leaves nothing out that the code knows."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import click
import flask
import jsonschema
import pytest
from snippets import ROOT

import flask_lgprivacy
from flask_lgprivacy import errors
from flask_lgprivacy.audit import events
from flask_lgprivacy.cli import privacy
from flask_lgprivacy.config import SETTINGS
from flask_lgprivacy.policy import SHIPPED, load_policy
from flask_lgprivacy.policy.json_schema import policy_json_schema
from flask_lgprivacy.policy.model import Right
from flask_lgprivacy.web.views.blueprint import privacy_blueprint

REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def pages() -> Iterator[dict[str, str]]:
    """The generated parts of the reference, and its pages."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        generated: dict[str, str] = importlib.import_module("reference_pages").pages()
    finally:
        sys.path.remove(str(ROOT / "docs"))
    yield generated


def test_every_generated_part_stands_on_a_page(pages: dict[str, str]) -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md"))
    assert sorted(re.findall(r"\{include\} generated/(\S+)", texts)) == sorted(pages)


def test_every_setting_is_in_the_reference(pages: dict[str, str]) -> None:
    assert re.findall(r"^## `(\w+)`", pages["settings.md"], re.MULTILINE) == list(SETTINGS)


def test_every_setting_that_the_code_reads_is_a_setting() -> None:
    package = ROOT / "flask_lgprivacy"
    sources = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    assert set(re.findall(r"LGPRIVACY_[A-Z_]+[A-Z]", sources)) <= set(SETTINGS)


def test_every_error_code_is_in_the_reference(pages: dict[str, str]) -> None:
    codes = {
        item.code
        for _, item in inspect.getmembers(errors, inspect.isclass)
        if issubclass(item, errors.PrivacyError)
    }
    assert set(re.findall(r"^\| `([a-z-]+)`", pages["errors.md"], re.MULTILINE)) == codes


def test_every_event_is_in_the_reference(pages: dict[str, str]) -> None:
    kinds = [
        kind
        for _, kind in inspect.getmembers(events, inspect.isclass)
        if kind.__module__ == events.__name__
    ]
    for kind in kinds:
        for field in getattr(kind, "__dataclass_fields__"):  # noqa: B009  a class is all that getmembers promises
            assert f"| `{field}` |" in pages["events.md"], (kind, field)
    shown = len(re.findall(r"^## ", pages["events.md"], re.MULTILINE))
    assert shown == len(kinds)


def test_every_call_is_in_the_reference_with_an_example(pages: dict[str, str]) -> None:
    app = flask.Flask("reference", static_folder=None)
    app.register_blueprint(privacy_blueprint(load_policy(), tuple(Right), "/privacy"))
    for rule in app.url_map.iter_rules():
        [method] = (rule.methods or set()) - {"OPTIONS", "HEAD"}
        assert f"| `{method} {rule.rule}` | " in pages["calls.md"]
        assert f"### `{method} {rule.rule}` as " in pages["http_examples.md"], rule.rule
    assert "|  |" not in pages["calls.md"]


def test_every_command_says_what_it_does() -> None:
    def commands(group: click.Group) -> Iterator[click.Command]:
        for command in group.commands.values():
            yield command
            if isinstance(command, click.Group):
                yield from commands(command)

    found = list(commands(privacy))
    assert len(found) > 20
    assert [command.name for command in found if not command.help] == []
    assert "flask_lgprivacy.cli:privacy" in (REFERENCE / "commands.md").read_text("utf-8")
    for command in found:
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (command.name, parameter.name)


def test_every_key_of_the_policy_document_is_described(pages: dict[str, str]) -> None:
    def keys(shape: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        for name, inner in shape.get("properties", {}).items():
            yield f"{prefix}{name}", inner
            yield from keys(inner, f"{prefix}{name}.")

    schema = policy_json_schema()
    for section, shape in schema["properties"].items():
        assert f"## `{section}`" in pages["policy.md"]
        entry = shape.get("additionalProperties") or shape.get("items") or shape
        for key, inner in keys(entry):
            assert inner["description"], (section, key)
            assert f"| `{key}` |" in pages["policy.md"], (section, key)


def test_every_public_name_is_in_the_python_reference() -> None:
    text = (REFERENCE / "python-api.md").read_text(encoding="utf-8")
    assert ".. automodule:: flask_lgprivacy\n" in text
    assert all(getattr(flask_lgprivacy, name).__doc__ for name in flask_lgprivacy.__all__)


def test_the_shipped_json_schema_is_that_of_the_code() -> None:
    shipped = SHIPPED.with_name("policy.schema.json").read_text(encoding="utf-8")
    assert json.loads(shipped) == policy_json_schema()


def document() -> Any:
    parsed = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    return json.loads(json.dumps(parsed, default=str))


def test_the_shipped_document_keeps_the_json_schema() -> None:
    jsonschema.validate(document(), policy_json_schema())


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("deadline", "months", 13),
        ("deadline", "weeks", 1),
        ("contact", "email", None),
        ("policy", "name", ""),
    ],
)
def test_a_wrong_document_breaks_the_json_schema(section: str, key: str, value: Any) -> None:
    wrong = document()
    wrong[section][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, policy_json_schema())
