"""Access: everything held about a subject, in a sealed archive (GDPR Art. 15, 20)."""

from __future__ import annotations

import datetime as dt

from ..errors import SubjectErased
from ..gate.runtime import Runtime
from ..orm.bulk_read import iter_records
from ..orm.columns import subject_column
from ..policy.model import Action, Right
from .archive import build_archive
from .archive_store import expire_archives, keep_archive
from .handler import Outcome, RightsCase, exportable_categories


class ExportHandler:
    """`export`: builds the archive and keeps it until it expires."""

    name = Right.EXPORT.value
    actions = frozenset({Action.READ})

    def categories(self, runtime: Runtime, kind: str) -> frozenset[str]:
        """Everything but credentials."""
        return exportable_categories(runtime, kind)

    def carry_out(self, case: RightsCase) -> Outcome:
        """Read the rows of every model, build the archive and seal it under the subject's key."""
        runtime, session, processing = case.runtime, case.session, case.processing
        assert processing is not None  # noqa: S101  an export is never resumed
        kind, subject_id = case.request.subject
        rows_by_model = []
        for layout in reversed(runtime.models.graph.of(kind)):
            rows = iter_records(
                session,
                layout.model,
                subject_column(layout) == case.primary_key,
                categories=self.categories(runtime, kind),
            )
            rows_by_model.append((layout, list(rows)))
        content = build_archive(runtime, kind, rows_by_model, made_at=runtime.audit.now())
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
                "rows": {layout.name: len(rows) for layout, rows in rows_by_model},
                "archive_expires": expires.isoformat(),
            },
        )
