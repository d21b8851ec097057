"""Facts that the actor itself brings: its own client, itself, strong authentication, direct
payment.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from ..orm.labelled_models import LabelledModels
from ..policy.model import Condition
from .actor import Actor
from .client_spelling import acting_client
from .facts import Facts, FactSource, NoFacts, Question

OWN_CLIENT = frozenset({Condition.OWN_CLIENT})
IDENTITY = frozenset({Condition.SELF, Condition.STRONG_AUTHENTICATION})
DIRECT_PAYMENT = frozenset({Condition.DIRECT_PAYMENT})


class OwnClientFacts:
    """*own-client*: the data is held for the client for whom the actor acts (LG-03)."""

    conditions = OWN_CLIENT

    def __init__(self, models: LabelledModels) -> None:
        self._models = models

    def for_actor(self, actor: Actor | None, session: Callable[[], Session]) -> FactSource:
        """A source for one actor."""
        if actor is None:
            return NoFacts()
        return _OwnClientSource(self._models, actor, session)


class _OwnClientSource:
    def __init__(
        self, models: LabelledModels, actor: Actor, session: Callable[[], Session]
    ) -> None:
        self._models = models
        self._actor = actor
        self._session = session
        self._is_unambiguous: bool | None = None

    def facts(self, conditions: frozenset[Condition], question: Question) -> Facts:
        if question.client is None or question.client != self._actor.client:
            return {}
        if self._is_unambiguous is None:
            client = acting_client(self._models.graph, self._session(), self._actor)
            self._is_unambiguous = client is not None
        return dict.fromkeys(conditions, ()) if self._is_unambiguous else {}


class IdentityFacts:
    """*self* and *strong-authentication*, as the actor states them (LG-23)."""

    conditions = IDENTITY

    def for_actor(self, actor: Actor | None, session: Callable[[], Session]) -> FactSource:
        """A source for one actor."""
        return NoFacts() if actor is None else _IdentitySource(actor)


class _IdentitySource:
    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def facts(self, conditions: frozenset[Condition], question: Question) -> Facts:
        holding: dict[Condition, tuple[()]] = {}
        if self._actor.strongly_authenticated:
            holding[Condition.STRONG_AUTHENTICATION] = ()
        if question.subject is not None and question.subject in self._actor.subjects:
            holding[Condition.SELF] = ()
        return {condition: () for condition in holding if condition in conditions}


class DirectPaymentFacts:
    """*direct-payment*, as the application says of a client (LG-04)."""

    conditions = DIRECT_PAYMENT

    def __init__(self, pays_directly: Callable[[str], object]) -> None:
        self._pays_directly = pays_directly

    def for_actor(self, actor: Actor | None, session: Callable[[], Session]) -> FactSource:
        """A source for one actor; what it says is about the client alone."""
        return NoFacts() if actor is None else self

    def facts(self, conditions: frozenset[Condition], question: Question) -> Facts:
        """Whether the client pays; only `True` counts, and no other value that counts as true."""
        if question.client is None or self._pays_directly(question.client) is not True:
            return {}
        return dict.fromkeys(conditions, ())
