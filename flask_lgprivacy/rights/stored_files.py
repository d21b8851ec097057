"""What stores outside the database hold of a person, for an archive."""

from __future__ import annotations

from ..database.identifiers import SubjectRef
from ..gate.context import ProcessingContext
from ..gate.runtime import Runtime
from ..policy.model import Action
from .archive import archive_path
from .handler import exportable_categories


def read_stored_files(
    runtime: Runtime, processing: ProcessingContext, subject: SubjectRef, client: str | None
) -> dict[str, bytes]:
    """The files of every store, under a folder for each.

    Each category of a store is authorised before the store is asked.

    Args:
        runtime: The application's.
        processing: Under which they are read.
        subject: Whose they are.
        client: The subject's.
    """
    stores = runtime.stores
    exportable = exportable_categories(runtime, subject[0])
    for category in sorted(stores.categories_of(subject[0]) & exportable):
        processing.authorize(category, Action.READ, client=client, subject=subject)
        processing.record_access(category, Action.READ, client=client, subject=subject)
    return {
        archive_path(f"{store.replace(':', '/')}/{name}"): content
        for store, files in stores.export(subject)
        for name, content in files.items()
    }
