"""The application's own database, as this extension reaches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ..errors import RequestConflict
from .tables import Tables


@dataclass(frozen=True, slots=True)
class Database:
    """The tables of this extension, the engine of the default bind and the running session.

    Args:
        tables: The tables with the prefix `lgprivacy_`.
        engine: The engine of the default bind, for transactions of their own.
        session: Returns the session of the running request or job.
        engines: The engine of every bind.
    """

    tables: Tables
    engine: Engine
    session: Callable[[], Session]
    engines: Mapping[str | None, Engine]

    def clean_session(self) -> Session:
        """The session, before something is committed on it.

        Raises:
            RequestConflict: It holds changes of somebody else.
        """
        session = self.session()
        if session.new or session.deleted or any(session.is_modified(row) for row in session.dirty):
            raise RequestConflict(
                "the session holds changes that are not committed; commit or roll back, then ask "
                "again"
            )
        return session
