"""The inbox: sealed records that devices left for a client, taken in through the gate by somebody
who may write them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import Connection, delete, func, insert, literal, select, tuple_, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from .crypto.hpke import ingest_key, names_ingest_key, open_ingested
from .crypto.keys import PUBLISHER
from .database.identifiers import SubjectRef, canonical_id
from .database.tables import Tables
from .errors import (
    AccessDenied,
    KeyUnavailable,
    RequestConflict,
    RequestInvalid,
    SealBroken,
    SubjectErased,
    TrailUnavailable,
    UndeclaredProcessing,
)
from .gate.context import ProcessingContext
from .gate.runtime import Runtime
from .keys.key_table import chunks
from .orm.codec import from_json
from .orm.columns import python_type, subject_column
from .orm.context import current_context
from .orm.model_info import ModelInfo

LARGEST = 1 << 20


def deposit(
    connection: Connection | Session,
    tables: Tables,
    *,
    client: Any,
    model: str,
    sealed: bytes,
    at: dt.datetime,
) -> str:
    """Leave a sealed record in the inbox; needs no key and opens nothing. The caller commits.

    Args:
        connection: On the data.
        tables: The extension's.
        client: For whom it is.
        model: The model that it becomes a row of.
        sealed: From `seal_for_ingest` for the same client and model, 1 MiB at most.
        at: When it was received.

    Returns:
        The id of the entry.

    Raises:
        RequestInvalid: It is empty or too long.
    """
    if not 0 < len(sealed) <= LARGEST:
        raise RequestInvalid(f"a sealed record has at most {LARGEST} bytes, and at least one")
    values = {
        "id": uuid4().hex,
        "client": canonical_id(client),
        "model": model[:64],
        "sealed": sealed,
        "received_at": at,
    }
    connection.execute(insert(tables.inbox).values(**values))
    return str(values["id"])


def opened_fields(index_keys: Iterable[bytes], row: Any) -> dict[str, Any]:
    """What a record in the inbox holds; raises `SealBroken` or `RequestInvalid`."""
    named_keys = [key for key in index_keys if names_ingest_key(key, row.sealed)]
    if not named_keys:
        raise SealBroken
    try:
        fields = orjson.loads(
            open_ingested(named_keys[0], row.sealed, client=row.client, model=row.model)
        )
    except ValueError:
        raise RequestInvalid(f"{row.model}: the record is not a JSON object") from None
    if not isinstance(fields, dict):
        raise RequestInvalid(f"{row.model}: the record is not a JSON object")
    return fields


def inbox_entries_about(
    runtime: Runtime, session: Session, subject: SubjectRef, client: str | None
) -> list[str]:
    """The records in a client's inbox, refused ones too, that are about a subject."""
    kind, subject_id = subject
    if client is None or not runtime.models.is_processor_of(kind):
        return []
    layouts = {layout.name: layout for layout in runtime.models.graph.of(kind)}
    inbox, entry_ids = runtime.database.tables.inbox, []
    rows = session.execute(
        select(inbox).where(inbox.c.client == client, inbox.c.model.in_(layouts))
    ).all()
    index_keys = runtime.keys.index_keys(session, client) if rows else ()
    for row in rows:
        try:
            column = subject_column(layouts[row.model])
            names = from_json(
                python_type(column),
                opened_fields(index_keys, row).get(layouts[row.model].subject),
                row.model,
            )
        except (SealBroken, RequestInvalid):
            continue  # nobody can open it, or it names nobody: it says nothing of anybody
        if names is not None and canonical_id(names) == subject_id:
            entry_ids.append(row.id)
    return entry_ids


def remove_from_inbox(
    runtime: Runtime, session: Session, subject: SubjectRef, client: str | None
) -> int:
    """Remove what lies in a client's inbox about a subject; returns how many records. The caller
    commits.
    """
    entry_ids = inbox_entries_about(runtime, session, subject, client)
    for chunk in chunks(entry_ids):
        session.execute(
            delete(runtime.database.tables.inbox).where(
                runtime.database.tables.inbox.c.id.in_(chunk)
            )
        )
    return len(entry_ids)


class SealedInbox:
    """The inbox of one application."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inbox = runtime.database.tables.inbox

    def public_key(self, client: Any) -> bytes:
        """The key, 32 bytes, with which devices seal records for a client; raises `SubjectErased`
        for an erased one.
        """
        name = self._client(client)
        session = self._runtime.database.session()
        key = self._runtime.keys.index_key(session, name)
        session.commit()
        return ingest_key(key)

    def deposit(self, client: Any, model: str, sealed: bytes) -> str:
        """Leave a sealed record for a client and commit; returns its id."""
        session = self._runtime.database.session()
        entry_id = deposit(
            session,
            self._runtime.database.tables,
            client=self._client(client),
            model=model,
            sealed=sealed,
            at=self._runtime.utcnow(),
        )
        session.commit()
        return entry_id

    def waiting(self, client: Any) -> int:
        """How many records wait to be taken in."""
        query = select(func.count()).select_from(self._inbox).where(*self._of(client))
        return int(self._runtime.database.session().execute(query).scalar_one())

    def absorb(self, client: Any) -> dict[str, int]:
        """Take in what waits for a client, each record in a transaction of its own, as if the actor
        had written it.

        Runs inside a declared processing that writes; returns how many were `written` and how many
        `refused`. A refused record stays, marked, and is not tried again; one about somebody who
        was erased is removed; one that the actor may not write waits for somebody else.

        Raises:
            AccessDenied: The actor may write none of them.
        """
        context = current_context.get()
        if not isinstance(context, ProcessingContext):
            raise UndeclaredProcessing(
                "absorb() runs under a declaration that writes, or in 'with privacy.processing(…)'"
            )
        session, counts = self._runtime.database.session(), {"written": 0, "refused": 0}
        index_keys = self._runtime.keys.index_keys(session, self._client(client))
        denied: AccessDenied | None = None
        last: Any = None
        while row := self._next(session, client, last):
            last = row
            try:
                session.add(self._made(index_keys, row))
                session.flush()
            except AccessDenied as denial:
                session.rollback()
                denied = denial
            except SubjectErased:
                session.rollback()
                session.execute(delete(self._inbox).where(self._inbox.c.id == row.id))
                counts["refused"] += 1
            except (TrailUnavailable, KeyUnavailable, RequestConflict, OperationalError):
                session.rollback()
                raise  # nothing is wrong with the record
            except Exception:  # noqa: BLE001  whatever a record makes of the application's own hooks, the next one is looked at
                session.rollback()
                refused = update(self._inbox).where(self._inbox.c.id == row.id)
                session.execute(refused.values(refused_at=self._runtime.utcnow()))
                counts["refused"] += 1
            else:
                session.execute(delete(self._inbox).where(self._inbox.c.id == row.id))
                counts["written"] += 1
            session.commit()
        if denied is not None and not counts["written"]:
            raise denied
        return counts

    # --- inside ---

    @staticmethod
    def _client(client: Any) -> str:
        name = canonical_id(client)
        if name == PUBLISHER:
            raise RequestInvalid("records are left for a client, not for the publisher")
        return name

    def _of(self, client: Any) -> tuple[Any, ...]:
        return self._inbox.c.client == self._client(client), self._inbox.c.refused_at.is_(None)

    def _next(self, session: Session, client: Any, last: Any) -> Any:
        """The record that came after another one, or the first."""
        columns = self._inbox.c
        query = (
            select(self._inbox)
            .where(*self._of(client))
            .order_by(columns.received_at, columns.id)
            .limit(1)
        )
        if last is not None:
            query = query.where(
                tuple_(columns.received_at, columns.id)
                > tuple_(literal(last.received_at), literal(last.id))
            )
        return session.execute(query).first()

    def _made(self, index_keys: tuple[bytes, ...], row: Any) -> Any:
        """The record as a row of its model; raises where it is none."""
        layout, fields = self._layout(row.model), opened_fields(index_keys, row)
        new_row = layout.model()
        if layout.is_subject and layout.client is not None:
            fields[layout.client] = str(fields.get(layout.client, row.client))
            if canonical_id(fields[layout.client]) != row.client:
                raise RequestInvalid(f"{row.model}: the record names another client")
        for name, value in fields.items():
            kinds = {
                field: kind.python
                for group in layout.groups.values()
                for field, kind in group.fields.items()
            }
            if name not in kinds and name not in (layout.key, layout.subject, layout.client):
                raise RequestInvalid(
                    f"{row.model}: the record has a field that the model does not seal"
                )
            setattr(
                new_row,
                name,
                from_json(kinds.get(name) or python_type(layout.column(name)), value, name),
            )
        return new_row

    def _layout(self, model: str) -> ModelInfo:
        for kind in self._runtime.models.graph.subjects:
            for layout in self._runtime.models.graph.of(kind):
                if layout.name == model and self._runtime.models.is_processor_of(kind):
                    return layout
        raise RequestInvalid("records are left for models that are held for clients")
