"""Seals what a flush is about to write, and authorises what it changes or deletes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, Session, object_session
from sqlalchemy.orm.attributes import get_history

from ..errors import PrivacyError, RequestInvalid, SealBroken, UndeclaredProcessing
from ..policy import Action
from ..vault import PUBLISHER, SubjectKey, named_version, seal, unseal
from .adopted import VERSION, plain_text
from .codec import encode_fields
from .layout import SLOT, Group, Layout, SealedState, layout_on
from .opening import Opener, current_opener, identifier


def seal_before_flush(session: Session, _context: Any, _instances: Any) -> None:
    """The session's `before_flush` listener: everything labelled goes through the gate, or the flush fails."""
    touched = [(row, layout) for row in session.new for layout in _labelled(row)]
    fresh = len(touched)
    touched += [
        (row, layout) for row in session.dirty for layout in _labelled(row) if _has_labelled_change(row, layout)
    ]
    if not touched:
        return
    _Flush(session, _opener({layout.name for _, layout in touched})).run(touched[:fresh], touched[fresh:])


def _opener(names: set[str]) -> Opener:
    opener = current_opener.get()
    if opener is None:
        raise UndeclaredProcessing(
            f"{', '.join(sorted(names))} written outside any declared processing; decorate the view with @privacy.handles(…), "
            "or use 'with privacy.processing(…)' in a job"
        )
    return opener


def _labelled(row: Any) -> Iterator[Layout]:
    layout = layout_on(inspect(row).mapper)
    if layout is not None:
        yield layout


def _has_labelled_change(row: Any, layout: Layout) -> bool:
    """Whether a changed row changed in what is labelled; a row that moved is caught by `before_update`."""
    state = row.__dict__.get(SLOT)
    if state is not None and state.draft is not None:
        return True
    return any(get_history(row, name).has_changes() for name in layout.tagged)


class _Flush:
    def __init__(self, session: Session, opener: Opener) -> None:
        self._session = session
        self._opener = opener
        self._keys: dict[tuple[str, str], SubjectKey] = {}
        self._index_keys: dict[str, bytes] = {}

    def run(self, new: list[tuple[Any, Layout]], changed: list[tuple[Any, Layout]]) -> None:
        for row, layout in new:
            _give_identifier(row, layout.key)
            if layout.is_subject:
                self._authorize_recording(row, layout)
        for row, layout in changed:
            refuse_moving(row, layout)
        self._create_keys(new)
        self._load_keys(new + changed)
        for row, layout in new:
            self._write(row, layout, is_new=True)
        for row, layout in changed:
            self._write(row, layout, is_new=False)

    def _authorize_recording(self, row: Any, layout: Layout) -> None:
        """Before a new subject has a key: what its own client column says must be permitted."""
        state = row.__dict__.get(SLOT)
        names = {*(state.flushed or {}), *(state.draft or {})} if state is not None else set()
        names.update(name for name in layout.tagged if get_history(row, name).added)
        subject = (layout.kind, identifier(getattr(row, layout.key)))
        client = _client_of(row, layout)
        for category in {layout.field_categories[name] for name in names}:
            self._opener.authorize(category, Action.WRITE, client=client, subject=subject)

    # --- keys ---

    def _create_keys(self, new: list[tuple[Any, Layout]]) -> None:
        wanted: dict[str, dict[str, str | None]] = defaultdict(dict)
        layouts: dict[str, Layout] = {}
        for row, layout in new:
            if layout.is_subject:
                wanted[layout.kind][identifier(getattr(row, layout.key))] = _client_of(row, layout)
                layouts[layout.kind] = layout
        for kind, subjects in wanted.items():
            by_client = self._opener.holds_as_processor(layouts[kind])
            if by_client and not all(subjects.values()):
                raise RequestInvalid(
                    f"{layouts[kind].name}.{layouts[kind].client}: must be set before the row is written"
                )
            made = self._opener.create_keys(self._session, kind, subjects, held_by_client=by_client)
            self._keys.update(made)

    def _load_keys(self, rows: list[tuple[Any, Layout]]) -> None:
        wanted: dict[str, set[str]] = defaultdict(set)
        for row, layout in rows:
            one = self._subject_of(row, layout)
            if (layout.kind, one) not in self._keys:
                wanted[layout.kind].add(one)
        for kind, ids in wanted.items():
            self._keys.update(self._opener.keys_for_writing(self._session, kind, ids))
            if missing := {one for one in ids if (kind, one) not in self._keys}:
                self._adopt_subjects(kind, missing, next(layout for _, layout in rows if layout.kind == kind))

    def _adopt_subjects(self, kind: str, ids: set[str], layout: Layout) -> None:
        """Make keys for subjects that were recorded before this package; only where rows are being adopted."""
        if self._opener.has_adopting(kind):
            clients = self._opener.clients_of(self._session, kind, ids)
            by_client = self._opener.holds_as_processor(layout)
            self._keys.update(self._opener.create_keys(self._session, kind, clients, held_by_client=by_client))

    def _subject_of(self, row: Any, layout: Layout) -> str:
        value = getattr(row, layout.subject)
        if value is None and not layout.is_subject:
            value = _parent_value(row, layout.subject)
        if value is None:
            raise RequestInvalid(f"{layout.name}.{layout.subject}: must be set before the row is written")
        return identifier(value)

    # --- rows ---

    def _owner(self, row: Any, layout: Layout) -> tuple[tuple[str, str], SubjectKey]:
        one = self._subject_of(row, layout)
        key = self._keys.get((layout.kind, one))
        if key is None:
            raise RequestInvalid(f"{layout.name}.{layout.subject}: leads to no {layout.kind} that is there")
        if layout.is_subject and layout.client and _client_of(row, layout) != (key.client or None):
            raise RequestInvalid(
                f"{layout.name}.{layout.key}: this identifier was used for another client; take a new one"
            )
        return (layout.kind, one), key

    def _write(self, row: Any, layout: Layout, *, is_new: bool) -> None:
        subject, key = self._owner(row, layout)
        client = key.client or None
        state = SealedState.of(row) if layout.groups else None
        draft: dict[str, Any] = {}
        if state is not None:
            draft = {**(state.flushed or {}), **(state.draft or {})} if is_new else (state.draft or {})
        for tag in layout.tagged.values():
            if get_history(row, tag.attribute).added:
                self._opener.authorize(tag.category, Action.WRITE, client=client, subject=subject)
                self._opener.note(tag.category, Action.WRITE, client=client, subject=subject)
        groups = [group for group in layout.groups.values() if not draft.keys().isdisjoint(group.fields)]
        if state is None or not (groups or is_new):
            return
        for group in groups:
            self._opener.authorize(group.category, Action.WRITE, client=client, subject=subject)
        if layout.adopting and not is_new and not getattr(row, VERSION):
            self._opener.may_adopt(layout)
            draft = {**taken_plain(row, layout), **draft}
        version = 1 if is_new else (getattr(row, VERSION) or 0) + 1
        was = None if version == 1 else version - 1
        envelopes = {
            group.column: self._sealed(row, group, draft, key, version=version, was=was)
            for group in layout.groups.values()
        }
        for column, envelope in envelopes.items():
            setattr(row, column, envelope)
        setattr(row, VERSION, version)
        self._index(row, layout, draft, client)
        for group in groups:
            self._opener.note(group.category, Action.WRITE, client=client, subject=subject)
        if is_new or state.flushed is not None:
            state.flushed = {**(state.flushed or {}), **draft}
        state.draft = None
        state.life, state.values = None, {}

    def _sealed(
        self, row: Any, group: Group, draft: dict[str, Any], key: SubjectKey, *, version: int, was: int | None
    ) -> bytes:
        """One group's envelope; every group of a row follows the row's version, so all are written together."""
        fields = {name: draft[name] for name in group.fields if name in draft}
        if was is not None and len(fields) < len(group.fields):
            fields = {**unsealed_fields(row, group, key, row_version=was), **fields}
        if is_missing := [
            name for name, kind in group.fields.items() if not kind.optional and fields.get(name) is None
        ]:
            raise RequestInvalid(f"{group.layout.name}.{is_missing[0]}: must be set before the row is written")
        bound_to = group.binding(key.client, identifier(getattr(row, group.layout.key)), key.version, version)
        plaintext = encode_fields(fields, group.layout.name)
        return seal(key.key, plaintext, key_version=key.version, bound_to=bound_to)

    def _index(self, row: Any, layout: Layout, draft: dict[str, Any], client: str | None) -> None:
        by_client = self._opener.holds_as_processor(layout)
        holder = (client if by_client else None) or PUBLISHER
        for name, index in layout.indexes.items():
            if name in draft:
                value = draft[name]
                made = None if value is None else index.of(self._index_key(holder), layout.table, name, value)
                setattr(row, index.column, made)

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


def unsealed_fields(row: Any, group: Group, key: SubjectKey, *, row_version: int) -> dict[str, Any]:
    """The encoded fields of a group as they stand in a loaded row."""
    envelope = getattr(row, group.column)
    key = key.at(named_version(envelope) or key.version) or key
    bound_to = group.binding(key.client, identifier(getattr(row, group.layout.key)), key.version, row_version)
    fields: dict[str, Any] = orjson.loads(unseal(key.key, envelope, key_version=key.version, bound_to=bound_to))
    return fields


def _give_identifier(row: Any, name: str) -> None:
    """The record is bound to the row's identifier, so a default is taken now and not at the insert."""
    if getattr(row, name) is not None:
        return
    default = inspect(type(row)).columns[name].default
    if default is None:
        raise RequestInvalid(
            f"{type(row).__name__}.{name}: must be set before the row is written, or have default=uuid4"
        )
    setattr(row, name, default.arg(None) if default.is_callable else default.arg)


def _client_of(row: Any, layout: Layout) -> str | None:
    if layout.client is None:
        return None
    value = getattr(row, layout.client)
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
                _give_identifier(parent, target)
                return getattr(parent, target)
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
