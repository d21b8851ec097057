"""Stores: every place that may hold personal data is declared with host and country, and stands
where its categories must.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ConfigurationError
from .orm.ownership_graph import OwnershipGraph
from .policy.model import Policy

KINDS = ("database", "files", "queue", "key-service", "trail")
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


def needed_stores(binds: Iterable[str | None], key_services: Iterable[str]) -> tuple[str, ...]:
    """The names of the stores that an application has: its databases, its key services and its
    trail.
    """
    databases = ["database" if bind is None else f"database:{bind}" for bind in binds]
    return (*databases, *(f"key-service:{name}" for name in key_services), "trail")


def parse_stores(
    settings: Mapping[str, Any], needed: Collection[str], policy: Policy
) -> dict[str, DataStore]:
    """The declared stores; raises `ConfigurationError` for one that is missing, unknown or
    incomplete.
    """
    clause = policy.commitments[COMMITMENT].clause
    missing = [name for name in needed if name not in settings]
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
    return {name: _store(name, entry, needed, policy) for name, entry in settings.items()}


def _store(name: str, entry: Any, needed: Collection[str], policy: Policy) -> DataStore:
    location = f"LGPRIVACY_STORES[{name!r}]"
    kind = name.partition(":")[0]
    if kind not in KINDS or (name not in needed and kind not in ("files", "queue")):
        raise ConfigurationError(
            f"{location}: no such store; this application has {', '.join(sorted(needed))}, and may "
            "name files:… and queue:…"
        )
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
    categories = frozenset(entry.get("categories", ()))
    if name not in needed and not categories:
        raise ConfigurationError(f"{location}: categories is missing; name what it may hold")
    for category in sorted(categories - policy.categories.keys()):
        raise ConfigurationError(f"{location}: the policy document has no category {category!r}")
    return DataStore(name, host, country, categories)


def categories_by_store(graph: OwnershipGraph) -> dict[str, frozenset[str]]:
    """By store, the categories of the labelled models whose tables stand in it."""
    by_store: dict[str, frozenset[str]] = {}
    for kind in graph.subjects:
        for layout in graph.of(kind):
            bind = layout.table.metadata.info.get("bind_key")
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
