"""Deadlines in calendar months, as GDPR Art. 12(3) counts them."""

from __future__ import annotations

import calendar
import datetime as dt


def months_after(moment: dt.datetime, months: int) -> dt.datetime:
    """The same day `months` later, or the last day of a month that is too short (31 January and
    one: 28 February).
    """
    index = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(index, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))
