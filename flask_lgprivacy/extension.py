"""`LGPrivacy`: settings parsed once, everything wired, state in `app.extensions["lgprivacy"]`."""

from __future__ import annotations

import datetime as dt
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, has_app_context, has_request_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ColumnElement
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm import registry as registry_type

from .audit.events import KeyOperationEvent
from .audit.file_trail import FileAuditTrail
from .audit.trail import AuditTrail
from .cli.group import privacy as privacy_commands
from .cli.setup import initialise
from .config import parse_config
from .crypto.cache import KeyCache
from .crypto.providers.base import KeyProvider
from .crypto.providers.local_file import LazyKeyFile
from .crypto.providers.pool import ROOT, KeyProviders
from .crypto.providers.registry import key_provider
from .database.tables import define_tables, missing_tables
from .disclosure.address import parse_recipient_addresses
from .disclosure.client import DisclosureClient
from .errors import ConfigurationError, PrivacyError, UndeclaredProcessing
from .gate.actor import NO_ACTOR_LOADER, Actor, ActorLoader, no_actor
from .gate.context import ProcessingContext
from .gate.declaration import check_declaration, declare
from .gate.facts import nobody_pays
from .gate.job import Job
from .gate.runtime import Runtime
from .inbox import SealedInbox
from .keys.store import KeyStore
from .maintenance.plaintext_migration import parse_migration_windows
from .orm.bulk_read import iter_records
from .orm.context import current_context
from .orm.engine_guard import check_engines
from .orm.ownership_graph import OwnershipGraph, build_ownership_graph
from .permissions.consents import ConsentService
from .permissions.grant_rules import check_agents
from .permissions.grant_service import GrantService
from .permissions.grants import Notifier
from .policy.engine import PolicyEngine
from .policy.loader import load_policy
from .policy.model import Action, Policy
from .profile_location import ProfileLocation
from .rights.background import BackgroundRunner
from .rights.erasure_replay import ErasureReplay
from .rights.service import RightsService
from .state import NAME, PrivacyState, get_state
from .stores import DataStore, check_regions, needed_stores, parse_stores
from .usage.events import parse_usage
from .usage.statistics import UsageStatistics
from .web.decorators import exempt, guard
from .web.dispatch import DispatchGuard
from .web.middleware import AuditMiddleware
from .web.views.consents import add_consents
from .web.views.grants import add_grants
from .web.views.rights import rights_blueprint

View = TypeVar("View", bound=Callable[..., Any])
MOST_ROUNDS = 30
"""How often the background looks again, a second apart, at requests that others keep from being carried out."""
_JOB = re.compile(r"^[A-Za-z0-9 .:_-]{1,80}$")


class LGPrivacy:
    """The extension.

    Parameters: `app` to set up at once, else call `init_app`; `key_provider` holds the root key, by default the local key file;
    `trail` takes events, by default files in a directory; `notify` tells a client of an emergency; `utcnow` returns the time in UTC.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        key_provider: KeyProvider | None = None,
        trail: AuditTrail | None = None,
        notify: Notifier | None = None,
        utcnow: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._notify = notify
        self._pays_directly: Callable[[str], Any] = nobody_pays
        self._key_provider = key_provider
        self._trail = trail
        self._utcnow = utcnow
        self._load_actor: ActorLoader = no_actor
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up an application; call it after `db.init_app(app)`. Raises `ConfigurationError` naming what to mend."""
        if NAME in app.extensions:
            raise ConfigurationError(
                "LGPrivacy is already set up on this application; call init_app once"
            )
        database = app.extensions.get("sqlalchemy")
        if not isinstance(database, SQLAlchemy):
            raise ConfigurationError(
                "LGPrivacy needs Flask-SQLAlchemy; call db.init_app(app) before privacy.init_app(app)"
            )
        settings = parse_config(app.config, instance=Path(app.instance_path))
        with app.app_context():
            engines = dict(database.engines)
        check_engines(engines, settings.keys_bind)
        policy = load_policy(settings.policy)
        services = {
            name: key_provider(name, given) for name, given in settings.key_services.items()
        }
        uses_key_file = self._key_provider is None and ROOT not in services
        if uses_key_file or self._key_provider is not None:
            services[ROOT] = self._key_provider or LazyKeyFile(settings.key_file)
        stores = parse_stores(settings.stores, needed_stores(engines, services), policy)
        tables = define_tables(database.metadata, database.metadatas[settings.keys_bind])
        keys_engine = engines.get(settings.keys_bind)
        keys = KeyStore(
            tables,
            KeyProviders(services),
            engine=(lambda: keys_engine)
            if settings.keys_bind is not None and keys_engine is not None
            else None,
            cache_size=settings.key_cache_size,
            cache_seconds=settings.key_cache_seconds,
            randomness=os.urandom,
            utcnow=self._utcnow,
        )
        mappers = partial(_mappers, database)
        house = Runtime(
            policy=policy,
            decisions=PolicyEngine(policy),
            keys=keys,
            trail=self._trail
            or FileAuditTrail(settings.trail_directory, now=lambda: self._utcnow().isoformat()),
            tables=tables,
            session=lambda: _session(database),
            engine=engines[None],
            utcnow=self._utcnow,
            build_graph=lambda: _checked_graph(mappers(), policy, stores, settings.keys_bind),
            actor_names=KeyCache(size=10_000, seconds=60, clock=time.monotonic),
            load_actor=self._who,
        )
        consents = ConsentService(house)
        house.has_consent = consents.covers
        house.pays_directly = self._is_direct_payer
        house.agents = settings.agents
        check_agents(settings.agents, policy)
        storage = ProfileLocation(house)
        house.is_on_device = storage.is_on_device
        house.adoption = parse_migration_windows(settings.adoption, self._utcnow().date())
        house.before_serving = partial(_before_serving, app, house)
        usage = UsageStatistics(house, parse_usage(settings.usage, policy))
        house.settle = usage.store
        if any(True for _ in mappers()):
            _ = house.graph
            house.models_changed()
        gate = DispatchGuard(app, house, settings.exempt, longest_body=settings.longest_body)
        background = BackgroundRunner(partial(_do_open_work, app))
        app.extensions[NAME] = PrivacyState(
            settings=settings,
            policy=policy,
            house=house,
            gate=gate,
            rights=RightsService(house),
            consents=consents,
            grants=GrantService(house, self._notify),
            usage=usage,
            background=background,
            stores=stores,
            storage=storage,
            recipients=parse_recipient_addresses(policy, settings.recipients),
            database=database,
            uses_key_file=uses_key_file,
            has_actor_loader=lambda: self._load_actor is not no_actor,
        )
        blueprint = rights_blueprint(
            policy,
            lambda: get_state().rights,
            go_on=background.start,
            url_prefix=settings.url_prefix,
        )
        add_consents(blueprint, house, lambda: get_state().consents)
        add_grants(blueprint, policy, lambda: get_state().grants, self._utcnow)
        app.register_blueprint(blueprint)
        app.cli.add_command(privacy_commands)
        app.wsgi_app = AuditMiddleware(app.wsgi_app, house)  # type: ignore[method-assign]

    def _is_direct_payer(self, client: str) -> Any:
        return self._pays_directly(client)

    def _who(self) -> Actor | None:
        return self._load_actor()

    def initialise(self) -> list[str]:
        """Make the key file, the tables and the trail directory where they are missing, as `flask privacy init` does.

        Returns what was done, in words. Runs in an application context.
        """
        return list(initialise(get_state()))

    # --- what a developer writes ---

    def actor_loader(self, load: ActorLoader) -> ActorLoader:
        """Register the function that says who is asking, or None for nobody."""
        self._load_actor = load
        return load

    def direct_payment(self, pays_directly: Callable[[str], bool]) -> Callable[[str], bool]:
        """Register the function that says whether a client, by its id, pays directly under the contract (LG-04)."""
        self._pays_directly = pays_directly
        return pays_directly

    def handles(
        self,
        *categories: str,
        roles: Iterable[str],
        purpose: str,
        actions: Iterable[str] = (Action.READ,),
        withhold: Iterable[str] = (),
        accepts: Any = None,
    ) -> Callable[[View], View]:
        """Declare what a view processes; stands below the route.

        Parameters: `categories` of the policy document, none for a view that opens nothing; `roles` that may call it; `purpose`;
        `actions` among read, write, erase and disclose; `withhold`, those of the categories that a `LabelledSchema` leaves out where
        the actor may not read them; `accepts`, the schema of the body (see `schema_of`), whose result is `accepted`. A second `handles`
        on the same view adds an alternative for other roles.
        """
        declaration = declare(
            categories,
            roles=roles,
            purpose=purpose,
            actions=actions,
            withhold=withhold,
            accepts=accepts,
        )

        def decorate(view: View) -> View:
            return guard(view, declaration)

        return decorate

    def exempt(self, reason: str) -> Callable[[View], View]:
        """Declare that a view processes no personal data, and why; stands below the route."""
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigurationError(
                "exempt() needs the reason why the view processes no personal data"
            )

        def decorate(view: View) -> View:
            return exempt(view, reason)

        return decorate

    def processing(
        self,
        *categories: str,
        actor: Actor,
        purpose: str,
        why: str,
        actions: Iterable[str] = (Action.READ,),
    ) -> Job:
        """Process outside a request: `with privacy.processing("student.profile", actor=…, purpose=…, why="nightly export")`.

        Parameters: as for `handles`; `actor` acts, `why` names the job in the trail (letters, digits, `.:_-` and spaces). Raises
        `DeclarationInvalid` for what the policy document can never allow.
        """
        if not _JOB.match(why):
            raise ConfigurationError(
                "why= names the job in the trail: letters, digits, spaces and . : _ - only, 80 at most"
            )
        house = get_state().house
        declaration = declare(categories, roles={actor.role}, purpose=purpose, actions=actions)
        check_declaration(declaration, house.decisions, f"processing {why!r}")
        return Job(house, declaration, actor, why)

    def disclose(self, recipient: str, *, purpose: str, subject: Any) -> DisclosureClient:
        """The only supported way out: `with privacy.disclose("mailchimp", purpose=…, subject=contact) as out`.

        Parameters: `recipient` and `purpose` of the policy document; `subject` is a row of the person concerned. Raises
        `DisclosureRefused` before any connection.
        """
        state = get_state()
        return DisclosureClient(
            state.house, state.recipients, recipient, purpose=purpose, subject=subject
        )

    def records(self, model: type, *criteria: ColumnElement[bool]) -> Iterator[dict[str, Any]]:
        """Rows of a labelled model as dictionaries, in batches, without entities; the quickest way to read many."""
        return iter_records(get_state().database.session(), model, *criteria)

    @property
    def accepted(self) -> Any:
        """What the schema of `accepts=` made of the body of the current request."""
        opener = current_context.get()
        if not isinstance(opener, ProcessingContext) or opener.accepted is None:
            raise UndeclaredProcessing("this endpoint accepts nothing; declare it with accepts=")
        return opener.accepted

    @property
    def rights(self) -> RightsService:
        """The rights of data subjects in the current application."""
        return get_state().rights

    @property
    def consents(self) -> ConsentService:
        """The consents recorded in the current application."""
        return get_state().consents

    @property
    def grants(self) -> GrantService:
        """The grants to guests and support agents in the current application."""
        return get_state().grants

    @property
    def usage(self) -> UsageStatistics:
        """The usage statistics of the current application."""
        return get_state().usage

    @property
    def ingest(self) -> SealedInbox:
        """The inbox of records that devices sealed for a client and cannot open."""
        return SealedInbox(get_state().house)

    @property
    def storage(self) -> ProfileLocation:
        """Where each client's profiles are kept: in its cloud space or on its devices."""
        return get_state().storage

    @property
    def policy(self) -> Policy:
        """The policy document of the current application."""
        return get_state().policy


def _checked_graph(
    mappers: Iterable[Mapper[Any]],
    policy: Policy,
    stores: dict[str, DataStore],
    keys_bind: str | None,
) -> OwnershipGraph:
    graph = build_ownership_graph(mappers, policy)
    check_regions(stores, graph, policy, keys_bind=keys_bind)
    return graph


def _before_serving(app: Flask, house: Runtime) -> None:
    """Check models that came after `init_app`, repeat erasures that a restore undid, and tell the trail where plain text may be read.

    Where the application serves, requests that another process left in the middle are taken up in the background.
    """
    _ = house.graph
    state: PrivacyState = app.extensions[NAME]
    for table in missing_tables(state.database.engines, house.tables):
        raise ConfigurationError(
            f"the table {table} does not exist; run 'flask privacy init', or your migrations"
        )
    if not state.has_actor_loader():
        app.logger.warning("%s", NO_ACTOR_LOADER)
    ErasureReplay(house).before_serving()
    if has_request_context() and state.rights.has_work():
        state.background.start()
    for model in house.adoption:
        if house.adopts(model):
            days = (house.adoption[model] - house.utcnow().date()).days
            at = house.now()
            house.trail.commit(
                KeyOperationEvent(
                    at, f"adoption-window {model}", "open", None, (("days left", days),)
                )
            )


def _do_open_work(app: Flask) -> None:
    """Do what open requests still need, again where others were writing; what fails is logged by its kind and stays open for
    'flask privacy requests work'."""
    with app.app_context():
        try:
            for _ in range(MOST_ROUNDS):
                for _ in get_state().rights.work():
                    pass
                if not get_state().rights.has_work():
                    return
                get_state().database.session.remove()
                time.sleep(1)
        except (PrivacyError, SQLAlchemyError) as fault:
            app.logger.error(  # noqa: TRY400  a traceback could hold values
                "open requests stay open: %s; run 'flask privacy requests work'",
                type(fault).__name__,
            )


def _mappers(database: SQLAlchemy) -> Iterable[Mapper[Any]]:
    registry: registry_type = database.Model.registry  # type: ignore[attr-defined]
    return registry.mappers


def _session(database: SQLAlchemy) -> Session:
    if not has_app_context():
        raise UndeclaredProcessing(
            "personal data was read after its request had ended; wrap the generator in flask.stream_with_context"
        )
    return database.session()
