"""Who writes about a subject, and who erases it, see one another, so that nothing is written about
somebody who is erased.

A writer writes, holds the subject, and then looks once more whether its key lives. Whoever erases
destroys the key, waits for those who hold the subject, and then removes the rows: a writer either
sees that the key is gone, or is waited for and its row removed. Where keys stand in the data's
database, their rows are what is held (`KeyStore.are_alive`); where not, it is the subject's own
row, and for a client an advisory lock. On SQLite whoever has written holds everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, false, func, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from ..errors import RequestConflict, SubjectErased
from ..keys.key_table import chunks
from ..keys.store import KeyStore
from .columns import matches_any_id, subject_column
from .model_info import ModelInfo
from .own_statements import OWN_STATEMENT

CLIENT_LOCKS = 0x4C47
"""The class of this package's advisory locks in PostgreSQL."""


def refuse_erased(
    session: Session, keys: KeyStore, layout: ModelInfo, ids: Sequence[str], clients: Iterable[str]
) -> None:
    """Look once more, after rows were written and before they are committed, whether those whom
    they are about are still there.

    Args:
        session: The session that wrote.
        keys: The key store.
        layout: The model of the subjects.
        ids: Identifiers of subjects that were there before.
        clients: Identifiers of clients under whom subjects were made.

    Raises:
        SubjectErased: One of them was erased meanwhile; roll back.
    """
    made_for = sorted(set(clients))
    connection = session.connection(bind_arguments={"clause": layout.table})
    if connection.dialect.name == "postgresql" and not keys.shares_the_data:
        column = subject_column(layout)
        for chunk in chunks(list(ids)):
            query = select(column).where(matches_any_id(column, chunk)).order_by(column)
            connection.execute(query.with_for_update(read=True, key_share=True))
        for client in made_for:
            connection.execute(
                select(func.pg_advisory_xact_lock_shared(CLIENT_LOCKS, _number(client)))
            )
    if not keys.are_alive(session, layout.kind, ids, made_for):
        raise SubjectErased


def wait_for_writers(session: Session, layout: ModelInfo, subject_id: str) -> None:
    """Wait for those who hold a subject, and let nobody hold it until the session's transaction
    ends.
    """
    connection = _connection(session, layout)
    if connection.dialect.name == "sqlite":
        _begin_writing(connection, layout)
        return
    column = subject_column(layout)
    connection.execute(select(column).where(matches_any_id(column, [subject_id])).with_for_update())


def wait_for_writers_of_client(session: Session, layout: ModelInfo, client: str) -> None:
    """Wait for those who make subjects of a client, and let nobody until the session's transaction
    ends.
    """
    connection = _connection(session, layout)
    if connection.dialect.name == "sqlite":
        _begin_writing(connection, layout)
        return
    connection.execute(
        text("SELECT pg_advisory_xact_lock(:of, :client)"),
        {"of": CLIENT_LOCKS, "client": _number(client)},
    )


def _connection(session: Session, layout: ModelInfo) -> Connection:
    return session.connection(bind_arguments={"clause": layout.table})


def _begin_writing(connection: Connection, layout: ModelInfo) -> None:
    """SQLite lets one write at a time: a statement that finds no row makes this transaction the
    one.
    """
    key: Any = subject_column(layout)
    try:
        connection.execute(
            update(layout.table).where(false()).values({key: key}), execution_options=OWN_STATEMENT
        )
    except OperationalError:
        raise RequestConflict("the database is busy with another write; try again") from None


def _number(client: str) -> int:
    """A client as the 31-bit number of an advisory lock; two that share one wait for each other and
    no more.
    """
    return int.from_bytes(hashlib.sha256(client.encode()).digest()[:4], "big") >> 1
