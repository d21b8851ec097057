"""What may be done again is done again where somebody else wrote at the same moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from ..errors import RequestConflict

T = TypeVar("T")
MOST_TRIES = 20
LONGEST_SECONDS = 8
"""After how long nothing is tried again; a database waits for a lock by itself each time."""


def retry_conflicts(session: Session, deed: Callable[[], T]) -> T:
    """Do something that may be done again, until nobody else writes the same at that moment.

    Raises:
        RequestConflict: Somebody did, each time.
    """
    begun = time.monotonic()
    for _ in range(MOST_TRIES):
        try:
            return deed()
        except (StaleDataError, OperationalError, RequestConflict) as error:
            session.rollback()
            if isinstance(error, RequestConflict) and error.is_final:
                raise
        if time.monotonic() - begun > LONGEST_SECONDS:
            break
    raise RequestConflict("others change the same at the same time; try again")
