"""What is known of a labelled model: its sealed groups, tagged columns, and the columns that lead
to subject and client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import Any, cast

import orjson
from sqlalchemy import Column, ColumnElement, FromClause, Table, inspect, or_, true
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import InstrumentedAttribute

from ..crypto.envelope import associated_data_prefix, build_associated_data, unseal_with
from ..crypto.keys import SubjectKey
from ..errors import RecordOfAnotherModel, SealBroken
from .codec import ValueType, encode_fields
from .field_index import FieldIndex


class AssociatedDataPrefixes(dict[str, bytes]):
    """By client, what the bindings of a group's records begin with."""

    def __init__(self, table: str, group: str) -> None:
        self._table = table.encode()
        self.group = group

    def __missing__(self, client: str) -> bytes:
        prefix = associated_data_prefix(
            client=client.encode(), group=self.group.encode(), table=self._table
        )
        self[client] = prefix
        return prefix


@dataclass(slots=True)
class StoredRecords:
    """What is known of the records of a group that the database holds.

    Attributes:
        may_be_absent: Whether rows have none because they are older than the group.
    """

    may_be_absent: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SealedGroup:
    """One sealed record of a row: its column, category and fields, and where a row says what the
    record is bound to.

    `former` are the names of fields that were called otherwise, by what they were called.

    `place` takes subject, key, client (the subject again, where the model has none), envelope and
    version out of a row's `__dict__`; the columns that it needs are in `needs`.
    """

    layout: ModelInfo
    column: str
    category: str
    fields: dict[str, ValueType]
    required: tuple[str, ...]
    decoders: tuple[tuple[str, Any], ...]
    needs: tuple[str, ...]
    place: Callable[[Mapping[str, Any]], tuple[Any, Any, Any, bytes, int]]
    opened_at: str
    prefixes: AssociatedDataPrefixes
    former: Mapping[str, str] = field(default_factory=dict)
    stored: StoredRecords = field(default_factory=StoredRecords)

    def sealed(self, key: SubjectKey, fields: dict[str, Any], row: str, row_version: int) -> bytes:
        """The record of fields; raises `RequestInvalid` naming the model where JSON cannot hold
        them.
        """
        return key.seal(
            encode_fields(fields, self.layout.name), self.prefixes[key.client], row, row_version
        )

    def resealed(self, key: SubjectKey, envelope: bytes, row: str, row_version: int) -> bytes:
        """A record under the newest key of its subject; raises `SealBroken`."""
        if not envelope and self.stored.may_be_absent:
            return envelope
        prefix = self.prefixes[key.client]
        return key.seal(key.unseal(envelope, prefix, row, row_version), prefix, row, row_version)

    def unsealed(
        self, key: SubjectKey, envelope: bytes, row: str, row_version: int
    ) -> dict[str, Any]:
        """The fields of a record under this very key, none of them absent; raises `SealBroken`, the
        same for every cause, or `RecordOfAnotherModel`.
        """
        if not envelope and self.stored.may_be_absent:
            return dict.fromkeys(self.fields)
        fields: dict[str, Any] = {}
        try:
            bound_to = build_associated_data(
                self.prefixes[key.client], row, key.version, row_version
            )
            fields = orjson.loads(unseal_with(key.cipher, envelope, key.version, bound_to))
            if fields.keys() != self.fields.keys():
                fields = self._matched(fields)
            for name, decode in self.decoders:
                value = fields.get(name)
                if value is not None:
                    fields[name] = decode(value)
        except (TypeError, ValueError, ArithmeticError):
            fields, value = {}, None  # a traceback may print locals
            raise SealBroken from None
        return fields

    def _matched(self, stored: dict[str, Any]) -> dict[str, Any]:
        """A record's fields, those that the model has besides as None, and those that it does not
        know; raises `RecordOfAnotherModel` where one may stand there under a name of the others.
        """
        fields = self._renamed(stored)
        missing = self.fields.keys() - fields.keys()
        if missing and fields.keys() - self.fields.keys():
            stored, fields = {}, {}  # a traceback may print locals
            raise RecordOfAnotherModel(self.layout.name, ", ".join(sorted(missing)))
        return {**dict.fromkeys(self.fields), **fields}

    def _renamed(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The same under today's names, what the model does not know among them."""
        for was, name in self.former.items():
            if was in fields:
                value = fields.pop(was)
                fields.setdefault(name, value)
        return fields

    def encoded(
        self, key: SubjectKey, envelope: bytes, row: str, row_version: int
    ) -> dict[str, Any]:
        """The fields of a record as they stand in it, under today's names; what the model does not
        know is among them. Raises `SealBroken`.
        """
        if not envelope and self.stored.may_be_absent:
            return {}
        opened = key.unseal(envelope, self.prefixes[key.client], row, row_version)
        return self._renamed(orjson.loads(opened))


@dataclass(frozen=True, slots=True, eq=False)
class TaggedColumn:
    """One labelled plaintext column."""

    layout: ModelInfo
    attribute: str
    category: str


@dataclass(frozen=True, slots=True, eq=False)
class ModelInfo:
    """A labelled model as the other rooms see it.

    `kind` is the name under which its subjects are known, `policy_kind` what they are in the policy
    document; the two differ where several models are of one kind.

    `base` is the model from which it inherits its table, where it is a subclass of a labelled one;
    `children` are its subclasses.

    `key` is the attribute of its identifier, by which keys, requests and the trail know a row.

    `led_to` are the attributes to which labelled keys lead; they stay, because who could change one
    could make other people's rows one's own. `counted` are those, besides the identifier, whose
    numbers the database makes and never gives twice.

    `subject` is the attribute that leads to the one owner of a row, "" where the labels of its
    keys say whose it is; `owner_keys` are the attributes that have such a label. Where
    `is_reserved`, the database makes identifiers, and they are reserved before the insert.
    """

    model: type
    table: Table
    kind: str
    policy_kind: str
    is_subject: bool
    key: str
    default: Any
    subject: str
    client: str | None
    scope: str | None
    owner_keys: tuple[str, ...] = ()
    is_reserved: bool = False
    groups: dict[str, SealedGroup] = field(default_factory=dict)
    tagged: dict[str, TaggedColumn] = field(default_factory=dict)
    indexes: dict[str, FieldIndex] = field(default_factory=dict)
    field_categories: dict[str, str] = field(default_factory=dict)
    plaintext_columns: dict[str, InstrumentedAttribute[Any]] = field(default_factory=dict)
    base: ModelInfo | None = None
    children: list[ModelInfo] = field(default_factory=list)
    led_to: dict[str, None] = field(default_factory=dict)
    counted: dict[str, None] = field(default_factory=dict)

    def family(self) -> Iterator[ModelInfo]:
        """The model and its subclasses, each of whose rows is of one of them."""
        yield self
        for child in self.children:
            yield from child.family()

    @property
    def topmost(self) -> ModelInfo:
        """The class of its hierarchy that brings the label."""
        return self if self.base is None else self.base.topmost

    def is_exactly(self) -> ColumnElement[bool]:
        """The condition that a row is of this class, not of a subclass or the class above.

        Rows whose discriminator names no class are of the topmost.
        """
        mapper: Mapper[Any] = inspect(self.model)
        discriminator = mapper.polymorphic_on
        if discriminator is None or (self.base is None and not self.children):
            return true()
        if self.base is not None:
            return discriminator == mapper.polymorphic_identity
        below: list[Any] = [
            inspect(member.model).polymorphic_identity
            for member in self.family()
            if member is not self
        ]
        return or_(discriminator.is_(None), discriminator.not_in(below))

    def columns(self) -> dict[str, Column[Any]]:
        """The columns that the model maps, its table's before those of a subclass, by attribute."""
        mapper: Mapper[Any] = inspect(self.model)
        tables = [self.table, *(table for table in mapper.tables if table is not self.table)]
        names: dict[Any, str] = {
            column: attribute.key
            for attribute in mapper.column_attrs
            for column in attribute.columns
        }
        columns: dict[str, Any] = {}
        for table in tables:
            for column in table.columns:
                if column in names:
                    columns.setdefault(names[column], column)
        return columns

    @property
    def own_table(self) -> Table:
        """The table that the model brings: of a subclass its own, or the one above."""
        mapper: Mapper[Any] = inspect(self.model)
        return cast(Table, mapper.local_table)

    @property
    def selectable(self) -> FromClause:
        """What its rows are selected from: its table, joined with those of the classes between."""
        mapper: Mapper[Any] = inspect(self.model)
        return mapper.selectable

    @property
    def record_columns(self) -> frozenset[str]:
        """The attributes that hold the records, versions and blind indexes of its table's rows."""
        return frozenset(
            name
            for member in self.topmost.family()
            for name in (
                VERSION_COLUMN,
                *member.groups,
                *(index.column for index in member.indexes.values()),
            )
        )

    @property
    def name(self) -> str:
        """The model's name, for messages and exports."""
        return self.model.__name__

    @property
    def identifier(self) -> Column[Any]:
        """The column of its identifier, in its table."""
        return self.column(self.key)

    def column(self, attribute: str) -> Column[Any]:
        """The column behind an attribute of the model; of several, that of its table."""
        if self.base is not None:
            return self.columns()[attribute]
        mapper: Mapper[Any] = inspect(self.model)
        return mapper.columns[attribute]

    def has_column(self, attribute: str) -> bool:
        """Whether the model maps a column to an attribute of this name."""
        return attribute in inspect(self.model).columns

    @property
    def is_shared(self) -> bool:
        """Whether the labels of its keys say whose a row is, one person's or several people's."""
        return not self.subject

    @property
    def has_own_key(self) -> bool:
        """Whether each row has a key of its own: a subject, or a shared row with sealed fields."""
        return self.is_subject or (self.is_shared and bool(self.groups))

    @property
    def has_keyed_rows(self) -> bool:
        """Whether rows of its table, of whichever class, have keys of their own."""
        return any(member.has_own_key for member in self.topmost.family())

    @property
    def is_sealed_or_owned(self) -> bool:
        """Whether its rows need a key when they are written: sealed fields, or one owner."""
        return bool(self.groups) or not self.is_shared

    @property
    def key_kind(self) -> str:
        """The kind under which the key table has the keys of its records: that of its subject, or,
        where rows are shared and each has a key of its own, one of the table.
        """
        return self.kind or record_kind(self.table)

    @property
    def key_attribute(self) -> str:
        """The attribute by whose value the key of a row's records is found: its subject's, or, of
        a shared row, its own identifier.
        """
        return self.subject or self.key

    @property
    def categories(self) -> frozenset[str]:
        """Every category that rows of this very class hold."""
        return frozenset(self.field_categories.values())

    @property
    def family_categories(self) -> frozenset[str]:
        """Every category that its rows and those of subclasses hold."""
        return frozenset().union(*(member.categories for member in self.family()))

    @property
    def family_labelled(self) -> tuple[str, ...]:
        """The names of all labelled fields of its rows and those of subclasses."""
        return tuple(dict.fromkeys(name for one in self.family() for name in one.labelled))

    @property
    def labelled(self) -> tuple[str, ...]:
        """The names of all labelled fields."""
        return tuple(self.field_categories)

    def stated(self, row: Any) -> tuple[Any, Any, Any]:
        """A row's key, subject and client as it holds them now, None for what it does not."""
        row_values = row.__dict__
        return (
            row_values.get(self.key),
            row_values.get(self.subject) if self.subject else None,
            row_values.get(self.client) if self.client is not None else None,
        )

    def parts_of(self, names: Set[str]) -> tuple[SealedGroup, ...]:
        """The groups that hold any of some sealed fields of the model."""
        if len(self.groups) == 1:
            return tuple(self.groups.values()) if names else ()
        return tuple(
            [group for group in self.groups.values() if not names.isdisjoint(group.fields)]
        )

    def category_of(self, name: str) -> str | None:
        """The category of a field, or None where it has no such labelled field."""
        return self.field_categories.get(name)


def record_kind(table: Table) -> str:
    """The kind under which the key table has the keys of a table's shared records.

    The column takes 64 characters, as many as PostgreSQL takes for the name of a table.
    """
    kind = f"{RECORD_KINDS}{table.name}"
    if len(kind) <= MOST_OF_A_KIND:
        return kind
    digest = blake2s(table.name.encode(), digest_size=8).hexdigest()
    return f"{kind[: MOST_OF_A_KIND - len(digest)]}{digest}"


RECORD_KINDS = "row:"
"""Begins the kind of keys of shared records; no kind of subject has a colon."""
MOST_OF_A_KIND = 64
PLAINTEXT_PREFIX = "lgprivacy_plain_"
"""Begins the attribute's name; the field's follows."""
VERSION_COLUMN = "lgprivacy_version"
"""The column of a row's version, to which its records are bound."""
