"""Moments in UTC, as the database and the trail write them."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache


def timestamp(moment: dt.datetime) -> str:
    """A moment in UTC as ISO 8601 text with milliseconds."""
    second = _second(
        moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second
    )
    return f"{second}.{moment.microsecond // 1000:03d}Z"


@lru_cache(maxsize=2)
def _second(*parts: int) -> str:
    """The text up to the second, which many events share."""
    return "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}".format(*parts)
