"""`LGPrivacy`: settings parsed once, everything wired, state in `app.extensions["lgprivacy"]`."""

from __future__ import annotations

import datetime as dt
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, current_app, has_app_context, has_request_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ColumnElement
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm import registry as registry_type

from .audit import FileTrail, KeyOperation, Trail
from .cli import initialise
from .cli import privacy as privacy_commands
from .custody import Replay
from .custody.adoption import parse_adoption
from .custody.ingest import Ingest
from .custody.storage import ClientStorage
from .custody.stores import Store, check_regions, needed_stores, parse_stores
from .disclosure import Disclosure, Endpoint, endpoints
from .errors import ConfigurationError, PrivacyError, UndeclaredProcessing
from .gate import Actor, ActorLoader, Door, FlaskGate, House, Job, Processing, check_declaration, declare, exempt, guard
from .gate.actor import NO_ACTOR_LOADER, nobody
from .gate.conditions import nobody_pays
from .gate.desk import check_agents
from .gate.granting import Grants, Notifier
from .models import (
    Graph,
    KeyStore,
    build_graph,
    current_opener,
    define_tables,
    records,
)
from .models.engines import check_engines
from .models.tables import missing_tables
from .policy import Action, Decisions, Policy, load_policy
from .reports import Usage, parse_usage
from .rights import Background, Consents, Rights
from .settings import Settings, parse_settings
from .vault import ROOT, KeyCache, KeyProvider, KeyServices, key_provider
from .vault.keyfile import KeyFileAtFirstUse
from .web import add_consents, add_grants, rights_blueprint

View = TypeVar("View", bound=Callable[..., Any])
NAME = "lgprivacy"
MOST_ROUNDS = 30
"""How often the background looks again, a second apart, at requests that others keep from being carried out."""
_JOB = re.compile(r"^[A-Za-z0-9 .:_-]{1,80}$")


@dataclass(frozen=True, slots=True)
class State:
    """What one application has of this extension."""

    settings: Settings
    policy: Policy
    house: House
    gate: FlaskGate
    rights: Rights
    consents: Consents
    grants: Grants
    usage: Usage
    background: Background
    stores: dict[str, Store]
    storage: ClientStorage
    recipients: dict[str, Endpoint]
    database: SQLAlchemy
    uses_key_file: bool
    has_actor_loader: Callable[[], bool]


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
        trail: Trail | None = None,
        notify: Notifier | None = None,
        utcnow: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._notify = notify
        self._pays_directly: Callable[[str], Any] = nobody_pays
        self._key_provider = key_provider
        self._trail = trail
        self._utcnow = utcnow
        self._load_actor: ActorLoader = nobody
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up an application; call it after `db.init_app(app)`. Raises `ConfigurationError` naming what to mend."""
        if NAME in app.extensions:
            raise ConfigurationError("LGPrivacy is already set up on this application; call init_app once")
        database = app.extensions.get("sqlalchemy")
        if not isinstance(database, SQLAlchemy):
            raise ConfigurationError(
                "LGPrivacy needs Flask-SQLAlchemy; call db.init_app(app) before privacy.init_app(app)"
            )
        settings = parse_settings(app.config, instance=Path(app.instance_path))
        with app.app_context():
            engines = dict(database.engines)
        check_engines(engines, settings.keys_bind)
        policy = load_policy(settings.policy)
        services = {name: key_provider(name, given) for name, given in settings.key_services.items()}
        uses_key_file = self._key_provider is None and ROOT not in services
        if uses_key_file or self._key_provider is not None:
            services[ROOT] = self._key_provider or KeyFileAtFirstUse(settings.key_file)
        stores = parse_stores(settings.stores, needed_stores(engines, services), policy)
        tables = define_tables(database.metadata, database.metadatas[settings.keys_bind])
        keys_engine = engines.get(settings.keys_bind)
        keys = KeyStore(
            tables,
            KeyServices(services),
            engine=(lambda: keys_engine) if settings.keys_bind is not None and keys_engine is not None else None,
            cache_size=settings.key_cache_size,
            cache_seconds=settings.key_cache_seconds,
            randomness=os.urandom,
            utcnow=self._utcnow,
        )
        mappers = partial(_mappers, database)
        house = House(
            policy=policy,
            decisions=Decisions(policy),
            keys=keys,
            trail=self._trail or FileTrail(settings.trail_directory, now=lambda: self._utcnow().isoformat()),
            tables=tables,
            session=lambda: _session(database),
            engine=engines[None],
            utcnow=self._utcnow,
            build_graph=lambda: _checked_graph(mappers(), policy, stores, settings.keys_bind),
            actor_names=KeyCache(size=10_000, seconds=60, clock=time.monotonic),
            load_actor=self._who,
        )
        consents = Consents(house)
        house.has_consent = consents.covers
        house.pays_directly = self._is_direct_payer
        house.agents = settings.agents
        check_agents(settings.agents, policy)
        storage = ClientStorage(house)
        house.is_on_device = storage.is_on_device
        house.adoption = parse_adoption(settings.adoption, self._utcnow().date())
        house.before_serving = partial(_before_serving, app, house)
        usage = Usage(house, parse_usage(settings.usage, policy))
        house.settle = usage.store
        if any(True for _ in mappers()):
            _ = house.graph
            house.models_changed()
        gate = FlaskGate(app, house, settings.exempt, longest_body=settings.longest_body)
        background = Background(partial(_do_open_work, app))
        app.extensions[NAME] = State(
            settings=settings,
            policy=policy,
            house=house,
            gate=gate,
            rights=Rights(house),
            consents=consents,
            grants=Grants(house, self._notify),
            usage=usage,
            background=background,
            stores=stores,
            storage=storage,
            recipients=endpoints(policy, settings.recipients),
            database=database,
            uses_key_file=uses_key_file,
            has_actor_loader=lambda: self._load_actor is not nobody,
        )
        blueprint = rights_blueprint(
            policy, lambda: _state().rights, go_on=background.start, url_prefix=settings.url_prefix
        )
        add_consents(blueprint, house, lambda: _state().consents)
        add_grants(blueprint, policy, lambda: _state().grants, self._utcnow)
        app.register_blueprint(blueprint)
        app.cli.add_command(privacy_commands)
        app.wsgi_app = Door(app.wsgi_app, house)  # type: ignore[method-assign]

    def _is_direct_payer(self, client: str) -> Any:
        return self._pays_directly(client)

    def _who(self) -> Actor | None:
        return self._load_actor()

    def initialise(self) -> list[str]:
        """Make the key file, the tables and the trail directory where they are missing, as `flask privacy init` does.

        Returns what was done, in words. Runs in an application context.
        """
        return list(initialise(_state()))

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
            categories, roles=roles, purpose=purpose, actions=actions, withhold=withhold, accepts=accepts
        )

        def decorate(view: View) -> View:
            return guard(view, declaration)

        return decorate

    def exempt(self, reason: str) -> Callable[[View], View]:
        """Declare that a view processes no personal data, and why; stands below the route."""
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigurationError("exempt() needs the reason why the view processes no personal data")

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
        house = _state().house
        declaration = declare(categories, roles={actor.role}, purpose=purpose, actions=actions)
        check_declaration(declaration, house.decisions, f"processing {why!r}")
        return Job(house, declaration, actor, why)

    def disclose(self, recipient: str, *, purpose: str, subject: Any) -> Disclosure:
        """The only supported way out: `with privacy.disclose("mailchimp", purpose=…, subject=contact) as out`.

        Parameters: `recipient` and `purpose` of the policy document; `subject` is a row of the person concerned. Raises
        `DisclosureRefused` before any connection.
        """
        state = _state()
        return Disclosure(state.house, state.recipients, recipient, purpose=purpose, subject=subject)

    def records(self, model: type, *criteria: ColumnElement[bool]) -> Iterator[dict[str, Any]]:
        """Rows of a labelled model as dictionaries, in batches, without entities; the quickest way to read many."""
        return records(_state().database.session(), model, *criteria)

    @property
    def accepted(self) -> Any:
        """What the schema of `accepts=` made of the body of the current request."""
        opener = current_opener.get()
        if not isinstance(opener, Processing) or opener.accepted is None:
            raise UndeclaredProcessing("this endpoint accepts nothing; declare it with accepts=")
        return opener.accepted

    @property
    def rights(self) -> Rights:
        """The rights of data subjects in the current application."""
        return _state().rights

    @property
    def consents(self) -> Consents:
        """The consents recorded in the current application."""
        return _state().consents

    @property
    def grants(self) -> Grants:
        """The grants to guests and support agents in the current application."""
        return _state().grants

    @property
    def usage(self) -> Usage:
        """The usage statistics of the current application."""
        return _state().usage

    @property
    def ingest(self) -> Ingest:
        """The inbox of records that devices sealed for a client and cannot open."""
        return Ingest(_state().house)

    @property
    def storage(self) -> ClientStorage:
        """Where each client's profiles are kept: in its cloud space or on its devices."""
        return _state().storage

    @property
    def policy(self) -> Policy:
        """The policy document of the current application."""
        return _state().policy


def _state() -> State:
    state = current_app.extensions.get(NAME)
    if not isinstance(state, State):
        raise ConfigurationError("LGPrivacy is not set up on this application; call privacy.init_app(app)")
    return state


def _checked_graph(
    mappers: Iterable[Mapper[Any]], policy: Policy, stores: dict[str, Store], keys_bind: str | None
) -> Graph:
    graph = build_graph(mappers, policy)
    check_regions(stores, graph, policy, keys_bind=keys_bind)
    return graph


def _before_serving(app: Flask, house: House) -> None:
    """Check models that came after `init_app`, repeat erasures that a restore undid, and tell the trail where plain text may be read.

    Where the application serves, requests that another process left in the middle are taken up in the background.
    """
    _ = house.graph
    state: State = app.extensions[NAME]
    for table in missing_tables(state.database.engines, house.tables):
        raise ConfigurationError(f"the table {table} does not exist; run 'flask privacy init', or your migrations")
    if not state.has_actor_loader():
        app.logger.warning("%s", NO_ACTOR_LOADER)
    Replay(house).before_serving()
    if has_request_context() and state.rights.has_work():
        state.background.start()
    for model in house.adoption:
        if house.adopts(model):
            days = (house.adoption[model] - house.utcnow().date()).days
            at = house.now()
            house.trail.commit(KeyOperation(at, f"adoption-window {model}", "open", None, (("days left", days),)))


def _do_open_work(app: Flask) -> None:
    """Do what open requests still need, again where others were writing; what fails is logged by its kind and stays open for
    'flask privacy requests work'."""
    with app.app_context():
        try:
            for _ in range(MOST_ROUNDS):
                for _ in _state().rights.work():
                    pass
                if not _state().rights.has_work():
                    return
                _state().database.session.remove()
                time.sleep(1)
        except (PrivacyError, SQLAlchemyError) as fault:
            app.logger.error("open requests stay open: %s; run 'flask privacy requests work'", type(fault).__name__)  # noqa: TRY400  a traceback could hold values


def _mappers(database: SQLAlchemy) -> Iterable[Mapper[Any]]:
    registry: registry_type = database.Model.registry  # type: ignore[attr-defined]
    return registry.mappers


def _session(database: SQLAlchemy) -> Session:
    if not has_app_context():
        raise UndeclaredProcessing(
            "personal data was read after its request had ended; wrap the generator in flask.stream_with_context"
        )
    return database.session()
