"""The catalogue of record layouts in the application's database: kept by `init` and by commands,
compared with the models before anything is served.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from ..database.tables import has_table
from ..gate.runtime import Runtime
from ..orm.model_info import VERSION_COLUMN, ModelInfo
from ..orm.record_layouts import (
    FieldLayout,
    Layouts,
    RecordLayout,
    SealedModel,
    absent_columns,
    faults,
    of_table,
    sealed_models,
    united,
    unread_fields,
)


class LayoutCatalogue:
    """The record layouts of one application.

    Args:
        runtime: The application's.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._table = runtime.database.tables.record_layout
        self._models = {model.table.name: model for model in runtime.models.graph.models}

    def faults(self, session: Session) -> Iterator[str]:
        """What keeps models from reading stored records; tells the models which records rows may
        lack.
        """
        stored = self._read(session)
        for model in self._sealed():
            of_model = of_table(stored, model.table)
            if not of_model:
                continue
            found = list(faults(model, of_model))
            if found and not self._has_records(session, model.table):
                continue  # nothing is stored that could be read otherwise
            yield from found
            self._tell(model, absent_columns(model, of_model))

    def notes(self, session: Session) -> Iterator[str]:
        """What is not in order, and keeps nobody from reading."""
        stored = self._read(session)
        for model in self._sealed():
            of_model = of_table(stored, model.table)
            if not of_model:
                yield (
                    f"{model.name}: the layout of its records is not kept, so a change of the "
                    "model would not be noticed; run 'flask privacy init'"
                )
            elif self._has_records(session, model.table):
                for name in unread_fields(model, of_model):
                    yield (
                        f"{model.name}: stored records hold {name!r}, which no field reads; "
                        f"'flask privacy keys reshape {model.name} --drop {name}' removes it"
                    )

    def keep(self, session: Session) -> None:
        """Keep the layouts of all models, beside what stored records hold already; commits."""
        stored = self._read(session)
        for model in self._sealed():
            has_records = self._has_records(session, model.table)
            kept = of_table(stored, model.table)
            layouts = united(model, kept if has_records else {})
            if layouts != kept:
                self.write(session, model.table, layouts)
        session.commit()

    def stored(self, session: Session, table: str) -> dict[str, RecordLayout]:
        """The records of one table, by column; those of the model where none are kept."""
        kept = of_table(self._read(session), table)
        return kept or dict(self.model(table).records)

    def model(self, table: str) -> SealedModel:
        """The model of a table, as records see it."""
        return next(model for model in self._sealed() if model.table == table)

    def write(self, session: Session, table: str, layouts: Mapping[str, RecordLayout]) -> None:
        """Replace what is kept of one table."""
        session.execute(delete(self._table).where(self._table.c.table_name == table))
        session.execute(
            insert(self._table),
            [
                {
                    "table_name": table,
                    "column_name": column,
                    "group_name": layout.group,
                    "fields": json.dumps(
                        {name: asdict(field) for name, field in layout.fields.items()}
                    ),
                    "is_complete": layout.is_complete,
                }
                for column, layout in layouts.items()
            ],
        )
        self._tell(self.model(table), absent_columns(self.model(table), layouts))

    # --- inside ---

    def _sealed(self) -> list[SealedModel]:
        return sealed_models(self._models.values())

    def _read(self, session: Session) -> Layouts:
        with session.no_autoflush:
            rows = session.execute(select(self._table)).all()
        return {
            (row.table_name, row.column_name): RecordLayout(
                row.group_name,
                {name: FieldLayout(**field) for name, field in json.loads(row.fields).items()},
                row.is_complete,
            )
            for row in rows
        }

    def _tell(self, model: SealedModel, absent: set[str]) -> None:
        for member in self._models[model.table].family():
            for column, group in member.groups.items():
                group.stored.may_be_absent = column in absent

    def _has_records(self, session: Session, table: str) -> bool:
        layout = self._models[table]
        if not has_table(session, layout.table):
            return False
        with session.no_autoflush:
            version = layout.table.c[VERSION_COLUMN]
            query = select(func.count()).select_from(
                select(version).where(version > 0).limit(1).subquery()
            )
            return bool(
                session.execute(query, bind_arguments={"clause": layout.table}).scalar_one()
            )


def sealed_members(layout: ModelInfo) -> list[ModelInfo]:
    """The classes of a hierarchy whose rows have records."""
    return [member for member in layout.family() if member.groups]
