"""Reads events back for people: filtered, in order of time, straight from the chains."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson


def read_trail(
    directory: Path, *, where: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """The events of all chains in a directory, in order of time.

    Lines that are not JSON are left to the verifier.

    Args:
        directory: The trail's.
        where: As for `filter_events`.
    """
    chains = [_events(path) for path in sorted(directory.glob("w*.jsonl"))]
    merged = heapq.merge(*chains, key=lambda event: str(event.get("at", "")))
    return filter_events(merged, where or {})


def filter_events(
    events: Iterable[dict[str, Any]], where: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Those events whose fields equal what is asked for.

    Args:
        events: As JSON objects.
        where: A field (`role`, `client`, `endpoint`, `event`, `request`, `recipient`, `pseudonym`,
            `actor`, `purpose`, and `clause`, `category`, `code`, which stand inside) to the text
            that it equals; `since` and `until` compare with the time.
    """
    fields = dict(where)
    since, until = fields.pop("since", None), fields.pop("until", None)
    for event in events:
        at = str(event.get("at", ""))
        if (since and at < since) or (until and at > until):
            continue
        if all(value in _values(event, name) for name, value in fields.items()):
            yield event


def _events(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        for line in lines:
            try:
                event = orjson.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                event.pop("prev", None)
                yield {"chain": path.stem, **event}


def _values(event: Mapping[str, Any], name: str) -> set[str]:
    """Every text that stands under `name` in an event, at the top or in its parts."""
    values = {str(event[name])} if event.get(name) is not None else set()
    if name == "pseudonym":
        values.update(event.get("pseudonyms", ()))
    if name == "category":
        values.update(event.get("categories", ()))
    if name == "grant":
        values.update(event.get("grants", ()))
    for part in [*event.get("touched", ()), *event.get("refused", ())]:
        if part.get(name) is not None:
            values.add(str(part[name]))
        if name == "pseudonym":
            values.update(part.get("pseudonyms", ()))
    return values
