"""In which organisations of a bundle somebody has which roles, today."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import NamedTuple

from .roster_bundle import Bundle, Row
from .roster_format import ROLES

USERS_FILE = "users.csv"


class Place(NamedTuple):
    """A role of the policy document at an organisation of the bundle; which line of the roster says
    so, and until when.
    """

    org: str
    role: str
    source: str = USERS_FILE
    ends_on: date | None = None


class Places:
    """The places of a bundle's people, from users.csv (1.1) and roles.csv (1.2)."""

    def __init__(self, bundle: Bundle, today: date) -> None:
        self._active: dict[str, list[Place]] = defaultdict(list)
        self._over: dict[str, list[Place]] = defaultdict(list)
        self._sources: dict[str, set[str]] = defaultdict(set)
        self._replaces = "roles" not in bundle.delta
        for _, row in bundle.of("roles"):
            user, ends = row["userSourcedId"], row.get("endDate")
            place = Place(
                row["orgSourcedId"],
                ROLES[row["role"]],
                row["sourcedId"],
                date.fromisoformat(ends) if ends else None,
            )
            self._sources[user].add(place.source)
            if row.get("status", "").lower() == "tobedeleted" or not is_active(row, today):
                self._over[user].append(place)
            elif row.get("roleType") == "primary":
                self._active[user].insert(0, place)
            else:
                self._active[user].append(place)

    def of(self, user: Row) -> list[Place]:
        """The places that somebody has today, the primary one first; none where the user is marked
        tobedeleted.
        """
        if is_to_be_deleted(user):
            return []
        orgs = [org.strip() for org in user.get("orgSourcedIds", "").split(",") if org.strip()]
        if user.get("role"):
            return list(dict.fromkeys(Place(org, ROLES[user["role"]]) for org in orgs))
        active = self._active.get(user["sourcedId"], [])
        first = user.get("primaryOrgSourcedId") or next(iter(orgs), None)
        return sorted(active, key=lambda place: place.org != first)

    def speaks_of(self, user: Row, source: str) -> bool:
        """Whether the bundle says anew what a line of an earlier roster said of somebody's
        roles.
        """
        return self._says_all(user) or source in self._sources.get(user["sourcedId"], ())

    def has_left(self, user: Row, org: str) -> bool:
        """Whether the bundle says that somebody is no student of an organisation any more."""
        if any(place.org == org and place.role == "student" for place in self.of(user)):
            return False
        over = self._over.get(user["sourcedId"], [])
        return self._says_all(user) or any(
            place.org == org and place.role == "student" for place in over
        )

    def _says_all(self, user: Row) -> bool:
        return self._replaces or bool(user.get("role")) or is_to_be_deleted(user)


def is_to_be_deleted(row: Row) -> bool:
    """Whether a line is marked for deletion."""
    return row.get("status", "").lower() == "tobedeleted"


def is_active(row: Row, today: date) -> bool:
    """Whether a line has begun and not ended."""
    begins, ends = row.get("beginDate"), row.get("endDate")
    return (not begins or date.fromisoformat(begins) <= today) and (
        not ends or date.fromisoformat(ends) >= today
    )
