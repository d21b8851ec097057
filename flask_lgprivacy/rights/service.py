"""Rights: who may ask for what over whom, and the request from its receipt to its proof."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from sqlalchemy import insert, select
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from ..crypto.envelope import envelope_key_version, seal, unseal
from ..crypto.keys import SubjectKey
from ..crypto.pseudonym_period import school_year
from ..database.identifiers import SubjectRef, canonical_id
from ..errors import (
    AccessDenied,
    PrivacyError,
    RequestConflict,
    RequestInvalid,
    RequestNotFound,
    SubjectErased,
    TooManyRequests,
)
from ..gate.actor import Actor
from ..gate.audit_recorder import acting_pseudonym
from ..gate.client_spelling import acting_client
from ..gate.context import ProcessingContext
from ..gate.declaration import Declaration
from ..gate.job import Job
from ..gate.runtime import Runtime
from ..orm.bulk_read import iter_records
from ..orm.codec import encode_fields, from_json
from ..orm.columns import coerce, field_type, matches_any_id, subject_column
from ..orm.hidden_values import HiddenValues
from ..policy.model import Action, Condition, Right, RightOutcome, RightRule
from .archive import build_archive
from .archive_store import archive_associated_data, expire_archives
from .client_erasure import (
    KIND,
    begin_client_erasure,
    client_kinds,
    open_client_erasures,
    remove_client_rows,
)
from .erasure import authorize_erasure, erase_subject, find_remaining
from .requests import PAGE, RequestRepository, RightsRequest

ACTIONS_OF = {
    Right.EXPORT: frozenset({Action.READ}),
    Right.DELETE: frozenset({Action.READ, Action.ERASE}),
    Right.RECTIFY: frozenset({Action.READ, Action.WRITE}),
}
T = TypeVar("T")
MOST_TRIES = 20
LONGEST_SECONDS = 8
"""After how long nothing is tried again; a database waits for a lock by itself each time."""
MOST_GUESSES = 10
"""How often somebody rectifies an indexed field of one subject within `GUESSING_PERIOD`: a refusal
says that a value is taken.
"""
GUESSING_PERIOD = dt.timedelta(days=1)
CUT_OFF = dt.timedelta(hours=1)
"""After how long nobody is at a request any more that was begun and not ended."""


def has_certificate(request: RightsRequest) -> bool:
    """Whether a request erased somebody, or began to erase everything of a client."""
    outcome = request.outcome
    return (
        request.right is Right.DELETE
        and outcome is not None
        and ("left" in outcome or request.subject[0] == KIND)
    )


class RightsService:
    """The rights of data subjects in one application."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.ledger = RequestRepository(runtime.database.tables, runtime.policy, runtime.utcnow)

    def submit(
        self,
        right: Right,
        actor: Actor,
        *,
        kind: str,
        one: str,
        changes: Mapping[str, Any] | None = None,
    ) -> RightsRequest:
        """Receive a request and carry it out, or pass it on, as the policy says.

        Args:
            right: Which right.
            actor: Who asks.
            kind: Of subject.
            one: The subject's identifier.
            changes: Fields to JSON values, for a rectification.

        Returns:
            The request as it ended.

        Raises:
            AccessDenied: The actor may not ask.
            RequestInvalid: Changes cannot be made.
        """
        if kind == KIND:
            return self._submit_for_client(right, actor, one)
        payload = HiddenValues(changes or {})
        del changes
        session = self._runtime.database.clean_session()
        subject = self._find_subject(session, kind, one)
        rule = self._authorize(right, actor, kind, subject)
        text = canonical_id(subject[0])
        if payload and right is not Right.RECTIFY:
            raise RequestInvalid(f"changes: a request to {right.value} takes none; ask to rectify")
        checked = self._checked_changes(kind, payload) if right is Right.RECTIFY else payload
        open_request = self.ledger.find_open(session, right, (kind, text), actor.key)
        if open_request is not None and right is not Right.RECTIFY:
            raise RequestConflict(f"this was asked for already and is open: request {open_request}")
        if not self._runtime.models.graph.subjects[kind].indexes.keys().isdisjoint(checked):
            self._refuse_guessing(session, (kind, text))
        client, clause = subject[1], rule.clause
        request = retry_conflicts(
            session,
            lambda: self.ledger.receive(
                session,
                right,
                subject=(kind, text),
                client=client,
                requester=actor.key,
                requester_role=actor.role,
                clause=clause,
            ),
        )
        self._tell(request, "received", actor, rule.clause)
        if rule.outcome is RightOutcome.FORWARD:
            self._forward(session, request, actor, payload)
        else:
            self._carry_out(session, request, rule, actor, subject[0], checked)
        return self._found(session, request.id)

    def _submit_for_client(self, right: Right, actor: Actor, client: str) -> RightsRequest:
        """Receive that everything of a client be erased, and destroy its key; `work` removes the
        rows.
        """
        session, client = self._runtime.database.session(), canonical_id(client)
        if right is not Right.DELETE:
            raise RequestInvalid(
                "subject: everything of a client can be deleted; export and rectify name one person"
            )
        rules = [
            self._authorize(right, actor, kind, ("", client))
            for kind, _ in client_kinds(self._runtime)
        ]
        request = self.ledger.receive(
            session, right, subject=(KIND, client), client=client, requester=actor.key, requester_role=actor.role,
            clause=rules[0].clause,
        )  # fmt: skip
        self._tell(request, "received", actor, rules[0].clause)
        begin_client_erasure(self._runtime, self.ledger, session, request, self._tell_about_client)
        return self._found(session, request.id)

    def has_work(self) -> bool:
        """Whether requests are open that somebody began to carry out."""
        return bool(self.ledger.unfinished(self._runtime.database.session()))

    def work(self) -> Iterator[tuple[str, int]]:
        """Do what open requests still need, batch by batch; yields the request's id and how many
        subjects are gone.

        What was cut off is taken up: erasures are repeated; exports and rectifications, of which
        nobody knows how far they came, are told as failed an hour after they were received, so that
        they can be asked for again. Archives that expired go.
        """
        self._runtime.startup.run()
        session = self._runtime.database.session()
        expire_archives(session, self._runtime)
        session.commit()
        for request in open_client_erasures(self._runtime, self.ledger, session):
            for removed_count in remove_client_rows(
                self._runtime, self.ledger, session, request, self._tell_about_client
            ):
                yield request.id, removed_count
        for request in self.ledger.unfinished(session):
            if request.right is Right.DELETE and request.subject[0] != KIND:
                done = self._erased_unless_busy(session, request)
                if done is not None:
                    self._end(session, request, *done, None, request.clause)
                    yield request.id, 1
        for request in self.ledger.unfinished(session, before=self._runtime.utcnow() - CUT_OFF):
            if request.right is not Right.DELETE:
                self._fail(session, request, "interrupted", None, request.clause)

    def _tell_about_client(self, request: RightsRequest, state: str) -> None:
        self._tell(request, state, None, request.clause)

    def visible_to(
        self, actor: Actor, *, after: str | None = None, limit: int = PAGE
    ) -> list[RightsRequest]:
        """A page of the requests that an actor made; for whoever acts for a client, also those
        about the data held for it.
        """
        return self.ledger.visible(
            self._runtime.database.session(),
            requester=actor.key,
            client=self._desk_of(actor),
            kinds=self._held_for_clients(),
            after=after,
            limit=limit,
        )

    def find(self, actor: Actor, request: str) -> RightsRequest:
        """One request that an actor may see; raises `RequestNotFound`, also for one that it may
        not.
        """
        found_request = self.ledger.find(self._runtime.database.session(), request)
        if found_request is None or not self._may_see(actor, found_request):
            raise RequestNotFound("there is no such request here")
        return found_request

    def archive(self, actor: Actor, request: str) -> bytes:
        """The archive of an export, until it expires; raises `RequestConflict` where there is none."""
        runtime, session = self._runtime, self._runtime.database.session()
        found_request = self.find(actor, request)
        archives = runtime.database.tables.archive
        row = session.execute(
            select(archives).where(archives.c.request_id == found_request.id)
        ).first()
        if row is None or row.expires_at < runtime.utcnow():
            raise RequestConflict("this request has no archive, or it has expired; export again")
        kind, text = found_request.subject
        rule = self._authorize(Right.EXPORT, actor, kind, (text, found_request.client))
        if rule.outcome is RightOutcome.FORWARD:
            raise AccessDenied(
                "the archive is the controller's to hand on",
                clause=rule.clause,
                missing="the client's word",
            )
        with self._processing(
            Right.EXPORT, rule, actor, kind, "archive of an export"
        ) as processing:
            for category in sorted(self._exportable(kind)):
                processing.authorize(
                    category, Action.READ, client=found_request.client, subject=(kind, text)
                )
                processing.record_access(
                    category, Action.READ, client=found_request.client, subject=(kind, text)
                )
            newest = processing.keys.require(session, kind, text)
            key = newest.at(envelope_key_version(row.sealed) or newest.version) or newest
            bound_to = archive_associated_data(key.client, found_request.id, key.version)
            return unseal(key.key, row.sealed, key_version=key.version, bound_to=bound_to)

    def certificate(self, actor: Actor, request: str) -> dict[str, Any]:
        """What an erasure did: what was erased, where, what was kept and why; raises
        `RequestConflict` where none was done.
        """
        found_request = self.find(actor, request)
        if found_request.outcome is None or not has_certificate(found_request):
            raise RequestConflict("this request erased nothing")
        return {
            "request": found_request.id,
            "received": found_request.received_at.isoformat(),
            "ended": found_request.ended_at.isoformat() if found_request.ended_at else None,
            "state": found_request.state,
            "clause": found_request.clause,
            "subject": {"kind": found_request.subject[0], "id": found_request.subject[1]},
            **found_request.outcome,
        }

    # --- inside ---

    def _find_subject(self, session: Session, kind: str, subject_id: str) -> tuple[Any, str | None]:
        """The primary key and client of a subject; nobody learns here whether it exists."""
        layout = self._runtime.models.graph.subjects.get(kind)
        absent = AccessDenied(
            "no such data subject, or not one that you may ask about", missing="own-client or self"
        )
        absent.clause = self._clause_of_rights(kind)
        if layout is None:
            kinds = ", ".join(sorted(self._runtime.models.graph.subjects))
            raise RequestInvalid(f"subject: its kind is one of {kinds}")
        column = subject_column(layout)
        try:
            coerce(column, subject_id)
            is_asked = matches_any_id(column, [canonical_id(subject_id)])
        except (TypeError, ValueError):
            raise absent from None
        client = layout.column(layout.client) if layout.client else column
        try:
            row = session.execute(select(column, client).where(is_asked)).first()
        except (OverflowError, UnicodeError, DataError):
            session.rollback()
            raise absent from None
        if row is None:
            raise absent
        return row[0], canonical_id(row[1]) if layout.client and row[1] is not None else None

    def _clause_of_rights(self, kind: str) -> str | None:
        return next(
            (rule.clause for rule in self._runtime.policy.rights if rule.subject == kind), None
        )

    def _authorize(
        self, right: Right, actor: Actor, kind: str, subject: tuple[Any, str | None]
    ) -> RightRule:
        facts = set()
        if subject[1] is not None and subject[1] == self._client_of(actor):
            facts.add(Condition.OWN_CLIENT)
        if (kind, canonical_id(subject[0])) in actor.subjects:
            facts.add(Condition.SELF)
        for rule in self._runtime.policy.rights:
            if (
                right in rule.rights
                and rule.subject == kind
                and actor.role in rule.roles
                and rule.condition in facts
            ):
                return rule
        others = {
            role
            for rule in self._runtime.policy.rights
            if right in rule.rights and rule.subject == kind and rule.condition in facts
            for role in rule.roles
        }
        raise AccessDenied(
            "no such data subject, or not one that you may ask about",
            clause=self._clause_of_rights(kind),
            missing=f"role {' or '.join(sorted(others))}" if others else "own-client or self",
        )

    def _carry_out(
        self,
        session: Session,
        request: RightsRequest,
        rule: RightRule,
        actor: Actor,
        primary_key: Any,
        changes: HiddenValues,
    ) -> None:
        kind, text = request.subject
        self._move(session, request, "in-progress")
        try:
            with self._processing(
                request.right, rule, actor, kind, f"{request.right} request"
            ) as processing:
                if request.right is Right.EXPORT:
                    state, outcome = retry_conflicts(
                        session, lambda: self._export(processing, session, request, primary_key)
                    )
                elif request.right is Right.RECTIFY:
                    state, outcome = retry_conflicts(
                        session, lambda: self._rectify(session, request, primary_key, changes)
                    )
                else:
                    authorize_erasure(self._runtime, processing, request.subject, request.client)
                    self._tell_erasing(session, processing, request)
                    done = self._erased_unless_busy(session, request)
                    processing.keys.forget(kind, text)
                    if done is None:
                        return
                    state, outcome = done
        except Exception as error:
            session.rollback()
            refusal = (
                error
                if isinstance(error, PrivacyError)
                else PrivacyError("the request could not be carried out")
            )
            self._fail(session, request, refusal.code, actor, refusal.clause)
            raise
        self._end(session, request, state, outcome, actor, rule.clause)

    def _end(
        self,
        session: Session,
        request: RightsRequest,
        state: str,
        outcome: dict[str, Any],
        actor: Actor | None,
        clause: str | None,
    ) -> None:
        self._move(session, request, state, outcome=outcome, ended=True)
        self._tell(request, state, actor, clause)

    def _fail(
        self,
        session: Session,
        request: RightsRequest,
        code: str,
        actor: Actor | None,
        clause: str | None,
    ) -> None:
        self._move(session, request, "failed", note=code)
        self._tell(request, "failed", actor, clause)

    def _move(self, session: Session, request: RightsRequest, state: str, **said: Any) -> None:
        def move() -> None:
            self.ledger.move(session, request.id, state, **said)
            session.commit()

        retry_conflicts(session, move)

    def _export(
        self,
        processing: ProcessingContext,
        session: Session,
        request: RightsRequest,
        primary_key: Any,
    ) -> tuple[str, dict[str, Any]]:
        runtime = self._runtime
        kind, text = request.subject
        rows_by_model = []
        for layout in reversed(runtime.models.graph.of(kind)):
            rows = iter_records(
                session,
                layout.model,
                subject_column(layout) == primary_key,
                categories=self._exportable(kind),
            )
            rows_by_model.append((layout, list(rows)))
        content = build_archive(runtime, kind, rows_by_model, made_at=runtime.audit.now())
        expires = runtime.utcnow() + dt.timedelta(days=runtime.policy.deadline.archive_days)
        session.commit()
        key = processing.keys.load_for_writing(session, kind, [text]).get(text)
        if key is None:
            raise SubjectErased
        expire_archives(session, runtime, of=request.subject)
        self._keep_archive(session, request, key, content, expires)
        processing.keys.refuse_erased(session, kind, [text], ())
        session.commit()
        return "completed", {
            "rows": {layout.name: len(rows) for layout, rows in rows_by_model},
            "archive_expires": expires.isoformat(),
        }

    def _rectify(
        self, session: Session, request: RightsRequest, primary_key: Any, changes: HiddenValues
    ) -> tuple[str, dict[str, Any]]:
        layout = self._runtime.models.graph.subjects[request.subject[0]]
        row = session.get(layout.model, primary_key, populate_existing=True)
        if row is None:
            raise SubjectErased
        for name in changes:
            setattr(row, name, changes[name])
        try:
            session.flush()
        except IntegrityError:
            raise RequestConflict("a value must be unique and is taken", is_final=True) from None
        session.commit()
        return "completed", {"fields": sorted(changes), "model": layout.name}

    def _erased(self, session: Session, request: RightsRequest) -> tuple[str, dict[str, Any]]:
        """Erase the subject of a request, whose erasure is authorised; may be repeated."""
        runtime, subject, client = self._runtime, request.subject, request.client

        def record(erased: dict[str, int], kept: dict[str, int]) -> None:
            before = self._found(session, request.id).outcome or {}
            counts = {
                "erased": Counter(before.get("erased", {})) + Counter(erased),
                "kept_rows": {**before.get("kept_rows", {}), **kept},
            }
            self.ledger.note_outcome(
                session, request.id, {name: dict(of) for name, of in counts.items()}
            )

        retry_conflicts(session, lambda: erase_subject(runtime, session, subject, client, record))
        left = retry_conflicts(session, lambda: find_remaining(runtime, session, subject, client))
        done = self._found(session, request.id).outcome or {}
        erased, kept = done.get("erased", {}), done.get("kept_rows", {})
        outcome = {
            "erased": {name: count for name, count in erased.items() if count},
            "key": "still there" if "key" in left else "destroyed",
            "left": left,
            "kept": {
                "this request": "proof that it was answered (GDPR Art. 5(2))",
                "audit trail": "names the subject by a pseudonym whose secret was destroyed with the key",
                "backups": "hold records that no key opens any more, once the key table's own backups have expired",
                **{
                    name: f"{count} without the name: evidence of who had access, which is the client's (GDPR Art. 17(3)(b), (e))"
                    for name, count in kept.items()
                },
            },
        }
        return ("completed-with-remainder" if left else "completed"), outcome

    def _erased_unless_busy(
        self, session: Session, request: RightsRequest
    ) -> tuple[str, dict[str, Any]] | None:
        """The same; None, and the request stays in progress for `work`, where others write for
        longer than anybody should wait.
        """
        try:
            return self._erased(session, request)
        except RequestConflict:
            session.rollback()
            self._move(
                session,
                request,
                "in-progress",
                note="others are writing; the rows are removed when they have ended",
            )
            return None

    def _tell_erasing(
        self, session: Session, processing: ProcessingContext, request: RightsRequest
    ) -> None:
        """Say whom the erasure is about before the key goes, so that a replay can repeat it;
        afterwards nobody could.
        """
        kind, text = request.subject
        key = processing.keys.load(session, kind, (text,)).get(text)
        if key is not None:
            pseudonym = key.pseudonym(school_year(self._runtime.utcnow()))
            self._tell(request, "erasing", None, request.clause, pseudonym)

    def _checked_changes(self, kind: str, changes: HiddenValues) -> HiddenValues:
        """The changes as Python values, before anything is recorded; raises `RequestInvalid` naming
        the field.
        """
        layout = self._runtime.models.graph.subjects[kind]
        if not changes:
            raise RequestInvalid("changes: name at least one field with its new value")
        checked = {}
        for name in changes:
            if layout.category_of(name) not in self._exportable(kind):
                possible_fields = ", ".join(
                    sorted(
                        n
                        for n in layout.labelled
                        if layout.category_of(n) in self._exportable(kind)
                    )
                )
                raise RequestInvalid(
                    f"changes: {layout.name} has no field of this name that can be rectified; it "
                    f"has {possible_fields}"
                )
            field = field_type(layout, name)
            checked[name] = from_json(field.python, changes[name], name)
            try:
                field.check(checked[name], name)
            except TypeError as error:
                raise RequestInvalid(str(error)) from None
            encode_fields({name: checked[name]}, name)
        return HiddenValues(checked)

    def _refuse_guessing(self, session: Session, subject: SubjectRef) -> None:
        """Limit how often somebody learns, by rectifying what must be unique, whether a value is
        taken.
        """
        since = self._runtime.utcnow() - GUESSING_PERIOD
        if self.ledger.count(session, Right.RECTIFY, subject, since=since) >= MOST_GUESSES:
            raise TooManyRequests(
                f"such a field is rectified {MOST_GUESSES} times in {GUESSING_PERIOD.days} day at "
                "most; try again tomorrow"
            )

    def _forward(
        self, session: Session, request: RightsRequest, actor: Actor, changes: HiddenValues
    ) -> None:
        """Pass a request on to the controller, with what was asked for sealed as the subject's own
        data.
        """
        kind, text = request.subject
        if changes:
            key = self._runtime.keys.load(session, kind, [text])[text]
            self._keep_archive(
                session,
                request,
                key,
                encode_fields({"changes": changes.as_dict()}, "changes"),
                request.due_at,
            )
        note = "passed on to the controller, whose word is needed"
        self.ledger.move(
            session, request.id, "forwarded", note=note, outcome={"fields": sorted(changes)}
        )
        session.commit()
        self._tell(request, "forwarded", actor, request.clause)

    def _keep_archive(
        self,
        session: Session,
        request: RightsRequest,
        key: SubjectKey,
        content: bytes,
        expires: dt.datetime,
    ) -> None:
        bound_to = archive_associated_data(key.client, request.id, key.version)
        sealed = seal(key.key, content, key_version=key.version, bound_to=bound_to)
        del content
        session.execute(
            insert(self._runtime.database.tables.archive).values(
                request_id=request.id, expires_at=expires, sealed=sealed
            )
        )

    def _categories(self, kind: str) -> frozenset[str]:
        return frozenset().union(
            *(layout.categories for layout in self._runtime.models.graph.of(kind))
        )

    def _exportable(self, kind: str) -> frozenset[str]:
        """The categories that may leave in an archive or be rectified; credentials never do
        (LG-04).
        """
        declared = self._runtime.policy.categories
        return frozenset(name for name in self._categories(kind) if declared[name].exportable)

    def _processing(
        self, right: Right, rule: RightRule, actor: Actor, kind: str, job_name: str
    ) -> Job:
        categories = self._categories(kind) if right is Right.DELETE else self._exportable(kind)
        declaration = Declaration(
            categories, frozenset({actor.role}), rule.purpose, ACTIONS_OF[right]
        )
        return Job(self._runtime, declaration, actor, job_name)

    def _desk_of(self, actor: Actor) -> str | None:
        """The client whose requests an actor answers."""
        answers = any(
            actor.role in rule.roles and rule.condition is Condition.OWN_CLIENT
            for rule in self._runtime.policy.rights
        )
        return self._client_of(actor) if answers else None

    def _client_of(self, actor: Actor) -> str | None:
        return acting_client(self._runtime.models.graph, self._runtime.database.session(), actor)

    def _may_see(self, actor: Actor, request: RightsRequest) -> bool:
        desk = self._desk_of(actor)
        is_for_client = request.subject[0] in self._held_for_clients()
        return request.requester == actor.key or (
            desk is not None and request.client == desk and is_for_client
        )

    def _held_for_clients(self) -> frozenset[str]:
        """The kinds of subject whose requests their client answers; of the others the publisher is
        controller.
        """
        return frozenset({KIND, *(kind for kind, _ in client_kinds(self._runtime))})

    def _found(self, session: Session, request: str) -> RightsRequest:
        found_request = self.ledger.find(session, request)
        if found_request is None:
            raise RequestNotFound("the request is gone")
        return found_request

    def _tell(
        self,
        request: RightsRequest,
        state: str,
        actor: Actor | None,
        clause: str | None,
        pseudonym: str | None = None,
    ) -> None:
        self._runtime.audit.rights_request(
            request=request.id if pseudonym is None else None,
            right=request.right.value,
            state=state,
            subject_kind=request.subject[0],
            pseudonym=pseudonym,
            actor=acting_pseudonym() if actor is not None else None,
            role=request.requester_role,
            client=request.client,
            clause=clause,
        )


def retry_conflicts(session: Session, deed: Callable[[], T]) -> T:
    """Do something that may be done again, where somebody else was at it at the same moment.

    Raises:
        RequestConflict: Somebody was, each time.
    """
    begun = time.monotonic()
    for _ in range(MOST_TRIES):
        try:
            return deed()
        except (StaleDataError, OperationalError, RequestConflict) as error:
            session.rollback()
            if isinstance(error, RequestConflict) and error.is_final:
                raise
        if time.monotonic() - begun > LONGEST_SECONDS:
            break
    raise RequestConflict("others change the same at the same time; try again")
