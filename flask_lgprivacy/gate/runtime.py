"""What an application's gate is made of; built once, last, and shared by all requests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..database.access import Database
from ..keys.store import KeyStore
from ..orm.labelled_models import LabelledModels
from ..policy.engine import PolicyEngine
from ..policy.model import Policy
from ..stores import SubjectStores
from .actor import ActorLoader
from .anonymous_refusals import AnonymousRefusals
from .audit_recorder import AuditRecorder
from .facts import AccessVeto, FactProvider
from .migration_windows import MigrationWindows
from .pseudonyms import Pseudonyms
from .startup import StartupChecks


@dataclass(frozen=True, slots=True, eq=False)
class Runtime:
    """The parts of an application's gate, for the application's lifetime.

    Attributes:
        policy: The policy document.
        engine: Decides by it.
        models: The labelled models and their ownership graph.
        keys: The key store.
        audit: The audit trail.
        database: The extension's tables and the application's session.
        pseudonyms: The names of subjects and actors in the trail.
        load_actor: Says who is asking.
        facts: Who says which conditions hold.
        stores: Places outside the database that hold data of subjects.
        vetoes: What stands against an access besides the rules.
        migration: Until when plain text may be read.
        startup: What is checked before anything is processed.
        refusals: Refusals of anonymous requests, of which most are counted.
        on_end: Called when a request or job has ended.
        utcnow: Returns the time in UTC.
    """

    policy: Policy
    engine: PolicyEngine
    models: LabelledModels
    keys: KeyStore
    audit: AuditRecorder
    database: Database
    pseudonyms: Pseudonyms
    load_actor: ActorLoader
    facts: tuple[FactProvider, ...]
    stores: SubjectStores
    vetoes: tuple[AccessVeto, ...]
    migration: MigrationWindows
    startup: StartupChecks
    refusals: AnonymousRefusals
    on_end: Callable[[], None]
    utcnow: Callable[[], dt.datetime]

    def __repr__(self) -> str:
        return f"<Runtime under {self.policy.name!r}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Runtime cannot be pickled")
