"""One row that a flush writes: its identifier, whose it is, and what is to be written."""

from __future__ import annotations

from typing import Any, NoReturn

from sqlalchemy import Column, inspect
from sqlalchemy.orm import object_session
from sqlalchemy.orm.attributes import get_history

from ..database.identifiers import SubjectRef, canonical_id
from ..database.sqlalchemy_internals import default_of, state_of
from ..errors import RequestInvalid, WriteInvalid
from .context import current_context
from .identifier_forms import refuse_other_form
from .model_info import ModelInfo, SealedGroup, TaggedColumn
from .reserved_identifiers import can_be_reserved
from .row_state import SLOT
from .tagged_value import TaggedValue


class PendingRow:
    """One row that a flush writes.

    `own` is its identifier, `owner` its subject's, `client` what a subject's own row states;
    `values` are the sealed fields to be written, `parts` the groups that hold any of them and the
    tagged columns that changed. `sealed` is the version under which its records were sealed in this
    flush, `bound_to` what its row stated then.
    """

    __slots__ = (
        "before",
        "bound_to",
        "client",
        "is_begun",
        "is_new",
        "is_written",
        "layout",
        "own",
        "owner",
        "parts",
        "row",
        "sealed",
        "values",
    )

    def __init__(self, row: Any, layout: ModelInfo, *, is_new: bool) -> None:
        self.row = row
        self.layout = layout
        self.is_new = is_new
        self.own = ""
        if layout.is_subject or layout.groups:
            column = layout.column(layout.key)
            identifier = _identifier_of(row, layout.key, column)
            if is_new:
                refuse_other_form(identifier, column, f"{layout.name}.{layout.key}")
            self.own = canonical_id(identifier)
        self.owner = self.own if layout.has_own_key else _subject_of(row, layout)
        self.client = _client_of(row, layout)
        self.sealed = 0
        self.is_begun = False
        self.is_written = False
        self.before: dict[str, Any] = {}
        self.bound_to = layout.stated(row)
        draft = row.__dict__.get(SLOT)
        self.values: dict[str, Any] = (draft.assigned or {}) if draft is not None else {}
        if is_new and draft is not None and draft.flushed:
            self.values = {**draft.flushed, **self.values}
        if is_new:
            if draft is None or draft.flushed is None:
                self._refuse_copied_records()
            self._refuse_copied_values()
        self.parts = self._parts(self.values)

    def _parts(self, values: dict[str, Any]) -> tuple[SealedGroup | TaggedColumn, ...]:
        parts: tuple[SealedGroup | TaggedColumn, ...] = self.layout.parts_of(values.keys())
        if self.layout.tagged:
            row_values = self.row.__dict__
            tags = self.layout.tagged.values()
            if self.is_new:  # what a new row holds is written, whenever it was assigned
                changed = [tag for tag in tags if row_values.get(tag.attribute) is not None]
            else:
                changed = [tag for tag in tags if get_history(self.row, tag.attribute).added]
            parts = (*parts, *changed)
        return parts

    def _refuse_copied_records(self) -> None:
        """A row that was loaded and made new again holds the records of the one that it was."""
        row_values = self.row.__dict__
        if any(row_values.get(column) is not None for column in self.layout.groups):
            self._refuse_copy()

    def _refuse_copied_values(self) -> None:
        """The same of its tagged values."""
        row_values = self.row.__dict__
        if any(type(row_values.get(name)) is TaggedValue for name in self.layout.tagged):
            self._refuse_copy()

    def _refuse_copy(self) -> NoReturn:
        raise RequestInvalid(
            f"{self.layout.name}: a new row holds values that were loaded with another one; "
            "make a new object and assign them"
        )

    def take(self, assigned: dict[str, Any]) -> None:
        """Take what was assigned since."""
        self.values = {**self.values, **assigned}
        self.parts = self._parts(self.values)

    @property
    def subject(self) -> SubjectRef:
        """Made each time: one more object to each row of a large flush would be one more for the
        collector to go through.
        """
        return self.layout.kind, self.owner


def has_tagged_change(row: Any, layout: ModelInfo) -> bool:
    """Whether a tagged column of a row was changed since it was loaded."""
    return any(get_history(row, name).has_changes() for name in layout.tagged)


def refuse_moving(row: Any, layout: ModelInfo) -> None:
    """A sealed record stays with its row, subject and client, and what keys lead to stays; raises
    `WriteInvalid` where one of them changed.
    """
    fixed = (layout.key, layout.client if layout.is_subject else None, layout.subject)
    has_records = bool(layout.groups) or not layout.is_shared
    for name in filter(None, fixed if has_records else ()):
        if get_history(row, name).has_changes():
            raise WriteInvalid(
                f"{layout.name}.{name}: a sealed record stays with its row, subject and client; "
                "record it anew instead"
            )
    for name in layout.led_to:
        if get_history(row, name).has_changes():
            raise WriteInvalid(
                f"{layout.name}.{name}: keys that say whose rows are lead to it, so it stays; "
                "record the row anew instead"
            )


def _identifier_of(row: Any, name: str, column: Column[Any]) -> Any:
    """The row's identifier; the record is bound to it, so a default is taken now and not at the
    insert.
    """
    value = row.__dict__.get(name)
    if value is None and state_of(row).key is not None:
        value = getattr(row, name)
    if value is None and column.foreign_keys:
        value = parent_value(row, name)
    if value is not None:
        return value
    if can_be_reserved(column):
        context, session = current_context.get(), object_session(row)
        if context is not None and session is not None:
            context.reserve_identifiers(session, [(row, name, column)])
            return row.__dict__[name]
    if column.default is None:
        raise RequestInvalid(
            f"{type(row).__name__}.{name}: must be set before the row is written, or have "
            "default=uuid4"
        )
    value = row.__dict__[name] = default_of(column.default)
    return value


def _subject_of(row: Any, layout: ModelInfo) -> str:
    value = getattr(row, layout.subject)
    if value is None:
        value = parent_value(row, layout.subject)
    if value is None:
        raise RequestInvalid(
            f"{layout.name}.{layout.subject}: must be set before the row is written"
        )
    return canonical_id(value)


def _client_of(row: Any, layout: ModelInfo) -> str | None:
    if layout.client is None:
        return None
    value = row.__dict__.get(layout.client) or getattr(row, layout.client)
    if value is None:
        value = parent_value(row, layout.client)
    default = layout.column(layout.client).default
    if value is None and default is not None and state_of(row).key is None:
        if default.is_clause_element or default.is_sequence:
            raise RequestInvalid(
                f"{layout.name}.{layout.client}: its default is SQL, and the client must be known "
                "before the row is written; set it, or give it a default of Python"
            )
        value = row.__dict__[layout.client] = default_of(default)
    return None if value is None else canonical_id(value)


def parent_value(row: Any, name: str) -> Any:
    """The value that a foreign key will have, where only the relationship was assigned."""
    mapper = inspect(type(row))
    column = mapper.columns[name]
    for relation in mapper.relationships:
        for local, remote in relation.local_remote_pairs or ():
            parent = getattr(row, relation.key) if local is column else None
            if parent is not None:
                mapped = state_of(parent).mapper
                target = mapped.get_property_by_column(remote).key
                return _identifier_of(parent, target, remote)
    return None
