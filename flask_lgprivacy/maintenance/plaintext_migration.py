"""Plaintext migration: a plaintext column moves into sealed records while the application runs, row
by row, and is verified and wiped.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from sqlalchemy import JSON, bindparam, func, or_, select, text, update
from sqlalchemy.orm import Session

from ..crypto.keys import SubjectKey
from ..database.identifiers import canonical_id
from ..database.tables import has_table
from ..errors import ConfigurationError, KeyLost, ModelInvalid
from ..gate.runtime import Runtime
from ..keys.key_table import CHUNK
from ..orm.columns import client_column, matches_any_id, subject_column
from ..orm.model_info import VERSION_COLUMN, ModelInfo
from ..orm.own_statements import OWN_STATEMENT
from ..orm.ownership_graph import OwnershipGraph

LONGEST_DAYS = 90


def parse_migration_windows(windows: Mapping[str, Any], today: dt.date) -> dict[str, dt.date]:
    """Until which day, by model, plain text may be read; raises `ConfigurationError` for a day that
    is wrong or far away.
    """
    days: dict[str, dt.date] = {}
    for model, last_day in windows.items():
        location = f"LGPRIVACY_MIGRATION_WINDOWS[{model!r}]"
        try:
            day = last_day if isinstance(last_day, dt.date) else dt.date.fromisoformat(last_day)
        except (TypeError, ValueError):
            raise ConfigurationError(
                f"{location}: takes the last day, such as '2026-12-31'"
            ) from None
        if day > today + dt.timedelta(days=LONGEST_DAYS):
            raise ConfigurationError(
                f"{location}: {day} is more than {LONGEST_DAYS} days away; a migration is for a "
                "limited time"
            )
        days[model] = day
    return days


def migrating_model(graph: OwnershipGraph, target: str) -> ModelInfo:
    """The layout of `Model` or `Model.column`; raises `ModelInvalid` where nothing of it is
    sealed.
    """
    model, _, column = target.partition(".")
    models = [
        layout for kind in graph.subjects for layout in graph.of(kind) if layout.name == model
    ]
    if not models:
        raise ModelInvalid(f"there is no labelled model {model!r}")
    layout = models[0]
    if layout.is_subject and not layout.plaintext_columns and not column:
        return layout
    if not layout.plaintext_columns or (column and column not in layout.plaintext_columns):
        having = ", ".join(f"{model}.{name}" for name in layout.plaintext_columns) or "none"
        raise ModelInvalid(
            f"{target}: no column of it is migrated; write sealed(…, migrates_from=Column(…)) "
            f"(with one: {having})"
        )
    return layout


def faults_of_migrations(runtime: Runtime, session: Session) -> Iterator[str]:
    """Windows of models that are not there, and models in plain text that have no window.

    Args:
        runtime: The application's.
        session: On the data.
    """
    models = {layout.name: layout for layout in runtime.models.graph.models}
    windows = runtime.migration.last_days
    for name in windows.keys() - models.keys():
        known = ", ".join(sorted(models)) or "none"
        yield f"LGPRIVACY_MIGRATION_WINDOWS names {name!r}, and there are the models {known}"
    for name, layout in models.items():
        if not layout.plaintext_columns or name in windows or not has_table(session, layout.table):
            continue
        with session.no_autoflush:
            rows = PlaintextMigration(runtime, layout).count(session)
        if rows:
            yield (
                f"{name}: {rows} rows are in plain text, which nobody may read without a window; "
                f"set LGPRIVACY_MIGRATION_WINDOWS = {{{name!r}: '…'}} with its last day, then run "
                f"'flask privacy keys migrate {name}'"
            )


class PlaintextMigration:
    """Moves the rows of one model; a run that was cut off goes on with the rows that are left."""

    def __init__(self, runtime: Runtime, layout: ModelInfo) -> None:
        self.sealed_rows = 0
        self._runtime = runtime
        self._layout = layout
        self._plain = {
            name: layout.table.c[attribute.property.columns[0].name]
            for name, attribute in layout.plaintext_columns.items()
        }
        self._version = layout.table.c[VERSION_COLUMN]
        self._key = layout.column(layout.key)
        self._left = or_(
            self._version == 0, *(column.is_not(None) for column in self._plain.values())
        )
        self._index_keys: dict[str, bytes] = {}

    def count(self, session: Session) -> int:
        """How many rows hold plain text, or no record yet."""
        return int(
            session.execute(
                select(func.count()).select_from(self._layout.table).where(self._left)
            ).scalar_one()
        )

    def run(self, session: Session) -> Iterator[int]:
        """Seal what is left, batch by batch; yields how many rows were seen. A row that somebody
        writes meanwhile is left to them.
        """
        layout, last = self._layout, None
        query = (
            select(
                self._key.label("_key"),
                subject_column(layout).label("_owner"),
                self._version.label("_version"),
                *(column.label(f"plain_{name}") for name, column in self._plain.items()),
                *(
                    layout.table.c[index.column].label(f"index_{name}")
                    for name, index in layout.indexes.items()
                ),
                *(
                    layout.table.c[group.column].label(f"group_{group.column}")
                    for group in layout.groups.values()
                ),
            )
            .where(self._left)
            .order_by(self._key)
            .limit(CHUNK)
        )
        while True:
            rows = session.execute(query if last is None else query.where(self._key > last)).all()
            if not rows:
                session.commit()
                return
            keys = self._keys(session, [canonical_id(row._owner) for row in rows])
            changed = [
                self._sealed_values(session, row._asdict(), keys[canonical_id(row._owner)])
                for row in rows
            ]
            written: Any = session.execute(
                self._statement(), changed, execution_options=OWN_STATEMENT
            )
            self.sealed_rows += max(written.rowcount, 0)
            session.commit()
            last = rows[-1]._key
            yield len(rows)

    def wipe(self, session: Session) -> str | None:
        """Remove what the database file still holds of the plain text; returns, where that is the
        operator's, what to run.
        """
        connection = session.connection(bind_arguments={"clause": self._layout.table})
        name = self._layout.table.name
        if connection.dialect.name != "sqlite":
            session.rollback()
            return (
                f"VACUUM FULL {name}; CHECKPOINT; then drop the write-ahead log and backups "
                "from before (docs/howto/migrate-plaintext.md)"
            )
        engine = connection.engine
        session.rollback()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
            alone.execute(text("VACUUM"))
            busy = alone.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).scalar()
        if busy:
            raise ConfigurationError(
                "every row is sealed, but somebody reads the database, so its write-ahead log "
                "still holds plain text; run this again"
            )
        return None

    # --- inside ---

    def _keys(self, session: Session, owners: list[str]) -> dict[str, SubjectKey]:
        """The subjects' keys, made for those who were recorded before there were any."""
        runtime, kind = self._runtime, self._layout.kind
        subjects = runtime.models.graph.subjects[kind]
        keys = runtime.keys.load_for_writing(session, kind, dict.fromkeys(owners))
        missing = sorted({subject_id for subject_id in owners if subject_id not in keys})
        if missing:
            column = subject_column(subjects)
            client = client_column(subjects) if subjects.client else column
            rows = session.execute(
                select(column, client).where(matches_any_id(column, missing))
            ).all()
            clients = {
                canonical_id(subject_id): canonical_id(of)
                if subjects.client and of is not None
                else None
                for subject_id, of in rows
            }
            new_keys = runtime.keys.create(
                session, kind, clients, partial(runtime.models.key_holder, kind)
            )
            keys = {**keys, **new_keys}
        if any(subject_id not in keys for subject_id in owners):
            raise KeyLost
        return keys

    def _sealed_values(
        self, session: Session, row: Mapping[str, Any], key: SubjectKey
    ) -> dict[str, Any]:
        """What a row becomes: its plain text in its records, and nothing in the columns; newer
        plain text wins.
        """
        layout, was = self._layout, row["_version"]
        plain = {name: row[f"plain_{name}"] for name in self._plain}
        values: dict[str, Any] = {"_one": row["_key"], "_was": was, "_now": was + 1}
        values.update(
            (f"was_{name}", plain[name])
            for name, column in self._plain.items()
            if not isinstance(column.type, JSON)
        )
        for group in layout.groups.values():
            row_id = canonical_id(row["_key"])
            stored = group.encoded(key, row[f"group_{group.column}"], row_id, was) if was else {}
            newer = {name: plain[name] for name in group.fields if plain.get(name) is not None}
            values[f"new_{group.column}"] = group.sealed(key, {**stored, **newer}, row_id, was + 1)
        for name, index in layout.indexes.items():
            if name in plain and (plain[name] is not None or not was):
                index_value = (
                    None
                    if plain[name] is None
                    else index.of(self._index_key(session, key), layout.table, name, plain[name])
                )
                values[f"new_{index.column}"] = index_value
            elif name in plain:
                values[f"new_{index.column}"] = row[f"index_{name}"]
        return values

    def _index_key(self, session: Session, key: SubjectKey) -> bytes:
        holder = self._runtime.models.key_holder(self._layout.kind, key.client)
        if holder not in self._index_keys:
            self._index_keys[holder] = self._runtime.keys.index_key(session, holder)
        return self._index_keys[holder]

    def _statement(self) -> Any:
        layout = self._layout
        written = [group.column for group in layout.groups.values()]
        written += [index.column for name, index in layout.indexes.items() if name in self._plain]
        return (
            update(layout.table)
            .where(
                self._key == bindparam("_one"),
                self._version == bindparam("_was"),
                *(
                    column.is_not_distinct_from(bindparam(f"was_{name}", type_=column.type))
                    for name, column in self._plain.items()
                    if not isinstance(column.type, JSON)
                ),
            )
            .values(
                {
                    self._version: bindparam("_now"),
                    **{layout.table.c[column]: bindparam(f"new_{column}") for column in written},
                    **dict.fromkeys(self._plain.values()),
                }
            )
        )
