"""Everything of a client is erased: its key at once, so that nothing opens any more; the rows after
that, in the background.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import delete, null, select, update
from sqlalchemy.orm import Session

from ..database.identifiers import canonical_id
from ..errors import StoreUnavailable
from ..gate.runtime import Runtime
from ..keys.key_table import CHUNK
from ..orm.columns import client_column, matches_any_id, subject_column
from ..orm.erasure_locks import wait_for_writers_of_client
from ..orm.model_info import RECORD_KINDS, ModelInfo
from .erasure import added_to
from .erasure_plan import Removal
from .removal import mark_erasure, remove_rows
from .request_events import record_state
from .requests import CLIENT, RequestRepository, RightsRequest
from .second_look import count_dangling
from .shared_records import hand_over_records

DESTROYED = "the key is destroyed, so nothing of it opens any more; the rows are being removed"


def begin_client_erasure(
    runtime: Runtime,
    requests: RequestRepository,
    session: Session,
    request: RightsRequest,
) -> None:
    """Destroy a client's key and say so; its rows go in `remove_client_rows`."""
    client = request.subject[1]
    session.commit()
    dangling = count_dangling(runtime.database.engines, runtime.models.graph)
    hand_over_records(runtime, session, client)
    runtime.keys.destroy_client(session, client)
    mark_erasure(session, runtime, client=client)
    requests.move(
        session, request.id, "in-progress", note=DESTROYED, outcome={"dangling_before": dangling}
    )
    session.commit()
    record_state(runtime, request, "key-destroyed", request.clause)


def open_client_erasures(
    runtime: Runtime, requests: RequestRepository, session: Session
) -> list[RightsRequest]:
    """The requests whose rows are not all removed yet."""
    columns = runtime.database.tables.request.c
    query = select(columns.id).where(columns.subject_kind == CLIENT, columns.state == "in-progress")
    open_requests = [
        requests.find(session, request_id) for request_id in session.execute(query).scalars()
    ]
    return [request for request in open_requests if request is not None]


def remove_client_rows(
    runtime: Runtime,
    requests: RequestRepository,
    session: Session,
    request: RightsRequest,
) -> Iterator[int]:
    """Remove the rows of an erased client, batch by batch, then look a second time; yields how many
    subjects are gone.

    May be repeated after a crash: what is gone is not counted again.
    """
    client = request.subject[1]
    if not runtime.keys.shares_the_data:
        for _, layout in client_kinds(runtime):
            wait_for_writers_of_client(session, layout, client)
        session.commit()
    before = request.outcome or {}
    left = Counter(before.get("left_in_stores", {}))
    done = added_to(before, Removal())

    def note() -> None:
        outcome = {**done, "left_in_stores": dict(left)}
        requests.note_outcome(session, request.id, outcome)
        session.commit()

    for kind, layout in client_kinds(runtime):
        while subject_ids := _some(session, layout, client):
            try:
                for subject in [(kind, canonical_id(row)) for row in subject_ids]:
                    counts = Counter(dict(runtime.stores.erase(subject)))
                    done = added_to(done, Removal(counts))
                    left.update(runtime.stores.remaining(subject))
            except StoreUnavailable:
                session.rollback()
                note()
                raise
            removal = remove_rows(runtime, session, kind, subject_ids)
            for subject in removal.subjects:
                done = added_to(done, Removal(Counter(dict(runtime.stores.erase(subject)))))
            done = added_to(done, replace(removal, subjects=()))
            note()
            yield len(subject_ids)
    _mark_subjects_erased(runtime, session, client)
    _remove_what_is_about_the_client(runtime, session, client)
    left.update(
        {
            layout.name: len(subject_ids)
            for _, layout in client_kinds(runtime)
            if (subject_ids := _some(session, layout, client))
        }
    )
    session.commit()
    dangling = count_dangling(runtime.database.engines, runtime.models.graph)
    left.update(Counter(dangling) - Counter(before.get("dangling_before", {})))
    if not runtime.keys.empty_log(session):
        left["write-ahead log"] = 1
    left = +left
    state = "completed-with-remainder" if left else "completed"
    outcome = {
        "erased": {name: count for name, count in done["erased"].items() if count},
        "cleared": done["cleared"],
        "key": "destroyed",
        "left": dict(left),
        "kept": {
            "this request": "proof that it was answered (GDPR Art. 5(2))",
            **{name: f"{count} {reason}" for name, (count, reason) in done["kept_rows"].items()},
        },
    }
    mark_erasure(session, runtime, client=client)
    requests.move(session, request.id, state, outcome=outcome)
    session.commit()
    record_state(runtime, request, state, request.clause)


def client_kinds(runtime: Runtime) -> Iterator[tuple[str, ModelInfo]]:
    """The kinds of subject that are held for clients."""
    for kind, layout in runtime.models.graph.subjects.items():
        if layout.client is not None and runtime.models.is_processor_of(kind):
            yield kind, layout


def _remove_what_is_about_the_client(runtime: Runtime, session: Session, client: str) -> None:
    """Its inbox, grants and requests for assistance."""
    tables = runtime.database.tables
    its_grants = select(tables.grant.c.id).where(tables.grant.c.client == client)
    session.execute(delete(tables.grant_use).where(tables.grant_use.c.grant_id.in_(its_grants)))
    for table in (tables.inbox, tables.grant, tables.assistance):
        session.execute(delete(table).where(table.c.client == client))


def _some(session: Session, layout: ModelInfo, client: str) -> list[Any]:
    is_clients = matches_any_id(client_column(layout), [client])
    query = (
        select(subject_column(layout)).where(is_clients).limit(CHUNK).with_for_update()
    )  # whoever writes about them is waited for
    return list(session.execute(query).scalars())


def _mark_subjects_erased(runtime: Runtime, session: Session, client: str) -> None:
    """Leave tombstones for the subjects of an erased client, whose keys no key opens any more.

    Keys of shared rows leave nothing.
    """
    subjects = runtime.keys.table.subjects
    query = (
        select(subjects.c.kind, subjects.c.subject)
        .where(subjects.c.holder == client, subjects.c.wrapped.is_not(None))
        .limit(CHUNK)
    )
    while True:
        with runtime.keys.connected(session) as connection:
            rows = connection.execute(query).all()
            for kind in {kind for kind, _ in rows}:
                ids = [subject_id for of, subject_id in rows if of == kind]
                if kind.startswith(RECORD_KINDS):
                    runtime.keys.table.delete_subjects(connection, kind, ids)
                    continue
                connection.execute(
                    update(subjects)
                    .where(
                        subjects.c.kind == kind,
                        subjects.c.subject.in_(ids),
                    )
                    .values(wrapped=null(), erased_at=runtime.utcnow())
                )
        session.commit()
        if not rows:
            return
