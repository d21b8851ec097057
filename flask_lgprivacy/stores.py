"""Stores: every place that may hold personal data is declared with host and country, and stands
where its categories must; those outside the database are asked at export and erasure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from .database.identifiers import SubjectRef
from .database.sqlalchemy_internals import bind_key_of
from .errors import ConfigurationError, StoreUnavailable, describe_failure
from .orm.ownership_graph import OwnershipGraph
from .policy.model import Policy

T = TypeVar("T")
OUTSIDE = ("files", "queue")
"""Kinds of store of which only the application knows."""
COMMITMENT = "declared-stores"


@dataclass(frozen=True, slots=True)
class DataStore:
    """One place: who hosts it, in which country (ISO 3166-1), and what the application says it
    holds besides labelled models.
    """

    name: str
    host: str
    country: str
    categories: frozenset[str] = field(default_factory=frozenset)


class SubjectStore(Protocol):
    """A place outside the database that holds data of subjects, which the application brings.

    Attributes:
        name: As LGPRIVACY_STORES declares it with its categories, such as `files:drawings`.
    """

    name: str

    def export(self, subject: SubjectRef) -> Mapping[str, bytes]:
        """What is held of a subject, by file name, for the archive of an export."""

    def erase(self, subject: SubjectRef) -> int:
        """Remove what is held of a subject, also a second time; returns how many things went."""

    def count(self, subject: SubjectRef) -> int:
        """How many things are still held of a subject, by another look than that of `erase`."""


class SubjectStores:
    """The stores that the application brought, each behind its declaration.

    What one of them raises becomes `StoreUnavailable`, because its text may hold values.

    Args:
        brought: By the application.
        declared: All stores of LGPRIVACY_STORES, by name.
        policy: Says which category is about which kind of subject.
        policy_kind: Returns what subjects of a name are in the policy document.

    Raises:
        ConfigurationError: A store is not declared, or brought twice.
    """

    def __init__(
        self,
        brought: Iterable[SubjectStore],
        declared: Mapping[str, DataStore],
        policy: Policy,
        policy_kind: Callable[[str], str],
    ) -> None:
        self._stores: dict[str, SubjectStore] = {}
        self._declared = declared
        self._policy = policy
        self._policy_kind = policy_kind
        for store in brought:
            if store.name in self._stores:
                raise ConfigurationError(f"the store {store.name!r} is brought twice")
            if store.name not in declared or not declared[store.name].categories:
                raise ConfigurationError(
                    f"the store {store.name!r} is not declared with its categories; add it to "
                    "LGPRIVACY_STORES under a name such as files:drawings"
                )
            self._stores[store.name] = store
            self._refuse_mixture(store.name)

    def categories_of(self, kind: str) -> frozenset[str]:
        """The categories that the stores hold of a kind of subject."""
        return frozenset().union(*(self._held(name, kind) for name in self._stores))

    @property
    def names(self) -> frozenset[str]:
        """The names of the stores that are asked."""
        return frozenset(self._stores)

    def export(self, subject: SubjectRef) -> Iterator[tuple[str, dict[str, bytes]]]:
        """By store, the files that are held of a subject; stores of what is never exported, such as
        credentials, are left out.
        """
        for name, store in self._holding(subject[0]):
            if all(
                self._policy.categories[held].exportable for held in self._held(name, subject[0])
            ):
                yield name, _ask(name, partial(_files, store, subject))

    def erase(self, subject: SubjectRef) -> Iterator[tuple[str, int]]:
        """Erase a subject in one store after the other; yields how many things went from each."""
        for name, store in self._holding(subject[0]):
            yield name, _ask(name, partial(_number, store, "erase", subject))

    def remaining(self, subject: SubjectRef) -> dict[str, int]:
        """By store, how many things are still held of a subject, where there are any."""
        counts = {
            name: _ask(name, partial(_number, store, "count", subject))
            for name, store in self._holding(subject[0])
        }
        return {name: count for name, count in counts.items() if count}

    def _refuse_mixture(self, name: str) -> None:
        """A store is exported whole or not at all, so it holds one or the other of each person."""
        for kind in self._policy.subjects:
            exportable = {
                self._policy.categories[held].exportable for held in self._about(name, kind)
            }
            if len(exportable) > 1:
                raise ConfigurationError(
                    f"the store {name!r} holds what is exported and what never is; declare two "
                    "stores, each with its categories"
                )

    def _holding(self, kind: str) -> list[tuple[str, SubjectStore]]:
        return [(name, store) for name, store in self._stores.items() if self._held(name, kind)]

    def _held(self, name: str, kind: str) -> frozenset[str]:
        return self._about(name, self._policy_kind(kind))

    def _about(self, name: str, policy_kind: str) -> frozenset[str]:
        return frozenset(
            category
            for category in self._declared[name].categories
            if policy_kind in self._policy.categories[category].subjects
        )


def _ask(name: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except Exception as error:  # noqa: BLE001  whatever a store raises, its text may hold values
        raise StoreUnavailable(
            f"the store {name!r} did not answer: {describe_failure(error)}"
        ) from None


def _files(store: SubjectStore, subject: SubjectRef) -> dict[str, bytes]:
    files = dict(store.export(subject))
    if not all(isinstance(name, str) and isinstance(file, bytes) for name, file in files.items()):
        raise TypeError("a store exports bytes by file name")
    return files


def _number(store: SubjectStore, method: str, subject: SubjectRef) -> int:
    number = getattr(store, method)(subject)
    if type(number) is not int or number < 0:
        raise TypeError(f"a store answers {method} with how many, a whole number")
    return number


def needed_stores(binds: Iterable[str | None], key_services: Iterable[str]) -> tuple[str, ...]:
    """The names of the stores that an application has: its databases, its key services and its
    trail.
    """
    databases = ["database" if bind is None else f"database:{bind}" for bind in binds]
    return (*databases, *(f"key-service:{name}" for name in key_services), "trail")


def parse_stores(settings: Mapping[str, Any], policy: Policy) -> dict[str, DataStore]:
    """The stores that LGPRIVACY_STORES declares; raises `ConfigurationError` for one that is
    incomplete.
    """
    return {name: _store(name, entry, policy) for name, entry in settings.items()}


def check_stores(stores: Mapping[str, DataStore], needed: Collection[str], policy: Policy) -> None:
    """Check that the stores that an application has are those that are declared.

    Args:
        stores: By name.
        needed: The names of those that it has.
        policy: The policy document.

    Raises:
        ConfigurationError: One is missing, or there is none of its name.
    """
    clause = policy.commitments[COMMITMENT].clause
    missing = [name for name in needed if name not in stores]
    if missing:
        undeclared = (
            f"the store {missing[0]!r} is"
            if len(missing) == 1
            else f"the stores {', '.join(map(repr, missing))} are"
        )
        raise ConfigurationError(
            f"LGPRIVACY_STORES: {undeclared} not declared; say who hosts each and in which "
            "country, such as "
            f"{{{missing[0]!r}: {{'host': 'OVH SAS, Roubaix', 'country': 'FR'}}}} [{clause}]",
            clause=clause,
        )
    for name, store in stores.items():
        location = f"LGPRIVACY_STORES[{name!r}]"
        if name not in needed and name.partition(":")[0] not in OUTSIDE:
            raise ConfigurationError(
                f"{location}: no such store; this application has {', '.join(sorted(needed))}, and "
                "may name files:… and queue:…"
            )
        if name not in needed and not store.categories:
            raise ConfigurationError(f"{location}: categories is missing; name what it may hold")


def _store(name: str, entry: Any, policy: Policy) -> DataStore:
    location = f"LGPRIVACY_STORES[{name!r}]"
    if not isinstance(name, str):
        raise ConfigurationError(f"{location}: a store is named by a text, such as 'database'")
    if not isinstance(entry, Mapping) or set(entry) - {"host", "country", "categories"}:
        raise ConfigurationError(
            f"{location}: takes host, country and, for what no labelled model holds, categories"
        )
    host, country = entry.get("host"), entry.get("country")
    if not isinstance(host, str) or not host.strip():
        raise ConfigurationError(f"{location}: host is missing; say who runs it")
    if not isinstance(country, str) or len(country) != 2 or not country.isupper():
        raise ConfigurationError(
            f"{location}: country is two capital letters (ISO 3166-1), such as 'FR'"
        )
    listed = entry.get("categories", ())
    if not isinstance(listed, list | tuple | set | frozenset) or not all(
        isinstance(category, str) for category in listed
    ):
        raise ConfigurationError(
            f"{location}: categories is a list of names, such as ['student.activity']"
        )
    categories = frozenset(listed)
    for category in sorted(categories - policy.categories.keys()):
        raise ConfigurationError(f"{location}: the policy document has no category {category!r}")
    return DataStore(name, host, country, categories)


def categories_by_store(graph: OwnershipGraph) -> dict[str, frozenset[str]]:
    """By store, the categories of the labelled models whose tables stand in it."""
    by_store: dict[str, frozenset[str]] = {}
    for layout in graph.models:
        bind = bind_key_of(layout.table)
        name = "database" if bind is None else f"database:{bind}"
        by_store[name] = by_store.get(name, frozenset()) | layout.categories
    return by_store


def check_regions(
    stores: Mapping[str, DataStore], graph: OwnershipGraph, policy: Policy, *, keys_bind: str | None
) -> None:
    """Raise `ConfigurationError` for a store outside the region of a category that it may hold.

    Keys, key services and the trail stand for everything that they open or name, so every
    category's region binds them.
    """
    by_store = categories_by_store(graph)
    everything = frozenset().union(*by_store.values())
    for store in stores.values():
        is_about_all = (
            store.name.startswith(("key-service:", "trail"))
            or store.name == f"database:{keys_bind}"
        )
        categories = (
            everything if is_about_all else by_store.get(store.name, frozenset())
        ) | store.categories
        for category in sorted(categories):
            declared = policy.categories[category]
            if store.country not in policy.regions[declared.region]:
                raise ConfigurationError(
                    f"LGPRIVACY_STORES[{store.name!r}]: stands in {store.country}, and {category} "
                    "stays in region "
                    f"{declared.region} [{declared.clause}]",
                    clause=declared.clause,
                )
