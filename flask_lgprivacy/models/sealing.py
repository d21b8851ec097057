"""Seals what a flush is about to write, and authorises what it changes or deletes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import LoaderCallableStatus, Mapper, Session, object_session
from sqlalchemy.orm.attributes import get_history

from ..errors import PrivacyError, RequestInvalid, SealBroken, UndeclaredProcessing
from ..policy import Action
from ..vault import PUBLISHER, SubjectKey
from .adopted import VERSION, plain_text
from .layout import Group, Layout, Tagged, layout_on
from .opening import Opener, SubjectName, current_opener, identifier
from .rowstate import SLOT, Draft


def seal_before_flush(session: Session, _context: Any, _instances: Any) -> None:
    """The session's `before_flush` listener: everything labelled goes through the gate, or the flush fails."""
    new = list(_labelled(session.new))
    changed = [(row, layout) for row, layout in _labelled(session.dirty) if _has_labelled_change(row, layout)]
    if new or changed:
        opener = _opener(layout.name for _, layout in (*new, *changed))
        _Flush(session, opener).run(new, changed)


def _opener(names: Iterable[str]) -> Opener:
    opener = current_opener.get()
    if opener is None:
        raise UndeclaredProcessing(
            f"{', '.join(sorted(set(names)))} written outside any declared processing; decorate the view with @privacy.handles(…), "
            "or use 'with privacy.processing(…)' in a job"
        )
    return opener


def _labelled(rows: Iterable[Any]) -> Iterator[tuple[Any, Layout]]:
    """Those rows whose model is labelled, each with its layout."""
    layouts: dict[type, Layout | None] = {}
    for row in rows:
        model = type(row)
        if model not in layouts:
            layouts[model] = layout_on(inspect(model))
        layout = layouts[model]
        if layout is not None:
            yield row, layout


def _has_labelled_change(row: Any, layout: Layout) -> bool:
    """Whether a changed row changed in what is labelled; a row that moved is caught by `before_update`."""
    draft = row.__dict__.get(SLOT)
    if draft is not None and draft.assigned is not None:
        return True
    return any(get_history(row, name).has_changes() for name in layout.tagged)


class _Written:
    """One row that a flush writes.

    `own` is its identifier, `owner` its subject's, `client` what a subject's own row states; `values` are the sealed fields to be
    written, `parts` the groups that hold any of them and the tagged columns that changed.
    """

    __slots__ = ("client", "is_new", "layout", "own", "owner", "parts", "row", "values")

    def __init__(self, row: Any, layout: Layout, *, is_new: bool) -> None:
        self.row = row
        self.layout = layout
        self.is_new = is_new
        self.own = identifier(_identifier_of(row, layout.key, layout.default))
        self.owner = self.own if layout.is_subject else _subject_of(row, layout)
        self.client = _client_of(row, layout)
        draft = row.__dict__.get(SLOT)
        self.values: dict[str, Any] = (draft.assigned or {}) if draft is not None else {}
        if is_new and draft is not None and draft.flushed:
            self.values = {**draft.flushed, **self.values}
        self.parts: tuple[Group | Tagged, ...] = layout.parts_of(self.values.keys())
        if layout.tagged:
            changed = [tag for tag in layout.tagged.values() if get_history(row, tag.attribute).added]
            self.parts = (*self.parts, *changed)

    @property
    def subject(self) -> SubjectName:
        """Made each time: one more object to each row of a large flush would be one more for the collector to go through."""
        return self.layout.kind, self.owner


class _Flush:
    def __init__(self, session: Session, opener: Opener) -> None:
        self._session = session
        self._opener = opener
        self._keys: defaultdict[str, dict[str, SubjectKey]] = defaultdict(dict)
        self._index_keys: dict[str, bytes] = {}

    def run(self, new: list[tuple[Any, Layout]], changed: list[tuple[Any, Layout]]) -> None:
        for row, layout in changed:
            refuse_moving(row, layout)
        fresh = [_Written(row, layout, is_new=True) for row, layout in new]
        self._refuse_taking_places(fresh)
        rows = fresh + [_Written(row, layout, is_new=False) for row, layout in changed]
        for one in fresh:
            if one.layout.is_subject:
                self._authorize(one, one.client)
        self._create_keys(fresh)
        self._load_keys(rows)
        for one in rows:
            self._write(one)

    def _refuse_taking_places(self, rows: list[_Written]) -> None:
        """A row in the place of one that the same flush deletes would be an UPDATE to the database: nobody asked for *erase*."""
        leaving = {
            (layout.table.name, identifier(getattr(row, layout.key)))
            for row, layout in _labelled(self._session.deleted)
        }
        for one in rows if leaving else ():
            if (one.layout.table.name, one.own) in leaving:
                raise RequestInvalid(
                    f"{one.layout.name}.{one.layout.key}: a row with this identifier is deleted in the same flush; "
                    "flush the deletion first, or change that row"
                )

    def _authorize(self, one: _Written, client: str | None) -> None:
        """Of a new subject, what its row says of it must be permitted before it has a key; of others, what their key says."""
        for part in one.parts:
            self._opener.authorize(part.category, Action.WRITE, client=client, subject=one.subject)

    # --- keys ---

    def _create_keys(self, rows: list[_Written]) -> None:
        wanted: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
        layouts: dict[str, Layout] = {}
        for one in rows:
            if one.layout.is_subject:
                wanted[one.layout.kind][one.own] = one.client
                layouts[one.layout.kind] = one.layout
        for kind, subjects in wanted.items():
            by_client = self._opener.holds_as_processor(layouts[kind])
            if by_client and not all(subjects.values()):
                raise RequestInvalid(
                    f"{layouts[kind].name}.{layouts[kind].client}: must be set before the row is written"
                )
            made = self._opener.create_keys(self._session, kind, subjects, held_by_client=by_client)
            self._keys[kind].update(made)

    def _load_keys(self, rows: list[_Written]) -> None:
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        for one in rows:
            if one.owner not in self._keys[one.layout.kind]:
                wanted[one.layout.kind].add(one.owner)
        for kind, ids in wanted.items():
            self._keys[kind].update(self._opener.keys_for_writing(self._session, kind, ids))
            if missing := ids - self._keys[kind].keys():
                self._adopt_subjects(kind, missing, next(one.layout for one in rows if one.layout.kind == kind))

    def _adopt_subjects(self, kind: str, ids: set[str], layout: Layout) -> None:
        """Make keys for subjects that were recorded before this package; only where rows are being adopted."""
        if self._opener.has_adopting(kind):
            clients = self._opener.clients_of(self._session, kind, ids)
            by_client = self._opener.holds_as_processor(layout)
            made = self._opener.create_keys(self._session, kind, clients, held_by_client=by_client)
            self._keys[kind].update(made)

    # --- rows ---

    def _key_of(self, one: _Written) -> SubjectKey:
        layout, key = one.layout, self._keys[one.layout.kind].get(one.owner)
        if key is None:
            raise RequestInvalid(f"{layout.name}.{layout.subject}: leads to no {layout.kind} that is there")
        if layout.is_subject and layout.client and (one.client or "") != key.client:
            raise RequestInvalid(
                f"{layout.name}.{layout.key}: this identifier was used for another client; take a new one"
            )
        return key

    def _write(self, one: _Written) -> None:
        key = self._key_of(one)
        client = key.client or None
        if not (one.is_new and one.layout.is_subject):
            self._authorize(one, client)
        if one.layout.groups and (one.values or one.is_new):
            self._seal(one, key)
            if one.layout.indexes:
                self._index(one, client)
        for part in one.parts:
            self._opener.note(part.category, Action.WRITE, client=client, subject=one.subject)

    def _seal(self, one: _Written, key: SubjectKey) -> None:
        """Write the envelopes of a row: every group follows the row's version, so all are written together."""
        row, layout, version = one.row, one.layout, 1
        if not one.is_new:
            if layout.adopting and not getattr(row, VERSION):
                self._opener.may_adopt(layout)
                one.values = {**taken_plain(row, layout), **one.values}
            version = 1 + (getattr(row, VERSION) or 0)  # as it is now: somebody may have adopted the row meanwhile
        groups = layout.groups.values()
        made: dict[str, Any] = {group.column: self._sealed(one, group, key, version) for group in groups}
        made[VERSION] = version
        if one.is_new:
            row.__dict__.update(made)
            was = dict.fromkeys(made, LoaderCallableStatus.NO_VALUE)
            row._sa_instance_state.committed_state.update(was)  # the row may take a deleted one's place
        else:
            for column, value in made.items():
                setattr(row, column, value)
        draft = row.__dict__.get(SLOT) or Draft.of(row)
        if one.is_new:
            draft.flushed = one.values
        elif draft.flushed is not None:
            draft.flushed = {**draft.flushed, **one.values}
        draft.assigned = None
        for group in groups if not one.is_new else ():
            row.__dict__.pop(group.opened_at, None)

    def _sealed(self, one: _Written, group: Group, key: SubjectKey, version: int) -> bytes:
        """One group's envelope."""
        fields, is_whole = one.values, one.values.keys() == group.fields.keys()
        if not is_whole:
            fields = {name: fields[name] for name in group.fields if name in fields}
            if version > 1 and len(fields) < len(group.fields):
                fields = {**group.encoded(key, getattr(one.row, group.column), one.own, version - 1), **fields}
        if not is_whole or None in fields.values():
            missing = [name for name in group.required if fields.get(name) is None]
            if missing:
                fields = {}  # a traceback may print locals
                raise RequestInvalid(f"{group.layout.name}.{missing[0]}: must be set before the row is written")
        try:
            return group.sealed(key, fields, one.own, version)
        except RequestInvalid as fault:
            fields, why = {}, fault.message
        raise RequestInvalid(why)

    def _index(self, one: _Written, client: str | None) -> None:
        layout = one.layout
        for name, index in layout.indexes.items():
            if name in one.values:
                value = one.values[name]
                holder = (client if self._opener.holds_as_processor(layout) else None) or PUBLISHER
                made = None if value is None else index.of(self._index_key(holder), layout.table, name, value)
                setattr(one.row, index.column, made)

    def _index_key(self, holder: str) -> bytes:
        if holder not in self._index_keys:
            self._index_keys[holder] = self._opener.index_key(self._session, holder)
        return self._index_keys[holder]


def taken_plain(row: Any, layout: Layout) -> dict[str, Any]:
    """The fields that a row holds in plain text, taken out of it to be sealed; none where it was adopted meanwhile."""
    if any(getattr(row, column) is not None for column in layout.groups):
        raise SealBroken
    taken = plain_text(row, layout)
    if taken is None:
        return {}
    for attribute in layout.adopting.values():
        attribute.clear(row)
    return taken


def _identifier_of(row: Any, name: str, default: Any) -> Any:
    """The row's identifier; the record is bound to it, so a default is taken now and not at the insert."""
    value = row.__dict__.get(name)
    if value is None and row._sa_instance_state.key is not None:
        value = getattr(row, name)
    if value is not None:
        return value
    if default is None:
        raise RequestInvalid(
            f"{type(row).__name__}.{name}: must be set before the row is written, or have default=uuid4"
        )
    value = row.__dict__[name] = default.arg(None) if default.is_callable else default.arg
    return value


def _subject_of(row: Any, layout: Layout) -> str:
    value = getattr(row, layout.subject)
    if value is None:
        value = _parent_value(row, layout.subject)
    if value is None:
        raise RequestInvalid(f"{layout.name}.{layout.subject}: must be set before the row is written")
    return identifier(value)


def _client_of(row: Any, layout: Layout) -> str | None:
    if layout.client is None:
        return None
    value = row.__dict__.get(layout.client) or getattr(row, layout.client)
    if value is None:
        value = _parent_value(row, layout.client)
    return None if value is None else identifier(value)


def _parent_value(row: Any, name: str) -> Any:
    """The value that a foreign key will have, where only the relationship was assigned."""
    mapper = inspect(type(row))
    column = mapper.columns[name]
    for relation in mapper.relationships:
        for local, remote in relation.local_remote_pairs or ():
            parent = getattr(row, relation.key) if local is column else None
            if parent is not None:
                target = inspect(type(parent)).get_property_by_column(remote).key
                return _identifier_of(parent, target, remote.default)
    return None


def refuse_moving(row: Any, layout: Layout) -> None:
    """A sealed record stays with its row, subject and client; raises `PrivacyError` where one of them changed."""
    for name in filter(None, (layout.key, layout.client if layout.is_subject else None, layout.subject)):
        if any(value is not None for value in get_history(row, name).deleted or ()):
            raise PrivacyError(
                f"{layout.name}.{name}: a sealed record stays with its row, subject and client; record it anew instead"
            )


def before_update(mapper: Mapper[Any], _connection: Any, row: Any) -> None:
    """The mapper's last look, when relationships have set their foreign keys."""
    layout = layout_on(mapper)
    if layout is not None:
        refuse_moving(row, layout)


def before_delete(mapper: Mapper[Any], _connection: Any, row: Any) -> None:
    """Authorise the deletion of a labelled row, orphans included; a data subject is erased by a request."""
    layout = layout_on(mapper)
    if layout is None:
        return
    if layout.is_subject:
        raise PrivacyError(
            f"{layout.name}: a data subject is erased by a request (privacy.rights), which also destroys its key and "
            "looks for what is left; it is not deleted through the session"
        )
    opener = _opener({layout.name})
    value = get_history(row, layout.subject).non_deleted() or get_history(row, layout.subject).deleted
    subject = (layout.kind, identifier(value[0]))
    if layout.adopting and getattr(row, VERSION) == 0:
        client = opener.clients_of(object_session(row), layout.kind, (subject[1],)).get(subject[1])
    else:
        client = opener.subject_key(object_session(row), *subject).client or None
    for category in sorted(layout.categories):
        opener.authorize(category, Action.ERASE, client=client, subject=subject)
        opener.note(category, Action.ERASE, client=client, subject=subject)
