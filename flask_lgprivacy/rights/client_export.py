"""Everything of a client, handed back in a usual format (GDPR Art. 28(3)(g))."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Table, select

from ..database.identifiers import canonical_id
from ..gate.context import ProcessingContext
from ..gate.job import Job
from ..gate.runtime import Runtime
from ..orm.bulk_read import iter_records
from ..orm.columns import client_column, matches_any_id, subject_column
from ..orm.model_info import ModelInfo
from ..orm.registry import table_name
from ..orm.row_search import RowKey, RowPerson, RowSearch
from .archive import MANIFEST, archive_path, describe_processing
from .archive_renderers import json_value
from .client_erasure import client_kinds
from .stored_files import read_stored_files
from .subject_rows import SharedRowReader

AT_ONCE = 100
"""Of how many people, or shared rows, the values are in memory."""
SHARED = "shared.jsonl"


class ClientExport:
    """The archive of a client, built while it is fetched: a folder for each person, one file for
    the rows of several people.

    Args:
        runtime: The application's.
        client: Whose.
        categories: Those that may be read.
        job: Opens the processing of one portion; its record is in the trail before its bytes leave.
    """

    def __init__(
        self,
        runtime: Runtime,
        client: str,
        categories: Collection[str],
        job: Callable[[], Job],
    ) -> None:
        self._runtime = runtime
        self._graph = runtime.models.graph
        self._session = runtime.database.session()
        self._client = client
        self._categories = categories
        self._job = job
        self._sums: dict[str, str] = {}
        self._shared: defaultdict[Table, dict[RowKey, None]] = defaultdict(dict)

    def __repr__(self) -> str:
        return "<ClientExport>"

    def __iter__(self) -> Iterator[bytes]:
        """The archive in portions."""
        try:
            yield from self._portions()
        finally:
            self._session.rollback()  # whoever fetches may stop, and nobody else lets go of it

    def _portions(self) -> Iterator[bytes]:
        written = _Written()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for kind, layout in client_kinds(self._runtime):
                made_at = self._runtime.audit.now()
                about = describe_processing(self._runtime, kind, made_at=made_at)
                self._add(archive, f"about-{kind}.json", _json(about))
                for identifiers in self._people(layout):
                    self._add_people(archive, kind, identifiers)
                    yield written.take()
            for _ in self._add_shared(archive):
                yield written.take()
            archive.writestr(MANIFEST, _json(self._sums))
        yield written.take()

    # --- people ---

    def _people(self, layout: ModelInfo) -> Iterator[list[Any]]:
        """The primary keys of the client's people of a kind, in portions."""
        key = subject_column(layout)
        is_clients = matches_any_id(client_column(layout), [self._client])
        query = select(key).where(is_clients).order_by(key).limit(AT_ONCE)
        identifiers = list(self._session.execute(query).scalars())
        while identifiers:
            yield identifiers
            following = query.where(key > identifiers[-1])
            identifiers = list(self._session.execute(following).scalars())

    def _add_people(self, archive: zipfile.ZipFile, kind: str, identifiers: Sequence[Any]) -> None:
        ids = [canonical_id(identifier) for identifier in identifiers]
        with self._job() as processing:
            tables = self._own_rows(kind, ids)
            files = {
                one: read_stored_files(self._runtime, processing, (kind, one), self._client)
                for one in ids
            }
        for one in ids:
            folder = f"{kind}/{one}"
            for name, content in files[one].items():
                self._add(archive, archive_path(f"{folder}/{name}"), content)
            rows = {name: by_owner.get(one, []) for name, by_owner in tables.items()}
            self._add(archive, f"{folder}/data.json", _json(rows))
        self._note_shared(kind, identifiers)
        self._session.commit()

    def _own_rows(
        self, kind: str, ids: Sequence[str]
    ) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """By model and owner, the rows that have this one owner by a key of their own."""
        tables: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for layout in reversed(self._graph.of(kind)):
            if layout.is_subject or self._graph.is_direct(layout.table):
                owned = matches_any_id(subject_column(layout), ids)
                by_owner: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
                for row in iter_records(
                    self._session, layout.model, owned, categories=self._categories
                ):
                    by_owner[canonical_id(row[layout.subject])].append(_shown(row))
                tables[layout.name] = by_owner
        return tables

    # --- shared rows ---

    def _note_shared(self, kind: str, identifiers: Sequence[Any]) -> None:
        """Take note of the other rows to which some people come."""
        graph, search = self._graph, RowSearch(self._session, self._graph)
        own = graph.subjects[kind].table
        people = search.start(own, graph.identifiers[own].in_(identifiers))
        apart = {layout.table for layout in graph.of(kind) if graph.is_direct(layout.table)}
        for table in graph.reached_from(own) - apart - graph.subclass_tables:
            if graph.is_direct(table):
                self._shared[table].update(
                    dict.fromkeys(row.key for row in search.reached_directly(table, people))
                )
        for found_row in search.reached_by(people):
            if found_row.table in graph.subclass_tables:
                continue  # it is read with the row above
            if found_row.links and not found_row.is_left_out:
                self._shared[found_row.table][found_row.key] = None

    def _add_shared(self, archive: zipfile.ZipFile) -> Iterator[None]:
        """Write each shared row once, with what any of the client's people are shown of it."""
        digest = hashlib.sha256()
        with archive.open(SHARED, "w") as file:
            for table in sorted(self._shared, key=lambda table: table.key):
                keys = list(self._shared[table])
                for start in range(0, len(keys), AT_ONCE):
                    for line in self._shared_lines(table, keys[start : start + AT_ONCE]):
                        file.write(line)
                        digest.update(line)
                    yield
        self._sums[SHARED] = digest.hexdigest()

    def _shared_lines(self, table: Table, keys: Sequence[RowKey]) -> list[bytes]:
        search = RowSearch(self._session, self._graph)
        rows = search.read(table, keys)
        people = search.people_of(rows)
        lines = []
        with self._job() as processing:
            ours = {row.key: self._of_client(processing, people[row.key]) for row in rows}
            subjects = {person.subject for persons in ours.values() for person in persons}
            reader = SharedRowReader(
                self._session,
                processing,
                self._categories,
                [(subject, self._client) for subject in sorted(subjects)],
            )
            fields = {row.key: _all_shown(ours[row.key]) for row in rows if ours[row.key]}
            for key, values in reader.read(table, fields):
                named = [
                    {"kind": person.subject[0], "id": person.subject[1]} for person in ours[key]
                ]
                line = {"table": table_name(table), "people": named, "row": _shown(values)}
                lines.append(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._session.commit()
        return lines

    def _of_client(
        self, processing: ProcessingContext, persons: Sequence[RowPerson]
    ) -> list[RowPerson]:
        """Those of some people who are the client's."""
        ours = []
        for person in persons:
            kind, subject_id = person.subject
            key = processing.keys.load(self._session, kind, [subject_id]).get(subject_id)
            if key is not None and key.client == self._client:
                ours.append(person)
        return ours

    def _add(self, archive: zipfile.ZipFile, name: str, content: bytes) -> None:
        archive.writestr(name, content)
        self._sums[name] = hashlib.sha256(content).hexdigest()


class _Written(io.RawIOBase):
    """What a ZIP file has written since the last look."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._pieces.append(bytes(content))
        return len(content)

    def take(self) -> bytes:
        """The bytes, once."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _all_shown(persons: Sequence[RowPerson]) -> frozenset[str] | None:
    """The fields that any of some people are shown; None for all."""
    shown: frozenset[str] = frozenset()
    for person in persons:
        if person.shows is None:
            return None
        shown |= person.shows
    return shown


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: json_value(value) for name, value in row.items()}


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode()
