"""Usage statistics: counts per day that carry no identity, and reports that never show a group
below the threshold (LG-05).
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, case, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from ..database.access import Database
from ..database.identifiers import canonical_id
from ..errors import ConfigurationError, RequestInvalid, UsageRefused
from ..gate.context import ProcessingContext
from ..orm.columns import client_column, matches_any_id, subject_column
from ..orm.context import current_context
from ..orm.labelled_models import LabelledModels
from ..orm.model_info import ModelInfo
from ..policy.model import Policy
from .aggregation import OTHER, Dimensions, PublishableCount, publishable
from .events import UsageEvent

_log = logging.getLogger("flask_lgprivacy")
UsageKey = tuple[str, str, str]
MOST_TIMES = 1_000_000


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Counts by what was asked for; `total` is the sum of what is shown, and of nothing else."""

    event: str
    by: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    total: int
    threshold: int


class UsageStatistics:
    """The usage statistics of one application."""

    def __init__(
        self,
        policy: Policy,
        models: LabelledModels,
        database: Database,
        events: Mapping[str, UsageEvent],
        utcnow: Callable[[], dt.datetime],
    ) -> None:
        self.events = events
        self._policy = policy
        self._models = models
        self._database = database
        self._utcnow = utcnow
        self._table = database.tables.usage
        self._people = database.tables.usage_population
        self._pending: Counter[UsageKey] = Counter()
        self._least: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    @property
    def threshold(self) -> int:
        """The smallest group that is shown, by the policy document."""
        least = self._policy.commitments["statistics"].parameters.get("minimum_group")
        if not isinstance(least, int) or least < 2:
            raise ConfigurationError(
                "the policy document's commitments.statistics needs minimum_group, at least 2"
            )
        return least

    def count(
        self, event: str, /, *, times: int = 1, client: Any = None, **dimensions: str
    ) -> None:
        """Count an event of today; it is stored when the request or job ends.

        Args:
            event: Declared in `LGPRIVACY_USAGE`.
            times: How often it happened.
            client: By default the one that the actor acts for.
            dimensions: Declared too, each value among those listed there.

        Raises:
            UsageRefused: Something is not declared, so it could say who it was (LG-05).
        """
        declared = self.events.get(event) if isinstance(event, str) else None
        if declared is None:
            self._refuse(
                "the event is not declared; LGPRIVACY_USAGE has "
                f"{', '.join(sorted(self.events)) or 'none'}"
            )
        if set(dimensions) != set(declared.dimensions):
            dimension_names = ", ".join(sorted(declared.dimensions)) or "none"
            self._refuse(f"usage event {event!r} has exactly the dimensions: {dimension_names}")
        for name, value in dimensions.items():
            if not isinstance(value, str) or value not in declared.dimensions[name]:
                self._refuse(
                    f"usage event {event!r}: {name} takes one of "
                    f"{', '.join(sorted(declared.dimensions[name]))}"
                )
        if type(times) is not int or not 1 <= times <= MOST_TIMES:
            self._refuse(f"times is a whole number between 1 and {MOST_TIMES}")
        context = current_context.get()
        if client is not None and not self._is_client(canonical_id(client)):
            self._refuse("client: no data is held for such a client")
        client_id = (
            canonical_id(client)
            if client is not None
            else (context.acting_client() if context is not None else None) or ""
        )
        population = (client_id, declared.by)
        least = None if population in self._least else self._count_subjects(*population)
        with self._lock:
            self._pending[event, client_id, _written(tuple(sorted(dimensions.items())))] += times
            if least is not None:
                self._least.setdefault(population, least)
        if context is None:
            self.store()

    def store(self) -> None:
        """Store what was counted, as of today, so that a day that has ended stays as it is.

        The people of a client are counted when something is counted and again when it is stored;
        the smaller number holds. What the database does not take now waits for the next time.
        """
        if not self._pending:
            return
        with self._lock:
            counted, self._pending = self._pending, Counter()
            least, self._least = self._least, {}
        try:
            people = {
                population: min(number, self._count_subjects(*population))
                for population, number in least.items()
            }
            today = self._utcnow().date()
            with Session(self._database.engine) as session:
                for cell, times in sorted(counted.items()):
                    self._add(session, today, cell, times)
                for (client, kind), number in sorted(people.items()):
                    self._note_people(session, today, client, kind, number)
                session.commit()
        except BaseException as error:
            with self._lock:
                self._pending.update(counted)
                self._least = {**self._least, **least}
            if not isinstance(error, SQLAlchemyError):
                raise
            _log.warning("usage counts wait for the database: %s", type(error).__name__)

    def report(
        self,
        event: str,
        *,
        by: Sequence[str] = (),
        since: dt.date | None = None,
        until: dt.date | None = None,
    ) -> UsageReport:
        """Counts of an event over whole days that have ended.

        Groups below the threshold, of people or of counts, are in no row and in no total.

        Args:
            event: Declared in `LGPRIVACY_USAGE`.
            by: Among `day`, `month`, `client` and the event's dimensions.
            since: The first day.
            until: The last day.

        Raises:
            RequestInvalid: There is no such event or dimension.
        """
        declared = self.events.get(event)
        if declared is None:
            raise RequestInvalid(f"event: one of {', '.join(sorted(self.events)) or 'none'}")
        possible = ("day", "month", "client", *declared.dimensions)
        if set(by) - set(possible):
            raise RequestInvalid(f"by: must be one or more of {', '.join(possible)}")
        sums: dict[tuple[str, ...], int] = defaultdict(int)
        for atom in self._atoms(declared, since, until):
            sums[tuple(_coordinate(atom, name) for name in by)] += atom.count
        rows = tuple(
            {**dict(zip(by, key, strict=True)), "count": count}
            for key, count in sorted(sums.items())
        )
        return UsageReport(event, tuple(by), rows, sum(sums.values()), self.threshold)

    # --- inside ---

    def _refuse(self, reason: str) -> NoReturn:
        refused = UsageRefused(reason)
        context = current_context.get()
        if isinstance(context, ProcessingContext):
            context.refuse(refused)
        refused.clause = self._policy.clause_of(refused.commitment)
        raise refused

    def _is_client(self, client: str) -> bool:
        subjects = self._models.graph.subjects.values()
        return any(self._count_rows(client, layout) for layout in subjects)

    def _add(self, session: Session, day: dt.date, cell: UsageKey, times: int) -> None:
        event, client, dimensions = cell
        table = self._table.c
        values = {"day": day, "event": event, "client": client, "dimensions": dimensions}
        is_cell = [table[name] == value for name, value in values.items()]
        more = update(self._table).where(*is_cell).values(times=table.times + times)
        _put(session, more, insert(self._table).values(**values, times=times))

    def _note_people(
        self, session: Session, day: dt.date, client: str, kind: str, people: int
    ) -> None:
        """Remember the smallest number of people that a client had on a day, as far as it
        matters.
        """
        table = self._people.c
        is_it = [table.day == day, table.client == client, table.kind == kind]
        smaller = (
            update(self._people)
            .where(*is_it)
            .values(people=case((table.people < people, table.people), else_=people))
        )
        _put(
            session,
            smaller,
            insert(self._people).values(day=day, client=client, kind=kind, people=people),
        )

    def _count_subjects(self, client: str, kind: str) -> int:
        """How many people of a kind a client has, by their rows that are committed; counted up to
        the threshold.
        """
        layouts = self._models.graph.subjects.values()
        counted = [layout for layout in layouts if layout.policy_kind == kind]
        return sum(self._count_rows(client, layout) for layout in counted)

    def _count_rows(self, client: str, layout: ModelInfo) -> int:
        if client and layout.client is None:
            return 0
        query = select(subject_column(layout)).limit(self.threshold)
        if client:
            column = client_column(layout)
            try:
                query = query.where(matches_any_id(column, [client]))
            except (TypeError, ValueError):
                return 0
        with Session(self._database.engine) as session:
            connection = session.connection(bind_arguments={"mapper": inspect(layout.model)})
            return len(connection.execute(query).all())

    def _atoms(
        self, declared: UsageEvent, since: dt.date | None, until: dt.date | None
    ) -> list[PublishableCount]:
        session, table, people = self._database.session(), self._table.c, self._people.c
        days: list[ColumnElement[bool]] = [table.day < self._utcnow().date()]
        days += [table.day >= since] if since else []
        days += [table.day <= until] if until else []
        query = select(table.day, table.client, table.dimensions, table.times).where(
            table.event == declared.name, *days
        )
        query_people = select(people.day, people.client, people.people).where(
            people.kind == declared.by
        )
        least = {(row.day, row.client): row.people for row in session.execute(query_people)}
        counts = (
            (row.day, row.client, _read(row.dimensions), row.times)
            for row in session.execute(query)
        )
        return publishable(counts, least, threshold=self.threshold)


def _put(session: Session, change: Any, create: Any) -> None:
    """Change the row, or make it where there is none; somebody else may make it at the
    same moment.
    """
    if session.execute(change).rowcount:  # type: ignore[attr-defined]
        return
    try:
        with session.begin_nested():
            session.execute(create)
    except IntegrityError:
        session.execute(change)


def _coordinate(atom: PublishableCount, name: str) -> str:
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
