"""An application's engines, made fit to hold sealed records."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from ..errors import ConfigurationError
from .sessions import guard_engine, guard_sessions


def check_engines(engines: dict[str | None, Engine], keys_bind: str | None) -> None:
    """Refuse engines that print values, and guard the others and their sessions; raises `ConfigurationError`."""
    guard_sessions()
    for name, engine in engines.items():
        if not engine.hide_parameters:
            which = f"bind {name!r}" if name else "the database engine"
            raise ConfigurationError(
                f"{which} prints values in its errors; use SQLAlchemy(engine_options={{'hide_parameters': True}})"
            )
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _overwrite_deleted)
        guard_engine(engine)
    if keys_bind is not None and keys_bind not in engines:
        raise ConfigurationError(f"LGPRIVACY_KEYS_BIND names {keys_bind!r}, which is not in SQLALCHEMY_BINDS")


def _overwrite_deleted(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()
