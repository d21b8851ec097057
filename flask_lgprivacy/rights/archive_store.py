"""Archives of requests: sealed under their subject's key, so that they die with it; resealed when
it is renewed.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from ..crypto.envelope import (
    associated_data_prefix,
    build_associated_data,
    envelope_key_version,
    seal,
    unseal,
)
from ..crypto.keys import SubjectKey
from ..database.identifiers import SubjectRef
from ..database.tables import Tables
from ..gate.runtime import Runtime
from ..keys.store import KeyStore
from ..policy.model import Right


def archive_associated_data(client: str, request: str, key_version: int) -> bytes:
    """What the archive of a request is bound to."""
    prefix = associated_data_prefix(
        client=client.encode(), group=b"archive", table=b"lgprivacy_archive"
    )
    return build_associated_data(prefix, request, key_version, row_version=1)


def keep_archive(
    session: Session,
    tables: Tables,
    request: str,
    key: SubjectKey,
    content: bytes,
    expires: dt.datetime,
) -> None:
    """Seal the content of an archive under its subject's key and keep it; the caller commits."""
    bound_to = archive_associated_data(key.client, request, key.version)
    sealed = seal(key.key, content, key_version=key.version, bound_to=bound_to)
    session.execute(
        insert(tables.archive).values(request_id=request, expires_at=expires, sealed=sealed)
    )


def open_archive(newest: SubjectKey, sealed: bytes, request: str) -> bytes:
    """The content of an archive, under its subject's newest key or the one before it."""
    key = newest.at(envelope_key_version(sealed) or newest.version) or newest
    bound_to = archive_associated_data(key.client, request, key.version)
    return unseal(key.key, sealed, key_version=key.version, bound_to=bound_to)


def expire_archives(session: Session, runtime: Runtime, *, of: SubjectRef | None = None) -> int:
    """Remove archives whose time is over, and those that a newer one of the same subject replaces;
    the caller commits.

    Args:
        session: On the data.
        runtime: The application's.
        of: A subject for whom an archive is about to be kept.

    Returns:
        How many went.
    """
    archives, requests = runtime.database.tables.archive.c, runtime.database.tables.request.c
    is_expired = archives.expires_at < runtime.utcnow()
    if of is not None:
        replaced = select(requests.id).where(
            requests.subject_kind == of[0],
            requests.subject == of[1],
            requests.request_type == Right.EXPORT.value,
        )
        is_expired = is_expired | archives.request_id.in_(replaced)
    return int(session.execute(delete(runtime.database.tables.archive).where(is_expired)).rowcount)  # type: ignore[attr-defined]


def reseal_archives(session: Session, keys: KeyStore, tables: Tables) -> int:
    """Reseal archives that stand under an older key of their subject; returns how many."""
    archives, requests = tables.archive.c, tables.request.c
    query = (
        select(archives.request_id, requests.subject_kind, requests.subject)
        .join_from(tables.archive, tables.request, requests.id == archives.request_id)
        .order_by(archives.request_id)
    )
    return sum(_reseal(session, keys, tables, *row) for row in session.execute(query).all())


def _reseal(
    session: Session, keys: KeyStore, tables: Tables, request: str, kind: str, subject_id: str
) -> bool:
    archives: Any = tables.archive.c
    newest = keys.load_for_writing(session, kind, [subject_id]).get(subject_id)
    sealed = session.execute(select(archives.sealed).where(archives.request_id == request)).scalar()
    if newest is None or sealed is None:
        return False
    key = newest.at(envelope_key_version(sealed) or newest.version) or newest
    if key.version == newest.version:
        return False
    content = unseal(
        key.key,
        sealed,
        key_version=key.version,
        bound_to=archive_associated_data(key.client, request, key.version),
    )
    bound_to = archive_associated_data(newest.client, request, newest.version)
    session.execute(
        update(tables.archive)
        .where(archives.request_id == request, archives.sealed == sealed)
        .values(sealed=seal(newest.key, content, key_version=newest.version, bound_to=bound_to))
    )
    session.commit()
    return True
