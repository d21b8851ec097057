"""An application's engines and sessions, made fit to hold sealed records."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.orm import scoped_session

from ..errors import ConfigurationError
from .bulk import refuse_bulk_statement, refuse_unsealed_methods
from .keyscope import rolled_back, transaction_ended
from .sealing import seal_before_flush


def check_engines(engines: dict[str | None, Engine], keys_bind: str | None) -> None:
    """Refuse engines that print values; raises `ConfigurationError`."""
    for name, engine in engines.items():
        if not engine.hide_parameters:
            which = f"bind {name!r}" if name else "the database engine"
            raise ConfigurationError(
                f"{which} prints values in its errors; use SQLAlchemy(engine_options={{'hide_parameters': True}})"
            )
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _overwrite_deleted)
    if keys_bind is not None and keys_bind not in engines:
        raise ConfigurationError(f"LGPRIVACY_KEYS_BIND names {keys_bind!r}, which is not in SQLALCHEMY_BINDS")


def _overwrite_deleted(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def listen(session: scoped_session[Any]) -> None:
    """Put the gate's listeners on an application's sessions."""
    if not event.contains(session, "before_flush", seal_before_flush):
        event.listen(session, "before_flush", seal_before_flush)
    if not event.contains(session, "after_transaction_end", transaction_ended):
        event.listen(session, "after_transaction_end", transaction_ended)
        event.listen(session, "after_soft_rollback", rolled_back)
    if not event.contains(session, "do_orm_execute", refuse_bulk_statement):
        event.listen(session, "do_orm_execute", refuse_bulk_statement)
    refuse_unsealed_methods(session.session_factory.class_)
