"""Where a request meets the gate: an endpoint without a declaration is refused before its view
runs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, cast

from flask import Flask, Request, Response
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError
from werkzeug.exceptions import HTTPException

from ..errors import AccessDenied, EndpointUndeclared, IntakeRefused, PrivacyError, RequestConflict
from ..gate.context import ProcessingContext
from ..gate.declaration import Declaration, check_declaration
from ..gate.runtime import Runtime
from ..orm.context import current_context
from ..orm.row_state import CHANGED
from ..screening.request import RequestScreening
from .decorators import DECLARATION_ATTRIBUTE, current_processing
from .endpoints import EXTENSION_NAME, EndpointRegistry, call_by_application, call_by_gate
from .flask_internals import answers_options, is_flasks_own, running_request
from .named_declarations import NamedDeclarations
from .problems import problem_response
from .redirects import reveals_opened_value
from .response_ownership import (
    refuse_answer_without_view,
    refuse_cached,
    refuse_response_of_another,
)


class DispatchGuard:
    """The gate of one application: refuses undeclared endpoints before their view runs, and answers
    refusals.

    Hooks of other extensions run before it and may answer; nothing opens in them, because nothing
    is declared yet.
    """

    def __init__(
        self,
        app: Flask,
        runtime: Runtime,
        exemptions: Mapping[str, str],
        named: NamedDeclarations,
        *,
        longest_body: int,
    ) -> None:
        caller = call_by_gate if _dispatches_as_flask_does(app) else call_by_application
        self.endpoints = EndpointRegistry(app, exemptions, named, caller)
        app.extensions[EXTENSION_NAME] = self.endpoints
        self._runtime = runtime
        self._screening = RequestScreening(
            runtime.policy, lambda: runtime.models.graph, longest_body
        )
        self._app = app
        self._dispatch = app.dispatch_request
        app.dispatch_request = self._gated_dispatch  # type: ignore[method-assign]
        self._process = app.process_response
        app.process_response = self._processed  # type: ignore[method-assign, assignment]
        self._preprocess = app.preprocess_request
        app.preprocess_request = self._preprocessed  # type: ignore[method-assign]
        app.register_error_handler(PrivacyError, self._problem)
        self._check_at_registration(app)

    def check_endpoint(self, endpoint: str, view: Any) -> None:
        """Refuse at start-up what the policy document can never allow; raises
        `DeclarationInvalid`.
        """
        view_class = getattr(view, "view_class", None)
        handlers = [
            view,
            getattr(view_class, "dispatch_request", None),
            *(
                getattr(view_class, method.lower(), None)
                for method in getattr(view_class, "methods", None) or ()
            ),
        ]
        for handler in handlers:
            declared = getattr(handler, DECLARATION_ATTRIBUTE, None)
            for declaration in declared if isinstance(declared, tuple) else ():
                check_declaration(declaration, self._runtime.engine, f"endpoint {endpoint!r}")
                if declaration.categories:
                    refuse_cached(view, endpoint)
                    refuse_cached(handler, endpoint)

    def _check_at_registration(self, app: Flask) -> None:
        for endpoint, view in app.view_functions.items():
            self.check_endpoint(endpoint, view)
        register = app.add_url_rule

        @functools.wraps(register)
        def add_url_rule(
            rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any
        ) -> None:
            if view_func is not None:
                self.check_endpoint(endpoint or view_func.__name__, view_func)
            register(rule, endpoint, view_func, **options)

        app.add_url_rule = add_url_rule  # type: ignore[method-assign, assignment]

    def _gated_dispatch(self) -> ResponseReturnValue:
        """Dispatch a request, and answer refusals here: whoever takes over Flask's error handling
        would make other answers of them.
        """
        try:
            return self._dispatched()
        except PrivacyError as refusal:
            if isinstance(refusal, AccessDenied):
                current_processing().note_refusal(refusal)
            return self._refused(refusal)
        except HTTPException as aborted:
            if isinstance(aborted.response, Response):  # Flask copies it before it leaves
                try:
                    refuse_response_of_another(current_processing(), aborted.response)
                except PrivacyError as refusal:
                    return self._refused(refusal)
            raise
        except (StaleDataError, ObjectDeletedError) as error:
            if self._handler_of(error) is not None:
                raise
            return self._refused(RequestConflict(CHANGED))

    def _refused(self, refusal: PrivacyError) -> ResponseReturnValue:
        """The application's own answer to a kind of refusal, where it has one, else ours."""
        handler = self._handler_of(refusal)
        return (
            self._problem(refusal) if handler is None else self._app.ensure_sync(handler)(refusal)
        )

    def _handler_of(self, error: Exception) -> Any:
        """What the application registered for a fault itself, or for its kind among ours; not for
        all exceptions.
        """
        for name in (*running_request().blueprints, None):
            for kind in type(error).__mro__:
                handler = self._app.error_handler_spec[name][None].get(kind)
                if handler is not None and handler != self._problem:
                    return handler
                if kind in (PrivacyError, SQLAlchemyError):
                    break
        return None

    def _problem(self, error: PrivacyError) -> Response:
        return problem_response(self._runtime.policy, error)

    def _dispatched(self) -> ResponseReturnValue:
        """Refuse an endpoint that states nothing and an actor that it is not for, whatever wraps
        the view; else dispatch.
        """
        request = running_request()
        rule = request.url_rule
        if rule is None or request.routing_exception is not None:
            return self._dispatch()
        processing = current_processing()
        processing.endpoint = endpoint = rule.endpoint
        processing.method = method = request.method
        _, declared, call = self.endpoints.registered(endpoint, method)
        if declared is None:
            remedy = self.endpoints.remedy(endpoint)
            processing.refuse(
                EndpointUndeclared(
                    f"endpoint {endpoint!r} declares no processing for {method}; {remedy}"
                )
            )
        is_declared = type(declared) is tuple
        if method == "OPTIONS" and answers_options(rule):
            call, is_declared = None, False
        elif is_declared:
            processing.begin(cast("tuple[Declaration, ...]", declared))
        processing.take_body = self._take_body
        processing.accepted = self._take_body(processing, request)
        if call is None:
            answer = self._dispatch()
        else:
            processing.view_ran = call is not self._app.view_functions[endpoint]
            answer = call(**(request.view_args or {}))
        if is_declared:
            refuse_answer_without_view(processing, answer)
        return answer

    def _take_body(self, processing: ProcessingContext, request: Request) -> Any:
        """Screen what a request sends; returns what the declared schema made of its body."""
        try:
            return self._screening.take(request, processing.declaration)
        except PrivacyError as refusal:
            processing.refuse(refusal)

    def _preprocessed(self, *args: Any) -> ResponseReturnValue | None:
        """What a hook answers in place of a declared view is released only if it is a refusal, or
        sends somebody elsewhere.
        """
        answer = self._preprocess(*args)
        request = running_request()
        if answer is None or request.url_rule is None or request.method == "OPTIONS":
            return answer
        if type(self.endpoints.stated(request.url_rule.endpoint, request.method)) is tuple:
            processing = current_processing()
            processing.endpoint, processing.method = request.url_rule.endpoint, request.method
            try:
                refuse_answer_without_view(processing, answer)
            except PrivacyError as refusal:
                return self._refused(refusal)
        return answer

    def _processed(self, *args: Any) -> Response:
        """A response as it leaves, whoever made it: a view, an error handler, a hook."""
        response = self._process(*args)
        context = current_context.get()
        request = running_request()
        rule = request.url_rule
        declared = (
            self.endpoints.stated(rule.endpoint, request.method) if rule is not None else None
        )
        if isinstance(context, ProcessingContext) and type(declared) is tuple:
            try:
                refuse_response_of_another(context, response)
                self._refuse_personal_url(context, response)
            except PrivacyError as refusal:
                return self._problem(refusal)
        return response

    def _refuse_personal_url(self, processing: ProcessingContext, response: Response) -> None:
        """A URL that holds what was just opened would put it into logs and histories (ASVS
        14.2.1).
        """
        if not processing.opened_values:
            return
        if any(
            reveals_opened_value(processing.opened_values, location)
            for location in response.headers.getlist("Location")
        ):
            clause = self._runtime.policy.clause_of("minimisation")
            processing.refuse(
                IntakeRefused("a redirect's URL holds personal data; redirect by id", clause=clause)
            )


def _dispatches_as_flask_does(app: Flask) -> bool:
    """Whether nobody overrode or wrapped how an application calls its views, so that the gate may
    call them itself.
    """
    return all(is_flasks_own(app, name) for name in ("dispatch_request", "ensure_sync"))
