"""What may be published of counts: atoms, each of a group that is large enough; every report is a
sum of whole atoms.

Whoever subtracts one report from another gets sums and differences of atoms, and no atom is about a
group below the threshold; what is below it is in no report, and in no total. So nothing more needs
to be suppressed to keep totals from giving it away.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

OTHER = "other"
Dimensions = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PublishableCount:
    """The smallest published count: of one event on one day in one client; `dimensions` is None for
    several small ones together.
    """

    day: dt.date
    client: str
    dimensions: Dimensions | None
    count: int


def publishable(
    counts: Iterable[tuple[dt.date, str, Dimensions, int]],
    people: Mapping[tuple[dt.date, str], int],
    *,
    threshold: int,
) -> list[PublishableCount]:
    """The counts of an event that may be published.

    What stays below the threshold even together is left out.

    Args:
        counts: As (day, client, dimensions, count).
        people: By day and client, how many people the client had at the least on that day.
        threshold: The smallest group, of people and of counts.
    """
    atoms = []
    small: dict[tuple[dt.date, str], int] = defaultdict(int)
    for day, client, dimensions, count in counts:
        if people.get((day, client), 0) < threshold:
            continue
        if count >= threshold:
            atoms.append(PublishableCount(day, client, dimensions, count))
        else:
            small[day, client] += count
    atoms += [
        PublishableCount(day, client, None, count)
        for (day, client), count in small.items()
        if count >= threshold
    ]
    return atoms
