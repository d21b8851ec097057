"""What a transaction made or destroyed of keys, and what has to be forgotten when it ends or is
rolled back.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy.orm import Session, SessionTransaction

from ..crypto.keys import ClientKey, SubjectKey

FRESH = "lgprivacy_fresh_keys"
"""Where a session keeps the keys of a transaction that made some: until it commits, no other
transaction may use them.
"""
CONTEXTS = "lgprivacy_openers"
"""The processings that made keys in a session, so that a rollback reaches what they hold."""
DESTROYED = "lgprivacy_destroyed"
"""What a session destroyed: forgotten once more when its transaction ends, whoever cached it
meanwhile.
"""
AT_COMMIT = "lgprivacy_at_commit"
"""What a session does with keys in a database of their own when its transaction is committed."""
EpochName = tuple[str, int | None]
"""A client and one of its epochs, or None for the newest."""


class TransactionKeys:
    """Client keys, and subject keys by kind, seen in one transaction; `is_fresh` where it may have
    made some of them.
    """

    __slots__ = ("clients", "is_fresh", "subjects")

    def __init__(self, *, is_fresh: bool) -> None:
        self.is_fresh = is_fresh
        self.clients: dict[EpochName, ClientKey] = {}
        self.subjects: defaultdict[str, dict[str, SubjectKey]] = defaultdict(dict)

    def clear(self) -> None:
        """Forget what a rollback took back."""
        self.clients.clear()
        self.subjects.clear()

    def __repr__(self) -> str:
        return "<keys of a transaction>"


def committed(session: Session) -> None:
    """Do what was waiting for the commit of a session's outermost transaction."""
    if not session.in_nested_transaction():
        for act in session.info.pop(AT_COMMIT, ()):
            act()


def transaction_ended(session: Session, transaction: SessionTransaction) -> None:
    """Let go of the keys that a session's outermost transaction made."""
    if transaction.parent is None:
        session.info.pop(FRESH, None)
        session.info.pop(AT_COMMIT, None)
        for forget in session.info.pop(DESTROYED, ()):
            forget()


def rolled_back(session: Session, _transaction: SessionTransaction) -> None:
    """Forget keys that a rollback, be it to a savepoint, may have taken back; the table is read
    again.
    """
    session.info.pop(AT_COMMIT, None)  # some of it may have been done within the savepoint
    scope = session.info.get(FRESH)
    if scope is not None:
        scope.clear()
    for context in session.info.get(CONTEXTS, ()):
        context.forget_keys()
