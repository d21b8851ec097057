"""Whose a row is, and the checks of a labelled model when it is mapped."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from typing import Any, NoReturn, cast

from sqlalchemy import Column, DefaultClause, Table, event
from sqlalchemy.orm import Mapper

from ..database.sqlalchemy_internals import keep_history, replace_attribute_class
from ..errors import ModelInvalid
from .attributes import (
    PlaintextAttribute,
    TaggedAttribute,
    TaggedType,
    is_readable_key,
    tagged_type,
)
from .columns import unique_columns
from .fields import SealedField
from .flush_events import listen_to_rows
from .model_info import VERSION_COLUMN, ModelInfo, TaggedColumn
from .ownership_labels import Meaning
from .ownership_links import column_labels, labels_of
from .registry import INFO_KEY, model_info_of, model_info_of_table, model_info_on, register
from .reserved_identifiers import can_be_reserved
from .row_state import SLOT
from .sealed_groups import add_groups


def complete_model(mapper: Mapper[Any], model: type) -> None:
    """Check a labelled model when it is mapped, and register its layout; raises `ModelInvalid`."""
    if model_info_on(mapper) is not None:
        return  # a class of a table of its own hears its own label, and that of the class above
    name = model.__name__
    base = _labelled_base(mapper, name)
    _refuse_mapping(mapper, base, name)
    sealed_fields = [value for value in _class_values(model) if isinstance(value, SealedField)]
    if base is not None:
        for field in sealed_fields:
            field.add_to_topmost(model)
        layout = _layout_of_subclass(mapper, base)
    else:
        layout = _layout_of_model(mapper, sealed_fields)
    _refuse_records_elsewhere(layout, sealed_fields)
    add_groups(layout, sealed_fields)
    if sealed_fields:
        _keep_version(mapper, layout.table.c[VERSION_COLUMN], name)
    for field in sealed_fields:
        field.validate_with(model, mapper.validators.get(field.name))
    for column in _own_columns(mapper, base):
        _take_column(mapper, layout, column)
    layout.field_categories.update((name, tag.category) for name, tag in layout.tagged.items())
    layout.field_categories.update(
        (name, group.category) for group in layout.groups.values() for name in group.fields
    )
    register(mapper, layout)
    fixed_names = {layout.key, layout.subject, layout.client, *layout.owner_keys}
    for fixed in filter(None, fixed_names):
        keep_history(mapper, mapper.columns[fixed])
    if base is None:
        event.listen(model, "expire", _expired, propagate=True)
        event.listen(model, "refresh", _replaced, propagate=True)
    listen_to_rows(model)
    if layout.labelled:
        model.__reduce_ex__ = _refuse_carrying_away  # type: ignore[method-assign, assignment]


def _layout_of_model(mapper: Mapper[Any], sealed_fields: list[SealedField]) -> ModelInfo:
    """The layout of a model that inherits from no labelled one, without its fields."""
    model, table = mapper.class_, mapper.local_table
    assert isinstance(table, Table)  # noqa: S101  _refuse_mapping has looked
    ownership: Ownership = model.__privacy__
    name = model.__name__
    has_records = ownership.is_subject or bool(sealed_fields)
    identifier = _identifier_of_model(mapper, table, ownership, has_records=has_records)
    if has_records:
        _refuse_late_identifier(identifier, name)
    if not ownership.kind:
        _refuse_searching_shared(sealed_fields)
    if ownership.client is not None and ownership.client not in mapper.columns:
        raise ModelInvalid(f"{name}: client={ownership.client!r} names no column")
    key = mapper.get_property_by_column(identifier).key
    return ModelInfo(
        model=model,
        table=table,
        kind=ownership.name,
        policy_kind=ownership.kind,
        is_subject=ownership.is_subject,
        key=key,
        default=identifier.default,
        subject=key if ownership.is_subject else _foreign_key_to_subject(mapper, ownership.kind),
        owner_keys=_owner_keys(mapper),
        is_reserved=can_be_reserved(identifier),
        client=ownership.client,
        scope=ownership.scope,
    )


def _identifier_of_model(
    mapper: Mapper[Any], table: Table, ownership: Ownership, *, has_records: bool
) -> Column[Any]:
    """The column by which keys, requests and the trail know a row: the one that the label names, or
    the primary key.
    """
    name, keys = mapper.class_.__name__, list(table.primary_key.columns)
    if ownership.identifier is None:
        if has_records and len(keys) != 1:
            raise ModelInvalid(
                f"{name}: the primary key has several columns "
                f"({', '.join(column.name for column in keys)}), and keys, requests and the trail "
                "know a person, or a row with sealed fields, by one; add a column such as "
                "uid: Mapped[UUID] = mapped_column(unique=True, default=uuid4), and name it: "
                "identifier='uid'"
            )
        return keys[0]
    column = mapper.columns.get(ownership.identifier)
    if not isinstance(column, Column) or column.table is not table:
        raise ModelInvalid(
            f"{name}: identifier={ownership.identifier!r} names no column of its table"
        )
    if column.nullable or [column] not in unique_columns(table):
        raise ModelInvalid(
            f"{name}.{ownership.identifier}: an identifier is unique and never NULL; write "
            "mapped_column(unique=True, nullable=False, …)"
        )
    return column


def _layout_of_subclass(mapper: Mapper[Any], base: ModelInfo) -> ModelInfo:
    """The layout of a class whose rows stand in the table of the class above, or begin there; they
    are that one's rows, so they have its key, subject and client.
    """
    layout = replace(
        base,
        model=mapper.class_,
        owner_keys=(*base.owner_keys, *_owner_keys(mapper)),
        groups={},
        tagged={},
        indexes={},
        field_categories={},
        plaintext_columns=dict(base.plaintext_columns),
        base=base,
        children=[],
    )
    if layout.is_shared:
        _refuse_searching_shared(
            [value for value in _class_values(layout.model) if isinstance(value, SealedField)]
        )
    return layout


def _refuse_records_elsewhere(layout: ModelInfo, sealed_fields: list[SealedField]) -> None:
    """The records of a row stand in its table, of a subclass in that of the topmost class."""
    for field in sealed_fields:
        is_doubled = layout.own_table is not layout.table and (
            {VERSION_COLUMN, field.column} & set(layout.own_table.columns.keys())
        )
        if field.column in layout.table.columns and not is_doubled:
            continue
        if layout.base is None:
            raise ModelInvalid(
                f"{layout.name}.{field.name} stands in the table of the class above, and "
                f"{layout.name} has one of its own (concrete); declare the field again"
            )
        raise ModelInvalid(
            f"{layout.name} has a table of its own, and a mixin brings the sealed field "
            f"{field.name!r} into it; declare it in {layout.name} itself, or in the class above"
        )


def _labelled_base(mapper: Mapper[Any], name: str) -> ModelInfo | None:
    """The layout of the class above, where its table holds the rows; None where there is none."""
    if mapper.inherits is None or mapper.concrete:
        return None
    base = model_info_on(mapper.inherits)
    above = mapper.inherits.class_.__name__
    if base is None:
        raise ModelInvalid(
            f"{name} inherits from the mapped class {above}, which has no label, so its rows would "
            f"be read past that of {name}; write __privacy__ in {above}"
        )
    if "__privacy__" in vars(mapper.class_):
        raise ModelInvalid(
            f"{name} is a subclass of {above}, and its rows are that one's; leave __privacy__ out"
        )
    if mapper.polymorphic_on is None:
        raise ModelInvalid(
            f"{name} is a subclass of {above}, and no column says which rows are whose class; "
            'write __mapper_args__ = {"polymorphic_on": …} there, and an identity in each'
        )
    return base


def _own_columns(mapper: Mapper[Any], base: ModelInfo | None) -> list[Column[Any]]:
    """The columns whose labels a model has to look at: those of its table; in a subclass, those
    that it maps.
    """
    table = cast(Table, mapper.local_table)
    if base is None:
        return list(table.columns)
    shown = {column for attribute in mapper.column_attrs for column in attribute.columns}
    tables = dict.fromkeys([base.table, *mapper.tables])
    return [column for one in tables for column in cast(Table, one).columns if column in shown]


def _take_column(mapper: Mapper[Any], layout: ModelInfo, column: Column[Any]) -> None:
    """Take a column in by its label; raises `ModelInvalid` where it needs one."""
    label = column.info.get(INFO_KEY)
    if layout.base is not None and column.primary_key:
        return  # a subclass shows that of each of its tables under one name
    attribute = _only_attribute_of(mapper, column, layout.name)
    if label and "plaintext_of" in label:
        _add_plaintext_column(layout, label["plaintext_of"], attribute, column)
    elif label and "category" in label:
        _tag(layout, attribute, column, label["category"])
    elif (
        not label
        and not column.primary_key
        and not column.foreign_keys
        and column is not mapper.polymorphic_on
        and attribute not in (layout.client, layout.scope, layout.key)
    ):
        raise ModelInvalid(
            f"{layout.name}.{attribute} has no label; use sealed(category), tagged(category) or "
            "not_personal(reason)"
        )


def _refuse_searching_shared(sealed_fields: list[SealedField]) -> None:
    """Blind indexes and plain text that is migrated stand under the key of one owner."""
    for field in sealed_fields:
        if field.blind is not None or field.migrates_from is not None:
            option = "an index" if field.blind is not None else "migrates_from"
            raise ModelInvalid(
                f"{field.qualified}: {option} needs rows of one owner, and the labels of its keys "
                "say whose these are; leave it out, or write belongs_to(kind) where every row has "
                "one owner by a foreign key"
            )


def _refuse_mapping(mapper: Mapper[Any], base: ModelInfo | None, name: str) -> None:
    """Refuse ways of mapping that would show a labelled column past its label."""
    if not isinstance(mapper.local_table, Table):
        raise ModelInvalid(
            f"{name} is mapped to a query; label the model of the table that it selects from"
        )
    other = model_info_of_table(mapper.local_table)
    if other is not None and base is None:
        raise ModelInvalid(
            f"{name} is a second model of the table of {other.name}; use {other.name}"
        )
    if mapper.concrete and mapper.with_polymorphic:
        raise ModelInvalid(
            f"{name} is loaded with classes of other tables by one query, past their labels; leave "
            "the union out, and query each class"
        )
    if is_dataclass(mapper.class_):
        raise ModelInvalid(
            f"{name}: labelled models are not mapped as dataclasses, whose constructor takes every "
            "field and whose repr() prints "
            "them; derive it from a base without MappedAsDataclass"
        )


def _refuse_late_identifier(primary: Column[Any], name: str) -> None:
    """The record is bound to its row's identifier, so Python makes it, for each row another one,
    before the insert.
    """
    default: Any = primary.default
    if can_be_reserved(primary):
        return
    if default is None and primary.server_default is not None:
        origin = "the database makes it"
    elif default is None or default.is_callable:
        return
    elif default.is_sequence or default.is_clause_element:
        origin = "its default is SQL"
    else:
        origin = "its default is one value for all rows"
    raise ModelInvalid(
        f"{name}.{primary.name}: the identifier must be known before the insert, because the "
        f"record is bound to it, and {origin}; "
        "use a UUID with default=uuid4, without brackets, or an integer that the database counts"
    )


def _keep_version(mapper: Mapper[Any], version: Column[Any], name: str) -> None:
    """Records are bound to the row's version, so SQLAlchemy compares it at each UPDATE, whatever
    `__mapper_args__` say besides.
    """
    above = mapper.inherits.version_id_col if mapper.inherits is not None else None
    named = mapper.version_id_col
    if named is not None and named is not version and named is not above:
        raise ModelInvalid(
            f"{name}: __mapper_args__ name the version column {named.name!r}, and "
            "a model with sealed fields has "
            f"{VERSION_COLUMN!r} for that; take version_id_col out of them"
        )
    mapper.version_id_col = version
    mapper.version_id_generator = False


def _only_attribute_of(mapper: Mapper[Any], column: Column[Any], name: str) -> str:
    """The attribute that shows a column; a second one would show it past the label of the first."""
    showing = [attribute for attribute, shown in mapper.columns.items() if shown is column]
    if len(showing) != 1:
        raise ModelInvalid(
            f"{name}: the column {column.name!r} of a labelled table has one attribute, and this "
            f"has {', '.join(showing) or 'none'}"
        )
    return showing[0]


def _tag(layout: ModelInfo, attribute: str, column: Column[Any], category: str) -> None:
    """Guard a tagged column: its attribute, and its type for whoever selects it in another way."""
    layout.tagged[attribute] = TaggedColumn(layout, attribute, category)
    replace_attribute_class(layout.model, attribute, TaggedAttribute)
    if not is_readable_key(column) and not isinstance(column.type, TaggedType):
        column.type = tagged_type(column.type)


def _add_plaintext_column(
    layout: ModelInfo, name: str, attribute: str, column: Column[Any]
) -> None:
    """Rows of version 0 hold a field in plain text; their records are empty until they
    are sealed.
    """
    if not column.nullable:
        raise ModelInvalid(
            f"{layout.name}.{name}: the plain-text column {column.name!r} must be nullable, "
            "because "
            "it is emptied; migrate it first"
        )
    layout.plaintext_columns[name] = replace_attribute_class(
        layout.model, attribute, PlaintextAttribute
    )
    for group in layout.groups.values():
        layout.table.c[group.column].nullable = True
    layout.table.c[VERSION_COLUMN].server_default = DefaultClause("0")


def _expired(row: Any, names: Any) -> None:
    """Forget opened fields when SQLAlchemy expires a row: a commit, a rollback, a refresh."""
    if row is None:  # SQLAlchemy expires rows that are collected already
        return
    row_values = row.__dict__
    groups = model_info_of(type(row)).groups
    for group in (
        groups.values() if names is None else [groups[name] for name in names if name in groups]
    ):
        row_values.pop(group.opened_at, None)
        draft = row_values.get(SLOT)
        for name in (
            group.fields if draft is not None and draft.assigned and names is not None else ()
        ):
            draft.assigned.pop(name, None)
    if names is None:
        row_values.pop(SLOT, None)


def _replaced(row: Any, context: Any, _names: Any) -> None:
    """A query with `populate_existing` replaces what a row holds; a load of expired columns does
    not.
    """
    if context is not None and context.populate_existing and context.refresh_state is None:
        _expired(row, None)


def _refuse_carrying_away(row: Any, _protocol: Any) -> NoReturn:
    raise TypeError(
        f"a {type(row).__name__} holds labelled columns and cannot be pickled or copied; pass its "
        "id instead"
    )


def _class_values(model: type) -> list[Any]:
    values: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        values.update(vars(base))
    return list(values.values())


def _owner_keys(mapper: Mapper[Any]) -> tuple[str, ...]:
    """The attributes of a model's keys that have a label."""
    table = cast(Table, mapper.local_table)
    labelled = {
        column
        for constraint in table.foreign_key_constraints
        if labels_of(constraint)
        for column in constraint.columns
    }
    labelled |= {column for column in table.columns if column_labels(column)}
    labels = [label for column in table.columns for label in column_labels(column)]
    labels += [label for key in table.foreign_key_constraints for label in labels_of(key)]
    conditions = {name for label in labels for name, _ in label.when}
    labelled |= {column for column in table.columns if column.key in conditions}
    shown = {column: name for name, column in mapper.columns.items()}
    return tuple(shown[column] for column in labelled if column in shown)


def _is_subject(ownership: Ownership, kind: str) -> bool:
    return ownership.is_subject and ownership.name == kind


def _foreign_key_to_subject(mapper: Mapper[Any], kind: str) -> str:
    """The attribute by which a row leads to its one owner, by the foreign keys of its table: the
    one that is labelled `owner()`, or the one without a label; "" where no kind is named.
    """
    if not kind:
        return ""
    registry = {
        other.local_table.name: other
        for other in mapper.registry.mappers
        if other is not mapper and isinstance(other.local_table, Table)
    }
    owning, unlabelled = [], []
    for column in mapper.local_table.columns:
        for foreign in column.foreign_keys:
            other = registry.get(foreign.target_fullname.rpartition(".")[0])
            ownership = getattr(other.class_, "__privacy__", None) if other else None
            if other is not None and ownership is not None and _is_subject(ownership, kind):
                leads_to = foreign.target_fullname.rpartition(".")[2]
                info = model_info_of_table(cast(Table, other.local_table))
                if info is None or leads_to != info.column(info.key).name:
                    raise ModelInvalid(
                        f"{mapper.class_.__name__}.{column.key} leads to "
                        f"{other.class_.__name__}.{leads_to}, which is not its identifier; write "
                        "__privacy__ = belongs_to(), and info=owner() at the foreign key"
                    )
                labels = labels_of(foreign.constraint) if foreign.constraint is not None else ()
                name = mapper.get_property_by_column(column).key
                if not labels:
                    unlabelled.append(name)
                elif any(label.meaning is Meaning.OWNER for label in labels):
                    owning.append(name)
    leading = owning or unlabelled
    if len(leading) != 1:
        raise ModelInvalid(
            f"{mapper.class_.__name__}: belongs_to({kind!r}) needs exactly one foreign key to a "
            f"model with subject({kind!r}), defined before it; found {len(leading)}. Label the "
            "one that leads to the owner with info=owner(), the others with info=concerns(…) or "
            "info=refers(); write belongs_to() where a row has several owners, or leads to them "
            "over another row"
        )
    return leading[0]


def subject(
    kind: str,
    *,
    name: str | None = None,
    client: str | None = None,
    scope: str | None = None,
    identifier: str | None = None,
) -> Ownership:
    """The rows of this model are data subjects.

    Args:
        kind: Of subject in the policy document.
        name: Under which these subjects are known, where several models are of one kind; by
            default the kind. Keys, requests and the trail hold it, so it stays.
        client: Names the column that holds the client (school).
        scope: Names the column by which grants may be narrowed (a class): one of the model's own,
            or of a model that belongs to the subject, as "Enrollment.class_id".
        identifier: Names the column by which keys, requests and the trail know a person; by
            default the primary key. Where that has several columns, or is personal data itself, a
            unique one besides.
    """
    return Ownership(
        kind, is_subject=True, client=client, scope=scope, name=name, identifier=identifier
    )


def belongs_to(kind: str = "", *, identifier: str | None = None) -> Ownership:
    """The rows of this model belong to data subjects, and are exported and erased with them.

    Args:
        kind: Of the one subject to whom a foreign key of the model leads, or its name where
            `subject(…)` has one; left out where the labels of its keys (`owner`, `concerns`,
            `owns`, `shares`) say whose a row is.
        identifier: Names the column to which records are bound; by default the primary key. Where
            that has several columns, and the model has sealed fields, a unique one besides.
    """
    return Ownership(kind, is_subject=False, client=None, scope=None, identifier=identifier)


class Ownership:
    """The value of `__privacy__`; completes and checks its model when the class is mapped."""

    def __init__(
        self,
        kind: str,
        *,
        is_subject: bool,
        client: str | None,
        scope: str | None,
        name: str | None = None,
        identifier: str | None = None,
    ) -> None:
        self.kind = kind
        self.identifier = identifier
        self.name = name or kind
        self.is_subject = is_subject
        self.client = client
        self.scope = scope

    def __set_name__(self, owner: type, name: str) -> None:
        if name != "__privacy__":
            raise ModelInvalid(
                f"{owner.__name__}.{name}: write __privacy__ = "
                f"{'subject' if self.is_subject else 'belongs_to'}(…)"
            )
        event.listen(owner, "after_mapper_constructed", complete_model, propagate=True)

    def __repr__(self) -> str:
        return f"{'subject' if self.is_subject else 'belongs_to'}({self.kind!r})"
