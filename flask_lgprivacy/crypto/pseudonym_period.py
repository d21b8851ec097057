"""The period for which a pseudonym in the trail stays the same: a school year."""

from __future__ import annotations

import datetime as dt

SCHOOL_YEAR_BEGINS = 8


def school_year(day: dt.datetime) -> int:
    """The year in which the school year of a day began (1 August)."""
    return day.year if day.month >= SCHOOL_YEAR_BEGINS else day.year - 1
