"""Requests of data subjects and controllers: received, authorised, carried out, and answered."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ..database.identifiers import canonical_id
from ..errors import (
    AccessDenied,
    ConfigurationError,
    ErasureBlocked,
    PrivacyError,
    RequestConflict,
    RequestInvalid,
    RequestNotFound,
    StoreUnavailable,
    SubjectErased,
    describe_failure,
)
from ..gate.actor import Actor
from ..gate.declaration import Declaration
from ..gate.job import Job
from ..gate.runtime import Runtime
from ..orm.codec import encode_fields
from ..orm.hidden_values import HiddenValues
from ..policy.model import Action, Right, RightOutcome, RightRule
from .archive_renderers import ArchiveRenderer
from .archive_store import expire_archives, keep_archive, open_archive
from .authorization import RightsAuthorization
from .client_erasure import (
    begin_client_erasure,
    client_kinds,
    open_client_erasures,
    remove_client_rows,
)
from .client_export import ClientExport
from .erased_requests import forget_names
from .erasure import ErasureHandler, has_certificate
from .export import ExportHandler
from .handler import ChangesHandler, Outcome, ResumableHandler, RightHandler, RightsCase
from .rectification import RectificationHandler
from .request_events import record_state, record_state_by_actor
from .requests import CLIENT, PAGE, RequestRepository, RightsRequest
from .retry import retry_conflicts

RESERVED = frozenset(
    """
    requests consents grants assistance archive certificate ask audit list-requests show-request
    show-consents change-consent list-grants give-grant revoke-grant list-assistance open-assistance
    close-assistance unsubscribe opendsr
    """.split()  # noqa: SIM905  a list of words reads best as one
)
"""Names of other calls of the blueprint."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
CUT_OFF = dt.timedelta(hours=1)
"""After how long nobody is at a request any more that was begun and not ended."""


class RightsService:
    """The rights of data subjects in one application.

    Args:
        runtime: The application's.
        handlers: Of the rights that the application brings besides those that are built in.
        renderers: Of archives, besides those that are built in.
    """

    def __init__(
        self,
        runtime: Runtime,
        handlers: Iterable[RightHandler] = (),
        renderers: Iterable[ArchiveRenderer] = (),
    ) -> None:
        self._runtime = runtime
        built_in = (ExportHandler(renderers), ErasureHandler(), RectificationHandler())
        self._handlers = _by_name((*built_in, *handlers))
        self._authorization = RightsAuthorization(runtime)
        self.requests = RequestRepository(runtime.database.tables, runtime.policy, runtime.utcnow)

    def submit(
        self,
        right: str,
        actor: Actor,
        *,
        kind: str,
        one: str,
        changes: Mapping[str, Any] | None = None,
    ) -> RightsRequest:
        """Receive a request and carry it out, or pass it on, as the policy says.

        Args:
            right: Which right, by its name.
            actor: Who asks.
            kind: Of subject.
            one: The subject's identifier.
            changes: Fields to JSON values, for a right that takes them.

        Returns:
            The request as it ended.

        Raises:
            AccessDenied: The actor may not ask.
            RequestInvalid: Changes cannot be made.
        """
        handler = self._handler(right)
        if kind == CLIENT:
            return self._submit_for_client(right, actor, one)
        payload = HiddenValues(changes or {})
        del changes
        session = self._runtime.database.clean_session()
        identifier, client = self._authorization.find_subject(session, kind, one)
        rule = self._authorization.authorize(right, actor, kind, (identifier, client))
        subject = (kind, canonical_id(identifier))
        checked = payload
        if isinstance(handler, ChangesHandler):
            checked = handler.check_changes(self._runtime, session, subject, payload)
        elif payload:
            raise RequestInvalid(f"changes: a request to {right} takes none; ask to rectify")
        elif open_request := self.requests.find_open(session, right, subject, actor.key):
            raise RequestConflict(f"this was asked for already and is open: request {open_request}")
        request = retry_conflicts(
            session,
            lambda: self.requests.receive(
                session,
                right,
                subject=subject,
                client=client,
                requester=actor.key,
                requester_role=actor.role,
                clause=rule.clause,
            ),
        )
        record_state_by_actor(self._runtime, request, "received", rule.clause)
        with self._failing(session, request):
            if rule.outcome is RightOutcome.FORWARD:
                self._forward(session, request, checked, payload)
            else:
                case = RightsCase(self._runtime, session, request, checked)
                self._carry_out(handler, case, rule, actor)
        return self._stored(session, request.id)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rights that are handled here."""
        return tuple(self._handlers)

    def has_work(self) -> bool:
        """Whether requests are open that somebody began to carry out."""
        return bool(self.requests.unfinished(self._runtime.database.session()))

    def work(self) -> Iterator[tuple[str, int]]:
        """Do what open requests still need, batch by batch; yields the request's id and how many
        subjects are gone.

        What was cut off is taken up: what can be resumed is repeated; of the others nobody knows
        how far they came, so they are told as failed an hour after they were received, and can be
        asked for again. Archives that expired go.
        """
        self._runtime.startup.run()
        runtime, session = self._runtime, self._runtime.database.session()
        expire_archives(session, runtime)
        session.commit()
        failures: list[Exception] = []
        for request in open_client_erasures(runtime, self.requests, session):
            try:
                for removed_count in remove_client_rows(runtime, self.requests, session, request):
                    yield request.id, removed_count
            except Exception as error:  # noqa: BLE001  the other requests are still carried out
                failures += self._postpone(session, request, error)
        for request in self.requests.unfinished(session):
            if request.is_about_client or not self._is_resumable(request):
                continue
            try:
                if self._resume(session, request):
                    yield request.id, 1
            except Exception as error:  # noqa: BLE001  the other requests are still carried out
                failures += self._postpone(session, request, error)
        for request in self.requests.unfinished(session, before=runtime.utcnow() - CUT_OFF):
            if not self._is_resumable(request):
                self.requests.transition(session, request.id, "failed", note="interrupted")
                record_state(runtime, request, "failed", request.clause)
        if failures:
            raise failures[0]

    def visible_to(
        self, actor: Actor, *, after: str | None = None, limit: int = PAGE
    ) -> list[RightsRequest]:
        """A page of the requests that an actor made; for whoever acts for a client, also those
        about the data held for it.
        """
        return self.requests.visible(
            self._runtime.database.session(),
            requester=actor.key,
            client=self._authorization.answered_client(actor),
            kinds=self._authorization.kinds_held_for_clients(),
            after=after,
            limit=limit,
        )

    def find(self, actor: Actor, request: str) -> RightsRequest:
        """One request that an actor may see; raises `RequestNotFound`, also for one that it may
        not.
        """
        stored = self.requests.find(self._runtime.database.session(), request)
        if stored is None or not self._authorization.may_see(actor, stored):
            raise RequestNotFound("there is no such request here")
        return stored

    def archive(self, actor: Actor, request: str) -> bytes:
        """The archive of an export, until it expires; raises `RequestConflict` where there
        is none.
        """
        runtime, session = self._runtime, self._runtime.database.session()
        stored = self.find(actor, request)
        archives = runtime.database.tables.archive
        row = session.execute(select(archives).where(archives.c.request_id == stored.id)).first()
        if row is None or row.expires_at < runtime.utcnow():
            raise RequestConflict("this request has no archive, or it has expired; export again")
        kind, subject_id = stored.subject
        rule = self._authorization.authorize(Right.EXPORT, actor, kind, (subject_id, stored.client))
        if rule.outcome is RightOutcome.FORWARD:
            raise AccessDenied(
                "the archive is the controller's to hand on",
                clause=rule.clause,
                missing="the client's word",
            )
        handler = self._handlers[Right.EXPORT]
        with self._job(handler, rule, actor, kind, "archive of an export") as processing:
            for category in sorted(handler.categories(runtime, kind)):
                processing.authorize(
                    category, Action.READ, client=stored.client, subject=stored.subject
                )
                processing.record_access(
                    category, Action.READ, client=stored.client, subject=stored.subject
                )
            newest = processing.keys.require(session, kind, subject_id)
            return open_archive(newest, row.sealed, stored.id)

    def client_archive(self, actor: Actor, request: str) -> Iterator[bytes]:
        """Everything of a client as a ZIP file, in portions, built while it is fetched: a folder
        for each person and `shared.jsonl` (GDPR Art. 28(3)(g)).

        Args:
            actor: Who asked, or answers for the client.
            request: Of an export of a client.

        Raises:
            RequestConflict: It is no such request, or its time is over; ask again.
            RequestNotFound: The actor may not see it.
        """
        runtime, stored = self._runtime, self.find(actor, request)
        expires = (stored.outcome or {}).get("archive_expires")
        if not stored.is_about_client or expires is None:
            raise RequestConflict("this request is no export of a client")
        if dt.datetime.fromisoformat(expires) < runtime.utcnow():
            raise RequestConflict("the time of this export is over; ask for another one")
        client, handler = stored.subject[1], self._handlers[Right.EXPORT]
        purpose = self._client_rules(Right.EXPORT, actor, client)[0].purpose
        kinds = [kind for kind, _ in client_kinds(runtime)]
        categories = frozenset().union(*(handler.categories(runtime, kind) for kind in kinds))
        declaration = Declaration(categories, frozenset({actor.role}), purpose, handler.actions)
        job = partial(Job, runtime, declaration, actor, "export of a client")
        return iter(ClientExport(runtime, client, categories, job))

    def certificate(self, actor: Actor, request: str) -> dict[str, Any]:
        """What an erasure did: what was erased, where, what was kept and why; raises
        `RequestConflict` where none was done.
        """
        stored = self.find(actor, request)
        if stored.outcome is None or not has_certificate(stored):
            raise RequestConflict("this request erased nothing")
        return {
            "request": stored.id,
            "received": stored.received_at.isoformat(),
            "ended": stored.ended_at.isoformat() if stored.ended_at else None,
            "state": stored.state,
            "clause": stored.clause,
            "subject": {"kind": stored.subject[0], "id": stored.subject[1]},
            **stored.outcome,
        }

    # --- inside ---

    def _handler(self, right: str) -> RightHandler:
        handler = self._handlers.get(right)
        if handler is None:
            raise RequestInvalid(f"right: one of {', '.join(sorted(self._handlers))}")
        return handler

    def _submit_for_client(self, right: str, actor: Actor, client: str) -> RightsRequest:
        """Receive that everything of a client be erased, and destroy its key, `work` removes the
        rows; or that everything be exported, which `client_archive` builds while it is fetched.
        """
        session, client = self._runtime.database.session(), canonical_id(client)
        if right not in (Right.DELETE, Right.EXPORT):
            raise RequestInvalid(
                f"subject: everything of a client can be exported or deleted; {right} names one "
                "person"
            )
        rules = self._client_rules(right, actor, client)
        request = self.requests.receive(
            session,
            right,
            subject=(CLIENT, client),
            client=client,
            requester=actor.key,
            requester_role=actor.role,
            clause=rules[0].clause,
        )
        record_state_by_actor(self._runtime, request, "received", request.clause)
        if right == Right.DELETE:
            begin_client_erasure(self._runtime, self.requests, session, request)
            return self._stored(session, request.id)
        policy = self._runtime.policy
        expires = self._runtime.utcnow() + dt.timedelta(days=policy.deadline.archive_days)
        outcome = {"archive_expires": expires.isoformat()}
        self.requests.transition(session, request.id, "completed", outcome=outcome)
        record_state_by_actor(self._runtime, request, "completed", request.clause)
        return self._stored(session, request.id)

    def _client_rules(self, right: str, actor: Actor, client: str) -> list[RightRule]:
        """The rules by which an actor may ask for a right over everything of a client; raises
        `AccessDenied` where one kind of subject has none.
        """
        rules = [
            self._authorization.authorize(right, actor, kind, ("", client))
            for kind, _ in client_kinds(self._runtime)
        ]
        if not rules:
            raise RequestInvalid("subject: nothing is held for clients here")
        for rule in rules:
            if rule.outcome is RightOutcome.FORWARD:
                raise AccessDenied(
                    "everything of a client is the client's to ask for",
                    clause=rule.clause,
                    missing="the client's word",
                )
        return rules

    @contextmanager
    def _failing(self, session: Session, request: RightsRequest) -> Iterator[None]:
        """A request whose work raises has failed, and says with which code.

        What code of the application raises goes on without its text, which may hold values.
        """
        try:
            yield
        except Exception as error:
            session.rollback()
            refusal = _without_values(error)
            # which table holds rows back is what somebody has to mend; it names no value
            note = refusal.message if isinstance(refusal, ErasureBlocked) else refusal.code
            self.requests.transition(session, request.id, "failed", note=note)
            record_state_by_actor(self._runtime, request, "failed", refusal.clause)
            if isinstance(error, PrivacyError | SQLAlchemyError):
                raise
            raise refusal from None

    def _carry_out(
        self, handler: RightHandler, case: RightsCase, rule: RightRule, actor: Actor
    ) -> None:
        session, request = case.session, case.request
        self.requests.transition(session, request.id, "in-progress")
        with self._job(
            handler, rule, actor, request.subject[0], f"{request.right} request"
        ) as processing:
            begun = replace(case, processing=processing)
            outcome = retry_conflicts(session, lambda: handler.carry_out(begun))
        if isinstance(outcome, Outcome):
            self._end(session, request, outcome)
            record_state_by_actor(self._runtime, request, outcome.state, rule.clause)
        elif outcome is not None or not isinstance(handler, ResumableHandler):
            raise ConfigurationError(
                f"the handler of the right {request.right!r} returns an Outcome(…), or None "
                "where its resume method does the rest"
            )

    def _resume(self, session: Session, request: RightsRequest) -> bool:
        """Do what a request still needs; False where it has to wait."""
        handler = self._handlers[request.right]
        assert isinstance(handler, ResumableHandler)  # noqa: S101  the caller looked
        outcome = handler.resume(RightsCase(self._runtime, session, request))
        if outcome is None:
            return False
        self._end(session, request, outcome)
        record_state(self._runtime, request, outcome.state, request.clause)
        return True

    def _end(self, session: Session, request: RightsRequest, outcome: Outcome) -> None:
        """Note how a request ended; who was erased by it is named by no request any more."""

        def end() -> None:
            done = self.requests.find(session, request.id) or request
            self.requests.move(session, request.id, outcome.state, outcome=outcome.details)
            if request.right == Right.DELETE:
                forget_names(self._runtime, session, done)
            session.commit()

        retry_conflicts(session, end)

    def _is_resumable(self, request: RightsRequest) -> bool:
        is_resumable = isinstance(self._handlers.get(request.right), ResumableHandler)
        return is_resumable or request.is_about_client

    def _postpone(
        self, session: Session, request: RightsRequest, error: Exception
    ) -> list[Exception]:
        """Leave a request in progress, saying why; returns what somebody has to mend."""
        session.rollback()
        told = error if isinstance(error, SQLAlchemyError) else _without_values(error)
        note = told.message if isinstance(told, PrivacyError) else type(error).__name__
        self.requests.postpone(session, request.id, note)
        return [] if isinstance(told, StoreUnavailable) else [told]

    def _forward(
        self, session: Session, request: RightsRequest, checked: HiddenValues, sent: HiddenValues
    ) -> None:
        """Pass a request on to the controller, with what was asked for sealed as the subject's own
        data.
        """
        kind, subject_id = request.subject
        if checked:
            key = self._runtime.keys.load(session, kind, [subject_id]).get(subject_id)
            if key is None:
                raise SubjectErased
            changes = {name: sent[name] if name in sent else checked[name] for name in checked}
            content = encode_fields({"changes": changes}, "changes")
            tables = self._runtime.database.tables
            keep_archive(session, tables, request.id, key, content, request.due_at)
        note = "passed on to the controller, whose word is needed"
        self.requests.move(
            session, request.id, "forwarded", note=note, outcome={"fields": sorted(checked)}
        )
        session.commit()
        record_state_by_actor(self._runtime, request, "forwarded", request.clause)

    def _job(
        self, handler: RightHandler, rule: RightRule, actor: Actor, kind: str, name: str
    ) -> Job:
        declaration = Declaration(
            handler.categories(self._runtime, kind),
            frozenset({actor.role}),
            rule.purpose,
            handler.actions,
        )
        return Job(self._runtime, declaration, actor, name)

    def _stored(self, session: Session, request: str) -> RightsRequest:
        stored = self.requests.find(session, request)
        if stored is None:
            raise RequestNotFound("the request is gone")
        return stored


def _without_values(error: Exception) -> PrivacyError:
    """What is told of an exception: itself where it is ours, else its kind and place."""
    if isinstance(error, PrivacyError):
        return error
    return PrivacyError(f"the request could not be carried out: {describe_failure(error)}")


def _by_name(handlers: Iterable[RightHandler]) -> dict[str, RightHandler]:
    by_name: dict[str, RightHandler] = {}
    for handler in handlers:
        if not _NAME.fullmatch(handler.name) or handler.name in RESERVED:
            raise ConfigurationError(
                f"a right cannot be called {handler.name!r}: use lower-case words joined by '-', "
                f"and none of {', '.join(sorted(RESERVED))}"
            )
        if handler.name in by_name:
            raise ConfigurationError(f"the right {handler.name!r} has a handler already")
        by_name[handler.name] = handler
    return by_name
