"""`LGPrivacy`: settings parsed once, everything wired, state in `app.extensions["lgprivacy"]`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ColumnElement

from .assembly import assemble
from .audit.trail import AuditTrail
from .cli.group import privacy as privacy_commands
from .cli.setup import initialise
from .config import parse_config
from .crypto.providers.base import KeyProvider
from .crypto.providers.registry import KeyProviderKind
from .disclosure.client import DisclosureClient
from .errors import ConfigurationError, UndeclaredProcessing
from .gate.actor import Actor, ActorLoader
from .gate.context import ProcessingContext
from .gate.declaration import check_declaration, declare
from .gate.host_hooks import HostHooks
from .gate.job import Job
from .inbox import SealedInbox
from .orm.bulk_read import iter_records
from .orm.context import current_context
from .parts import load_parts
from .permissions.consents import ConsentService
from .permissions.grant_service import GrantService
from .permissions.grants import Notifier
from .permissions.workflows import GrantWorkflow
from .policy.model import Action, Policy
from .profile_location import ProfileLocation
from .rights.archive_renderers import ArchiveRenderer
from .rights.handler import RightHandler
from .rights.service import RightsService
from .state import NAME, get_state
from .stores import SubjectStore
from .usage.statistics import UsageStatistics
from .web.decorators import exempt, guard
from .web.dispatch_guard import DispatchGuard
from .web.middleware import AuditMiddleware
from .web.named_declarations import NamedDeclarations
from .web.views.blueprint import privacy_blueprint

View = TypeVar("View", bound=Callable[..., Any])
_JOB = re.compile(r"^[A-Za-z0-9 .:_-]{1,80}$")


class LGPrivacy:
    """The extension.

    What an application brings is an object, or the name of one in a module such as
    `shop.trail:TRAIL`, which `init_app` imports.

    Args:
        app: Set up at once; else call `init_app`.
        key_provider: Holds the root key; by default the local key file.
        key_provider_kinds: Kinds that LGPRIVACY_KEY_SERVICES may name, by name.
        trail: Takes events and gives them back; by default files in a directory.
        notify: Tells a client of an emergency.
        grant_workflows: Ways in which grants come about, besides those that are built in.
        rights: Handlers of rights besides export, delete and rectify.
        stores: Places outside the database, which exports and erasures reach.
        renderers: Add files to the archives of exports.
        utcnow: Returns the time in UTC.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        key_provider: KeyProvider | str | None = None,
        key_provider_kinds: Mapping[str, KeyProviderKind | str] | None = None,
        trail: AuditTrail | str | None = None,
        notify: Notifier | str | None = None,
        grant_workflows: Iterable[GrantWorkflow | str] = (),
        rights: Iterable[RightHandler | str] = (),
        stores: Iterable[SubjectStore | str] = (),
        renderers: Iterable[ArchiveRenderer | str] = (),
        utcnow: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._given: dict[str, Any] = {
            "key_provider": key_provider,
            "key_provider_kinds": dict(key_provider_kinds or {}),
            "trail": trail,
            "notify": notify,
            "grant_workflows": _kept(grant_workflows),
            "rights": _kept(rights),
            "stores": _kept(stores),
            "renderers": _kept(renderers),
            "utcnow": utcnow,
        }
        self._hooks = HostHooks()
        self._named = NamedDeclarations()
        if app is not None:
            self.init_app(app)

    def init_app(
        self,
        app: Flask,
        *,
        actor_loader: ActorLoader | None = None,
        direct_payment: Callable[[str], bool] | None = None,
    ) -> None:
        """Set up an application; call it after `db.init_app(app)`.

        Args:
            app: The application.
            actor_loader: Says who is asking, for this application only; by default what
                `LGPrivacy.actor_loader` registers.
            direct_payment: Says which clients pay directly, in the same way.

        Raises:
            ConfigurationError: Something is declared wrongly, with what to mend.
        """
        if NAME in app.extensions:
            raise ConfigurationError(
                "LGPrivacy is already set up on this application; call init_app once"
            )
        database = app.extensions.get("sqlalchemy")
        if not isinstance(database, SQLAlchemy):
            raise ConfigurationError(
                "LGPrivacy needs Flask-SQLAlchemy; call db.init_app(app) before "
                "privacy.init_app(app)"
            )
        hooks = HostHooks(self._hooks)
        hooks.actor_loader, hooks.direct_payment = actor_loader, direct_payment
        parts = load_parts(**self._given)
        config = parse_config(app.config, instance=Path(app.instance_path), parts=parts)
        state = assemble(app, database, config, hooks, parts)
        app.extensions[NAME] = state
        DispatchGuard(
            app, state.runtime, config.exempt, self._named, longest_body=config.longest_body
        )
        app.register_blueprint(
            privacy_blueprint(state.policy, state.rights.names, config.url_prefix)
        )
        app.cli.add_command(privacy_commands)
        app.wsgi_app = AuditMiddleware(app.wsgi_app, state.runtime)  # type: ignore[method-assign]

    def initialise(self) -> list[str]:
        """Make the key file, the tables and the trail directory where they are missing, as `flask
        privacy init` does.

        Returns what was done, in words. Runs in an application context.
        """
        return list(initialise(get_state()))

    # --- what a developer writes ---

    def actor_loader(self, load: ActorLoader) -> ActorLoader:
        """Register the function that says who is asking, or None for nobody."""
        self._hooks.actor_loader = load
        return load

    def direct_payment(self, pays_directly: Callable[[str], bool]) -> Callable[[str], bool]:
        """Register the function that says whether a client, by its id, pays directly under the
        contract (LG-04).
        """
        self._hooks.direct_payment = pays_directly
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

        What several of them on one view declare for a role adds up: it may read one category and
        write another.

        Args:
            categories: Of the policy document; none for a view that opens nothing.
            roles: Those that may call it.
            purpose: Of the policy document.
            actions: Among read, write, erase and disclose.
            withhold: Those of the categories that a `LabelledSchema` leaves out where the actor may
                not read them.
            accepts: The schema of the body (see `schema_of`), whose result is `accepted`.

        Raises:
            DeclarationInvalid: Something is empty, or not a name of the kind that is expected.
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

    def declare(
        self,
        endpoint: str,
        *categories: str,
        roles: Iterable[str],
        purpose: str,
        actions: Iterable[str] = (Action.READ,),
        withhold: Iterable[str] = (),
        accepts: Any = None,
    ) -> None:
        """Declare what a view processes that takes no decorator, because another package brings it.

        It may be called several times for one endpoint, before the first request.

        Args:
            endpoint: Its name, such as `admin.index`; `admin.*` for every endpoint of a blueprint
                that states nothing itself.
            categories: As for `handles`, like all that follows.
            roles: Those that may call it.
            purpose: Of the policy document.
            actions: Among read, write, erase and disclose.
            withhold: Those of the categories that may be left out.
            accepts: The schema of the body.

        Raises:
            DeclarationInvalid: Something is empty, or not a name of the kind that is expected.
        """
        declaration = declare(
            categories,
            roles=roles,
            purpose=purpose,
            actions=actions,
            withhold=withhold,
            accepts=accepts,
        )
        self._named.add(endpoint, declaration)

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
        job: str,
        actions: Iterable[str] = (Action.READ,),
    ) -> Job:
        """Process outside a request: `with privacy.processing("student.profile", …, job="export")`.

        Args:
            categories: As for `handles`.
            actor: Who acts.
            purpose: As for `handles`.
            job: Names the job in the trail: letters, digits, `.:_-` and spaces.
            actions: As for `handles`.

        Raises:
            DeclarationInvalid: The policy document can never allow it.
        """
        if not _JOB.match(job):
            raise ConfigurationError(
                "job= names the job in the trail: letters, digits, spaces and . : _ - only, 80 at "
                "most"
            )
        if not isinstance(actor, Actor):
            raise ConfigurationError(
                "actor= takes an Actor, who acts: for a command Actor('import', role='job')"
            )
        runtime = get_state().runtime
        declaration = declare(categories, roles={actor.role}, purpose=purpose, actions=actions)
        check_declaration(declaration, runtime.engine, f"processing {job!r}")
        return Job(runtime, declaration, actor, job)

    def disclose(self, recipient: str, *, purpose: str, subject: Any) -> DisclosureClient:
        """The only supported way out: `with privacy.disclose("mailchimp", …) as out`.

        Args:
            recipient: Of the policy document.
            purpose: Of the policy document.
            subject: A row of the person concerned.

        Raises:
            DisclosureRefused: Before any connection.
        """
        state = get_state()
        return DisclosureClient(
            state.runtime, state.config.recipients, recipient, purpose=purpose, subject=subject
        )

    def records(self, model: type, *criteria: ColumnElement[bool]) -> Iterator[dict[str, Any]]:
        """Rows of a labelled model as dictionaries, in batches, without entities; the quickest way
        to read many.
        """
        return iter_records(get_state().database.session(), model, *criteria)

    @property
    def accepted(self) -> Any:
        """What the schema of `accepts=` made of the body of the current request."""
        context = current_context.get()
        if not isinstance(context, ProcessingContext) or context.accepted is None:
            raise UndeclaredProcessing("this endpoint accepts nothing; declare it with accepts=")
        return context.accepted

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
        return SealedInbox(get_state().runtime)

    @property
    def storage(self) -> ProfileLocation:
        """Where each client's profiles are kept: in its cloud space or on its devices."""
        return get_state().storage

    @property
    def policy(self) -> Policy:
        """The policy document of the current application."""
        return get_state().policy


def _kept(parts: Iterable[Any]) -> Iterable[Any]:
    """Parts that each application is given again; a text is refused by `load_parts`."""
    return parts if isinstance(parts, str) else tuple(parts)
