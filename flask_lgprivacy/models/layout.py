"""The layout of a labelled model: its groups, tagged columns, and the columns that lead to subject and client."""

from __future__ import annotations

import operator
import sys
import typing
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from inspect import get_annotations as inspect_annotations
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import orjson
from sqlalchemy import Column, DefaultClause, Table, event, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import InstrumentedAttribute

from ..errors import ModelInvalid, SealBroken, UndeclaredProcessing
from ..vault import SubjectKey, binding, binding_prefix, unseal_with
from .adopted import VERSION, AdoptedAttribute
from .codec import ValueType, encode_fields, value_type
from .indexes import Index, refuse_what_can_be_guessed
from .opening import current_opener
from .rowstate import SLOT, opened_at

if TYPE_CHECKING:
    from .labels import SealedField

INFO = "lgprivacy"


class _Prefixes(dict[str, bytes]):
    """By client, what the bindings of a group's records begin with."""

    def __init__(self, table: str, group: str) -> None:
        self._table = table.encode()
        self._group = group.encode()

    def __missing__(self, client: str) -> bytes:
        prefix = binding_prefix(client=client.encode(), group=self._group, table=self._table)
        self[client] = prefix
        return prefix


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """One sealed record of a row: its column, category and fields, and where a row says what the record is bound to.

    `place` takes subject, key, client (the subject again, where the model has none), envelope and version out of a row's
    `__dict__`; the columns that it needs are in `needs`.
    """

    layout: Layout
    column: str
    category: str
    fields: dict[str, ValueType]
    required: tuple[str, ...]
    decoders: tuple[tuple[str, Any], ...]
    needs: tuple[str, ...]
    place: Callable[[Mapping[str, Any]], tuple[Any, Any, Any, bytes, int]]
    opened_at: str
    prefixes: Mapping[str, bytes]

    def sealed(self, key: SubjectKey, fields: dict[str, Any], row: str, row_version: int) -> bytes:
        """The record of fields; raises `RequestInvalid` naming the model where JSON cannot hold them."""
        return key.seal(encode_fields(fields, self.layout.name), self.prefixes[key.client], row, row_version)

    def resealed(self, key: SubjectKey, envelope: bytes, row: str, row_version: int) -> bytes:
        """A record under the newest key of its subject; raises `SealBroken`."""
        prefix = self.prefixes[key.client]
        return key.seal(key.unseal(envelope, prefix, row, row_version), prefix, row, row_version)

    def unsealed(self, key: SubjectKey, envelope: bytes, row: str, row_version: int) -> dict[str, Any]:
        """The fields of a record under this very key, none of them absent; raises `SealBroken`, the same for every cause."""
        fields: dict[str, Any] = {}
        try:
            bound_to = binding(self.prefixes[key.client], row, key.version, row_version)
            fields = orjson.loads(unseal_with(key.cipher, envelope, key.version, bound_to))
            for name, decode in self.decoders:
                value = fields.get(name)
                if value is not None:
                    fields[name] = decode(value)
        except (TypeError, ValueError, ArithmeticError):
            fields, value = {}, None  # a traceback may print locals
            raise SealBroken from None
        if fields.keys() != self.fields.keys():
            return {**dict.fromkeys(self.fields), **fields}
        return fields

    def encoded(self, key: SubjectKey, envelope: bytes, row: str, row_version: int) -> dict[str, Any]:
        """The fields of a record as they stand in it; raises `SealBroken`."""
        fields: dict[str, Any] = orjson.loads(key.unseal(envelope, self.prefixes[key.client], row, row_version))
        return fields


@dataclass(frozen=True, slots=True, eq=False)
class Tagged:
    """One labelled plaintext column."""

    layout: Layout
    attribute: str
    category: str


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A labelled model as the other rooms see it."""

    model: type
    table: Table
    kind: str
    is_subject: bool
    key: str
    default: Any
    subject: str
    client: str | None
    scope: str | None
    groups: dict[str, Group] = field(default_factory=dict)
    tagged: dict[str, Tagged] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)
    field_categories: dict[str, str] = field(default_factory=dict)
    adopting: dict[str, AdoptedAttribute] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name, for messages and exports."""
        return self.model.__name__

    @property
    def categories(self) -> frozenset[str]:
        """Every category that the model holds."""
        return frozenset(self.field_categories.values())

    @property
    def labelled(self) -> tuple[str, ...]:
        """The names of all labelled fields."""
        return tuple(self.field_categories)

    def parts_of(self, names: Set[str]) -> tuple[Group, ...]:
        """The groups that hold any of some sealed fields of the model."""
        if len(self.groups) == 1:
            return tuple(self.groups.values()) if names else ()
        return tuple([group for group in self.groups.values() if not names.isdisjoint(group.fields)])

    def category_of(self, name: str) -> str | None:
        """The category of a field, or None where it has no such labelled field."""
        return self.field_categories.get(name)


class _GuardedAttribute(InstrumentedAttribute[Any]):
    """A tagged column's attribute: the gate is asked before a row shows its value."""

    __slots__ = ()
    inherit_cache = True

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is not None:
            opener = current_opener.get()
            tag = layout_of(type(instance)).tagged[self.key]
            if opener is None:
                raise UndeclaredProcessing(
                    f"{tag.layout.name}.{self.key} was read outside any declared processing; decorate the view with "
                    "@privacy.handles(…), or use 'with privacy.processing(…)' in a job",
                )
            opener.look_at(instance, tag)
        return super().__get__(instance, owner)


def layout_of(model: type) -> Layout:
    """The layout of a labelled model; raises `ModelInvalid` where the model is not labelled."""
    mapper: Mapper[Any] = inspect(model)
    layout = layout_on(mapper)
    if layout is None:
        raise ModelInvalid(f"{model.__name__} has no __privacy__; add subject(…) or belongs_to(…)")
    return layout


def layout_on(mapper: Mapper[Any]) -> Layout | None:
    """The layout of a mapped class, or None where it is not labelled."""
    layout: Layout | None = mapper.local_table.info.get(INFO) if isinstance(mapper.local_table, Table) else None
    return layout


def complete_model(mapper: Mapper[Any], model: type) -> None:
    """Check a labelled model when it is mapped, and put its layout on its table; raises `ModelInvalid`."""
    from .labels import Ownership, SealedField
    from .sealing import before_delete, before_update

    ownership: Ownership = model.__privacy__  # type: ignore[attr-defined]
    table = mapper.local_table
    if not isinstance(table, Table) or INFO in table.info:
        return
    name = model.__name__
    if len(table.primary_key.columns) != 1:
        raise ModelInvalid(f"{name}: a labelled model has a primary key of one column")
    primary = next(iter(table.primary_key.columns))
    if (primary.default is None and primary.autoincrement is True) or _made_by_database(primary):
        raise ModelInvalid(
            f"{name}.{primary.name}: the identifier must be known before the insert, because the record is bound to it; "
            "use a UUID with default=uuid4"
        )
    if ownership.client is not None and ownership.client not in mapper.columns:
        raise ModelInvalid(f"{name}: client={ownership.client!r} names no column")
    key = mapper.get_property_by_column(primary).key
    layout = Layout(
        model=model,
        table=table,
        kind=ownership.kind,
        is_subject=ownership.is_subject,
        key=key,
        default=primary.default,
        subject=key if ownership.is_subject else _foreign_key_to_subject(mapper, ownership.kind),
        client=ownership.client,
        scope=ownership.scope,
    )
    sealed_fields = [found for found in _class_values(model) if isinstance(found, SealedField)]
    _add_groups(layout, sealed_fields)
    for column in table.columns:
        label = column.info.get(INFO)
        attribute = mapper.get_property_by_column(column).key
        if label and "adopting" in label:
            _adopt(layout, label["adopting"], attribute, column)
        elif label and "category" in label:
            layout.tagged[attribute] = Tagged(layout, attribute, label["category"])
            model.__dict__[attribute].__class__ = _GuardedAttribute
        elif (
            not label
            and not column.primary_key
            and not column.foreign_keys
            and attribute not in (layout.client, layout.scope)
        ):
            raise ModelInvalid(
                f"{name}.{attribute} has no label; use sealed(category), tagged(category) or not_personal(reason)"
            )
    layout.field_categories.update((name, tag.category) for name, tag in layout.tagged.items())
    layout.field_categories.update((name, group.category) for group in layout.groups.values() for name in group.fields)
    table.info[INFO] = layout
    for fixed in {layout.key, layout.subject, *filter(None, (layout.client,))}:
        mapper.get_property_by_column(mapper.columns[fixed]).active_history = True  # type: ignore[attr-defined]
    event.listen(model, "expire", _expired, propagate=True)
    event.listen(model, "refresh", _replaced, propagate=True)
    event.listen(model, "before_update", before_update, propagate=True)
    event.listen(model, "before_delete", before_delete, propagate=True)
    if layout.labelled:
        model.__reduce_ex__ = _refuse_carrying_away  # type: ignore[method-assign, assignment]


def _adopt(layout: Layout, name: str, attribute: str, column: Column[Any]) -> None:
    """Rows of version 0 hold a field in plain text; their records are empty until they are adopted."""
    if not column.nullable:
        raise ModelInvalid(
            f"{layout.name}.{name}: the adopted column {column.name!r} must be nullable, because it is emptied; migrate it first"
        )
    model_attribute = layout.model.__dict__[attribute]
    model_attribute.__class__ = AdoptedAttribute
    layout.adopting[name] = model_attribute
    for group in layout.groups.values():
        layout.table.c[group.column].nullable = True
    layout.table.c[VERSION].server_default = DefaultClause("0")


def _expired(row: Any, names: Any) -> None:
    """As SQLAlchemy lets go of what it loaded: after a commit, a rollback, a refresh."""
    if row is None:  # SQLAlchemy expires rows that are collected already
        return
    held = row.__dict__
    groups = layout_of(type(row)).groups
    for group in groups.values() if names is None else [groups[name] for name in names if name in groups]:
        held.pop(group.opened_at, None)
        draft = held.get(SLOT)
        for name in group.fields if draft is not None and draft.assigned and names is not None else ():
            draft.assigned.pop(name, None)
    if names is None:
        held.pop(SLOT, None)


def _replaced(row: Any, context: Any, _names: Any) -> None:
    """A query with `populate_existing` replaces what a row holds; a load of expired columns does not."""
    if context is not None and context.populate_existing and context.refresh_state is None:
        _expired(row, None)


def _refuse_carrying_away(row: Any, _protocol: Any) -> NoReturn:
    raise TypeError(
        f"a {type(row).__name__} holds labelled columns and cannot be pickled or copied; pass its id instead"
    )


def _made_by_database(column: Column[Any]) -> bool:
    return column.default is None and column.server_default is None and column.type.python_type is int


def _class_values(model: type) -> list[Any]:
    found: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        found.update(vars(base))
    return list(found.values())


def _add_groups(layout: Layout, sealed_fields: list[SealedField]) -> None:
    for one in sealed_fields:
        one.type = value_type(_annotation(layout.model, one.name), one.qualified)
        if one.blind is not None:
            refuse_what_can_be_guessed(one.qualified, one.name, one.type.python, one.blind)
            layout.indexes[one.name] = Index(typing.cast(str, one.index_column), one.blind)
    for column in dict.fromkeys(one.column for one in sealed_fields):
        fields = {one.name: typing.cast(ValueType, one.type) for one in sealed_fields if one.column == column}
        first = next(one for one in sealed_fields if one.column == column)
        if any(one.category != first.category for one in sealed_fields if one.column == column):
            raise ModelInvalid(f"{first.qualified}: a group holds one category; give the others a group of their own")
        needs = (layout.subject, layout.key, layout.client or layout.subject, column, VERSION)
        layout.groups[column] = Group(
            layout,
            column,
            first.category,
            fields,
            tuple(name for name, kind in fields.items() if not kind.optional),
            tuple((name, kind.decode) for name, kind in fields.items() if kind.decode is not None),
            needs,
            operator.itemgetter(*needs),
            opened_at(column),
            _Prefixes(layout.table.name, first.group),
        )


def _annotation(model: type, name: str) -> Any:
    for base in model.__mro__:
        annotations = inspect_annotations(base)
        if name in annotations:
            raw = SimpleNamespace(__annotations__={name: annotations[name]})
            module = vars(sys.modules[base.__module__])
            try:
                return typing.get_type_hints(raw, globalns=module, localns=dict(vars(base)))[name]
            except NameError as fault:
                raise ModelInvalid(
                    f"{model.__name__}.{name}: the annotation names {fault.name!r}, which its module does not import at run time"
                ) from None
    raise ModelInvalid(f"{model.__name__}.{name}: sealed() needs an annotation, such as Mapped[str]")


def _foreign_key_to_subject(mapper: Mapper[Any], kind: str) -> str:
    """The attribute by which a row leads to its subject, by the foreign keys of its table."""
    registry = {
        other.local_table.name: other
        for other in mapper.registry.mappers
        if other is not mapper and isinstance(other.local_table, Table)
    }
    leading = []
    for column in mapper.local_table.columns:
        for foreign in column.foreign_keys:
            other = registry.get(foreign.target_fullname.rpartition(".")[0])
            ownership = getattr(other.class_, "__privacy__", None) if other else None
            if ownership is not None and ownership.is_subject and ownership.kind == kind:
                leading.append(mapper.get_property_by_column(column).key)
    if len(leading) != 1:
        raise ModelInvalid(
            f"{mapper.class_.__name__}: belongs_to({kind!r}) needs exactly one foreign key to a model with "
            f"subject({kind!r}), defined before it; found {len(leading)}. belongs_to() takes a kind of subject, such as 'student'"
        )
    return leading[0]
