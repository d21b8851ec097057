"""Erasure: the key and the rows, then a second look for what is left (GDPR Art. 17)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..crypto.pseudonym_period import school_year
from ..database.identifiers import SubjectRef
from ..errors import RequestConflict, RequestNotFound, StoreUnavailable
from ..gate.context import ProcessingContext
from ..gate.runtime import Runtime
from ..inbox import inbox_entries_about, remove_from_inbox
from ..orm.columns import matches_any_id, subject_column
from ..orm.erasure_locks import wait_for_writers
from ..policy.model import Action, Right
from .erasure_plan import Removal
from .handler import Outcome, RightsCase, held_categories, owned_categories
from .removal import mark_erasure, owned_tables, pseudonymise_evidence, remove_rows
from .request_events import record_erasing
from .requests import RequestRepository, RightsRequest
from .retry import retry_conflicts
from .second_look import Traces, search_catalogue, traces_of

KEPT = {
    "this request": "proof that it was answered (GDPR Art. 5(2))",
    "audit trail": "names the subject by a pseudonym whose secret was destroyed with the key",
    "backups": (
        "hold records that no key opens any more, once the key table's own backups have expired"
    ),
}
"""What outlives an erasure, and why."""
WITHOUT_THE_NAME = (
    "without the name: evidence of who had access, which is the client's (GDPR Art. 17(3)(b), (e))"
)
BUSY = "others are writing; the rows are removed when they have ended"


class ErasureHandler:
    """`delete`: destroys the key, deletes the rows, and looks a second time."""

    name = Right.DELETE.value
    actions = frozenset({Action.READ, Action.ERASE})

    def categories(self, runtime: Runtime, kind: str) -> frozenset[str]:
        """Everything that is held."""
        return held_categories(runtime, kind)

    def carry_out(self, case: RightsCase) -> Outcome | None:
        """Authorise the erasure of every category, say in the trail whom it is about, and erase."""
        processing, (kind, subject_id) = case.processing, case.request.subject
        assert processing is not None  # noqa: S101  only `resume` goes without one
        _authorize(case, processing)
        key = processing.keys.load(case.session, kind, (subject_id,)).get(subject_id)
        if key is not None:
            year = school_year(case.runtime.utcnow())
            record_erasing(case.runtime, case.request, key.pseudonym(year))
        outcome = self.resume(case)
        processing.keys.forget(kind, subject_id)
        return outcome

    def resume(self, case: RightsCase) -> Outcome | None:
        """Erase a subject whose erasure is authorised; may be repeated after a crash."""
        try:
            return _erase(case)
        except RequestConflict:
            note = BUSY
        except StoreUnavailable as error:
            note = f"{error.message}; it is asked again"
        case.session.rollback()
        _requests(case.runtime).postpone(case.session, case.request.id, note)
        return None


def has_certificate(request: RightsRequest) -> bool:
    """Whether a request erased somebody, or began to erase everything of a client."""
    return (
        request.right == Right.DELETE
        and request.outcome is not None
        and ("left" in request.outcome or request.is_about_client)
    )


def _requests(runtime: Runtime) -> RequestRepository:
    return RequestRepository(runtime.database.tables, runtime.policy, runtime.utcnow)


def _authorize(case: RightsCase, processing: ProcessingContext) -> None:
    request = case.request
    for category in sorted(owned_categories(case.runtime, request.subject[0])):
        processing.authorize(category, Action.ERASE, client=request.client, subject=request.subject)
        processing.record_access(
            category, Action.ERASE, client=request.client, subject=request.subject
        )


def _erase(case: RightsCase) -> Outcome:
    runtime, session, request = case.runtime, case.session, case.request
    subject, client, requests = request.subject, request.client, _requests(runtime)

    def recorded() -> dict[str, Any]:
        stored = requests.find(session, request.id)
        if stored is None:
            raise RequestNotFound("the request is gone")
        return stored.outcome or {}

    def record(removal: Removal) -> None:
        outcome = added_to(recorded(), removal)
        requests.note_outcome(session, request.id, outcome)

    traces = traces_of(session, runtime.models.graph, subject)
    retry_conflicts(session, lambda: erase_subject(runtime, session, subject, client, record))
    done = recorded()
    gone: list[SubjectRef] = [subject, *((kind, one) for kind, one in done.get("with_them", ()))]
    left: dict[str, int] = {}
    for person in gone:
        for store, count in runtime.stores.erase(person):
            record(Removal(Counter({store: count})))
            session.commit()
        look = partial(find_remaining, runtime, session, person, client, traces)
        left.update(retry_conflicts(session, look))
    done = recorded()
    kept_rows: dict[str, tuple[int, str]] = done.get("kept_rows", {})
    details = {
        "erased": {name: count for name, count in done.get("erased", {}).items() if count},
        "cleared": done.get("cleared", {}),
        "key": "still there" if "key" in left else "destroyed",
        "left": left,
        **({"erased with them": len(gone) - 1} if len(gone) > 1 else {}),
        "kept": {
            **KEPT,
            **{name: f"{count} {reason}" for name, (count, reason) in kept_rows.items()},
        },
    }
    return Outcome("completed-with-remainder" if left else "completed", details)


Record = Callable[[Removal], None]
"""Takes what was done to rows, in the transaction that does it."""


def added_to(outcome: Mapping[str, Any], removal: Removal) -> dict[str, Any]:
    """What a request's outcome becomes when more was removed."""
    before = Removal(
        Counter(outcome.get("erased", {})),
        Counter(outcome.get("cleared", {})),
        {name: tuple(kept) for name, kept in outcome.get("kept_rows", {}).items()},
    )
    after = before + removal
    return {
        **outcome,
        "erased": dict(after.erased),
        "cleared": dict(after.cleared),
        "kept_rows": {name: list(kept) for name, kept in after.kept.items()},
        "with_them": [*outcome.get("with_them", ()), *(list(other) for other in removal.subjects)],
    }


def erase_subject(
    runtime: Runtime, session: Session, subject: SubjectRef, client: str | None, record: Record
) -> None:
    """Erase one subject and commit; may be repeated after a crash, also where the key is destroyed
    already.

    Whoever writes about the subject meanwhile is waited for, or sees that the key is gone
    (`orm/erasure_locks.py`).

    Args:
        runtime: The application's.
        session: Without changes; a transaction of its own begins.
        subject: Kind and identifier.
        client: The subject's.
        record: Keeps what was done with the request.
    """
    kind, subject_id = subject
    session.commit()
    if not runtime.keys.shares_the_data:
        runtime.keys.destroy(session, kind, subject_id, client=client)
    wait_for_writers(session, runtime.models.graph.subjects[kind], subject_id)
    if runtime.keys.shares_the_data:
        runtime.keys.lock(
            session, kind, subject_id
        )  # after the row, as a writer's foreign key does it
    sifted = remove_from_inbox(runtime, session, subject, client)
    column = subject_column(runtime.models.graph.subjects[kind])
    rows = list(
        session.execute(
            select(column).where(matches_any_id(column, [subject_id])),
            bind_arguments={"clause": column.table},
        ).scalars()
    ) or [subject_id]
    removal = remove_rows(runtime, session, kind, rows) + Removal(Counter(inbox=sifted))
    for other in removal.subjects:
        remove_from_inbox(runtime, session, other, client)
    for other in (subject, *removal.subjects):
        for name, count in pseudonymise_evidence(runtime, session, other[0], [other[1]]).items():
            before, _ = removal.kept.get(name, (0, ""))
            removal.kept[name] = (before + count, WITHOUT_THE_NAME)
    if runtime.keys.shares_the_data:
        runtime.keys.destroy(session, kind, subject_id, client=client)
    mark_erasure(session, runtime, subject=subject)
    record(removal)
    session.commit()
    session.expire_all()


def find_remaining(
    runtime: Runtime, session: Session, subject: SubjectRef, client: str | None, traces: Traces
) -> dict[str, int]:
    """The second look: rows, by model or by column, that still lead to the subject, and `key` where
    one still opens.
    """
    kind, subject_id = subject
    left = {}
    for name, table, condition in owned_tables(runtime, kind, [subject_id]):
        counted = select(func.count()).select_from(table).where(condition)
        count = session.execute(counted, bind_arguments={"clause": table}).scalar_one()
        if count:
            left[name] = int(count)
    if waiting := inbox_entries_about(runtime, session, subject, client):
        left["inbox"] = len(waiting)
    if runtime.keys.is_alive(session, kind, subject_id):
        left["key"] = 1
    session.commit()
    left.update(search_catalogue(runtime.database.engines, runtime.models.graph, subject, traces))
    left.update(runtime.stores.remaining(subject))
    if not runtime.keys.empty_log(session):
        left["write-ahead log"] = 1
    return left
