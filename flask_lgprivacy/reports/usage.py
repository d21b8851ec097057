"""Usage statistics: counts per day that carry no identity, and reports that never show a group below the threshold (LG-05)."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from ..errors import ConfigurationError, RequestInvalid, UsageRefused
from ..gate import House, Processing
from ..models import current_opener, identifier
from ..vault import PUBLISHER
from .atoms import OTHER, Atom, Dimensions, publishable
from .vocabulary import UsageEvent

_log = logging.getLogger("flask_lgprivacy")
Cell = tuple[dt.date, str, str, str]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Counts by what was asked for; `total` is the sum of what is shown, and of nothing else."""

    event: str
    by: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    total: int
    threshold: int


class Usage:
    """The usage statistics of one application."""

    def __init__(self, house: House, events: Mapping[str, UsageEvent]) -> None:
        self.events = events
        self._house = house
        self._table = house.tables.usage
        self._people = house.tables.usage_population
        self._pending: Counter[Cell] = Counter()
        self._lock = threading.Lock()

    @property
    def threshold(self) -> int:
        """The smallest group that is shown, by the policy document."""
        least = self._house.policy.commitments["statistics"].parameters.get("minimum_group")
        if not isinstance(least, int) or least < 2:
            raise ConfigurationError("the policy document's commitments.statistics needs minimum_group, at least 2")
        return least

    def count(self, event: str, /, *, times: int = 1, client: Any = None, **dimensions: str) -> None:
        """Count an event of today.

        Parameters: `event` and `dimensions` are declared in `LGPRIVACY_USAGE`, each value among those listed there; `times` it happened;
        `client`, by default the one that the actor acts for. It is stored when the request or job ends. Raises `UsageRefused` for
        whatever is not declared, because it could say who it was (LG-05).
        """
        declared = self.events.get(event) if isinstance(event, str) else None
        if declared is None:
            self._refuse(f"the event is not declared; LGPRIVACY_USAGE has {', '.join(sorted(self.events)) or 'none'}")
        if set(dimensions) != set(declared.dimensions):
            named = ", ".join(sorted(declared.dimensions)) or "none"
            self._refuse(f"usage event {event!r} has exactly the dimensions: {named}")
        for name, value in dimensions.items():
            if not isinstance(value, str) or value not in declared.dimensions[name]:
                self._refuse(
                    f"usage event {event!r}: {name} takes one of {', '.join(sorted(declared.dimensions[name]))}"
                )
        if type(times) is not int or times < 1:
            self._refuse("times is a whole number, at least 1")
        opener = current_opener.get()
        if client is not None and not self._is_client(identifier(client)):
            self._refuse("client names nobody for whom data is held")
        whose = identifier(client) if client is not None else (opener.acts_for() if opener is not None else None) or ""
        key = (self._house.utcnow().date(), event, whose, _written(tuple(sorted(dimensions.items()))))
        with self._lock:
            self._pending[key] += times
        if opener is None:
            self.store()

    def store(self) -> None:
        """Store what was counted; what the database does not take now waits for the next time."""
        if not self._pending:
            return
        with self._lock:
            counted, self._pending = self._pending, Counter()
        try:
            with Session(self._house.engine) as session:
                for cell, times in sorted(counted.items()):
                    self._add(session, cell, times)
                for day, client, kind in sorted(
                    {(day, client, self.events[event].by) for day, event, client, _ in counted}
                ):
                    self._note_people(session, day, client, kind)
                session.commit()
        except SQLAlchemyError as fault:
            with self._lock:
                self._pending.update(counted)
            _log.warning("usage counts wait for the database: %s", type(fault).__name__)

    def report(
        self,
        event: str,
        *,
        by: Sequence[str] = (),
        since: dt.date | None = None,
        until: dt.date | None = None,
    ) -> UsageReport:
        """Counts of an event over whole days that have ended.

        Parameters: `by` among `day`, `month`, `client` and the event's dimensions; `since` and `until`, inclusive. Groups below the
        threshold, of people or of counts, are in no row and in no total. Raises `RequestInvalid`.
        """
        declared = self.events.get(event)
        if declared is None:
            raise RequestInvalid(f"event: one of {', '.join(sorted(self.events)) or 'none'}")
        possible = ("day", "month", "client", *declared.dimensions)
        if set(by) - set(possible):
            raise RequestInvalid(f"by: some of {', '.join(possible)}")
        sums: dict[tuple[str, ...], int] = defaultdict(int)
        for atom in self._atoms(declared, since, until):
            sums[tuple(_coordinate(atom, name) for name in by)] += atom.count
        rows = tuple({**dict(zip(by, key, strict=True)), "count": count} for key, count in sorted(sums.items()))
        return UsageReport(event, tuple(by), rows, sum(sums.values()), self.threshold)

    # --- inside ---

    def _refuse(self, why: str) -> NoReturn:
        refused = UsageRefused(why)
        opener = current_opener.get()
        if isinstance(opener, Processing):
            opener.refuse(refused)
        refused.clause = self._house.policy.clause_of(refused.commitment)
        raise refused

    def _is_client(self, client: str) -> bool:
        keys = self._house.keys.table
        held = select(keys.clients.c.client).where(keys.clients.c.client == client)
        named = select(keys.subjects.c.client).where(keys.subjects.c.client == client)
        with Session(self._house.engine) as session, self._house.keys.connected(session) as connection:
            return any(connection.execute(query.limit(1)).first() for query in (held, named))

    def _add(self, session: Session, cell: Cell, times: int) -> None:
        day, event, client, dimensions = cell
        table = self._table.c
        values = {"day": day, "event": event, "client": client, "dimensions": dimensions}
        is_cell = [table[name] == value for name, value in values.items()]
        more = update(self._table).where(*is_cell).values(times=table.times + times)
        _put(session, more, insert(self._table).values(**values, times=times))

    def _note_people(self, session: Session, day: dt.date, client: str, kind: str) -> None:
        """Remember the smallest number of people that a client had on a day, as far as it matters."""
        table, people = self._people.c, self._living(session, client, kind)
        is_it = [table.day == day, table.client == client, table.kind == kind]
        smaller = update(self._people).where(*is_it).values(people=func.min(table.people, people))
        if session.get_bind().dialect.name == "postgresql":
            smaller = update(self._people).where(*is_it).values(people=func.least(table.people, people))
        _put(session, smaller, insert(self._people).values(day=day, client=client, kind=kind, people=people))

    def _living(self, session: Session, client: str, kind: str) -> int:
        subjects = self._house.keys.table.subjects
        mine = [subjects.c.kind == kind, subjects.c.wrapped.is_not(None)]
        if client:
            holder = client if self._house.is_processor_of(kind) else PUBLISHER
            mine += [subjects.c.client == client, subjects.c.holder == holder]
        some = select(subjects.c.subject).where(*mine).distinct().limit(self.threshold).subquery()
        with self._house.keys.connected(session) as connection:
            return int(connection.execute(select(func.count()).select_from(some)).scalar_one())

    def _atoms(self, declared: UsageEvent, since: dt.date | None, until: dt.date | None) -> list[Atom]:
        session, table, people = self._house.session(), self._table.c, self._people.c
        days: list[ColumnElement[bool]] = [table.day < self._house.utcnow().date()]
        days += [table.day >= since] if since else []
        days += [table.day <= until] if until else []
        query = select(table.day, table.client, table.dimensions, table.times).where(
            table.event == declared.name, *days
        )
        held = select(people.day, people.client, people.people).where(people.kind == declared.by)
        least = {(row.day, row.client): row.people for row in session.execute(held)}
        counts = ((row.day, row.client, _read(row.dimensions), row.times) for row in session.execute(query))
        return publishable(counts, least, threshold=self.threshold)


def _put(session: Session, change: Any, create: Any) -> None:
    """Change the row, or make it where there is none; somebody else may make it at the same moment."""
    if session.execute(change).rowcount:  # type: ignore[attr-defined]
        return
    try:
        with session.begin_nested():
            session.execute(create)
    except IntegrityError:
        session.execute(change)


def _coordinate(atom: Atom, name: str) -> str:
    if name == "day":
        return atom.day.isoformat()
    if name == "month":
        return atom.day.isoformat()[:7]
    if name == "client":
        return atom.client
    return OTHER if atom.dimensions is None else dict(atom.dimensions)[name]


def _written(dimensions: Dimensions) -> str:
    return ";".join(f"{name}={value}" for name, value in dimensions)


def _read(written: str) -> Dimensions:
    parts: Iterable[str] = written.split(";") if written else ()
    return tuple((part.partition("=")[0], part.partition("=")[2]) for part in parts)
