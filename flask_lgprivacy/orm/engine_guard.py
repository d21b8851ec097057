"""An application's engines, made fit to hold sealed records."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy

from ..errors import ConfigurationError
from .session_guard import guard_engine, guard_sessions


def check_engines(engines: dict[str | None, Engine], keys_bind: str | None) -> None:
    """Refuse engines that print values, and guard the others and their sessions; raises
    `ConfigurationError`.
    """
    guard_sessions()
    for name, engine in engines.items():
        if not engine.hide_parameters:
            which = f"bind {name!r}" if name else "the database engine"
            raise ConfigurationError(
                f"{which} prints values in its errors; use "
                f"SQLAlchemy(engine_options={{'hide_parameters': True}})"
            )
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _overwrite_deleted)
            event.listen(engine, "after_cursor_execute", _read_to_the_end)
        guard_engine(engine)
    if keys_bind is not None and keys_bind not in engines:
        raise ConfigurationError(
            f"LGPRIVACY_KEYS_BIND names {keys_bind!r}, which is not in SQLALCHEMY_BINDS"
        )


def _overwrite_deleted(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _read_to_the_end(
    connection: Any, cursor: Any, _statement: str, _values: Any, context: Any, _many: bool
) -> None:
    """Take what a query finds out of SQLite at once, where an open cursor would keep everybody from
    writing.

    With a rollback journal somebody who reads a stream slowly would keep a school from revoking a
    grant. In WAL mode, which keeps nobody from writing, rows stay where they are until they are
    asked for.
    """
    if cursor.description is None or not context.execution_options.get("yield_per"):
        return
    if _journal_mode(connection.connection) != "wal":
        rows = cursor.fetchall()
        context.cursor_fetch_strategy = FullyBufferedCursorFetchStrategy(
            cursor, cursor.description, rows
        )


def _journal_mode(connection: Any) -> str:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode")
    mode = str(cursor.fetchone()[0])
    cursor.close()
    return mode
