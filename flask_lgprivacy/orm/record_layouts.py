"""What stored records hold, and whether the models of today can read them.

The database keeps, for each record column, which fields of which types its records have. A model
that was changed is compared with that before it reads or writes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .model_info import ModelInfo

Place = tuple[str, str]
"""A table and its record column."""


@dataclass(frozen=True, slots=True)
class FieldLayout:
    """A field of records: its Python type, whether it may be None and whether it has an index."""

    type: str
    optional: bool
    index: bool


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """What the records of one column hold.

    Attributes:
        group: To which the records are bound.
        fields: By name.
        is_complete: Whether every row has a record.
    """

    group: str
    fields: Mapping[str, FieldLayout]
    is_complete: bool = True


Layouts = Mapping[Place, RecordLayout]


@dataclass(frozen=True, slots=True)
class SealedModel:
    """A model whose rows have records, with its subclasses.

    Attributes:
        name: For messages.
        table: Of its rows.
        records: By record column.
        former: What fields were called, by their names.
    """

    name: str
    table: str
    records: Mapping[str, RecordLayout]
    former: Mapping[str, str]

    @property
    def fields(self) -> dict[str, tuple[str, FieldLayout]]:
        """By name, the record column and the layout of each field."""
        return fields_of(self.records)


def fields_of(records: Mapping[str, RecordLayout]) -> dict[str, tuple[str, FieldLayout]]:
    """By name, the record column and the layout of each field."""
    return {
        name: (column, layout)
        for column, record in records.items()
        for name, layout in record.fields.items()
    }


def sealed_models(models: Iterable[ModelInfo]) -> list[SealedModel]:
    """The models with sealed fields, one for each table."""
    sealed: list[SealedModel] = []
    for model in models:
        records: dict[str, RecordLayout] = {}
        former: dict[str, str] = {}
        for member in model.family():
            for column, group in member.groups.items():
                known = dict(records[column].fields) if column in records else {}
                for name, kind in group.fields.items():
                    is_indexed = name in member.indexes
                    known[name] = FieldLayout(kind.python.__name__, kind.optional, is_indexed)
                records[column] = RecordLayout(group.prefixes.group, known)
                former.update({name: was for was, name in group.former.items()})
        if records:
            sealed.append(SealedModel(model.name, model.table.name, records, former))
    return sealed


def of_table(layouts: Layouts, table: str) -> dict[str, RecordLayout]:
    """The records of one table, by column."""
    return {column: layout for (place, column), layout in layouts.items() if place == table}


def faults(model: SealedModel, stored: Mapping[str, RecordLayout]) -> Iterator[str]:
    """What keeps a model from reading stored records as they are, each with what to do.

    Args:
        model: Of today.
        stored: The records of its table, by column.
    """
    known = fields_of(stored)
    unread = unread_fields(model, stored)
    for name, (column, layout) in model.fields.items():
        was = name if name in known else model.former.get(name, name)
        if was not in known:
            yield from _faults_of_new(model, name, layout, unread)
            continue
        stored_column, stored_layout = known[was]
        place = f"{model.name}.{name}"
        reshape = f"run 'flask privacy keys reshape {model.name}' while nothing else writes it"
        if stored_layout.type != layout.type:
            yield (
                f"{place}: stored records hold it as {stored_layout.type}, and the model says "
                f"{layout.type}; add a field of the new type under another name, fill it from this "
                "one in a job, then take this one out"
            )
        elif stored_column != column:
            yield (
                f"{place}: it moved to another record (category or group), and stored rows hold it "
                f"in {stored_column}; {reshape}"
            )
        elif stored_layout.optional and not layout.optional:
            yield (
                f"{place}: stored records may hold None, and the model says that none does; "
                f"{reshape}"
            )
        elif layout.index and (not stored_layout.index or was != name):
            yield f"{place}: stored rows have no blind index of it under this name; {reshape}"


def _faults_of_new(
    model: SealedModel, name: str, layout: FieldLayout, unread: Sequence[str]
) -> Iterator[str]:
    place = f"{model.name}.{name}"
    if unread:
        drops = " ".join(f"--drop {one}" for one in unread)
        yield (
            f"{place} is new, and stored records hold {', '.join(unread)}, which no field reads; "
            f"where it was called so, write sealed(…, was='{unread[0]}'); where it is another one, "
            f"run 'flask privacy keys reshape {model.name} {drops}'"
        )
    elif not layout.optional:
        yield (
            f"{place} is new and takes no None, and stored records lack it; declare it "
            f"Mapped[{layout.type} | None], fill it in a job, then require it"
        )


def unread_fields(model: SealedModel, stored: Mapping[str, RecordLayout]) -> list[str]:
    """Fields of stored records that the model does not have, under today's or a former name."""
    read = model.fields.keys() | set(model.former.values())
    return [name for name in fields_of(stored) if name not in read]


def absent_columns(model: SealedModel, stored: Mapping[str, RecordLayout]) -> set[str]:
    """The record columns of a model that rows from before have not filled."""
    return {
        column for column in model.records if column not in stored or not stored[column].is_complete
    }


def united(model: SealedModel, stored: Mapping[str, RecordLayout]) -> dict[str, RecordLayout]:
    """What the records of a table may hold when the model writes them beside what is stored."""
    absent = absent_columns(model, stored) if stored else set()
    layouts = dict(stored)
    for column, record in model.records.items():
        before = stored[column].fields if column in stored else {}
        layouts[column] = RecordLayout(
            record.group, {**before, **record.fields}, is_complete=column not in absent
        )
    return layouts


def reshaped(
    model: SealedModel, stored: Mapping[str, RecordLayout], left: Iterable[str]
) -> dict[str, RecordLayout]:
    """What the records of a table hold when they were rewritten.

    Args:
        model: Of today.
        stored: What they held.
        left: Fields that no field reads and that were not dropped.
    """
    known = fields_of(stored)
    layouts = dict(model.records)
    for name in left:
        column, layout = known[name]
        if column in layouts:
            record = layouts[column]
            layouts[column] = RecordLayout(record.group, {**record.fields, name: layout})
    return layouts
