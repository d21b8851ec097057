"""In which organisations of a bundle somebody has which roles, today."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import NamedTuple

from .roster_bundle import Bundle, Row
from .roster_format import ROLES


class Place(NamedTuple):
    """A role of the policy document at an organisation of the bundle."""

    org: str
    role: str


class Places:
    """The places of a bundle's people, from users.csv (1.1) and roles.csv (1.2)."""

    def __init__(self, bundle: Bundle, today: date) -> None:
        self._active: dict[str, list[Place]] = defaultdict(list)
        self._ended: dict[str, list[Place]] = defaultdict(list)
        self._replaces = "roles" not in bundle.delta
        for _, row in bundle.of("roles"):
            place = Place(row["orgSourcedId"], ROLES[row["role"]])
            if row.get("status") == "tobedeleted" or not is_active(row, today):
                self._ended[row["userSourcedId"]].append(place)
            elif row.get("roleType") == "primary":
                self._active[row["userSourcedId"]].insert(0, place)
            else:
                self._active[row["userSourcedId"]].append(place)

    def of(self, user: Row) -> list[Place]:
        """The places that somebody has today, the primary one first, each once; none where the user is marked tobedeleted."""
        if user.get("status") == "tobedeleted":
            return []
        orgs = [org.strip() for org in user.get("orgSourcedIds", "").split(",") if org.strip()]
        if user.get("role"):
            return list(dict.fromkeys(Place(org, ROLES[user["role"]]) for org in orgs))
        active = self._active.get(user["sourcedId"], [])
        first = user.get("primaryOrgSourcedId") or next(iter(orgs), None)
        return sorted(dict.fromkeys(active), key=lambda place: place.org != first)

    def is_over(self, user: Row, place: Place) -> bool:
        """Whether the bundle says that somebody no longer has a place."""
        if place in self.of(user):
            return False
        says_all = self._replaces or bool(user.get("role")) or user.get("status") == "tobedeleted"
        return says_all or place in self._ended.get(user["sourcedId"], [])


def is_active(row: Row, today: date) -> bool:
    """Whether a line has begun and not ended."""
    begins, ends = row.get("beginDate"), row.get("endDate")
    return (not begins or date.fromisoformat(begins) <= today) and (not ends or date.fromisoformat(ends) >= today)
