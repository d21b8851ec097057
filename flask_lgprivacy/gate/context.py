"""The processing context: one request, stream or job, which sealed columns ask before they open."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NoReturn, cast

from sqlalchemy.orm import Session, object_session

from ..audit.events import ProcessingEvent
from ..crypto.keys import SubjectKey
from ..database.clock import timestamp
from ..database.identifiers import SubjectRef, canonical_id
from ..errors import (
    AccessDenied,
    AuthenticationRequired,
    ConfigurationError,
    PrivacyError,
    RecordOfAnotherModel,
    RequestConflict,
    SealBroken,
    SubjectErased,
    UndeclaredProcessing,
)
from ..orm.key_access import SubjectKeyAccess
from ..orm.model_info import ModelInfo, SealedGroup, TaggedColumn
from ..orm.plaintext import load_plaintext
from ..orm.reserved_identifiers import Wanted, reserve
from ..orm.row_people import RowPeople
from ..orm.row_search import RowPerson
from ..orm.row_state import CHANGED, changed_meanwhile
from ..orm.tagged_value import unwrap
from ..policy.model import Action, Condition
from . import forks
from .access_log import AccessLog
from .actor import PUBLIC_ROLE, Actor, audited_role
from .authorization import Authorization
from .client_spelling import acting_client
from .declaration import Declaration
from .declaration_refusals import refused_role, what_is_undeclared
from .runtime import Runtime
from .shared_authorization import AllowedFor, decide_for_any, own_first

READ = Action.READ.value
_numbers = itertools.count()
MOST_REMEMBERED = 1000
"""Of how many records that were opened last the values are looked for in the address of a redirect.
"""
NEVER_WITHHELD = frozenset({Condition.OWN_CLIENT.value, Condition.STRONG_AUTHENTICATION.value})
"""Conditions about the whole row or the actor: where one is missing, the row is refused."""


def _takes_no_body(_context: ProcessingContext, _request: Any) -> None:
    """Outside a request there is no body."""


class ProcessingContext:
    """One request, stream or job: its declaration, its actor, what it may still do and what it did.

    Args:
        runtime: The application's.
        via: `request`, or `job` outside of one; a request becomes a `stream`.
    """

    __slots__ = (
        "__weakref__",
        "_authorization",
        "_fork_count",
        "_granted",
        "_has_opened",
        "_held_keys",
        "_intended",
        "_own_subjects",
        "_readable",
        "_refusal",
        "accepted",
        "actor",
        "actor_name",
        "declaration",
        "ended",
        "endpoint",
        "entered",
        "keys",
        "lifetime_token",
        "log",
        "method",
        "number",
        "opened_values",
        "people",
        "record_at_once",
        "runtime",
        "take_body",
        "via",
        "view_ran",
    )

    def __init__(self, runtime: Runtime, via: Literal["request", "job"]) -> None:
        self.runtime = runtime
        self.via: Literal["request", "stream", "job"] = via
        self.lifetime_token = object()
        self.ended = False
        self.entered: tuple[Declaration, ...] | None = None
        self.declaration: Declaration | None = None
        self.actor: Actor | None = None
        self.actor_name: str | None = None
        self.endpoint: str | None = None
        self.method: str | None = None
        self.log = AccessLog()
        self.accepted: Any = None
        self.opened_values: deque[Iterable[Any]] = deque(maxlen=MOST_REMEMBERED)
        self.take_body: Callable[[ProcessingContext, Any], Any] = _takes_no_body
        self.record_at_once: Callable[[ProcessingContext], None] | None = None
        """Called at each opening, where a value leaves before the answer does (WebSockets)."""
        self.view_ran = False
        self.number = next(_numbers)
        self.keys = SubjectKeyAccess(runtime.keys, runtime.models, self.session, self.refuse)
        self._held_keys = self.keys.held
        self.people = RowPeople(runtime.models, self.session)
        self._fork_count = forks.count
        self._intended = False
        self._has_opened = False
        self._refusal: PrivacyError | None = None
        self._granted: set[tuple[Any, ...]] = set()
        self._readable: dict[tuple[SealedGroup, str], dict[str, SubjectKey | None]] = {}
        self._own_subjects: tuple[SubjectRef, ...] = ()
        self._authorization: Authorization | None = None

    def __repr__(self) -> str:
        return f"<ProcessingContext {self.endpoint or 'job'}>"

    # --- begin and end ---

    def begin(self, declarations: tuple[Declaration, ...]) -> None:
        """Load the actor and enter the declaration for its role.

        Raises:
            AuthenticationRequired: Nobody is signed in, and the endpoint is not public.
            AccessDenied: No declaration is for the actor's role.
        """
        self.entered = None
        actor = self.runtime.load_actor()
        if actor is not None and type(actor) is not Actor:
            raise ConfigurationError(
                f"the actor loader must return an Actor or None, not {type(actor).__name__}"
            )
        policy = self.runtime.policy
        role = actor.role if actor is not None else PUBLIC_ROLE
        if role not in policy.roles:
            self.refuse(
                UndeclaredProcessing(
                    "the actor has a role that the policy document does not have; it has "
                    f"{', '.join(sorted(policy.roles))}"
                )
            )
        for declaration in declarations:
            if role in declaration.roles:
                self.enter(declaration, actor)
                self.entered = declarations
                return
        self.enter(declarations[0], actor)
        self.declaration = None
        if actor is None:
            clause = policy.purposes[declarations[0].purpose].clause
            self.refuse(AuthenticationRequired("sign in first", clause=clause))
        refused = refused_role(self.runtime.engine, self.runtime.policy, declarations, role)
        self.refuse(refused.error, category=refused.category, action=refused.action)

    def enter(self, declaration: Declaration, actor: Actor | None) -> None:
        """Take a declaration and an actor that are already decided upon."""
        self._refuse_ended()
        if self.runtime.startup.are_due:
            self._run_startup_checks()
        self.declaration = declaration
        self.actor = actor
        self._own_subjects = actor.subjects if actor is not None else ()
        self._authorization = Authorization(
            self.runtime, actor, declaration.purpose, self.log, self.session
        )
        self._readable = {}
        self._granted = set()
        self.actor_name = None
        if actor is not None:
            self.actor_name = self.runtime.pseudonyms.of_actor(actor, self.session, self.keys.load)

    def _run_startup_checks(self) -> None:
        try:
            self.runtime.startup.run()
        except PrivacyError as refusal:
            self.refuse(refusal)

    def inner(self) -> ProcessingContext:
        """A context of its own for a guarded view that another view calls."""
        self._refuse_ended()
        inner = ProcessingContext(self.runtime, "request")
        inner.endpoint, inner.method, inner.take_body = self.endpoint, self.method, self.take_body
        inner.record_at_once = self.record_at_once
        return inner

    def intend(self) -> None:
        """Say in the trail, once, what is about to be written or deleted.

        Raises:
            TrailUnavailable: It cannot be said, and then nothing is written.
        """
        if not self._intended:
            self.runtime.audit.commit(self.event(status=None, stage="intent"))
            self._intended = True

    def end(self) -> None:
        """Shut everything that was open; what still holds on to this context opens nothing more."""
        self.ended = True
        self.lifetime_token = object()
        self.entered = self.declaration = None
        self._granted.clear()
        self._readable.clear()
        self._authorization = None
        self.keys.release()
        self.people.release()

    @property
    def must_be_audited(self) -> bool:
        """Whether the trail has to hear of this: a declaration was entered, or something
        happened.
        """
        return self.declaration is not None or bool(self.log.touched) or bool(self.log.refused)

    @property
    def has_opened(self) -> bool:
        """Whether personal data was opened so far."""
        return self._has_opened

    def anonymous_refusal_codes(self) -> set[str]:
        """The codes of what an anonymous request was refused; none where anything else is to be
        told.
        """
        if self.actor is not None or self.via != "request" or self.log.touched:
            return set()
        return {refusal.code for refusal in self.log.refused}

    def inherit_from(self, inner: ProcessingContext) -> None:
        """Take note that what an inner context opened goes out with this one's answer."""
        self._has_opened = self._has_opened or inner.has_opened
        self.opened_values.extend(inner.opened_values)

    def event(
        self, *, status: int | None, stage: Literal["intent", "outcome"] = "outcome"
    ) -> ProcessingEvent:
        """What happened since the last call, as an event of the trail."""
        now = self.runtime.utcnow()
        # an outcome tells what its intent told, and more
        log = self.log if stage == "outcome" else self.log.copy()
        accesses, refusals = log.drain(now)
        withheld, grants = log.drain_withheld_and_grants()
        self._readable = {}
        self._has_opened = self._has_opened or bool(accesses)
        declaration, actor, policy = self.declaration, self.actor, self.runtime.policy
        purpose = policy.purposes.get(declaration.purpose) if declaration else None
        return ProcessingEvent(
            at=timestamp(now),
            via=self.via,
            stage=stage,
            endpoint=self.endpoint,
            method=self.method,
            status=status,
            actor=self.actor_name,
            role=audited_role(policy, actor),
            client=actor.client if actor else None,
            purpose=purpose.id if purpose else None,
            basis=purpose.basis if purpose else None,
            touched=accesses,
            withheld=withheld,
            refused=refusals,
            grants=grants,
        )

    def refuse(
        self, error: PrivacyError, *, category: str | None = None, action: str | None = None
    ) -> NoReturn:
        """Note a refusal for the trail and raise it."""
        self.note_refusal(error, category=category, action=action)
        raise error

    def note_refusal(
        self, error: PrivacyError, *, category: str | None = None, action: str | None = None
    ) -> None:
        """Note a refusal for the trail, once, wherever it was raised."""
        if error is not self._refusal:
            self._refusal = error
            error.clause = error.clause or self.runtime.policy.clause_of(error.commitment)
            self.log.refuse(error, error.clause, category=category, action=action)

    # --- what columns ask ---

    def open_group(self, instance: Any, group: SealedGroup) -> dict[str, Any]:
        """The opened fields of one group of one row."""
        if self._fork_count != forks.count:
            self._refuse_in_fork()
        row = instance.__dict__
        try:
            owner_id, own_id, stated_client, envelope, version = group.place(row)
        except KeyError:
            for name in group.needs:
                getattr(instance, name)
            owner_id, own_id, stated_client, envelope, version = group.place(row)
        model = group.layout
        subject_id = canonical_id(owner_id)
        subject = (model.kind, subject_id)
        if version == 0 and model.plaintext_columns and envelope is None:
            plain = self._open_plaintext(instance, group, subject)
            if plain is not None:
                return plain
            _, _, _, envelope, version = group.place(row)
        key = self._held_keys[model.kind].get(subject_id)
        if key is None:
            key = self.keys.of_row(instance, model.kind, subject_id)
        if not model.is_subject:
            row_id = canonical_id(own_id)
            return self.open_record(
                group, row_id, subject, key.client, envelope, version, key, instance
            )
        client = ""
        if model.client is not None and stated_client is not None:
            client = canonical_id(stated_client)
        return self.open_record(
            group, subject_id, subject, client, envelope, version, key, instance
        )

    def open_shared_group(self, instance: Any, group: SealedGroup, name: str) -> dict[str, Any]:
        """A field of a shared row, with those of its group that the same people are shown."""
        layout = group.layout
        try:
            _, own_id, _, envelope, version = group.place(instance.__dict__)
        except KeyError:
            for needed in group.needs:
                getattr(instance, needed)
            _, own_id, _, envelope, version = group.place(instance.__dict__)
        people = self.people.of(instance, layout)
        shown_to = [person for person in people if person.is_shown(name)]
        self.authorize_for_any(group.category, Action.READ, shown_to, layout)
        row_id = canonical_id(own_id)
        key = self.keys.of_record(instance, layout, row_id)
        key_name = (layout.key_kind, row_id)
        fields = self._unsealed(group, row_id, key_name, envelope, version, key, instance)
        opened = fields
        if any(person.shows is not None for person in people):
            opened = {
                field: value
                for field, value in fields.items()
                if [person for person in people if person.is_shown(field)] == shown_to
            }
        self.opened_values.append(opened.values())
        return opened

    def _open_plaintext(
        self, instance: Any, group: SealedGroup, subject: SubjectRef
    ) -> dict[str, Any] | None:
        """The fields of a row that is still in plain text; None where it was migrated meanwhile."""
        subject_kind, subject_id = subject
        client = self.keys.clients_of(None, subject_kind, (subject_id,)).get(subject_id)
        self.authorize_plaintext_read(group.layout, group, subject, client)
        loaded = load_plaintext(instance, group.layout)
        if loaded is None:
            return None
        fields = {name: loaded.get(name) for name in group.fields}
        self.opened_values.append(fields.values())
        return fields

    def open_record(
        self,
        group: SealedGroup,
        row_id: str,
        subject: SubjectRef,
        client: str,
        envelope: bytes,
        version: int,
        key: SubjectKey,
        instance: Any = None,
    ) -> dict[str, Any]:
        """The opened fields of one record; raises before anything is decrypted.

        Args:
            group: Which record of the row.
            row_id: The row's canonical identifier.
            subject: Whose data it is.
            client: As the row states it, or "" where it states none.
            envelope: The sealed record.
            version: The row's.
            key: The subject's newest.
            instance: The row, where it was loaded as one: then its parts may have been loaded at
                different times.
        """
        touched = self._readable.get((group, client))
        if touched is None or (self._own_subjects and subject in self._own_subjects):
            touched = self._authorize_reading(group, client, subject)
        if client != key.client:
            self._refuse_broken(group, version, instance)
        try:
            fields = group.unsealed(key, envelope, row_id, version)
        except (SealBroken, RecordOfAnotherModel, TypeError):
            fields = self._unsealed(group, row_id, subject, envelope, version, key, instance)
        touched[subject[1]] = key
        self.opened_values.append(fields.values())
        if self.record_at_once is not None:
            self.record_at_once(self)
        return fields

    def _unsealed(
        self,
        group: SealedGroup,
        row_id: str,
        key_name: tuple[str, str],
        envelope: bytes,
        version: int,
        key: SubjectKey,
        instance: Any,
    ) -> dict[str, Any]:
        """The fields of a record that its newest key does not open, or may not: while keys are
        rotated, it may name the previous one.
        """
        try:
            try:
                return group.unsealed(key, envelope, row_id, version)
            except SealBroken:
                previous = self.keys.named_by(envelope, key_name, key)
                return group.unsealed(previous, envelope, row_id, version)
        except RecordOfAnotherModel as other:
            self.refuse(other, category=group.category, action=READ)
        except (SealBroken, TypeError):  # TypeError: the envelope or the version is NULL
            self._refuse_broken(group, version, instance)

    def _refuse_broken(self, group: SealedGroup, version: int, instance: Any) -> NoReturn:
        is_stale = instance is not None and changed_meanwhile(instance, version)
        self.refuse(
            RequestConflict(CHANGED) if is_stale else SealBroken(),
            category=group.category,
            action=READ,
        )

    def _authorize_reading(
        self, group: SealedGroup, client: str, subject: SubjectRef
    ) -> dict[str, SubjectKey | None]:
        """Decide about one subject; remember it where it holds for all subjects of the client."""
        category = group.category
        self.authorize(category, Action.READ, client=client or None, subject=subject)
        touched = self.log.subjects_for(category, READ, client or None, subject[0])
        is_own = subject in self._own_subjects
        if not is_own and not self._decisions.rules(category, Action.READ).is_about_one_subject:
            self._readable[group, client] = touched
        return touched

    def authorize_plaintext_read(
        self, model: ModelInfo, group: SealedGroup, subject: SubjectRef, client: str | None
    ) -> None:
        """Allow, or refuse, that a row is read that is still in plain text."""
        self.require_migration_open(model)
        if self.keys.is_erased(None, *subject, client=client):
            self.refuse(SubjectErased(), category=group.category, action=READ)
        self.authorize(group.category, Action.READ, client=client, subject=subject)
        self.record_access(group.category, Action.READ, client=client, subject=subject)

    def require_migration_open(self, model: ModelInfo) -> None:
        """Refuse plain text of a model, unless it is being migrated."""
        if not self.runtime.migration.is_open(model.name):
            self.refuse(
                ConfigurationError(
                    f"{model.name}: this row is still in plain text, which is read only while "
                    "LGPRIVACY_MIGRATION_WINDOWS names the model; run 'flask privacy keys migrate "
                    f"{model.name}'"
                ),
            )

    def authorize_tagged_read(self, instance: Any, tagged: TaggedColumn) -> None:
        """Allow, or refuse, that a tagged column of a row is read.

        The key, not the row, says whose client it is.
        """
        model = tagged.layout
        row = instance.__dict__
        if model.is_shared:
            people = [
                person
                for person in self.people.of(instance, model)
                if person.is_shown(tagged.attribute)
            ]
            self.authorize_for_any(tagged.category, Action.READ, people, model)
            self.opened_values.append((unwrap(row.get(tagged.attribute)),))
            return
        subject_id = canonical_id(row.get(model.subject) or getattr(instance, model.subject))
        client = self._client_of(instance, (model.kind, subject_id))
        if model.is_subject and model.client is not None:
            stated_client = getattr(instance, model.client)
            if client != (None if stated_client is None else canonical_id(stated_client)):
                self.refuse(SealBroken(), category=tagged.category, action=READ)
        self.authorize_tagged_record(tagged, subject_id=subject_id, client=client)
        self.opened_values.append((unwrap(row.get(tagged.attribute)),))

    def _client_of(self, instance: Any, subject: SubjectRef) -> str | None:
        """Whose client's a subject is, by its key; by its row where it was recorded before this
        package and has none yet.
        """
        kind, subject_id = subject
        session = object_session(instance)
        key = self.keys.load(session, kind, (subject_id,)).get(subject_id)
        if key is None:
            unkeyed = self.keys.clients_without_keys(session, kind, (subject_id,))
            if subject_id in unkeyed:
                return unkeyed[subject_id]
            key = self.keys.require(session, kind, subject_id)
        return key.client or None

    def authorize_tagged_record(
        self, tagged: TaggedColumn, *, subject_id: str, client: str | None
    ) -> None:
        """The same for a record that is not an instance."""
        subject = (tagged.layout.kind, subject_id)
        self.authorize(tagged.category, Action.READ, client=client, subject=subject)
        self.record_access(tagged.category, Action.READ, client=client, subject=subject)
        if self.record_at_once is not None:
            self.record_at_once(self)

    def authorize_search(
        self, category: str, *, subject_kind: str, client: str | None, operation: str
    ) -> None:
        """Allow, or refuse, that subjects of a client are searched by a value that is known.

        Nothing is opened, so *self* counts as given; a client's data is searched only by whoever
        may act for it.
        """
        self.require_declared(category, Action.READ, operation)
        refusal = self._decisions.refusal_for_oneself(category, Action.READ, client, "search")
        if refusal is not None:
            self.refuse(refusal, category=category, action=READ)
        self.log.subjects_for(category, READ, client, subject_kind)

    def authorize(
        self, category: str, action: Action, *, client: str | None, subject: SubjectRef
    ) -> None:
        """Allow an action on one subject's category, or raise with the clause and what was
        missing.
        """
        is_self = subject in self._own_subjects
        memo = (category, action, client, is_self)
        if memo in self._granted:
            return
        self.require_declared(category, action, f"{category} ({action})")
        refusal = self._decisions.refusal(category, action, client, subject)
        if refusal is not None:
            self.refuse(refusal, category=category, action=action.value)
        if not self._decisions.rules(category, action).is_about_one_subject:
            self._granted.add(memo)

    def authorize_for_any(
        self, category: str, action: Action, people: Sequence[RowPerson], model: ModelInfo
    ) -> None:
        """Allow an action on behalf of any of a row's people, and note it, or raise for the one who
        is asked first.

        Args:
            category: Of the row's field.
            action: What is about to happen.
            people: Who own the row, or are shown the field.
            model: Of the row, for the message where nobody is left.
        """
        self.require_declared(category, action, f"{category} ({action})")
        decisions = self._decisions
        answer: AllowedFor | PrivacyError | None
        if people:
            subjects = own_first([person.subject for person in people], self._own_subjects)
            answer = decide_for_any(decisions, self.keys, category, action, subjects)
        elif action is Action.READ:
            declaration = cast(Declaration, self.declaration)
            clause = self.runtime.policy.purposes[declaration.purpose].clause
            answer = AccessDenied(
                f"this {model.name} belongs to nobody; only its keys can be read",
                clause=clause,
                missing="an owner",
            )
        else:  # what it holds is read by nobody, and who makes it theirs is asked as its owner
            client = self.acting_client()
            answer = decisions.refusal_for_oneself(category, action, client, action.value)
        if isinstance(answer, PrivacyError):
            self.refuse(answer, category=category, action=action.value)
        if answer is not None:
            self.record_access(category, action, client=answer.client, subject=answer.subject)
            if self.record_at_once is not None:
                self.record_at_once(self)

    def should_withhold(self, instance: Any, model: ModelInfo, category: str) -> bool:
        """Whether a category of a row is left out.

        The declaration says so, and the actor may not read it.
        """
        declaration = self.declaration
        if declaration is None or category not in declaration.withhold:
            return False
        if model.is_shared:
            subjects = [person.subject for person in self.people.of(instance, model)]
        else:
            subjects = [(model.kind, canonical_id(getattr(instance, model.subject)))]
        rules = self._decisions.rules(category, Action.READ)
        for subject in subjects:
            client = self._client_of(instance, subject)
            decision, _ = self._decisions.decide(rules, category, client, subject)
            if decision.allowed or not NEVER_WITHHELD.isdisjoint(decision.missing):
                return False
        self.log.withheld[category] = None
        return True

    def reserve_identifiers(self, session: Session, wanted: Iterable[Wanted]) -> None:
        """Give rows that are about to be inserted the identifiers that the database makes."""
        reserve(session, self.runtime.database.tables.identifier, wanted)

    def record_access(
        self, category: str, action: Action, *, client: str | None, subject: SubjectRef
    ) -> None:
        """Note, for the trail, something that happened."""
        subject_kind, subject_id = subject
        subjects = self.log.subjects_for(category, action.value, client, subject_kind)
        subjects[subject_id] = self._held_keys[subject_kind].get(subject_id)

    def require_declared(self, category: str, action: Action, operation: str) -> None:
        """Raise `UndeclaredProcessing` unless the declaration names the category and the action.

        Args:
            category: A category of the policy document.
            action: What is about to happen.
            operation: Names the code for the developer.
        """
        if self._fork_count != forks.count:
            self._refuse_in_fork()
        declaration = self.declaration
        if declaration is not None and declaration.covers(category, action):
            return
        place = f"endpoint {self.endpoint!r}" if self.endpoint else "this job"
        reason = f"{place} {what_is_undeclared(declaration, category, action)}"
        if declaration is None and self.via == "request" and self.endpoint is None:
            reason = (
                "no view has begun, so nothing is declared; read it in the view, not in a hook "
                "before it"
            )
        self.refuse(
            UndeclaredProcessing(f"{operation}: {reason}"), category=category, action=action
        )

    def acting_client(self) -> str | None:
        """The client for whom the actor acts."""
        if self.actor is None:
            return None
        return acting_client(self.runtime.models.graph, self.session(), self.actor)

    def session(self) -> Session:
        """The application's session; raises `UndeclaredProcessing` where the request has ended."""
        try:
            session = self.runtime.database.session()
        except UndeclaredProcessing as ended:
            self.refuse(ended)
        return session

    # --- inside ---

    @property
    def _decisions(self) -> Authorization:
        return cast(Authorization, self._authorization)  # where something is declared, there is one

    def _refuse_ended(self) -> None:
        if self.ended:
            raise UndeclaredProcessing(
                "this request or job has ended; nothing is processed under it any more"
            )
        if self._fork_count != forks.count:
            self._refuse_in_fork()

    def _refuse_in_fork(self) -> NoReturn:
        """Refuse a child process, whose copy of the open gate no trail would tell of."""
        raise UndeclaredProcessing(
            "this process was forked from one in which the processing runs; begin one here: with "
            "privacy.processing(…)"
        )
