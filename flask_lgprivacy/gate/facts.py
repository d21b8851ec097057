"""Which conditions of the policy document hold at this moment: providers of facts, asked only for
what a rule names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef
from ..errors import AccessDenied
from ..policy.model import Action, Condition
from .actor import Actor


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a fact rests on: a grant, by its id.

    Attributes:
        grant_id: The grant.
        is_shown_to_client: Whether each use of it is listed for the client.
    """

    grant_id: str
    is_shown_to_client: bool


@dataclass(frozen=True, slots=True)
class Question:
    """What is about to happen, for a provider to say which conditions hold.

    Attributes:
        category: A category of the policy document.
        purpose: The purpose that the declaration names.
        client: The client whose data it is, or None.
        subject: The data subject; None where a search is about every subject of the client.
    """

    category: str
    purpose: str
    client: str | None
    subject: SubjectRef | None


Facts = Mapping[Condition, tuple[Evidence, ...]]
"""The conditions that hold, each with what it rests on."""


class FactSource(Protocol):
    """What one provider knows of one actor, for as long as a processing context lives."""

    def facts(self, conditions: frozenset[Condition], question: Question) -> Facts:
        """Those of some conditions that hold."""
        ...


class FactProvider(Protocol):
    """Says whether conditions of the policy document hold.

    Attributes:
        conditions: Those that it can say something about.
    """

    @property
    def conditions(self) -> frozenset[Condition]: ...

    def for_actor(self, actor: Actor | None, session: Callable[[], Session]) -> FactSource:
        """A source for one actor, None for nobody; it may keep what it looked up for a moment."""
        ...


class NoFacts:
    """What is known of nobody: none of the conditions that are about an actor holds."""

    def facts(self, conditions: frozenset[Condition], question: Question) -> Facts:
        """None."""
        return {}


class AccessVeto(Protocol):
    """Refuses what no rule decides about, such as profiles that a client keeps on its devices."""

    def refusal(
        self, category: str, action: Action, client: str | None, session: Callable[[], Session]
    ) -> AccessDenied | None:
        """The refusal, or None where nothing stands against it."""
        ...


class FactResolver:
    """What holds for one actor; each provider is asked when a rule first names its conditions."""

    __slots__ = ("_actor", "_providers", "_session", "_sources")

    def __init__(
        self,
        providers: Iterable[FactProvider],
        actor: Actor | None,
        session: Callable[[], Session],
    ) -> None:
        self._providers = tuple(providers)
        self._actor = actor
        self._session = session
        self._sources: dict[int, FactSource] = {}

    def resolve(
        self, conditions: frozenset[Condition], question: Question
    ) -> tuple[set[Condition], list[Evidence]]:
        """Those of some conditions that hold, and what they rest on."""
        holding: set[Condition] = set()
        evidence: list[Evidence] = []
        for number, provider in enumerate(self._providers):
            relevant = provider.conditions & conditions
            if not relevant:
                continue
            source = self._sources.get(number)
            if source is None:
                source = provider.for_actor(self._actor, self._session)
                self._sources[number] = source
            for condition, grounds in source.facts(relevant, question).items():
                holding.add(condition)
                evidence.extend(grounds)
        return holding, evidence
