"""Builds what one application has of this extension from its configuration."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from flask import Flask, has_app_context, has_request_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm import registry as registry_type

from .audit.file_trail import FileAuditTrail
from .config import Config
from .crypto.providers.pool import KeyProviders
from .database.access import Database
from .database.sqlalchemy_internals import bind_key_of
from .database.tables import Tables, define_tables, missing_tables
from .errors import ConfigurationError, ModelInvalid, UndeclaredProcessing, describe_failure
from .gate.actor import NO_ACTOR_LOADER
from .gate.actor_facts import DirectPaymentFacts, IdentityFacts, OwnClientFacts
from .gate.anonymous_refusals import AnonymousRefusals
from .gate.audit_recorder import AuditRecorder
from .gate.host_hooks import HostHooks
from .gate.migration_windows import MigrationWindows
from .gate.pseudonyms import Pseudonyms
from .gate.runtime import Runtime
from .gate.startup import StartupChecks
from .keys.store import KeyStore
from .maintenance.layout_catalogue import LayoutCatalogue
from .maintenance.plaintext_migration import faults_of_migrations
from .orm.engine_guard import check_engines
from .orm.graph_checks import build_ownership_graph
from .orm.labelled_models import LabelledModels
from .orm.ownership_checks import refuse_kept_keys
from .orm.ownership_graph import OwnershipGraph
from .parts import Parts
from .permissions.consents import ConsentService
from .permissions.facts import ConsentFacts, GrantFacts
from .permissions.grant_service import GrantService
from .permissions.workflows import WORKFLOWS, GrantWorkflow
from .policy.engine import PolicyEngine
from .policy.model import Policy
from .profile_location import DeviceStorageVeto, ProfileLocation
from .rights.background import BackgroundRunner
from .rights.erasure_replay import ErasureReplay
from .rights.service import RightsService
from .state import NAME, PrivacyState, get_state
from .stores import (
    DataStore,
    SubjectStores,
    check_regions,
    check_stores,
    needed_stores,
)
from .usage.statistics import UsageStatistics
from .web.endpoints import endpoints_of

MOST_ROUNDS = 30
"""How often the background looks again, a second apart, at requests that others keep from being
carried out.
"""


def assemble(
    app: Flask, database: SQLAlchemy, config: Config, hooks: HostHooks, parts: Parts
) -> PrivacyState:
    """Build the state of one application; the runtime comes last of what it is made of.

    Raises:
        ConfigurationError: Something is declared wrongly, with what to mend.
    """
    with app.app_context():
        engines = dict(database.engines)
    check_engines(engines, config.keys_bind)
    policy, stores = config.policy, config.stores
    check_stores(stores, needed_stores(engines, config.key_providers), policy)
    workflows = _workflows_by_name((*WORKFLOWS, *parts.grant_workflows))
    tables = define_tables(database.metadata, database.metadatas[config.keys_bind])
    keys = _key_store(config, tables, engines, parts.utcnow)
    migration = MigrationWindows(config.migration_windows, parts.utcnow)
    models = LabelledModels(
        lambda: _checked_graph(_mappers(database), policy, stores, config.keys_bind, engines),
        policy,
        migration.is_open,
    )
    own_database = Database(
        tables, engines[None], lambda: _session(database), MappingProxyType(engines)
    )
    usage = UsageStatistics(policy, models, own_database, config.usage, parts.utcnow)
    pseudonyms = Pseudonyms(keys, parts.utcnow)
    trail = parts.trail
    if trail is None:
        trail = FileAuditTrail(config.trail_directory, now=lambda: parts.utcnow().isoformat())
    runtime = Runtime(
        policy=policy,
        engine=PolicyEngine(policy),
        models=models,
        keys=keys,
        audit=AuditRecorder(
            trail,
            parts.utcnow,
            lambda subject: pseudonyms.of_subject(own_database.session(), subject),
        ),
        database=own_database,
        pseudonyms=pseudonyms,
        load_actor=hooks.load_actor,
        facts=(
            OwnClientFacts(models),
            IdentityFacts(),
            DirectPaymentFacts(hooks.pays_directly),
            GrantFacts(policy, models, own_database, config.agents, parts.utcnow),
            ConsentFacts(policy, own_database),
        ),
        stores=SubjectStores(parts.stores, stores, policy, models.policy_kind),
        vetoes=(DeviceStorageVeto(policy, own_database),),
        migration=migration,
        startup=StartupChecks(
            partial(_check_before_serving, app), partial(_check_stored_records, app)
        ),
        refusals=AnonymousRefusals(),
        on_end=usage.store,
        utcnow=parts.utcnow,
    )
    if any(True for _ in _mappers(database)):
        _ = models.graph
        models.check_again()
    return PrivacyState(
        config=config,
        runtime=runtime,
        hooks=hooks,
        rights=RightsService(runtime, parts.rights, parts.renderers),
        consents=ConsentService(runtime),
        grants=GrantService(runtime, parts.notify, config.agents),
        grant_workflows=workflows,
        usage=usage,
        background=BackgroundRunner(partial(_finish_open_requests, app)),
        storage=ProfileLocation(runtime),
        database=database,
    )


def _workflows_by_name(workflows: Iterable[GrantWorkflow]) -> dict[str, GrantWorkflow]:
    by_name: dict[str, GrantWorkflow] = {}
    for workflow in workflows:
        if workflow.name in by_name:
            raise ConfigurationError(f"two grant workflows are called {workflow.name!r}")
        by_name[workflow.name] = workflow
    return by_name


def _key_store(
    config: Config,
    tables: Tables,
    engines: Mapping[str | None, Engine],
    utcnow: Callable[[], dt.datetime],
) -> KeyStore:
    own_engine = engines[config.keys_bind] if config.keys_bind is not None else None
    return KeyStore(
        tables,
        KeyProviders(config.key_providers),
        engine=(lambda: own_engine) if own_engine is not None else None,
        cache_size=config.key_cache_size,
        cache_seconds=config.key_cache_seconds,
        randomness=os.urandom,
        utcnow=utcnow,
    )


def _checked_graph(
    mappers: Iterable[Mapper[Any]],
    policy: Policy,
    stores: Mapping[str, DataStore],
    keys_bind: str | None,
    engines: Mapping[str | None, Engine],
) -> OwnershipGraph:
    graph = build_ownership_graph(mappers, policy)
    refuse_kept_keys(graph, lambda table: engines[bind_key_of(table)].dialect.name)
    check_regions(stores, graph, policy, keys_bind=keys_bind)
    return graph


def _check_before_serving(app: Flask) -> None:
    """Check models that came later, repeat erasures that a restore undid, tell of open migrations.

    Where the application serves, requests that another process left in the middle are taken up in
    the background.
    """
    state: PrivacyState = app.extensions[NAME]
    runtime = state.runtime
    _ = runtime.models.graph
    for table in missing_tables(state.database.engines, runtime.database.tables):
        raise ConfigurationError(
            f"the table {table} does not exist; run 'flask privacy init', or your migrations"
        )
    if faults := list(endpoints_of(app).faults(runtime.engine)):
        raise ConfigurationError("\n".join(faults))
    if not state.hooks.has_actor_loader:
        app.logger.warning("%s", NO_ACTOR_LOADER)
    ErasureReplay(runtime).before_serving()
    if has_request_context() and state.rights.has_work():
        state.background.start()
    for model, days in runtime.migration.open():
        runtime.audit.key_operation(f"migration-window {model}", "open", counts={"days left": days})


def _check_stored_records(app: Flask) -> None:
    """Refuse models that cannot read what is stored; raises `ModelInvalid`, a line for each."""
    runtime = app.extensions[NAME].runtime
    session = runtime.database.session()
    faults = [*LayoutCatalogue(runtime).faults(session), *faults_of_migrations(runtime, session)]
    if faults:
        raise ModelInvalid("\n".join(faults))


def _finish_open_requests(app: Flask) -> None:
    """Do what open requests still need, again where others were writing.

    What fails is logged by its kind and stays open for 'flask privacy requests work'.
    """
    with app.app_context():
        state = get_state()
        try:
            for _ in range(MOST_ROUNDS):
                for _ in state.rights.work():
                    pass
                if not state.rights.has_work():
                    return
                state.database.session.remove()
                time.sleep(1)
        except Exception as error:  # noqa: BLE001  whatever is raised, its text may hold values
            app.logger.error(  # noqa: TRY400  and so may a traceback
                "open requests stay open: %s; run 'flask privacy requests work'",
                describe_failure(error),
            )


def _mappers(database: SQLAlchemy) -> Iterable[Mapper[Any]]:
    registry: registry_type = database.Model.registry  # type: ignore[attr-defined]
    return registry.mappers


def _session(database: SQLAlchemy) -> Session:
    if not has_app_context():
        raise UndeclaredProcessing(
            "personal data was read after its request had ended; wrap the generator in "
            "flask.stream_with_context"
        )
    return database.session()
