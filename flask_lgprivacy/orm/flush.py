"""Seals what a flush is about to write, and authorises what it changes or deletes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import get_history

from ..crypto.keys import SubjectKey
from ..database.identifiers import canonical_id
from ..database.sqlalchemy_internals import state_of
from ..errors import (
    RequestInvalid,
    SubjectErased,
    UndeclaredProcessing,
    WriteInvalid,
)
from ..policy.model import Action
from .columns import matches_any_id
from .context import AccessContext, current_context
from .identifier_forms import is_spelled
from .model_info import VERSION_COLUMN, ModelInfo
from .pending_row import PendingRow, refuse_moving
from .record_sealing import RecordSealer
from .registry import model_info_of, model_info_on
from .row_people import key_of
from .row_state import SLOT, PendingFields
from .shared_records import SharedRecordKeys
from .shared_rows import SharedRowWrites


def _context(names: Iterable[str]) -> AccessContext:
    context = current_context.get()
    if context is None:
        raise UndeclaredProcessing(
            f"{', '.join(sorted(set(names)))} written outside any declared processing; decorate "
            "the view with @privacy.handles(…), "
            "or use 'with privacy.processing(…)' in a job"
        )
    return context


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
        self._sealer = RecordSealer(session, self._context)
        self._records = SharedRecordKeys(session, self._context)
        self._shared = SharedRowWrites(session, self._context, self._records)
        self._about: defaultdict[str, set[str]] = defaultdict(set)
        self._made_for: defaultdict[str, set[str]] = defaultdict(set)
        self._rows: dict[Any, PendingRow | None] = {}
        self._turn: Any = None

    def write(self, new: list[tuple[Any, ModelInfo]], changed: list[tuple[Any, ModelInfo]]) -> None:
        """Seal and authorise rows that are about to be written."""
        for row, layout in (*new, *changed):
            if layout.is_shared:
                self._shared.note(row, layout)
                self._shared.note_move(row, layout)
                self._rows[state_of(row)] = None
        self._reserve_identifiers(new)
        self._refuse_taking_places(new)
        new = [(row, layout) for row, layout in new if layout.is_sealed_or_owned]
        changed = [(row, layout) for row, layout in changed if layout.is_sealed_or_owned]
        for row, layout in changed:
            refuse_moving(row, layout)
        fresh = [PendingRow(row, layout, is_new=True) for row, layout in new]
        rows = fresh + [PendingRow(row, layout, is_new=False) for row, layout in changed]
        for pending in fresh:
            if pending.layout.is_subject:
                self._authorize(pending, pending.client)
        self._refuse_other_spellings(fresh)
        self._create_keys(fresh)
        self._load_keys([pending for pending in rows if not pending.layout.is_shared])
        self._records.load(
            pending for pending in rows if pending.layout.is_shared and not pending.is_new
        )
        for pending in rows:
            self._write(pending)
            self._rows[state_of(pending.row)] = pending

    def _reserve_identifiers(self, new: list[tuple[Any, ModelInfo]]) -> None:
        """Give new rows the numbers that the database counts; one under which somebody has, or had,
        a key is passed over: a backup that was put back counts from before it.
        """
        counted = [
            (row, name, layout.column(name)) for row, layout in new for name in layout.counted
        ]
        if counted:
            self._context.reserve_identifiers(self._session, counted)
        waiting = [
            (row, layout)
            for row, layout in new
            if layout.is_reserved and row.__dict__.get(layout.key) is None
        ]
        while waiting:
            wanted = [(row, layout.key, layout.column(layout.key)) for row, layout in waiting]
            self._context.reserve_identifiers(self._session, wanted)
            waiting = self._given_before(waiting)
            for row, layout in waiting:
                del row.__dict__[layout.key]

    def _given_before(self, rows: list[tuple[Any, ModelInfo]]) -> list[tuple[Any, ModelInfo]]:
        ids: defaultdict[str, list[str]] = defaultdict(list)
        for row, layout in rows:
            if layout.has_own_key:
                ids[layout.key_kind].append(canonical_id(row.__dict__[layout.key]))
        known = {kind: self._context.keys.known(self._session, kind, ids[kind]) for kind in ids}
        return [
            (row, layout)
            for row, layout in rows
            if layout.has_own_key
            and canonical_id(row.__dict__[layout.key]) in known[layout.key_kind]
        ]

    def delete(self, deleted: list[tuple[Any, ModelInfo]]) -> None:
        """Authorise the deletion of rows; a data subject is erased by a request."""
        for row, layout in deleted:
            if layout.is_shared:
                self._shared.delete(row, layout)
            else:
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
        for person in self._shared.authorize():
            kind, subject_id = person.subject
            self._about[kind].add(subject_id)
        self._records.destroy_deleted()
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

    def note_move(self, row: Any, layout: ModelInfo) -> None:
        """Relationships have set the keys of a stored row: its owners are asked where they say
        whose it is.
        """
        if layout.is_shared:
            self._shared.note_move(row, layout)

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
            layout = model_info_of(type(row))
            if layout.is_shared and state in self._rows:
                self._shared.note(row, layout)
                return True
            if state is not self._turn:
                return False
            self.write([], [(row, layout)])
            self.intend()
            return True
        if pending.is_written:
            return False
        draft = row.__dict__.get(SLOT)
        if pending.layout.is_shared:
            self._shared.note(row, pending.layout)
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
        row = state.obj()
        layout = model_info_of(type(row))
        if layout.is_shared:
            self._shared.refuse_late_move(row, layout)
        if pending is None:
            return
        if (
            not pending.is_written
        ):  # SQLAlchemy sends the rows of a model together, and tells of each afterwards
            for other in self._rows.values():
                if other is None or other.layout.table is not pending.layout.table:
                    continue
                other.is_written = other.is_written or other.is_begun
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

    def _refuse_taking_places(self, new: list[tuple[Any, ModelInfo]]) -> None:
        """A row in the place of one that the same flush deletes would be an UPDATE to the database:
        nobody asked for *erase*.
        """
        leaving = {
            (layout.table, place)
            for row in self._session.deleted
            if (layout := model_info_on(inspect(type(row)))) is not None
            for place in _places_of(row, layout)
        }
        for row, layout in new if leaving else ():
            if any((layout.table, place) in leaving for place in _places_of(row, layout)):
                raise RequestInvalid(
                    f"{layout.name}.{layout.key}: a row with this identifier or primary key is "
                    "deleted in the same flush; flush the deletion first, or change that row"
                )

    def _refuse_other_spellings(self, rows: list[PendingRow]) -> None:
        """Two texts that spell one UUID are one identifier: whoever gave a new row that of another
        one would take its key.
        """
        spelled: defaultdict[ModelInfo, list[str]] = defaultdict(list)
        for pending in rows:
            if pending.layout.has_own_key and is_spelled(pending.layout.identifier, pending.own):
                spelled[pending.layout.topmost].append(pending.own)
        for layout, ids in spelled.items():
            known = self._context.keys.known(self._session, layout.key_kind, ids)
            is_taken = len(set(ids)) < len(ids)
            if known:
                taken = select(layout.identifier).where(matches_any_id(layout.identifier, known))
                with self._session.no_autoflush:
                    is_taken = is_taken or self._session.execute(taken).first() is not None
            if is_taken:
                raise RequestInvalid(
                    f"{layout.name}.{layout.key}: another row has this identifier, in this "
                    "spelling or with other dashes or case; take a new one"
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

    def _authorize(self, pending: PendingRow, client: str | None) -> None:
        """Of a new subject, what its row says of it must be permitted before it has a key; of
        others, what their key says.
        """
        for part in pending.parts:
            self._context.authorize(
                part.category, Action.WRITE, client=client, subject=pending.subject
            )

    # --- keys ---

    def _create_keys(self, rows: list[PendingRow]) -> None:
        new_subjects: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
        layouts: dict[str, ModelInfo] = {}
        for pending in rows:
            if pending.layout.is_subject:
                new_subjects[pending.layout.kind][pending.own] = pending.client
                layouts[pending.layout.kind] = pending.layout
        for kind, subjects in new_subjects.items():
            by_client = self._context.keys.is_processor_of(kind)
            if by_client and not all(subjects.values()):
                raise RequestInvalid(
                    f"{layouts[kind].name}.{layouts[kind].client}: must be set before the row is "
                    "written"
                )
            new_keys = self._context.keys.create(self._session, kind, subjects)
            self._keys[kind].update(new_keys)
            self._made_for[kind].update(
                client for client in subjects.values() if by_client and client is not None
            )

    def _load_keys(self, rows: list[PendingRow]) -> None:
        missing_ids: defaultdict[str, set[str]] = defaultdict(set)
        for pending in rows:
            if pending.owner not in self._keys[pending.layout.kind]:
                missing_ids[pending.layout.kind].add(pending.owner)
        for kind, ids in missing_ids.items():
            self._keys[kind].update(self._context.keys.load_for_writing(self._session, kind, ids))
            self._about[kind].update(ids)
            if missing := ids - self._keys[kind].keys():
                self._record_subjects(kind, missing)

    def _record_subjects(self, kind: str, ids: set[str]) -> None:
        """Make keys for subjects that were recorded before this package; only where rows are being
        sealed.
        """
        if self._context.keys.is_migrating(kind):
            clients = self._context.keys.clients_of(self._session, kind, ids)
            self._keys[kind].update(self._context.keys.create(self._session, kind, clients))

    # --- rows ---

    def _key_of(self, pending: PendingRow) -> SubjectKey:
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

    def _write(self, pending: PendingRow) -> None:
        if pending.layout.is_shared:  # it is authorised when the database knows whose it is
            if pending.values or pending.is_new:
                self._sealer.seal(pending, self._records.key_of(pending))
            return
        key = self._key_of(pending)
        client = key.client or None
        if not (pending.is_new and pending.layout.is_subject):
            self._authorize(pending, client)
        if pending.layout.groups and (pending.values or pending.is_new):
            self._sealer.seal(pending, key)
            if pending.layout.indexes:
                self._sealer.index(pending, client)
        for part in pending.parts:
            self._context.record_access(
                part.category, Action.WRITE, client=client, subject=pending.subject
            )


def _places_of(row: Any, layout: ModelInfo) -> Iterator[Any]:
    """What no two rows of a table have in common: their primary key and their identifier."""
    yield key_of(row)
    identifier = row.__dict__.get(layout.key)
    if layout.has_own_key and identifier is not None:
        yield canonical_id(identifier)
