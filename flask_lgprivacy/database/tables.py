"""The extension's own tables, on the host's metadata so that migrations see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    text,
)
from sqlalchemy.orm import Session

from .sqlalchemy_internals import bind_key_of
from .types import utc_datetime

_ERASED = text("erased_at IS NOT NULL")
"""Tombstones are few, and every look for them says so."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables with the prefix `lgprivacy_`; the two of keys may live in a database of
    their own.
    """

    client_key: Table
    subject_key: Table
    rotation: Table
    request: Table
    request_step: Table
    erasure_mark: Table
    identifier: Table
    record_layout: Table
    client_storage: Table
    inbox: Table
    archive: Table
    consent: Table
    assistance: Table
    grant: Table
    grant_use: Table
    usage: Table
    usage_population: Table

    def all(self) -> tuple[Table, ...]:
        """Every table."""
        return tuple(getattr(self, field.name) for field in fields(self))


def has_table(session: Session, table: Table) -> bool:
    """Whether a table is in its database."""
    connection = session.connection(bind_arguments={"clause": table})
    with session.no_autoflush:
        return inspect(connection).has_table(table.name)


def missing_tables(engines: Mapping[str | None, Engine], tables: Tables) -> Iterator[str]:
    """The names of tables that are in no database yet."""
    for table in tables.all():
        if not inspect(engines[bind_key_of(table)]).has_table(table.name):
            yield table.name


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
            Column("made_at", utc_datetime(), nullable=False),
            Column("wrapped_at", utc_datetime(), nullable=False),
            Column("destroyed_at", utc_datetime()),
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
            Column("made_at", utc_datetime(), nullable=False),
            Column("erased_at", utc_datetime()),
            Index("ix_lgprivacy_subject_key_holder", "holder", "epoch"),
            Index(
                "ix_lgprivacy_subject_key_erased_at",
                "erased_at",
                sqlite_where=_ERASED,
                postgresql_where=_ERASED,
            ),
        ),
        rotation=_table(
            "lgprivacy_rotation",
            keys,
            Column("operation", String(200), primary_key=True),
            Column("began_at", utc_datetime(), nullable=False),
            Column("ended_at", utc_datetime()),
        ),
        request=_table(
            "lgprivacy_request",
            main,
            Column("id", String(32), primary_key=True),
            Column("request_type", String(16), nullable=False),
            Column("subject_kind", String(64), nullable=False),
            Column("subject", String(64), nullable=False),
            Column("client", String(64), index=True),
            Column("requester", String(160), nullable=False, index=True),
            Column("requester_role", String(64), nullable=False),
            Column("state", String(32), nullable=False),
            Column("clause", String(16), nullable=False),
            Column("received_at", utc_datetime(), nullable=False),
            Column("due_at", utc_datetime(), nullable=False),
            Column("ended_at", utc_datetime()),
            Column("outcome", JSON),
        ),
        request_step=_table(
            "lgprivacy_request_step",
            main,
            Column("request_id", String(32), primary_key=True),
            Column("number", Integer, primary_key=True),
            Column("occurred_at", utc_datetime(), nullable=False),
            Column("state", String(32), nullable=False),
            Column("note", Text),
        ),
        erasure_mark=_table(
            "lgprivacy_erasure_mark",
            main,
            Column("name", String(16), primary_key=True),
            Column("erased_until", utc_datetime(), nullable=False),
        ),
        identifier=_table(
            "lgprivacy_identifier",
            main,
            Column("name", String(64), primary_key=True),
            Column("last", BigInteger, nullable=False),
        ),
        record_layout=_table(
            "lgprivacy_record_layout",
            main,
            Column("table_name", String(64), primary_key=True),
            Column("column_name", String(64), primary_key=True),
            Column("group_name", String(64), nullable=False),
            Column("fields", Text, nullable=False),
            Column("is_complete", Boolean, nullable=False),
        ),
        client_storage=_table(
            "lgprivacy_client_storage",
            main,
            Column("client", String(64), primary_key=True),
            Column("storage", String(16), nullable=False),
            Column("since", utc_datetime(), nullable=False),
        ),
        inbox=_table(
            "lgprivacy_inbox",
            main,
            Column("id", String(32), primary_key=True),
            Column("client", String(64), nullable=False, index=True),
            Column("model", String(64), nullable=False),
            Column("sealed", LargeBinary, nullable=False),
            Column("received_at", utc_datetime(), nullable=False),
            Column("refused_at", utc_datetime()),
        ),
        archive=_table(
            "lgprivacy_archive",
            main,
            Column("request_id", String(32), primary_key=True),
            Column("expires_at", utc_datetime(), nullable=False),
            Column("sealed", LargeBinary, nullable=False),
        ),
        consent=_table(
            "lgprivacy_consent",
            main,
            Column("id", String(32), primary_key=True),
            Column("subject_kind", String(64), nullable=False),
            Column("subject", String(64), nullable=False, index=True),
            Column("purpose", String(64), nullable=False),
            Column("categories", JSON, nullable=False),
            Column("text_version", String(64), nullable=False),
            Column("collected_via", String(64), nullable=False),
            Column("given_by_whom", String(16), nullable=False),
            Column("given_by", String(160), nullable=False),
            Column("needs_parent", Boolean, nullable=False),
            Column("given_at", utc_datetime(), nullable=False),
            Column("withdrawn_at", utc_datetime()),
        ),
        assistance=_table(
            "lgprivacy_assistance",
            main,
            Column("id", String(32), primary_key=True),
            Column("client", String(64), nullable=False, index=True),
            Column("opened_by", String(160), nullable=False),
            Column("opened_as", JSON, nullable=False),
            Column("agent_kind", String(64)),
            Column("agent", String(64)),
            Column("reference", String(64)),
            Column("categories", JSON, nullable=False),
            Column("scope", JSON, nullable=False),
            Column("hours", Integer, nullable=False),
            Column("opened_at", utc_datetime(), nullable=False),
            Column("closed_at", utc_datetime()),
        ),
        grant=_table(
            "lgprivacy_grant",
            main,
            Column("id", String(32), primary_key=True),
            Column("kind", String(64), nullable=False),
            Column("client", String(64), nullable=False, index=True),
            Column("grantee_kind", String(64), nullable=False),
            Column("grantee_id", String(64), nullable=False, index=True),
            Column("purpose", String(64), nullable=False),
            Column("categories", JSON, nullable=False),
            Column("scope", JSON, nullable=False),
            Column("assistance", String(32), index=True),
            Column("ground", String(64)),
            Column("case_reference", String(64)),
            Column("asked_by", String(160), nullable=False),
            Column("asked_at", utc_datetime(), nullable=False),
            Column("given_by", String(160)),
            Column("given_at", utc_datetime()),
            Column("until", utc_datetime()),
            Column("slot", String(200), unique=True),
            Column("revoked_by", String(160)),
            Column("revoked_at", utc_datetime()),
        ),
        grant_use=_table(
            "lgprivacy_grant_use",
            main,
            Column("id", String(32), primary_key=True),
            Column("grant_id", String(32), nullable=False, index=True),
            Column("occurred_at", utc_datetime(), nullable=False),
            Column("endpoint", String(200)),
            Column("category", String(64), nullable=False),
            Column("action", String(16), nullable=False),
            Column("subjects", Integer, nullable=False),
        ),
        usage=_table(
            "lgprivacy_usage",
            main,
            Column("day", Date, primary_key=True),
            Column("event", String(64), primary_key=True),
            Column("client", String(64), primary_key=True),
            Column("dimensions", String(400), primary_key=True),
            Column("times", Integer, nullable=False),
        ),
        usage_population=_table(
            "lgprivacy_usage_population",
            main,
            Column("day", Date, primary_key=True),
            Column("client", String(64), primary_key=True),
            Column("kind", String(64), primary_key=True),
            Column("people", Integer, nullable=False),
        ),
    )


def _table(name: str, metadata: MetaData, *parts: Column[Any] | Index) -> Table:
    existing = metadata.tables.get(name)
    return Table(name, metadata, *parts) if existing is None else existing
