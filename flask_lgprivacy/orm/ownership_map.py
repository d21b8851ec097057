"""The ownership graph as people read it: whose each table's rows are, over which keys, and what
becomes of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Table

from .ownership_graph import OwnershipGraph
from .ownership_labels import DeleteRow, Keep, Meaning
from .ownership_links import Link
from .registry import table_name


@dataclass(frozen=True, slots=True)
class OwnershipEntry:
    """How people of one kind come to the rows of one table over one key.

    Attributes:
        kind: Of subject.
        table: The model's name, or the table's.
        over: The keys from the person to the row, in their order; empty for the person's own row.
        meaning: Of the last of them.
        shows: What an export holds.
        erasure: What becomes of a row when the person is erased.
    """

    kind: str
    table: str
    over: tuple[str, ...]
    meaning: str
    shows: str
    erasure: str


def ownership_map(graph: OwnershipGraph) -> Iterator[OwnershipEntry]:
    """Every kind of subject with every table to whose rows its people may come, or that names
    them.
    """
    for kind, layout in graph.subjects.items():
        yield OwnershipEntry(kind, layout.name, (), "subject", "everything", "deleted")
        paths = _paths(graph, layout.table)
        for link in graph.links:
            if link.source in paths and link.meaning is not Meaning.REFERS:
                yield _entry(kind, link, paths, graph)
            elif link.target in paths and link.meaning is Meaning.REFERS:
                over = (*paths[link.target], link.name)
                yield OwnershipEntry(
                    kind, table_name(link.table), over, "refers", "nothing", _of_key(link)
                )


def _paths(graph: OwnershipGraph, start: Table) -> dict[Table, tuple[str, ...]]:
    """The shortest way of keys from a person to each table."""
    paths: dict[Table, tuple[str, ...]] = {start: ()}
    waiting = deque([start])
    while waiting:
        table = waiting.popleft()
        for link in graph.from_source.get(table, ()):
            if link.about not in paths:
                paths[link.about] = (*paths[table], link.name)
                waiting.append(link.about)
    return paths


def _entry(
    kind: str, link: Link, paths: dict[Table, tuple[str, ...]], graph: OwnershipGraph
) -> OwnershipEntry:
    shows = link.label.shows
    told = "everything" if shows is None else ", ".join(sorted(shows)) or "nothing"
    if isinstance(link.on_erasure, DeleteRow):
        erasure = "deleted"
    elif not link.gives_ownership:
        erasure = _of_key(link)
    elif sum(other.gives_ownership for other in graph.about.get(link.about, ())) == 1:
        erasure = "deleted with its last owner" if link.is_turned else "deleted"
    else:
        erasure = f"deleted with its last owner; before, {_of_key(link)}"
    over = (*paths[link.source], link.name)
    return OwnershipEntry(kind, table_name(link.about), over, link.meaning, told, erasure)


def _of_key(link: Link) -> str:
    fields = "".join(f", {name}" for name in link.cleared_fields)
    if isinstance(link.on_erasure, Keep):
        cleared = f"; cleared: {', '.join(link.cleared_fields)}" if fields else ""
        return f"the key is kept ({link.on_erasure.reason}){cleared}"
    return f"cleared: {link.name.partition('.')[2]}{fields}"
