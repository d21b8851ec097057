"""Every endpoint of an application with what it declares."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from flask import Flask
from flask.views import MethodView

from ..gate.declaration import Exemption
from ..policy.engine import PolicyEngine
from .decorators import DECLARATION_ATTRIBUTE, Stated, guard_by_name, is_declared_by_name
from .named_declarations import NamedDeclarations


@dataclass(frozen=True, slots=True)
class EndpointEntry:
    """What one endpoint states for one method; `stated` is None where it states nothing."""

    endpoint: str
    method: str
    rule: str
    stated: Stated | None


class RegisteredView(NamedTuple):
    """A registered view; `call` is what the gate may call itself once it entered what the view
    states.
    """

    view: Any
    stated: Stated | None
    call: Callable[..., Any] | None


ViewCaller = Callable[[Any, "Stated | None"], "Callable[..., Any] | None"]
"""Returns what the gate calls once it entered what a view states; None where only the application
can call the view.
"""


def call_by_gate(view: Any, declared: Stated | None) -> Callable[..., Any] | None:
    """The view itself, without the guard around it; None for a coroutine function."""
    if view is None or inspect.iscoroutinefunction(view):
        return None
    is_guard = getattr(view, "__lgprivacy_guard__", None) is view and type(declared) is tuple
    return cast("Callable[..., Any]", getattr(view, "__lgprivacy_view__") if is_guard else view)  # noqa: B009


def call_by_application(_view: Any, _declared: Stated | None) -> None:
    """None: somebody wrapped how the application calls its views."""


EXTENSION_NAME = "lgprivacy.endpoints"
"""Where an application keeps its registry."""


def endpoints_of(app: Flask) -> EndpointRegistry:
    """The registry of an application that is set up."""
    registry: EndpointRegistry = app.extensions[EXTENSION_NAME]
    return registry


class EndpointRegistry:
    """Every endpoint of an application with what it states, looked up on the view that is really
    registered.
    """

    def __init__(
        self,
        app: Flask,
        exemptions: Mapping[str, str],
        named: NamedDeclarations,
        view_caller: ViewCaller,
    ) -> None:
        self._app = app
        self._named = named
        self._view_caller = view_caller
        self._exemptions = {endpoint: Exemption(reason) for endpoint, reason in exemptions.items()}
        self._known: dict[tuple[str, str], RegisteredView] = {}

    def registered(self, endpoint: str, method: str) -> RegisteredView:
        """The view that stands behind an endpoint now, with what it states for a method."""
        view = self._app.view_functions.get(endpoint)
        registered_view = self._known.get((endpoint, method))
        if registered_view is None or registered_view.view is not view:
            declared = self._look_up(endpoint, method, view)
            if declared is None and view is not None and not _states_itself(view):
                view, declared = self._guard_by_name(endpoint, view)
            registered_view = self._known[endpoint, method] = RegisteredView(
                view, declared, self._view_caller(view, declared)
            )
        return registered_view

    def stated(self, endpoint: str, method: str) -> Stated | None:
        """What an endpoint states for a method, or None."""
        return self.registered(endpoint, method).stated

    def _look_up(self, endpoint: str, method: str, view: Any) -> Stated | None:
        exemption = self._exemptions.get(endpoint)
        declared = getattr(view, DECLARATION_ATTRIBUTE, None) or exemption
        if declared is not None or view is None:
            return cast("Stated | None", declared)
        view_class = getattr(view, "view_class", None)
        if view_class is None:
            return None
        for_all_methods = getattr(
            getattr(view_class, "dispatch_request", None), DECLARATION_ATTRIBUTE, None
        )
        if for_all_methods is not None:
            return cast("Stated", for_all_methods)
        if not issubclass(
            view_class, MethodView
        ):  # what it names like a method is not what Flask runs
            return None
        name = method.lower()
        if name == "head" and not hasattr(view_class, "head"):
            name = "get"
        if name == "options" and not hasattr(view_class, "options"):
            others = [
                getattr(getattr(view_class, other.lower(), None), DECLARATION_ATTRIBUTE, None)
                for other in view_class.methods or ()
            ]
            return next((other_stated for other_stated in others if other_stated), None)
        return getattr(getattr(view_class, name, None), DECLARATION_ATTRIBUTE, None)

    def _guard_by_name(self, endpoint: str, view: Any) -> tuple[Any, Stated | None]:
        """Guard a view that states nothing, where its endpoint or blueprint is declared by name."""
        declarations = self._named.of(endpoint)
        if not declarations:
            return view, None
        guarded = self._app.view_functions[endpoint] = guard_by_name(view, declarations)
        return guarded, getattr(guarded, DECLARATION_ATTRIBUTE)

    def remedy(self, endpoint: str) -> str:
        """What to do about an endpoint that states nothing."""
        view = self._app.view_functions.get(endpoint)
        module_value = getattr(
            sys.modules.get(getattr(view, "__module__", "")), getattr(view, "__name__", ""), None
        )
        if view is not None and getattr(module_value, "__lgprivacy_view__", None) is view:
            return (
                "its @privacy.handles(…) stands above the route, which took the bare view; "
                "move it below"
            )
        return (
            "decorate the view with @privacy.handles(…) below its route (or privacy.declare(…) it "
            "by name), or exempt it with a reason (LGPRIVACY_EXEMPT, @privacy.exempt)"
        )

    def faults(self, engine: PolicyEngine) -> Iterator[str]:
        """What is wrong with declarations by name."""
        yield from self._named.faults(self._app.view_functions, engine)
        for entry in self.entries():
            view = self._app.view_functions[entry.endpoint]
            if self._named.of_itself(entry.endpoint) and _states_itself(view):
                yield (
                    f"endpoint {entry.endpoint!r} states itself what it does for {entry.method}, "
                    "and declare(…) names it too; keep one of the two"
                )

    def entries(self) -> Iterator[EndpointEntry]:
        """Every endpoint and method, in the order of the routes; automatic HEAD and OPTIONS follow
        their view.
        """
        seen = set()
        for rule in self._app.url_map.iter_rules():
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"} or {"GET"}):
                if (rule.endpoint, method) not in seen:
                    seen.add((rule.endpoint, method))
                    yield EndpointEntry(
                        rule.endpoint, method, rule.rule, self.stated(rule.endpoint, method)
                    )


def _states_itself(view: Any) -> bool:
    """Whether a view, or any method of its class, says itself what it does."""
    view_class = getattr(view, "view_class", None)
    methods = [method.lower() for method in getattr(view_class, "methods", None) or ()]
    return (hasattr(view, DECLARATION_ATTRIBUTE) and not is_declared_by_name(view)) or any(
        hasattr(getattr(view_class, name, None), DECLARATION_ATTRIBUTE)
        for name in ("dispatch_request", *methods)
    )
