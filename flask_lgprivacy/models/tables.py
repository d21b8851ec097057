"""The extension's own tables, on the host's metadata so that migrations see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Index, Integer, LargeBinary, MetaData, String, Table, Text


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables with the prefix `lgprivacy_`; the two of keys may live in a database of their own."""

    client_key: Table
    subject_key: Table
    rotation: Table
    request: Table
    request_step: Table
    erasure_mark: Table
    client_storage: Table
    inbox: Table
    archive: Table
    consent: Table

    def all(self) -> tuple[Table, ...]:
        """Every table."""
        return (
            self.client_key,
            self.subject_key,
            self.rotation,
            self.request,
            self.request_step,
            self.erasure_mark,
            self.client_storage,
            self.inbox,
            self.archive,
            self.consent,
        )


def define_tables(main: MetaData, keys: MetaData) -> Tables:
    """The tables on the host's metadata, defined where they are not yet."""
    return Tables(
        client_key=_table(
            "lgprivacy_client_key",
            keys,
            Column("client", String(64), primary_key=True),
            Column("epoch", Integer, primary_key=True),
            Column("service", String(64), nullable=False),
            Column("wrapped", LargeBinary),
            Column("made_at", DateTime(timezone=True), nullable=False),
            Column("wrapped_at", DateTime(timezone=True), nullable=False),
            Column("destroyed_at", DateTime(timezone=True)),
        ),
        subject_key=_table(
            "lgprivacy_subject_key",
            keys,
            Column("kind", String(64), primary_key=True),
            Column("subject", String(64), primary_key=True),
            Column("version", Integer, primary_key=True),
            Column("holder", String(64), nullable=False),
            Column("client", String(64)),
            Column("epoch", Integer, nullable=False),
            Column("wrapped", LargeBinary),
            Column("made_at", DateTime(timezone=True), nullable=False),
            Column("erased_at", DateTime(timezone=True)),
            Index("ix_lgprivacy_subject_key_holder", "holder", "epoch"),
            Index("ix_lgprivacy_subject_key_erased_at", "erased_at"),
        ),
        rotation=_table(
            "lgprivacy_rotation",
            keys,
            Column("what", String(200), primary_key=True),
            Column("began_at", DateTime(timezone=True), nullable=False),
            Column("ended_at", DateTime(timezone=True)),
        ),
        request=_table(
            "lgprivacy_request",
            main,
            Column("id", String(32), primary_key=True),
            Column("right", String(16), nullable=False),
            Column("subject_kind", String(64), nullable=False),
            Column("subject", String(64), nullable=False),
            Column("client", String(64), index=True),
            Column("requester", String(160), nullable=False, index=True),
            Column("requester_role", String(64), nullable=False),
            Column("state", String(32), nullable=False),
            Column("clause", String(16), nullable=False),
            Column("received_at", DateTime(timezone=True), nullable=False),
            Column("due_at", DateTime(timezone=True), nullable=False),
            Column("ended_at", DateTime(timezone=True)),
            Column("outcome", JSON),
        ),
        request_step=_table(
            "lgprivacy_request_step",
            main,
            Column("request", String(32), primary_key=True),
            Column("number", Integer, primary_key=True),
            Column("at", DateTime(timezone=True), nullable=False),
            Column("state", String(32), nullable=False),
            Column("note", Text),
        ),
        erasure_mark=_table(
            "lgprivacy_erasure_mark",
            main,
            Column("name", String(16), primary_key=True),
            Column("at", DateTime(timezone=True), nullable=False),
        ),
        client_storage=_table(
            "lgprivacy_client_storage",
            main,
            Column("client", String(64), primary_key=True),
            Column("storage", String(16), nullable=False),
            Column("since", DateTime(timezone=True), nullable=False),
        ),
        inbox=_table(
            "lgprivacy_inbox",
            main,
            Column("id", String(32), primary_key=True),
            Column("client", String(64), nullable=False, index=True),
            Column("model", String(64), nullable=False),
            Column("sealed", LargeBinary, nullable=False),
            Column("received_at", DateTime(timezone=True), nullable=False),
            Column("refused_at", DateTime(timezone=True)),
        ),
        archive=_table(
            "lgprivacy_archive",
            main,
            Column("request", String(32), primary_key=True),
            Column("expires_at", DateTime(timezone=True), nullable=False),
            Column("sealed", LargeBinary, nullable=False),
        ),
        consent=_table(
            "lgprivacy_consent",
            main,
            Column("id", String(32), primary_key=True),
            Column("subject_kind", String(64), nullable=False),
            Column("subject", String(64), nullable=False, index=True),
            Column("purpose", String(64), nullable=False),
            Column("text_version", String(64), nullable=False),
            Column("given_at", DateTime(timezone=True), nullable=False),
            Column("withdrawn_at", DateTime(timezone=True)),
        ),
    )


def _table(name: str, metadata: MetaData, *parts: Column[Any] | Index) -> Table:
    found = metadata.tables.get(name)
    return Table(name, metadata, *parts) if found is None else found
