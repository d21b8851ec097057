"""The processing context: one request, stream or job, which sealed columns ask before they open."""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
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
    RequestConflict,
    SealBroken,
    UndeclaredProcessing,
)
from ..orm.attributes import unwrap
from ..orm.model_info import ModelInfo, SealedGroup, TaggedColumn
from ..orm.plaintext import load_plaintext
from ..orm.row_state import CHANGED, changed_meanwhile
from ..permissions.grants import Grant
from ..policy.engine import CompiledRules, Decision
from ..policy.model import Action, Condition
from . import forks
from .access_log import AccessLog
from .actor import PUBLIC_ROLE, Actor, audited_role
from .actor_names import name_of
from .client_spelling import acting_client
from .declaration import Declaration
from .facts import FactResolver
from .key_access import READ, SubjectKeyAccess
from .runtime import Runtime


def begin(processing: ProcessingContext, declarations: tuple[Declaration, ...]) -> None:
    """Load the actor and enter the declaration for its role; raises `AuthenticationRequired` or `AccessDenied`."""
    processing.entered = None
    actor = processing.house.load_actor()
    if actor is not None and type(actor) is not Actor:
        raise ConfigurationError(
            f"the actor loader must return an Actor or None, not {type(actor).__name__}"
        )
    role = actor.role if actor is not None else PUBLIC_ROLE
    if role not in processing.house.policy.roles:
        known = ", ".join(sorted(processing.house.policy.roles))
        processing.refuse(
            UndeclaredProcessing(
                f"the actor's role is none of the policy document's; it has {known}"
            )
        )
    for declaration in declarations:
        if role in declaration.roles:
            processing.enter(declaration, actor)
            processing.entered = declarations
            return
    processing.enter(declarations[0], actor)
    processing.declaration = None
    if actor is None:
        processing.refuse(
            AuthenticationRequired(
                "sign in first",
                clause=processing.house.policy.purposes[declarations[0].purpose].clause,
            )
        )
    _refuse_role(processing, declarations, role)


def _refuse_role(
    processing: ProcessingContext, declarations: tuple[Declaration, ...], role: str
) -> NoReturn:
    """Say why a role has no place at an endpoint, as the policy says it where the policy does."""
    declaration = declarations[0]
    action = min(declaration.actions, default=Action.READ)
    for category in sorted(declaration.categories):
        refusal = processing.house.decisions.cell(
            role, category, action, declaration.purpose
        ).conceivable
        if refusal is not None:
            processing.refuse(
                AccessDenied(
                    refusal.reason, clause=refusal.clause, missing=", ".join(refusal.missing)
                ),
                category=category,
                action=action.value,
            )
    clause = processing.house.policy.purposes[declaration.purpose].clause
    roles = " or ".join(sorted({name for one in declarations for name in one.roles}))
    processing.refuse(
        AccessDenied(
            f"this is not for role '{role}', but for {roles}",
            clause=clause,
            missing=f"role {roles}",
        )
    )


_numbers = itertools.count()
MOST_REMEMBERED = 1000
"""Of how many records that were opened last the values are looked for in the address of a redirect."""
NEVER_WITHHELD = frozenset({Condition.OWN_CLIENT.value, Condition.STRONG_AUTHENTICATION.value})
"""Conditions that are about the whole row or the actor: where one is missing, the row is refused and not shown in part."""


def _takes_nothing(_processing: ProcessingContext, _request: Any) -> None:
    """Outside a request there is no body."""


class ProcessingContext(SubjectKeyAccess):
    """One request, stream or job: its declaration, its actor, what it may still do and what it did."""

    __slots__ = (
        "__weakref__",
        "_conditions",
        "_forks",
        "_granted",
        "_intended",
        "_keys",
        "_opened",
        "_readable",
        "_refusal",
        "_selves",
        "accepted",
        "actor",
        "actor_name",
        "declaration",
        "ended",
        "endpoint",
        "entered",
        "house",
        "is_direct",
        "ledger",
        "life",
        "method",
        "number",
        "opened",
        "take_in",
        "via",
        "view_ran",
    )

    def __init__(self, house: Runtime, via: Literal["request", "job"]) -> None:
        self.house = house
        self.via: Literal["request", "stream", "job"] = via
        self.life = object()
        self.ended = False
        self.entered: tuple[Declaration, ...] | None = None
        self.declaration: Declaration | None = None
        self.actor: Actor | None = None
        self.actor_name: str | None = None
        self.endpoint: str | None = None
        self.method: str | None = None
        self.ledger = AccessLog()
        self.accepted: Any = None
        self.opened: deque[Iterable[Any]] = deque(maxlen=MOST_REMEMBERED)
        self.take_in: Callable[[ProcessingContext, Any], Any] = _takes_nothing
        self.is_direct = False
        self.view_ran = False
        self.number = next(_numbers)
        self._forks = forks.count
        self._intended = False
        self._keys: defaultdict[str, dict[str, SubjectKey]] = defaultdict(dict)
        self._opened = False
        self._refusal: PrivacyError | None = None
        self._granted: set[tuple[Any, ...]] = set()
        self._readable: dict[tuple[SealedGroup, str], dict[str, SubjectKey | None]] = {}
        self._selves: tuple[tuple[str, str], ...] = ()
        self._conditions: FactResolver | None = None

    def __repr__(self) -> str:
        return f"<Processing {self.endpoint or 'job'}>"

    # --- begin and end ---

    def begin(self, declarations: tuple[Declaration, ...]) -> None:
        """Load the actor and take the declaration for its role; raises `AuthenticationRequired` or `AccessDenied`."""
        begin(self, declarations)

    def enter(self, declaration: Declaration, actor: Actor | None) -> None:
        """Take a declaration and an actor that are already decided upon."""
        self._refuse_ended()
        if self.house.before_serving is not None:
            self._prepare()
        self.declaration = declaration
        self.actor = actor
        self._selves = actor.subjects if actor is not None else ()
        self._conditions = None
        self._readable = {}
        self._granted = set()
        self.actor_name = name_of(self, actor) if actor is not None else None

    def _prepare(self) -> None:
        try:
            self.house.prepare()
        except PrivacyError as unready:
            self.refuse(unready)

    def inner(self) -> ProcessingContext:
        """A processing of its own for a guarded view that another view calls, with an actor of its own."""
        self._refuse_ended()
        inner = ProcessingContext(self.house, "request")
        inner.endpoint, inner.method, inner.take_in = self.endpoint, self.method, self.take_in
        inner.is_direct = self.is_direct
        return inner

    def intend(self) -> None:
        """Say in the trail, once, what is about to be written or deleted; raises `TrailUnavailable`, and then nothing is."""
        if not self._intended:
            self.house.trail.commit(self.event(status=None, stage="intent"))
            self._intended = True

    def end(self) -> None:
        """Shut everything that was open under this; what still holds on to it opens nothing more."""
        self.ended = True
        self.life = object()
        self.entered = self.declaration = None
        self._granted.clear()
        self._readable.clear()
        self._keys.clear()

    @property
    def is_telling(self) -> bool:
        """Whether the trail has to hear of this: a declaration was entered, or something was touched or refused."""
        return (
            self.declaration is not None or bool(self.ledger.touched) or bool(self.ledger.refused)
        )

    @property
    def has_opened(self) -> bool:
        """Whether personal data was opened so far."""
        return self._opened

    def answer_for(self, inner: ProcessingContext) -> None:
        """Take note that what an inner processing opened goes out with this one's answer."""
        self._opened = self._opened or inner.has_opened
        self.opened.extend(inner.opened)

    def event(
        self, *, status: int | None, stage: Literal["intent", "outcome"] = "outcome"
    ) -> ProcessingEvent:
        """What happened since the last call, as an event of the trail."""
        now = self.house.utcnow()
        ledger = (
            self.ledger if stage == "outcome" else self.ledger.copy()
        )  # an outcome tells what its intent told, and more
        touched, refused = ledger.take(now)
        withheld, grants = ledger.take_permissions()
        self._readable = {}
        self._opened = self._opened or bool(touched)
        declaration, actor = self.declaration, self.actor
        purpose = self.house.policy.purposes.get(declaration.purpose) if declaration else None
        return ProcessingEvent(
            at=timestamp(now),
            via=self.via,
            stage=stage,
            endpoint=self.endpoint,
            method=self.method,
            status=status,
            actor=self.actor_name,
            role=audited_role(self.house.policy, actor),
            client=actor.client if actor else None,
            purpose=purpose.id if purpose else None,
            basis=purpose.basis if purpose else None,
            touched=touched,
            withheld=withheld,
            refused=refused,
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
            error.clause = error.clause or self.house.policy.clause_of(error.commitment)
            self.ledger.refuse(error, error.clause, category=category, action=action)

    # --- what columns ask ---

    def open(self, instance: Any, group: SealedGroup) -> dict[str, Any]:
        """The opened fields of one group of one row."""
        if self._forks != forks.count:
            self._refuse_in_fork()
        row = instance.__dict__
        try:
            owner, own, held, envelope, version = group.place(row)
        except KeyError:
            for name in group.needs:
                getattr(instance, name)
            owner, own, held, envelope, version = group.place(row)
        layout = group.layout
        one = canonical_id(owner)
        subject = (layout.kind, one)
        if version == 0 and layout.adopting and envelope is None:
            self.open_plain(
                layout, group, subject, self.clients_of(None, layout.kind, (one,)).get(one)
            )
            taken = load_plaintext(instance, layout)
            if taken is not None:
                plain = {name: taken.get(name) for name in group.fields}
                self.opened.append(plain.values())
                return plain
            _, _, _, envelope, version = group.place(row)
        key = self._keys[layout.kind].get(one) or self._key_of(instance, layout.kind, one)
        if not layout.is_subject:
            return self.open_record(
                group, canonical_id(own), subject, key.client, envelope, version, key, instance
            )
        client = "" if layout.client is None or held is None else canonical_id(held)
        return self.open_record(group, one, subject, client, envelope, version, key, instance)

    def open_record(
        self,
        group: SealedGroup,
        row: str,
        subject: SubjectRef,
        client: str,
        envelope: bytes,
        version: int,
        key: SubjectKey,
        instance: Any = None,
    ) -> dict[str, Any]:
        """The opened fields of one record, allowed and in the ledger; raises before anything is decrypted.

        Parameters: `row` as `identifier` gives it; `client` as the row states it, or "" where it states none; `instance` is the
        row where it was loaded as one, and then its parts may have been loaded at different times.
        """
        touched = self._readable.get((group, client))
        if touched is None or (self._selves and subject in self._selves):
            touched = self._authorize_reading(group, client, subject)
        try:
            if client != key.client:
                raise SealBroken
            try:
                fields = group.unsealed(key, envelope, row, version)
            except SealBroken:
                fields = group.unsealed(
                    self._key_named_by(envelope, subject, key), envelope, row, version
                )
        except (SealBroken, TypeError):  # an envelope that is none, or whose version is none
            is_stale = instance is not None and changed_meanwhile(instance, version)
            self.refuse(
                RequestConflict(CHANGED) if is_stale else SealBroken(),
                category=group.category,
                action=READ,
            )
        touched[subject[1]] = key
        self.opened.append(fields.values())
        if self.is_direct:
            self.house.record(self, None)
        return fields

    def _refuse_ended(self) -> None:
        if self.ended:
            raise UndeclaredProcessing(
                "this request or job has ended; nothing is processed under it any more"
            )
        if self._forks != forks.count:
            self._refuse_in_fork()

    def _refuse_in_fork(self) -> NoReturn:
        """A child process has a copy of the gate as it stood open; what it did there, no trail would say."""
        raise UndeclaredProcessing(
            "this process was forked from one in which the processing runs; begin one here: with privacy.processing(…)"
        )

    def _authorize_reading(
        self, group: SealedGroup, client: str, who: SubjectRef
    ) -> dict[str, SubjectKey | None]:
        """Decide about one subject; where the answer holds for all subjects of the client, remember it."""
        category = group.category
        self.authorize(category, Action.READ, client=client or None, subject=who)
        touched = self.ledger.page(category, READ, client or None, who[0])
        if who not in self._selves and not self._cell(category, Action.READ).is_about_one_subject:
            self._readable[group, client] = touched
        return touched

    def look_at(self, instance: Any, tagged: TaggedColumn) -> None:
        """Allow, or refuse, that a tagged column of a row is read; the key, not the row, says whose client it is."""
        layout = tagged.layout
        row = instance.__dict__
        value = row.get(layout.subject) or getattr(instance, layout.subject)
        subject = canonical_id(value)
        client = self.subject_key(object_session(instance), layout.kind, subject).client or None
        if layout.is_subject and layout.client is not None:
            held = getattr(instance, layout.client)
            if client != (None if held is None else canonical_id(held)):
                self.refuse(SealBroken(), category=tagged.category, action=READ)
        self.look_at_record(tagged, subject=subject, client=client)
        self.opened.append((unwrap(row.get(tagged.attribute)),))

    def look_at_record(self, tagged: TaggedColumn, *, subject: str, client: str | None) -> None:
        """The same for a record that is not an instance."""
        who = (tagged.layout.kind, subject)
        self.authorize(tagged.category, Action.READ, client=client, subject=who)
        self.note(tagged.category, Action.READ, client=client, subject=who)
        if self.is_direct:
            self.house.record(self, None)

    def look_up(self, category: str, *, kind: str, client: str | None, what: str) -> None:
        """Allow, or refuse, that subjects of a client are searched by a value that the actor already knows.

        Nothing is opened, so *self* counts as given; a client's data is searched only by whoever may act for it.
        """
        self.expects(category, Action.READ, what)
        cell, purpose = (
            self._cell(category, Action.READ),
            cast(Declaration, self.declaration).purpose,
        )
        facts = self._holding().of_client(cell.asks, client) | {Condition.SELF}
        more, used = self._holding().of_everybody(cell.asks, client, category, purpose)
        facts |= more
        self._enforce(
            self.house.decisions.decide_cell(cell, frozenset(facts)), category, Action.READ
        )
        self._use(used, category, "search", None)
        self.ledger.page(category, READ, client, kind)

    def authorize(
        self, category: str, action: Action, *, client: str | None, subject: tuple[str, str]
    ) -> None:
        """Allow an action on one subject's category, or raise with the clause and what was missing."""
        actor = self.actor
        is_self = actor is not None and subject in actor.subjects
        memo = (category, action, client, is_self)
        if memo in self._granted:
            return
        self.expects(category, action, f"{category} ({action})")
        if (
            action is Action.WRITE
            and client is not None
            and category in self.house.device_categories()
        ):
            self._refuse_on_device(category, client)
        cell = self._cell(category, action)
        decision, used = self._decided(cell, category, client, subject)
        self._enforce(decision, category, action)
        self._use(used, category, action.value, subject)
        if not cell.is_about_one_subject:
            self._granted.add(memo)

    def _use(
        self, grants: list[Grant], category: str, action: str, subject: SubjectRef | None
    ) -> None:
        """Note which grants let something happen; those of agents are shown to their client."""
        for grant in grants:
            self.ledger.grants[grant.id] = None
            if self.house.policy.grant_kinds[grant.kind].agents is not None:
                self.ledger.use(grant.id, category, action, subject)

    def withholds(self, instance: Any, layout: ModelInfo, category: str) -> bool:
        """Whether a category of a row is to be left out, because the declaration says so and the actor may not read it."""
        declaration = self.declaration
        if declaration is None or category not in declaration.withhold:
            return False
        subject = (layout.kind, canonical_id(getattr(instance, layout.subject)))
        client = self.subject_key(object_session(instance), *subject).client or None
        decision = self._decided(self._cell(category, Action.READ), category, client, subject)[0]
        if decision.allowed or not NEVER_WITHHELD.isdisjoint(decision.missing):
            return False
        self.ledger.withheld[category] = None
        return True

    def _holding(self) -> FactResolver:
        if self._conditions is None:
            self._conditions = FactResolver(self.house, self.actor, self.session)
        return self._conditions

    def _cell(self, category: str, action: Action) -> CompiledRules:
        role = self.actor.role if self.actor is not None else PUBLIC_ROLE
        return self.house.decisions.cell(
            role, category, action, cast(Declaration, self.declaration).purpose
        )

    def _decided(
        self, cell: CompiledRules, category: str, client: str | None, subject: tuple[str, str]
    ) -> tuple[Decision, list[Grant]]:
        """The decision about one subject, and the grants that it rests on."""
        facts = self._holding().of_client(cell.asks, client)
        if self.actor is not None and subject in self.actor.subjects:
            facts.add(Condition.SELF)
        used: list[Grant] = []
        if cell.is_about_one_subject:
            purpose = cast(Declaration, self.declaration).purpose
            more, used = self._holding().of_subject(cell.asks, client, subject, category, purpose)
            facts |= more
        return self.house.decisions.decide_cell(cell, frozenset(facts)), used

    def _refuse_on_device(self, category: str, client: str) -> None:
        """Of a client that keeps its profiles on its devices, nothing of them is written here."""
        if self.house.is_on_device(self.session(), client):
            commitment = self.house.policy.commitments["device-storage"]
            denied = AccessDenied(
                commitment.says,
                clause=commitment.clause,
                missing="storage in the client's cloud space",
            )
            self.refuse(denied, category=category, action=Action.WRITE.value)

    def _enforce(self, decision: Decision, category: str, action: Action) -> None:
        if not decision.allowed:
            missing = ", ".join(decision.missing)
            denied = AccessDenied(decision.reason, clause=decision.clause, missing=missing)
            self.refuse(denied, category=category, action=action)

    def note(
        self, category: str, action: Action, *, client: str | None, subject: tuple[str, str]
    ) -> None:
        """Put something that happened into the ledger."""
        kind, one = subject
        self.ledger.page(category, action.value, client, kind)[one] = self._keys[kind].get(one)

    def expects(self, category: str, action: Action, what: str) -> None:
        """Raise `UndeclaredProcessing` unless the declaration names the category and the action."""
        if self._forks != forks.count:
            self._refuse_in_fork()
        declaration = self.declaration
        where = f"endpoint {self.endpoint!r}" if self.endpoint else "this job"
        if declaration is None:
            is_early = self.via == "request" and self.endpoint is None
            says = f"{where} declares no processing"
            if is_early:
                says = "no view has begun, so nothing is declared; read it in the view, not in a hook before it"
            self.refuse(
                UndeclaredProcessing(f"{what}: {says}"),
                category=category,
                action=action,
            )
        if category not in declaration.categories:
            message = f"{what}: {where} does not declare {category!r}; add it to its declaration, or do not touch it"
            self.refuse(UndeclaredProcessing(message), category=category, action=action)
        if action not in declaration.actions:
            message = f"{what}: {where} does not declare the action {action.value!r}; add actions={{…, {action.value!r}}}"
            self.refuse(UndeclaredProcessing(message), category=category, action=action)

    def acts_for(self) -> str | None:
        """The client for whom the actor acts."""
        return (
            acting_client(self.house, self.session(), self.actor)
            if self.actor is not None
            else None
        )

    def holds_as_processor(self, layout: ModelInfo) -> bool:
        """Whether the subject's data is held for its client."""
        return self.house.is_processor_of(layout.kind)

    # --- inside ---

    def session(self) -> Session:
        """The application's session; raises `UndeclaredProcessing` where the request has ended."""
        try:
            session = self.house.session()
        except UndeclaredProcessing as ended:
            self.refuse(ended)
        return session
