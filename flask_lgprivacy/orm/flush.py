"""Seals what a flush is about to write, and authorises what it changes or deletes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import get_history

from ..crypto.keys import PUBLISHER, SubjectKey
from ..database.identifiers import SubjectRef, canonical_id
from ..database.sqlalchemy_internals import default_of, forget_committed_values, state_of
from ..errors import (
    RequestConflict,
    RequestInvalid,
    SealBroken,
    SubjectErased,
    UndeclaredProcessing,
    WriteInvalid,
)
from ..policy.model import Action
from .context import AccessContext, current_context
from .field_index import FieldIndex
from .model_info import VERSION_COLUMN, ModelInfo, SealedGroup, TaggedColumn
from .plaintext import clear_plaintext, load_plaintext
from .registry import model_info_of, model_info_on
from .row_state import CHANGED, SLOT, PendingFields, changed_meanwhile
from .tagged_value import TaggedValue


def _context(names: Iterable[str]) -> AccessContext:
    context = current_context.get()
    if context is None:
        raise UndeclaredProcessing(
            f"{', '.join(sorted(set(names)))} written outside any declared processing; decorate "
            "the view with @privacy.handles(…), "
            "or use 'with privacy.processing(…)' in a job"
        )
    return context


def has_tagged_change(row: Any, layout: ModelInfo) -> bool:
    """Whether a tagged column of a row was changed since it was loaded."""
    return any(get_history(row, name).has_changes() for name in layout.tagged)


class _PendingRow:
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
        self.own = canonical_id(_identifier_of(row, layout.key, layout.default))
        self.owner = self.own if layout.is_subject else _subject_of(row, layout)
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
            self._refuse_copied(was_written_here=draft is not None and draft.flushed is not None)
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

    def _refuse_copied(self, *, was_written_here: bool) -> None:
        """A row that was loaded and made new again holds records and values of the one that
        it was.
        """
        row_values = self.row.__dict__
        has_records = not was_written_here and any(
            row_values.get(column) is not None for column in self.layout.groups
        )
        if has_records or any(
            type(row_values.get(name)) is TaggedValue for name in self.layout.tagged
        ):
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


class FlushSealer:
    """One flush of one session: what it writes and deletes, sealed and authorised by the processing
    that runs.

    Args:
        session: Any session, the application's or another one.
        names: The models that are written, for the message where nothing is declared.

    Raises:
        UndeclaredProcessing: No processing runs.
    """

    def __init__(self, session: Session, names: Iterable[str]) -> None:
        self._session = session
        self._context = _context(names)
        self._keys: defaultdict[str, dict[str, SubjectKey]] = defaultdict(dict)
        self._index_keys: dict[str, bytes] = {}
        self._about: defaultdict[str, set[str]] = defaultdict(set)
        self._made_for: defaultdict[str, set[str]] = defaultdict(set)
        self._rows: dict[Any, _PendingRow | None] = {}
        self._turn: Any = None

    def write(self, new: list[tuple[Any, ModelInfo]], changed: list[tuple[Any, ModelInfo]]) -> None:
        """Seal and authorise rows that are about to be written."""
        for row, layout in changed:
            refuse_moving(row, layout)
        fresh = [_PendingRow(row, layout, is_new=True) for row, layout in new]
        self._refuse_taking_places(fresh)
        rows = fresh + [_PendingRow(row, layout, is_new=False) for row, layout in changed]
        for pending in fresh:
            if pending.layout.is_subject:
                self._authorize(pending, pending.client)
        self._create_keys(fresh)
        self._load_keys(rows)
        for pending in rows:
            self._write(pending)
            self._rows[state_of(pending.row)] = pending

    def delete(self, deleted: list[tuple[Any, ModelInfo]]) -> None:
        """Authorise the deletion of rows; a data subject is erased by a request."""
        for row, layout in deleted:
            self._delete(row, layout)
            self._rows[state_of(row)] = None

    def undo(self) -> None:
        """Take back what was sealed and not written, where a flush was given up without a rollback,
        so that it is asked about again.
        """
        for pending in self._rows.values():
            if pending is None or pending.is_written or not pending.sealed:
                continue
            row_values = pending.row.__dict__
            if row_values.get(VERSION_COLUMN) != pending.sealed:
                continue  # rolled back or loaded anew meanwhile
            draft = PendingFields.of(pending.row)
            draft.assigned = {**pending.values, **(draft.assigned or {})}
            for column, value in pending.before.items():
                if pending.is_new:
                    row_values.pop(column, None)
                else:
                    setattr(pending.row, column, value)

    def look_again(self) -> None:
        """Look, when everything is written, whether those whom the rows are about are still there;
        raises `SubjectErased`.
        """
        for kind in {*self._about, *self._made_for}:
            self._context.keys.refuse_erased(
                self._session, kind, sorted(self._about[kind]), self._made_for[kind]
            )

    def refuse_lost_race(self) -> None:
        """The same where the transaction cannot be asked any more; raises `SubjectErased`."""
        for kind, ids in self._about.items():
            self._context.keys.refuse_lost_race(self._session, kind, sorted(ids))

    def intend(self) -> None:
        """Say in the trail what is about to be written; raises `TrailUnavailable`, and then nothing
        is.
        """
        self._context.intend()

    def has(self, row: Any) -> bool:
        """Whether a row is in the flush, to be written or deleted."""
        return state_of(row) in self._rows

    def begin(self, row: Any) -> None:
        """A row's turn has come: it is about to be written."""
        pending = self._rows.get(state_of(row))
        if pending is not None:
            pending.is_begun = True

    def at(self, row: Any) -> None:
        """It is the turn of a row in which nothing labelled has changed so far: its own
        hooks may.
        """
        self._turn = state_of(row)

    def assigned(self, row: Any) -> bool:
        """Seal and authorise what was just assigned to a row; False where its turn in the flush is
        not now, or is over.
        """
        state = state_of(row)
        pending = self._rows.get(state)
        if pending is None:
            if state is not self._turn:
                return False
            self.write([], [(row, model_info_of(type(row)))])
            self.intend()
            return True
        if pending.is_written:
            return False
        draft = row.__dict__.get(SLOT)
        pending.take((draft.assigned if draft is not None else None) or {})
        self._write(pending)
        return True

    def wrote(self, state: Any) -> None:
        """A row's statement is made; raises `WriteInvalid` where it is not the row any more that
        its records are bound to.
        """
        if state is self._turn:
            self._turn = None
        pending = self._rows.get(state)
        if pending is None:
            return
        if (
            not pending.is_written
        ):  # SQLAlchemy sends the rows of a model together, and tells of each afterwards
            for other in self._rows.values():
                if other is not None and other.is_begun and other.layout is pending.layout:
                    other.is_written = True
        pending.is_written = True
        now = pending.layout.stated(pending.row)
        if now != pending.bound_to and any(
            was is not None and was != is_ for was, is_ in zip(pending.bound_to, now, strict=True)
        ):
            raise WriteInvalid(
                f"{pending.layout.name}: its key, subject or client was changed by a hook after "
                "its record was bound to them; set them "
                "before the flush"
            )

    def _refuse_taking_places(self, rows: list[_PendingRow]) -> None:
        """A row in the place of one that the same flush deletes would be an UPDATE to the database:
        nobody asked for *erase*.
        """
        leaving = {
            (layout.table.name, canonical_id(getattr(row, layout.key)))
            for row in self._session.deleted
            if (layout := model_info_on(inspect(type(row)))) is not None
        }
        for pending in rows if leaving else ():
            if (pending.layout.table.name, pending.own) in leaving:
                raise RequestInvalid(
                    f"{pending.layout.name}.{pending.layout.key}: a row with this identifier is "
                    "deleted in the same flush; "
                    "flush the deletion first, or change that row"
                )

    def _delete(self, row: Any, layout: ModelInfo) -> None:
        if layout.is_subject:
            raise WriteInvalid(
                f"{layout.name}: a data subject is erased by a request (privacy.rights), which "
                "also destroys its key and "
                "looks for what is left; it is not deleted through the session"
            )
        history = get_history(row, layout.subject)
        subject = (layout.kind, canonical_id((history.non_deleted() or history.deleted)[0]))
        if layout.plaintext_columns and getattr(row, VERSION_COLUMN) == 0:
            client = self._context.keys.clients_of(self._session, layout.kind, (subject[1],)).get(
                subject[1]
            )
        else:
            client = self._context.keys.require(self._session, *subject).client or None
        for category in sorted(layout.categories):
            self._context.authorize(category, Action.ERASE, client=client, subject=subject)
            self._context.record_access(category, Action.ERASE, client=client, subject=subject)

    def _authorize(self, pending: _PendingRow, client: str | None) -> None:
        """Of a new subject, what its row says of it must be permitted before it has a key; of
        others, what their key says.
        """
        for part in pending.parts:
            self._context.authorize(
                part.category, Action.WRITE, client=client, subject=pending.subject
            )

    # --- keys ---

    def _create_keys(self, rows: list[_PendingRow]) -> None:
        new_subjects: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
        layouts: dict[str, ModelInfo] = {}
        for pending in rows:
            if pending.layout.is_subject:
                new_subjects[pending.layout.kind][pending.own] = pending.client
                layouts[pending.layout.kind] = pending.layout
        for kind, subjects in new_subjects.items():
            by_client = self._context.keys.is_processor_of(layouts[kind].kind)
            if by_client and not all(subjects.values()):
                raise RequestInvalid(
                    f"{layouts[kind].name}.{layouts[kind].client}: must be set before the row is "
                    "written"
                )
            new_keys = self._context.keys.create(
                self._session, kind, subjects, held_by_client=by_client
            )
            self._keys[kind].update(new_keys)
            self._made_for[kind].update(
                client for client in subjects.values() if by_client and client is not None
            )

    def _load_keys(self, rows: list[_PendingRow]) -> None:
        missing_ids: defaultdict[str, set[str]] = defaultdict(set)
        for pending in rows:
            if pending.owner not in self._keys[pending.layout.kind]:
                missing_ids[pending.layout.kind].add(pending.owner)
        for kind, ids in missing_ids.items():
            self._keys[kind].update(self._context.keys.load_for_writing(self._session, kind, ids))
            self._about[kind].update(ids)
            if missing := ids - self._keys[kind].keys():
                self._record_subjects(
                    kind,
                    missing,
                    next(pending.layout for pending in rows if pending.layout.kind == kind),
                )

    def _record_subjects(self, kind: str, ids: set[str], layout: ModelInfo) -> None:
        """Make keys for subjects that were recorded before this package; only where rows are being
        sealed.
        """
        if self._context.keys.is_migrating(kind):
            clients = self._context.keys.clients_of(self._session, kind, ids)
            by_client = self._context.keys.is_processor_of(layout.kind)
            new_keys = self._context.keys.create(
                self._session, kind, clients, held_by_client=by_client
            )
            self._keys[kind].update(new_keys)

    # --- rows ---

    def _key_of(self, pending: _PendingRow) -> SubjectKey:
        layout, key = pending.layout, self._keys[pending.layout.kind].get(pending.owner)
        if key is None:
            if self._context.keys.is_erased(self._session, layout.kind, pending.owner):
                raise SubjectErased
            raise RequestInvalid(
                f"{layout.name}.{layout.subject}: leads to no {layout.kind} that is there"
            )
        if layout.is_subject and layout.client and (pending.client or "") != key.client:
            raise RequestInvalid(
                f"{layout.name}.{layout.key}: this identifier was used for another client; take a "
                "new one"
            )
        return key

    def _write(self, pending: _PendingRow) -> None:
        key = self._key_of(pending)
        client = key.client or None
        if not (pending.is_new and pending.layout.is_subject):
            self._authorize(pending, client)
        if pending.layout.groups and (pending.values or pending.is_new):
            self._seal(pending, key)
            if pending.layout.indexes:
                self._index(pending, client)
        for part in pending.parts:
            self._context.record_access(
                part.category, Action.WRITE, client=client, subject=pending.subject
            )

    def _seal(self, pending: _PendingRow, key: SubjectKey) -> None:
        """Write the envelopes of a row: every group follows the row's version, so all are written
        together.
        """
        row, layout, version = pending.row, pending.layout, pending.sealed or 1
        if not pending.is_new and not pending.sealed:
            if layout.plaintext_columns and not getattr(row, VERSION_COLUMN):
                self._context.require_migration_open(layout)
                pending.values = {**taken_plain(row, layout), **pending.values}
            version = 1 + (
                getattr(row, VERSION_COLUMN) or 0
            )  # as it is now: somebody may have sealed the row meanwhile
        groups = layout.groups.values()
        sealed_columns: dict[str, Any] = {
            group.column: self._sealed(pending, group, key, version) for group in groups
        }
        sealed_columns[VERSION_COLUMN] = version
        if not pending.sealed:
            pending.before = {
                name: None if pending.is_new else getattr(row, name) for name in sealed_columns
            }
        pending.sealed = version
        if pending.is_new:
            row.__dict__.update(sealed_columns)
            forget_committed_values(row, sealed_columns)
        else:
            for column, value in sealed_columns.items():
                setattr(row, column, value)
        draft = row.__dict__.get(SLOT) or PendingFields.of(row)
        if pending.is_new:
            draft.flushed = pending.values
        elif draft.flushed is not None:
            draft.flushed = {**draft.flushed, **pending.values}
        draft.assigned = None
        for group in groups if not pending.is_new else ():
            row.__dict__.pop(group.opened_at, None)

    def _sealed(
        self, pending: _PendingRow, group: SealedGroup, key: SubjectKey, version: int
    ) -> bytes:
        """One group's envelope."""
        fields, is_whole = pending.values, pending.values.keys() == group.fields.keys()
        if not is_whole:
            fields = {name: fields[name] for name in group.fields if name in fields}
            stands = pending.sealed or version - 1
            if stands and len(fields) < len(group.fields):
                fields = {**self._stored(pending, group, key, stands), **fields}
        if not is_whole or None in fields.values():
            missing = [name for name in group.required if fields.get(name) is None]
            if missing:
                fields = {}  # a traceback may print locals
                raise RequestInvalid(
                    f"{group.layout.name}.{missing[0]}: must be set before the row is written"
                )
        try:
            return group.sealed(key, fields, pending.own, version)
        except RequestInvalid as error:
            fields, reason = {}, error.message
        raise RequestInvalid(reason)

    def _stored(
        self, pending: _PendingRow, group: SealedGroup, key: SubjectKey, version: int
    ) -> dict[str, Any]:
        """The fields of a group as they stand in its record, those that the flush does not change
        among them.
        """
        try:
            return group.encoded(key, getattr(pending.row, group.column), pending.own, version)
        except SealBroken:
            if not changed_meanwhile(pending.row, version):
                raise
        raise RequestConflict(CHANGED)

    def _index(self, pending: _PendingRow, client: str | None) -> None:
        layout = pending.layout
        for name, index in layout.indexes.items():
            if name in pending.values:
                holder = (
                    client if self._context.keys.is_processor_of(layout.kind) else None
                ) or PUBLISHER
                setattr(pending.row, index.column, self._index_of(pending, name, index, holder))

    def _index_of(
        self, pending: _PendingRow, name: str, index: FieldIndex, holder: str
    ) -> bytes | None:
        """The blind index of a value; the value is in no variable while a key is asked for, which
        may fail.
        """
        if pending.values[name] is None:
            return None
        if holder not in self._index_keys:
            self._index_keys[holder] = self._context.keys.index_key(self._session, holder)
        index_value: bytes = index.of(
            self._index_keys[holder], pending.layout.table, name, pending.values[name]
        )
        return index_value


def taken_plain(row: Any, layout: ModelInfo) -> dict[str, Any]:
    """The fields that a row holds in plain text, taken out of it to be sealed; none where it was
    sealed meanwhile.
    """
    if any(getattr(row, column) is not None for column in layout.groups):
        raise SealBroken
    taken = load_plaintext(row, layout)
    if taken is None:
        return {}
    clear_plaintext(row, layout)
    return taken


def _identifier_of(row: Any, name: str, default: Any) -> Any:
    """The row's identifier; the record is bound to it, so a default is taken now and not at the
    insert.
    """
    value = row.__dict__.get(name)
    if value is None and state_of(row).key is not None:
        value = getattr(row, name)
    if value is not None:
        return value
    if default is None:
        raise RequestInvalid(
            f"{type(row).__name__}.{name}: must be set before the row is written, or have "
            "default=uuid4"
        )
    value = row.__dict__[name] = default_of(default)
    return value


def _subject_of(row: Any, layout: ModelInfo) -> str:
    value = getattr(row, layout.subject)
    if value is None:
        value = _parent_value(row, layout.subject)
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
        value = _parent_value(row, layout.client)
    return None if value is None else canonical_id(value)


def _parent_value(row: Any, name: str) -> Any:
    """The value that a foreign key will have, where only the relationship was assigned."""
    mapper = inspect(type(row))
    column = mapper.columns[name]
    for relation in mapper.relationships:
        for local, remote in relation.local_remote_pairs or ():
            parent = getattr(row, relation.key) if local is column else None
            if parent is not None:
                mapped = state_of(parent).mapper
                target = mapped.get_property_by_column(remote).key
                return _identifier_of(parent, target, remote.default)
    return None


def refuse_moving(row: Any, layout: ModelInfo) -> None:
    """A sealed record stays with its row, subject and client; raises `WriteInvalid` where one of
    them changed.
    """
    for name in filter(
        None, (layout.key, layout.client if layout.is_subject else None, layout.subject)
    ):
        if get_history(row, name).has_changes():
            raise WriteInvalid(
                f"{layout.name}.{name}: a sealed record stays with its row, subject and client; "
                "record it anew instead"
            )
