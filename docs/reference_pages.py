"""The parts of the reference that are read off the code: settings, errors, events,
HTTP calls, the policy document.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import flask
import http_examples

from flask_lgprivacy import errors
from flask_lgprivacy.audit import events
from flask_lgprivacy.config import SETTINGS, Setting
from flask_lgprivacy.crypto.providers.registry import KINDS, option_types
from flask_lgprivacy.policy import load_policy
from flask_lgprivacy.policy.json_schema import policy_json_schema
from flask_lgprivacy.policy.model import COMMITMENTS, Condition, Right
from flask_lgprivacy.policy.schema import SECTIONS
from flask_lgprivacy.web.views.blueprint import privacy_blueprint


def pages() -> dict[str, str]:
    """By file name, the text that a page of the reference includes."""
    return {
        "settings.md": settings(),
        "key_services.md": key_services(),
        "errors.md": error_codes(),
        "events.md": event_types(),
        "calls.md": calls(),
        "http_examples.md": http_examples.examples(),
        "policy.md": policy_document(),
        "policy_words.md": policy_words(),
    }


def settings() -> str:
    """Every setting with its types, its default and its meaning."""
    return "\n\n".join(
        f"## `{setting.name}`\n\n"
        f"{_prose(setting.meaning)}\n\n"
        f"Takes {_types(setting.takes)}. Default: {_default(setting)}."
        for setting in SETTINGS.values()
    )


def key_services() -> str:
    """Every kind of key provider with its options."""
    rows = []
    for name, kind in KINDS.items():
        types, needed = option_types(kind)
        options = ", ".join(
            f"`{option}`" + (" (needed)" if option in needed else "") for option in types
        )
        rows.append((f"`{name}`", options))
    return _table(("kind", "options"), rows)


def error_codes() -> str:
    """Every error class with its code and status."""
    classes = [
        item
        for _, item in inspect.getmembers(errors, inspect.isclass)
        if issubclass(item, errors.PrivacyError)
    ]
    rows = [
        (
            f"`{item.code}`",
            str(item.status),
            f"`{item.__name__}`",
            _prose(inspect.getdoc(item) or "") + (" Opaque in production." if item.opaque else ""),
        )
        for item in sorted(classes, key=lambda item: item.code)
    ]
    return _table(("code", "status", "class", "when"), rows)


def event_types() -> str:
    """Every type of event with its fields."""
    kinds = [*get_args(events.Event), events.Access, events.Refusal]
    return "\n\n".join(_event(kind) for kind in kinds)


def calls() -> str:
    """Every HTTP call: method, path and what it does."""

    app = flask.Flask("reference", static_folder=None)
    app.register_blueprint(privacy_blueprint(load_policy(), tuple(Right), "/privacy"))
    rows = []
    for rule in app.url_map.iter_rules():
        view = inspect.unwrap(app.view_functions[rule.endpoint])
        [method] = (rule.methods or set()) - {"OPTIONS", "HEAD"}
        meaning = re.sub(r"^`[^`]*`: ", "", _prose(inspect.getdoc(view) or ""))
        rows.append((f"`{method} {rule.rule}`", meaning[:1].upper() + meaning[1:]))
    return _table(("call", "does"), rows)


def policy_document() -> str:
    """Every section of a policy document with its keys."""
    properties = policy_json_schema()["properties"]
    return "\n\n".join(
        f"## `{section}`\n\n{SECTIONS[section]}\n\n{_keys(section, properties[section])}"
        for section in SECTIONS
    )


def policy_words() -> str:
    """The words of the vocabulary that the code knows: conditions and commitments."""
    policy = load_policy()
    conditions = [
        (f"`{condition}`", policy.conditions[condition].missing) for condition in Condition
    ]
    commitments = [
        (
            f"`{name}`",
            policy.commitments[name].says,
            ", ".join(f"`{parameter}`" for parameter in policy.commitments[name].parameters)
            or "none",
        )
        for name in sorted(COMMITMENTS)
    ]
    return (
        "### Conditions\n\n"
        + _table(("condition", "what the shipped document says where it is missing"), conditions)
        + "\n\n### Commitments\n\n"
        + _table(("commitment", "says", "parameters"), commitments)
    )


def write(folder: Path) -> None:
    """Write every page below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text + "\n", encoding="utf-8")


def _event(kind: Any) -> str:
    doc = inspect.getdoc(kind) or ""
    summary, _, attributes = doc.partition("\nAttributes:\n")
    meanings = dict(re.findall(r"^ {4}(\w+): (.*)$", attributes, re.MULTILINE))
    fields = dataclasses.fields(kind)
    name = next((field.default for field in fields if field.name == "event"), kind.__name__)
    rows = [
        (f"`{field.name}`", _escaped(f"`{field.type}`"), meanings[field.name]) for field in fields
    ]
    return f"## `{name}`\n\n{_prose(summary)}\n\n{_table(('field', 'type', 'meaning'), rows)}"


def _keys(section: str, shape: dict[str, Any]) -> str:
    if section == "conditions" or shape.get("additionalProperties"):
        entry = shape["additionalProperties"]
        intro = f"A table for each, `[{section}.<name>]`.\n\n"
        words = shape.get("propertyNames", {}).get("enum", ())
        if words:
            intro += (
                f"The names are {', '.join(f'`{word}`' for word in words)}; all are needed.\n\n"
            )
    elif shape["type"] == "array":
        entry, intro = shape["items"], f"A list of tables, `[[{section}]]`.\n\n"
    else:
        entry, intro = shape, f"One table, `[{section}]`.\n\n"
    if "properties" not in entry:
        value = "a list of texts" if entry["type"] == "array" else "a text"
        return f"One table, `[{section}]`; each name has {value}."
    return intro + _table(("key", "needed", "takes", "meaning"), list(_key_rows(entry)))


def _key_rows(entry: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, ...]]:
    for name, shape in entry["properties"].items():
        needed = "yes" if name in entry["required"] else ""
        yield f"`{prefix}{name}`", needed, _takes(shape), _escaped(shape.get("description", ""))
        if "properties" in shape:
            yield from _key_rows(shape, f"{prefix}{name}.")


def _takes(shape: dict[str, Any]) -> str:
    if "enum" in shape:
        return ", ".join(f"`{word}`" for word in shape["enum"])
    if shape["type"] == "array":
        return f"a list of {_takes(shape['items'])}"
    if "minimum" in shape:
        return f"a whole number from {shape['minimum']} to {shape['maximum']}"
    kinds = {"string": "text", "integer": "a whole number", "boolean": "`true` or `false`"}
    if shape.get("format") == "date":
        return "a TOML date"
    return kinds.get(shape["type"], "a table")


def _default(setting: Setting) -> str:
    if setting.is_path:
        path = Path(setting.default)
        return "the shipped document" if path.is_absolute() else f"`{path}` in the instance folder"
    return "none" if setting.default in (None, (), {}) else f"`{setting.default}`"


def _types(takes: Iterable[Any]) -> str:
    names = {"Mapping": "a dictionary", "NoneType": "`None`"}
    return " or ".join(names.get(kind.__name__, f"`{kind.__name__}`") for kind in takes)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    paragraph = text.split("\n\n", maxsplit=1)[0]
    return _escaped(" ".join(paragraph.split()))
