"""A right as a handler: what it processes, what it does, and how its request ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..database.identifiers import SubjectRef
from ..errors import ConfigurationError, SubjectErased
from ..gate.context import ProcessingContext
from ..gate.runtime import Runtime
from ..orm.columns import matches_any_id, subject_column
from ..orm.hidden_values import HiddenValues
from ..policy.model import Action
from .requests import COMPLETED, RightsRequest


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended.

    Attributes:
        state: `completed`, or `completed-with-remainder` where something is left.
        details: Counts and names for the requester, never values; as JSON holds them.
    """

    state: str
    details: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.state not in COMPLETED:
            raise ConfigurationError(f"Outcome(…) takes {' or '.join(COMPLETED)} as its state")
        try:
            json.dumps(dict(self.details))
        except (TypeError, ValueError):
            raise ConfigurationError("Outcome(…) takes details that JSON can hold") from None


@dataclass(frozen=True, slots=True)
class RightsCase:
    """A request that a handler carries out.

    Attributes:
        runtime: The application's.
        session: On the data, without changes; the handler commits what it changes.
        request: The request, *in progress*.
        changes: New values by field, as `check_changes` returned them.
        processing: The context under which values are opened; None where the work is resumed.
    """

    runtime: Runtime
    session: Session
    request: RightsRequest
    changes: HiddenValues = field(default_factory=lambda: HiddenValues({}))
    processing: ProcessingContext | None = None

    def subject_row(self) -> Any:
        """The subject's row, read again; raises `SubjectErased` where it is gone."""
        kind, subject_id = self.request.subject
        layout = self.runtime.models.graph.subjects[kind]
        is_subject = matches_any_id(subject_column(layout), [subject_id])
        query: Any = select(layout.model).where(is_subject)
        fresh = {"populate_existing": True}
        row = self.session.scalars(query, execution_options=fresh).first()
        if row is None:
            raise SubjectErased
        return row


class RightHandler(Protocol):
    """How one right is exercised. Objects without state, which every request shares.

    Attributes:
        name: The right's, as the policy document writes it; people call `POST /privacy/<name>`.
        actions: What it does to the categories that it processes.
    """

    name: str
    actions: frozenset[Action]

    def categories(self, runtime: Runtime, kind: str) -> frozenset[str]:
        """The categories of a kind of subject that this right processes."""

    def carry_out(self, case: RightsCase) -> Outcome | None:
        """Do what was asked; called again where somebody else wrote at the same moment.

        Returns:
            How it ended; None only where `resume` does the rest.

        Raises:
            PrivacyError: It cannot be done; the request fails with the error's code.
        """


@runtime_checkable
class ResumableHandler(Protocol):
    """A right whose work may be repeated after a crash, without the requester."""

    def resume(self, case: RightsCase) -> Outcome | None:
        """Do what is left; None where others write for longer than anybody should wait."""


@runtime_checkable
class ChangesHandler(Protocol):
    """A right that takes changes; the others refuse a request that names any."""

    def check_changes(
        self, runtime: Runtime, session: Session, subject: SubjectRef, changes: HiddenValues
    ) -> HiddenValues:
        """The changes as Python values, before anything is recorded.

        Raises:
            RequestInvalid: Names the field that cannot be changed so.
        """


def held_categories(runtime: Runtime, kind: str) -> frozenset[str]:
    """All categories that are held of a kind of subject, in rows of others too."""
    graph, declared = runtime.models.graph, runtime.policy.categories
    reached = graph.reached_from(graph.subjects[kind].table)
    return owned_categories(runtime, kind) | {
        category
        for layout in graph.models
        for category in (layout.family_categories if layout.table in reached else ())
        if graph.policy_kind(kind) in declared[category].subjects
    }


def owned_categories(runtime: Runtime, kind: str) -> frozenset[str]:
    """The categories that a kind of subject's own rows and stores hold."""
    graph = runtime.models.graph
    owned = graph.owned_from(graph.subjects[kind].table)
    return runtime.stores.categories_of(kind).union(
        *(layout.family_categories for layout in graph.models if layout.table in owned)
    )


def exportable_categories(runtime: Runtime, kind: str) -> frozenset[str]:
    """The categories that may leave in an archive or be rectified; credentials never do (LG-04)."""
    declared = runtime.policy.categories
    return frozenset(name for name in held_categories(runtime, kind) if declared[name].exportable)
