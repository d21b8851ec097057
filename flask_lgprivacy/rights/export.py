"""Access: everything held about a subject, in a sealed archive (GDPR Art. 15, 20)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from ..errors import SubjectErased
from ..gate.runtime import Runtime
from ..policy.model import Action, Right
from .archive import build_archive
from .archive_renderers import ArchiveRenderer
from .archive_store import expire_archives, keep_archive
from .handler import Outcome, RightsCase, exportable_categories
from .stored_files import read_stored_files
from .subject_rows import read_subject_rows


class ExportHandler:
    """`export`: builds the archive and keeps it until it expires.

    Args:
        renderers: Of archives, besides those that are built in.
    """

    name = Right.EXPORT.value
    actions = frozenset({Action.READ})

    def __init__(self, renderers: Iterable[ArchiveRenderer] = ()) -> None:
        self._renderers = tuple(renderers)

    def categories(self, runtime: Runtime, kind: str) -> frozenset[str]:
        """Everything but credentials."""
        return exportable_categories(runtime, kind)

    def carry_out(self, case: RightsCase) -> Outcome:
        """Read the rows of every model, build the archive and seal it under the subject's key."""
        runtime, session, processing = case.runtime, case.session, case.processing
        assert processing is not None  # noqa: S101  an export is never resumed
        kind, subject_id = case.request.subject
        tables = read_subject_rows(case, processing, self.categories(runtime, kind))
        content = build_archive(
            runtime,
            kind,
            tables,
            made_at=runtime.audit.now(),
            stored_files=read_stored_files(
                runtime, processing, case.request.subject, case.request.client
            ),
            renderers=self._renderers,
        )
        expires = runtime.utcnow() + dt.timedelta(days=runtime.policy.deadline.archive_days)
        session.commit()
        key = processing.keys.load_for_writing(session, kind, [subject_id]).get(subject_id)
        unkeyed = processing.keys.clients_without_keys(session, kind, [subject_id])
        if key is None and unkeyed:
            key = processing.keys.create(session, kind, unkeyed)[subject_id]
        if key is None:
            raise SubjectErased
        expire_archives(session, runtime, of=case.request.subject)
        keep_archive(session, runtime.database.tables, case.request.id, key, content, expires)
        processing.keys.refuse_erased(session, kind, [subject_id], ())
        session.commit()
        return Outcome(
            "completed",
            {
                "rows": {table.name: len(table.rows) for table in tables},
                "archive_expires": expires.isoformat(),
            },
        )
