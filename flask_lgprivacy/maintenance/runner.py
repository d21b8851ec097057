"""Rotations and migrations with their beginning, progress, end and place in the trail."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..database.identifiers import canonical_id
from ..errors import ConfigurationError, SubjectErased
from ..gate.runtime import Runtime
from ..orm.columns import matches_any_id
from ..orm.model_info import ModelInfo
from ..rights.archive_store import reseal_archives
from .equal_values import describe_equal_values, find_equal_values
from .missing_keys import MissingKeys
from .model_reshaping import ModelReshaping
from .plaintext_migration import PlaintextMigration, migrating_model
from .progress import Progress, silent_progress
from .reindexing import Reindexing
from .resealing import Resealing
from .rotation import MaintenanceRuns, Rotation

PASSES = 5
"""How often a migration looks again for rows that somebody was writing."""
ROTATIONS = ("root", "clients", "subjects", "indexes")


class MaintenanceRunner:
    """Renews the keys of one application.

    Args:
        runtime: The application's.
        progress: Shows how far it is.
        sleep: Waits, in seconds.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        progress: Progress = silent_progress,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._runtime = runtime
        self._progress = progress
        self._sleep = sleep
        self._rotation = Rotation(runtime.keys)
        self._runs = MaintenanceRuns(runtime.database.tables, runtime.keys)

    def plan(self, operation: str, *, client: str | None = None) -> dict[str, int]:
        """What a rotation would do, as counts; changes nothing."""
        session, now = self._runtime.database.session(), self._runtime.utcnow()
        counts = {
            "root": lambda: {"client keys": self._rotation.count_client_keys(session, before=now)},
            "clients": lambda: {
                "clients": len(clients := self._clients(client, now)),
                "subject keys": sum(
                    self._rotation.count_subject_keys(session, item) for item in clients
                ),
            },
            "indexes": lambda: {
                "clients": len(self._clients(None, now)),
                "rows": sum(
                    Reindexing(self._runtime, item).count(session)
                    for item in self._sealed()
                    if item.indexes
                ),
            },
            "subjects": lambda: {
                "subject keys": self._rotation.count_subjects(session, before=now),
                "rows": sum(
                    Resealing(self._runtime.keys, layout).count(session)
                    for layout in self._sealed()
                ),
            },
        }
        counted = counts[operation]()
        session.rollback()
        return counted

    def rotate_root(self) -> dict[str, int]:
        """Wrap every client key anew under the newest root key of its key service."""
        session = self._runtime.database.session()
        with self._run("root", None) as (before, counts):
            total = self._rotation.count_client_keys(session, before=before)
            with self._progress("client keys", total) as advance:
                for done in self._rotation.rewrap_client_keys(session, before=before):
                    counts["client keys"] = counts.get("client keys", 0) + done
                    advance(done)
        return counts

    def rotate_clients(self, *, client: str | None = None) -> dict[str, int]:
        """Give every client, or one, a new key; wrap its subjects' keys under it and destroy the
        old one.
        """
        session = self._runtime.database.session()
        with self._run("clients", client) as (before, counts):
            clients = self._clients(client, before)
            counts.update({"clients": len(clients), "subject keys": 0})
            total = sum(
                self._rotation.count_subject_keys(session, client_id) for client_id in clients
            )
            with self._progress("subject keys", total) as advance:
                for client_id in clients:
                    try:
                        for done in self._rotation.renew_client(session, client_id, before=before):
                            counts["subject keys"] += done
                            advance(done)
                    except SubjectErased:
                        session.rollback()
                        counts["erased meanwhile"] = counts.get("erased meanwhile", 0) + 1
        return counts

    def rotate_subjects(self, *, grace: float) -> dict[str, int]:
        """Give every subject a new key, reseal its records under it and destroy the old one.

        Args:
            grace: Seconds between the last new key and the destruction of the old ones, so that
                whoever was writing under an old one has ended.
        """
        session = self._runtime.database.session()
        with self._run("subjects", None) as (before, counts):
            with self._progress(
                "subject keys", self._rotation.count_subjects(session, before=before)
            ) as advance:
                for done in self._rotation.renew_subjects(session, before=before):
                    counts["subject keys"] = counts.get("subject keys", 0) + done
                    advance(done)
            self._reseal(counts)
            made_before = self._runtime.utcnow()
            self._sleep(grace)
            while self._reseal(counts):
                pass
            if counts.get("broken records"):
                raise ConfigurationError(
                    f"{counts['broken records']} records do not open under any key, so the old "
                    "keys were kept; "
                    "'flask privacy audit show' names the refusals; restore these rows, then run "
                    "this again"
                )
            counts["old keys destroyed"] = self._rotation.destroy_older_versions(
                session, made_before=made_before
            )
        return counts

    def rotate_indexes(self, *, grace: float) -> dict[str, int]:
        """Give every client, and the publisher, a new key for blind indexes; compute every index
        again.

        Args:
            grace: As for `rotate_subjects`; here it also outlasts what other processes have cached.
        """
        session = self._runtime.database.session()
        with self._run("indexes", None) as (before, counts):
            clients = self._clients(None, before)
            for client_id in clients:
                self._rotation.new_epoch_with_index_key(session, client_id, before=before)
            counts["clients"] = len(clients)
            self._reindex(counts)
            self._sleep(grace)
            while self._reindex(counts):
                pass
            if counts["broken records"]:
                raise ConfigurationError(
                    f"{counts['broken records']} records do not open, so the old index keys were "
                    "kept; restore them, then run this again"
                )
            for client_id in clients:
                try:
                    for _ in self._rotation.renew_client(session, client_id, before=before):
                        pass
                except SubjectErased:
                    session.rollback()
        return counts

    def _reindex(self, counts: dict[str, int]) -> int:
        """Go through all indexed rows once; returns how many changed."""
        session, changed = self._runtime.database.session(), 0
        counts["broken records"] = 0
        for layout in self._sealed():
            if layout.indexes:
                reindexing = Reindexing(self._runtime, layout)
                with self._progress(
                    f"indexes of {layout.name}", reindexing.count(session)
                ) as advance:
                    for seen, done in reindexing.run(session):
                        changed += done
                        advance(seen)
                counts["broken records"] += reindexing.broken
        counts["rows indexed"] = counts.get("rows indexed", 0) + changed
        return changed

    def move(self, client: str, service: str) -> int:
        """Wrap a client's key by another key service."""
        client = canonical_id(client)
        with self._run("move", client) as (_, counts):
            counts["client keys"] = self._rotation.move_client(
                self._runtime.database.session(), client, service
            )
        if not counts["client keys"]:
            raise ConfigurationError(
                "there is no such client with a living key; 'flask privacy keys list' names them"
            )
        return counts["client keys"]

    def migrate_plaintext(self, target: str) -> tuple[dict[str, int], str | None]:
        """Seal the plain text of a model, verify that none is left and wipe what the database still
        holds of it.

        Returns the figures, and what the operator has to run where the wiping is theirs. Raises
        `ConfigurationError` where plain text came back meanwhile.
        """
        session, layout = (
            self._runtime.database.session(),
            migrating_model(self._runtime.models.graph, target),
        )
        if not layout.plaintext_columns:
            return self._make_missing_keys(layout), None
        if equal := find_equal_values(self._runtime, session, layout):
            raise ConfigurationError(describe_equal_values(layout, equal))
        migration = PlaintextMigration(self._runtime, layout)
        with self._run(f"migrate {layout.name}", None, check_records=False) as (_, counts):
            counts["rows sealed"] = 0
            for _ in range(PASSES):
                with self._progress(f"rows of {layout.name}", migration.count(session)) as advance:
                    for done in migration.run(session):
                        advance(done)
                counts["rows sealed"] = migration.sealed_rows
                counts["rows left"] = migration.count(session)
                if not counts["rows left"]:
                    break
            if counts["rows left"]:
                raise ConfigurationError(
                    f"{counts['rows left']} rows of {layout.name} hold plain text again, or were "
                    "being written; stop processes that run "
                    "the version from before the migration, then run this again"
                )
            remains = migration.wipe(session)
        return counts, remains

    def reshape(self, model: str, *, dropped: Collection[str]) -> dict[str, int]:
        """Rewrite every record of a model as the model says today, and keep that in the catalogue.

        Args:
            model: Its name.
            dropped: Fields that are taken out of its records.

        Raises:
            ConfigurationError: There is no such model or field, or rows lack what it requires.
        """
        reshaping = ModelReshaping(self._runtime, model, dropped)
        with self._run(f"reshape {model}", None, check_records=False) as (_, counts):
            reshaping.run(counts, self._progress)
        return counts

    def plan_reshaping(self, model: str, *, dropped: Collection[str]) -> dict[str, int]:
        """How many rows of a model would be rewritten, and how many lack what it requires; changes
        nothing.
        """
        return ModelReshaping(self._runtime, model, dropped).plan()

    def plan_migration(self, target: str) -> dict[str, int]:
        """How many rows a migration would seal, or how many people it would make keys for; changes
        nothing.
        """
        session = self._runtime.database.session()
        layout = migrating_model(self._runtime.models.graph, target)
        if not layout.plaintext_columns:
            missing = MissingKeys(self._runtime, layout).find(session)
            return {"people without a key": sum(len(clients) for _, clients in missing)}
        equal = find_equal_values(self._runtime, session, layout)
        counts = {"rows": PlaintextMigration(self._runtime, layout).count(session)}
        session.rollback()
        if equal:
            raise ConfigurationError(describe_equal_values(layout, equal))
        return counts

    # --- inside ---

    def _make_missing_keys(self, layout: ModelInfo) -> dict[str, int]:
        session, missing = self._runtime.database.session(), MissingKeys(self._runtime, layout)
        with self._run(f"migrate {layout.name}", None, check_records=False) as (_, counts):
            counts["keys made"] = 0
            total = missing.count_people(session)
            with self._progress(f"people of {layout.name}", total) as advance:
                for seen, made in missing.make(session):
                    counts["keys made"] += made
                    advance(seen)
        return counts

    def _clients(self, client: str | None, before: dt.datetime) -> list[str]:
        due = self._rotation.clients_to_renew(self._runtime.database.session(), before=before)
        if client is None:
            return due
        if canonical_id(client) not in due:
            raise ConfigurationError(
                "there is no such client with a key to renew; 'flask privacy keys list' names them"
            )
        return [canonical_id(client)]

    def _sealed(self) -> list[ModelInfo]:
        return [
            member
            for layout in self._runtime.models.graph.models
            for member in layout.family()
            if member.groups
        ]

    def _reseal(self, counts: dict[str, int]) -> int:
        """Go through all rows once; returns how many were resealed."""
        session, resealed = self._runtime.database.session(), 0
        counts["broken records"] = 0
        for layout in self._sealed():
            resealing = Resealing(self._runtime.keys, layout)
            with self._progress(f"rows of {layout.name}", resealing.count(session)) as advance:
                for seen, done in resealing.run(session):
                    resealed += done
                    advance(seen)
            counts["broken records"] += resealing.broken
            if layout.has_own_key and not layout.is_subject:
                present = partial(_present, session, layout)
                removed = self._runtime.keys.records.remove_orphans(
                    session, layout.key_kind, present
                )
                counts["keys of gone rows"] = counts.get("keys of gone rows", 0) + removed
        resealed += reseal_archives(session, self._runtime.keys, self._runtime.database.tables)
        counts["records resealed"] = counts.get("records resealed", 0) + resealed
        return resealed

    @contextmanager
    def _run(
        self, operation: str, client: str | None, *, check_records: bool = True
    ) -> Iterator[tuple[dt.datetime, dict[str, int]]]:
        """A run with its beginning and end in the trail; one that was cut off is taken up where it
        stopped.
        """
        startup = self._runtime.startup
        startup.run() if check_records else startup.run_for_reshaping()
        session, name = (
            self._runtime.database.session(),
            f"{operation}:{canonical_id(client)}" if client else operation,
        )
        before, is_taken_up = self._runs.begin(session, name)
        counts: dict[str, int] = {}
        self._tell(operation, "resumed" if is_taken_up else "began", client, counts)
        yield before, counts
        self._runs.end(session, name)
        self._tell(operation, "ended", client, counts)

    def _tell(self, what: str, stage: str, client: str | None, counts: dict[str, int]) -> None:
        operation = f"rotate-{what}" if what in ROTATIONS else what
        self._runtime.audit.key_operation(operation, stage, client=client, counts=counts)


def _present(session: Session, layout: ModelInfo, row_ids: list[str]) -> set[str]:
    """Those of some identifiers that have a row."""
    key = layout.column(layout.key)
    query = select(key).where(matches_any_id(key, row_ids))
    return {canonical_id(value) for value in session.execute(query).scalars()}
