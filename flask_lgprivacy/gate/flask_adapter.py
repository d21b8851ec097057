"""The one place where the gate meets Flask: the census of endpoints, the decorator, the first hook, error answers."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

from flask import Flask, Response, current_app, has_request_context
from flask.globals import request_ctx
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from markupsafe import escape
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError
from werkzeug.exceptions import HTTPException

from ..errors import (
    AccessDenied,
    DeclarationInvalid,
    EndpointUndeclared,
    IntakeRefused,
    PrivacyError,
    RequestConflict,
    UndeclaredProcessing,
)
from ..models import current_opener
from ..models.rowstate import CHANGED
from .answers import refuse_answer_without_view, refuse_cached, refuse_response_of_another
from .declaration import Declaration, Exemption, check_declaration
from .house import House
from .intake import Intake
from .location import shows
from .processing import Processing

MARK = "__lgprivacy__"
View = TypeVar("View", bound=Callable[..., Any])
Stated = tuple[Declaration, ...] | Exemption


def guard(view: View, declaration: Declaration) -> View:
    """A view that runs only for an actor of a declared role; a second declaration adds an alternative for other roles."""
    stated = getattr(view, MARK, ())
    if isinstance(stated, Exemption):
        raise DeclarationInvalid(f"{view.__name__} is both exempt and declared; keep one of the two")
    if stated and getattr(view, "__lgprivacy_guard__", None) is not view:
        raise DeclarationInvalid(f"{view.__name__}: write @privacy.handles(…) decorators directly on one another")
    inner = view.__lgprivacy_view__ if stated else view  # type: ignore[attr-defined]
    declarations = (*stated, declaration)

    if inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            with _running(declarations):
                return await inner(*args, **kwargs)
    else:

        @functools.wraps(inner)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with _running(declarations):
                return inner(*args, **kwargs)

    setattr(guarded, MARK, declarations)
    guarded.__lgprivacy_view__ = inner  # type: ignore[attr-defined]
    guarded.__lgprivacy_guard__ = guarded  # type: ignore[attr-defined]
    return cast(View, guarded)


def exempt(view: View, reason: str) -> View:
    """Mark a view as processing no personal data; whatever is sealed or tagged stays shut in it."""
    if isinstance(getattr(view, MARK, None), tuple):
        raise DeclarationInvalid(f"{view.__name__} is both exempt and declared; keep one of the two")
    setattr(view, MARK, Exemption(reason))
    return view


@contextmanager
def _running(declarations: tuple[Declaration, ...]) -> Iterator[None]:
    """The view that the gate let in runs; one that another view calls has a processing of its own, told before the other goes on."""
    outer = _processing()
    if outer.entered is declarations:
        outer.view_ran = True
        yield
        return
    inner = outer.inner()
    token = current_opener.set(inner)
    try:
        inner.begin(declarations)
        inner.accepted = inner.take_in(inner, request_ctx.request)
        yield
    finally:
        current_opener.reset(token)
        try:
            inner.house.record(inner, None)
        finally:
            inner.end()
            outer.answer_for(inner)


def _processing() -> Processing:
    opener = current_opener.get()
    if not isinstance(opener, Processing):
        raise UndeclaredProcessing(
            "the application was called around its gate: call the Flask object, or its wsgi_app, not something captured before init_app"
        )
    return opener


@dataclass(frozen=True, slots=True)
class Entry:
    """What one endpoint states for one method; `stated` is None where it states nothing."""

    endpoint: str
    method: str
    rule: str
    stated: Stated | None


class Registered(NamedTuple):
    """A registered view; `call` is what the gate may call itself once it entered what the view states."""

    view: Any
    stated: Stated | None
    call: Callable[..., Any] | None


class Census:
    """Every endpoint of an application with what it states, looked up on the view that is really registered."""

    def __init__(self, app: Flask, exemptions: Mapping[str, str], *, calls_views: bool) -> None:
        self._app = app
        self._calls_views = calls_views
        self._exemptions = {endpoint: Exemption(reason) for endpoint, reason in exemptions.items()}
        self._known: dict[tuple[str, str], Registered] = {}

    def registered(self, endpoint: str, method: str) -> Registered:
        """The view that stands behind an endpoint now, with what it states for a method."""
        view = self._app.view_functions.get(endpoint)
        known = self._known.get((endpoint, method))
        if known is None or known.view is not view:
            stated = self._look_up(endpoint, method, view)
            known = self._known[endpoint, method] = Registered(view, stated, self._callable(view, stated))
        return known

    def _callable(self, view: Any, stated: Stated | None) -> Callable[..., Any] | None:
        """What is called once the gate entered a view's declarations; None where only the application can call it."""
        if view is None or not self._calls_views or inspect.iscoroutinefunction(view):
            return None
        is_guard = getattr(view, "__lgprivacy_guard__", None) is view and type(stated) is tuple
        return cast("Callable[..., Any]", getattr(view, "__lgprivacy_view__") if is_guard else view)  # noqa: B009

    def stated(self, endpoint: str, method: str) -> Stated | None:
        """What an endpoint states for a method, or None."""
        return self.registered(endpoint, method).stated

    def _look_up(self, endpoint: str, method: str, view: Any) -> Stated | None:
        exemption = self._exemptions.get(endpoint)
        stated = getattr(view, MARK, None) or exemption
        if stated is not None or view is None:
            return cast("Stated | None", stated)
        view_class = getattr(view, "view_class", None)
        if view_class is None:
            return None
        for_all_methods = getattr(getattr(view_class, "dispatch_request", None), MARK, None)
        if for_all_methods is not None:
            return cast("Stated", for_all_methods)
        if not issubclass(view_class, MethodView):  # what it names like a method is not what Flask runs
            return None
        name = method.lower()
        if name == "head" and not hasattr(view_class, "head"):
            name = "get"
        if name == "options" and not hasattr(view_class, "options"):
            others = [
                getattr(getattr(view_class, other.lower(), None), MARK, None) for other in view_class.methods or ()
            ]
            return next((found for found in others if found), None)
        return getattr(getattr(view_class, name, None), MARK, None)

    def remedy(self, endpoint: str) -> str:
        """What to do about an endpoint that states nothing."""
        view = self._app.view_functions.get(endpoint)
        named = getattr(sys.modules.get(getattr(view, "__module__", "")), getattr(view, "__name__", ""), None)
        if view is not None and getattr(named, "__lgprivacy_view__", None) is view:
            return "its @privacy.handles(…) stands above the route, which took the bare view; move it below"
        return "decorate the view with @privacy.handles(…) below its route, or exempt it with a reason (LGPRIVACY_EXEMPT, @privacy.exempt)"

    def entries(self) -> Iterator[Entry]:
        """Every endpoint and method, in the order of the routes; automatic HEAD and OPTIONS follow their view."""
        seen = set()
        for rule in self._app.url_map.iter_rules():
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"} or {"GET"}):
                if (rule.endpoint, method) not in seen:
                    seen.add((rule.endpoint, method))
                    yield Entry(rule.endpoint, method, rule.rule, self.stated(rule.endpoint, method))


class FlaskGate:
    """The gate of one application: refuses undeclared endpoints before their view runs, and answers refusals.

    Hooks of other extensions run before it and may answer; nothing opens in them, because nothing is declared yet.
    """

    def __init__(self, app: Flask, house: House, exemptions: Mapping[str, str], *, longest_body: int) -> None:
        self.census = Census(app, exemptions, calls_views=_dispatches_as_flask_does(app))
        self._house = house
        self._intake = Intake(house, longest_body)
        self._app = app
        self._dispatch = app.dispatch_request
        app.dispatch_request = self._gated_dispatch  # type: ignore[method-assign]
        self._process = app.process_response
        app.process_response = self._processed  # type: ignore[method-assign, assignment]
        self._preprocess = app.preprocess_request
        app.preprocess_request = self._preprocessed  # type: ignore[method-assign]
        app.register_error_handler(PrivacyError, self.answer)
        self._check_at_registration(app)

    def check_endpoint(self, endpoint: str, view: Any) -> None:
        """Refuse at start-up what the policy document can never allow; raises `DeclarationInvalid`."""
        view_class = getattr(view, "view_class", None)
        handlers = [
            view,
            getattr(view_class, "dispatch_request", None),
            *(getattr(view_class, method.lower(), None) for method in getattr(view_class, "methods", None) or ()),
        ]
        for handler in handlers:
            stated = getattr(handler, MARK, None)
            for declaration in stated if isinstance(stated, tuple) else ():
                check_declaration(declaration, self._house.decisions, f"endpoint {endpoint!r}")
                if declaration.categories:
                    refuse_cached(view, endpoint)
                    refuse_cached(handler, endpoint)

    def _check_at_registration(self, app: Flask) -> None:
        for endpoint, view in app.view_functions.items():
            self.check_endpoint(endpoint, view)
        register = app.add_url_rule

        @functools.wraps(register)
        def add_url_rule(rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None:
            if view_func is not None:
                self.check_endpoint(endpoint or view_func.__name__, view_func)
            register(rule, endpoint, view_func, **options)

        app.add_url_rule = add_url_rule  # type: ignore[method-assign, assignment]

    def _gated_dispatch(self) -> ResponseReturnValue:
        """Dispatch a request, and answer refusals here: whoever takes over Flask's error handling would make other answers of them."""
        try:
            return self._dispatched()
        except PrivacyError as refusal:
            if isinstance(refusal, AccessDenied):
                _processing().note_refusal(refusal)
            return self._refused(refusal)
        except HTTPException as aborted:
            if isinstance(aborted.response, Response):  # Flask copies it before it leaves
                try:
                    refuse_response_of_another(_processing(), aborted.response)
                except PrivacyError as refusal:
                    return self._refused(refusal)
            raise
        except (StaleDataError, ObjectDeletedError) as fault:
            if self._handler_of(fault) is not None:
                raise
            return self._refused(RequestConflict(CHANGED))

    def _refused(self, refusal: PrivacyError) -> ResponseReturnValue:
        """The application's own answer to a kind of refusal, where it has one, else ours."""
        handler = self._handler_of(refusal)
        return self.answer(refusal) if handler is None else self._app.ensure_sync(handler)(refusal)

    def _handler_of(self, fault: Exception) -> Any:
        """What the application registered for a fault itself, or for its kind among ours; not for all exceptions."""
        for name in (*request_ctx.request.blueprints, None):
            for kind in type(fault).__mro__:
                handler = self._app.error_handler_spec[name][None].get(kind)
                if handler is not None and handler != self.answer:
                    return handler
                if kind in (PrivacyError, SQLAlchemyError):
                    break
        return None

    def _dispatched(self) -> ResponseReturnValue:
        """Refuse an endpoint that states nothing and an actor that it is not for, whatever wraps the view; else dispatch."""
        here = request_ctx.request
        rule = here.url_rule
        if rule is None or here.routing_exception is not None:
            return self._dispatch()
        processing = _processing()
        processing.endpoint = endpoint = rule.endpoint
        processing.method = method = here.method
        _, stated, call = self.census.registered(endpoint, method)
        if stated is None:
            remedy = self.census.remedy(endpoint)
            processing.refuse(
                EndpointUndeclared(f"endpoint {endpoint!r} declares no processing for {method}; {remedy}")
            )
        is_declared = type(stated) is tuple
        if method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
            call, is_declared = None, False
        elif is_declared:
            processing.begin(cast("tuple[Declaration, ...]", stated))
        processing.take_in = self._intake.take
        processing.accepted = self._intake.take(processing, here)
        if call is None:
            answer = self._dispatch()
        else:
            processing.view_ran = call is not self._app.view_functions[endpoint]
            answer = call(**(here.view_args or {}))
        if is_declared:
            refuse_answer_without_view(processing, answer)
        return answer

    def _preprocessed(self, *args: Any) -> ResponseReturnValue | None:
        """What a hook answers in place of a declared view is released only if it is a refusal, or sends somebody elsewhere."""
        answer = self._preprocess(*args)
        here = request_ctx.request
        if answer is None or here.url_rule is None or here.method == "OPTIONS":
            return answer
        if type(self.census.stated(here.url_rule.endpoint, here.method)) is tuple:
            processing = _processing()
            processing.endpoint, processing.method = here.url_rule.endpoint, here.method
            try:
                refuse_answer_without_view(processing, answer)
            except PrivacyError as refusal:
                return self._refused(refusal)
        return answer

    def _processed(self, *args: Any) -> Response:
        """A response as it leaves, whoever made it: a view, an error handler, a hook."""
        response = self._process(*args)
        opener = current_opener.get()
        here = request_ctx.request
        rule = here.url_rule
        stated = self.census.stated(rule.endpoint, here.method) if rule is not None else None
        if isinstance(opener, Processing) and type(stated) is tuple:
            try:
                refuse_response_of_another(opener, response)
                self._refuse_personal_url(opener, response)
            except PrivacyError as refusal:
                return self.answer(refusal)
        return response

    def _refuse_personal_url(self, processing: Processing, response: Response) -> None:
        """A URL that holds what was just opened would put it into logs and histories (ASVS 14.2.1)."""
        if not processing.opened:
            return
        if any(shows(processing.opened, location) for location in response.headers.getlist("Location")):
            clause = self._house.policy.clause_of("minimisation")
            processing.refuse(IntakeRefused("a redirect's URL holds personal data; redirect by id", clause=clause))

    def answer(self, error: PrivacyError) -> Response:
        """A refusal or fault as problem details (RFC 9457), with clause, what was missing and whom to ask."""
        policy = self._house.policy
        clause = error.clause or policy.clause_of(error.commitment)
        shown = not error.opaque or current_app.debug or current_app.testing
        if error.opaque or error.status >= 500:
            current_app.logger.error("%s: %s", error.code, error.message)
        problem: dict[str, Any] = {
            "type": f"urn:lgprivacy:{error.code}",
            "title": TITLES.get(error.status, "Internal Server Error"),
            "status": error.status,
            "code": error.code,
            "detail": error.message if shown else "the application tried something that it has not declared",
            "contact": {
                "name": policy.contact.name,
                "email": policy.contact.email,
                "phone": policy.contact.phone,
                "address": policy.contact.address,
            },
        }
        if clause is not None and clause in policy.clauses:
            problem["clause"] = clause
            problem["says"] = policy.clauses[clause].says
        missing = getattr(error, "missing", None)
        if missing:
            problem["missing"] = missing
        accepted = request_ctx.request.accept_mimetypes if has_request_context() else None
        if (
            accepted
            and accepted.best_match(["application/problem+json", "application/json", "text/html"]) == "text/html"
        ):
            response = Response(_page(problem), status=error.status, mimetype="text/html")
        else:
            content = current_app.json.dumps(problem)
            response = Response(content, status=error.status, mimetype="application/problem+json")
        response.headers["Cache-Control"] = "no-store"
        if error.status in RETRY_AFTER:
            response.headers["Retry-After"] = RETRY_AFTER[error.status]
        return response


def _dispatches_as_flask_does(app: Flask) -> bool:
    """Whether nobody overrode or wrapped how an application calls its views, so that the gate may call them itself."""
    for name in ("dispatch_request", "ensure_sync"):
        own: Any = getattr(getattr(app, name), "__func__", None)
        if own is not getattr(Flask, name) or own.__module__ != Flask.__module__ or hasattr(own, "__wrapped__"):
            return False
    return True


def _page(problem: dict[str, Any]) -> str:
    """The same for somebody who reads it in a browser."""
    contact = problem["contact"]
    clause = f"{problem['clause']}: {problem['says']}" if "clause" in problem else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>'
        "<h1>{title}</h1><p>{detail}</p><p>{clause}</p><p>{name}, {address}, {email}, {phone}</p></body></html>"
    ).format(**{name: escape(text) for name, text in {**problem, **contact, "clause": clause}.items()})


RETRY_AFTER = {429: "3600", 503: "30"}
"""After how many seconds it is worth trying again (RFC 9110, section 10.2.3)."""
TITLES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
