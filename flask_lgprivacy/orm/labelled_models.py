"""The labelled models of one application: their ownership graph, checked at first use."""

from __future__ import annotations

from collections.abc import Callable

from ..crypto.keys import PUBLISHER
from ..policy.model import Capacity, Policy
from .model_info import ModelInfo
from .ownership_graph import OwnershipGraph, capacity_of


class LabelledModels:
    """The ownership graph and the capacity in which each kind of subject is held.

    Args:
        build_graph: Builds and checks the graph; raises `ModelInvalid`.
        policy: The policy document.
        is_window_open: Says whether a model, by its name, is being migrated today.
    """

    __slots__ = ("_build_graph", "_capacities", "_graph", "_is_window_open", "_policy")

    def __init__(
        self,
        build_graph: Callable[[], OwnershipGraph],
        policy: Policy,
        is_window_open: Callable[[str], bool],
    ) -> None:
        self._is_window_open = is_window_open
        self._build_graph = build_graph
        self._policy = policy
        self._graph: OwnershipGraph | None = None
        self._capacities: dict[str, Capacity] = {}

    @property
    def graph(self) -> OwnershipGraph:
        """The ownership graph; raises `ModelInvalid`."""
        if self._graph is None:
            self._graph = self._build_graph()
        return self._graph

    def check_again(self) -> None:
        """Check the models again at the next use, because more of them may be mapped by then."""
        self._graph = None
        self._capacities = {}

    def is_processor_of(self, subject_kind: str) -> bool:
        """Whether the data of a kind of subject is held as processor (GDPR Art. 4(8))."""
        if subject_kind not in self._capacities:
            self._capacities[subject_kind] = capacity_of(self.graph, subject_kind, self._policy)
        return self._capacities[subject_kind] is Capacity.PROCESSOR

    def is_held_for_client(self, layout: ModelInfo) -> bool:
        """Whether what a shared model seals is held as processor for the client of its owners."""
        categories = self._policy.categories
        return any(
            categories[group.category].capacity is Capacity.PROCESSOR
            for member in layout.family()
            for group in member.groups.values()
        )

    def policy_kind(self, subject_kind: str) -> str:
        """What subjects of a name are in the policy document."""
        return self.graph.policy_kind(subject_kind)

    def key_holder(self, subject_kind: str, client: str | None) -> str:
        """Whose key wraps those of a client's subjects and blind indexes: the client's own where
        it is their controller, else the publisher's.
        """
        return client if client and self.is_processor_of(subject_kind) else PUBLISHER

    def is_migrating(self, subject_kind: str) -> bool:
        """Whether a model of a kind of subject is being migrated, so that subjects may have
        no key.
        """
        return any(
            model.plaintext_columns or self._is_window_open(model.name)
            for model in self.graph.of(subject_kind)
        )
