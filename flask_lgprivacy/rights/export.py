"""Access: everything held about a subject, in a sealed archive (GDPR Art. 15, 20)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from ..errors import SubjectErased
from ..gate.context import ProcessingContext
from ..gate.runtime import Runtime
from ..policy.model import Action, Right
from .archive import archive_path, build_archive
from .archive_renderers import ArchiveRenderer
from .archive_store import expire_archives, keep_archive
from .handler import Outcome, RightsCase, exportable_categories
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
            stored_files=_stored_files(case, processing),
            renderers=self._renderers,
        )
        expires = runtime.utcnow() + dt.timedelta(days=runtime.policy.deadline.archive_days)
        session.commit()
        key = processing.keys.load_for_writing(session, kind, [subject_id]).get(subject_id)
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


def _stored_files(case: RightsCase, processing: ProcessingContext) -> dict[str, bytes]:
    """What stores outside the database hold of the subject, under a folder for each store.

    Each category of a store is authorised before the store is asked.
    """
    stores, subject, client = case.runtime.stores, case.request.subject, case.request.client
    exportable = exportable_categories(case.runtime, subject[0])
    for category in sorted(stores.categories_of(subject[0]) & exportable):
        processing.authorize(category, Action.READ, client=client, subject=subject)
        processing.record_access(category, Action.READ, client=client, subject=subject)
    return {
        archive_path(f"{store.replace(':', '/')}/{name}"): content
        for store, files in stores.export(subject)
        for name, content in files.items()
    }
