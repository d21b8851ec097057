"""The decorators behind `handles` and `exempt`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from ..errors import DeclarationInvalid, UndeclaredProcessing
from ..gate.context import ProcessingContext
from ..gate.declaration import Declaration, Exemption, add_declaration
from ..gate.recording import commit_processing
from ..orm.context import current_context
from .flask_internals import running_request

DECLARATION_ATTRIBUTE = "__lgprivacy__"
NAMED_ATTRIBUTE = "__lgprivacy_named__"
View = TypeVar("View", bound=Callable[..., Any])
Stated = tuple[Declaration, ...] | Exemption


def guard(view: View, *added: Declaration) -> View:
    """A view that runs only for an actor of a declared role; what is declared for a role adds
    up.
    """
    declared = getattr(view, DECLARATION_ATTRIBUTE, ())
    if isinstance(declared, Exemption):
        raise DeclarationInvalid(
            f"{view.__name__} is both exempt and declared; keep one of the two"
        )
    if declared and getattr(view, "__lgprivacy_guard__", None) is not view:
        raise DeclarationInvalid(
            f"{view.__name__}: write @privacy.handles(…) decorators directly on one another"
        )
    inner = view.__lgprivacy_view__ if declared else view  # type: ignore[attr-defined]
    declarations = declared
    try:
        for declaration in added:
            declarations = add_declaration(declarations, declaration)
    except DeclarationInvalid as error:
        raise DeclarationInvalid(f"{view.__name__}: {error.message}") from None

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

    setattr(guarded, DECLARATION_ATTRIBUTE, declarations)
    guarded.__lgprivacy_view__ = inner  # type: ignore[attr-defined]
    guarded.__lgprivacy_guard__ = guarded  # type: ignore[attr-defined]
    return cast(View, guarded)


def guard_by_name(view: View, declarations: tuple[Declaration, ...]) -> View:
    """The same for a view that another package brings, declared by the name of its endpoint."""
    guarded = guard(view, *declarations)
    setattr(guarded, NAMED_ATTRIBUTE, True)
    return guarded


def is_declared_by_name(view: Any) -> bool:
    """Whether a view was guarded by the name of its endpoint."""
    return getattr(view, NAMED_ATTRIBUTE, False) is True


def exempt(view: View, reason: str) -> View:
    """Mark a view as processing no personal data; whatever is sealed or tagged stays shut in it."""
    if isinstance(getattr(view, DECLARATION_ATTRIBUTE, None), tuple):
        raise DeclarationInvalid(
            f"{view.__name__} is both exempt and declared; keep one of the two"
        )
    setattr(view, DECLARATION_ATTRIBUTE, Exemption(reason))
    return view


@contextmanager
def _running(declarations: tuple[Declaration, ...]) -> Iterator[None]:
    """The view that the gate let in runs; one that another view calls has a processing of its own,
    told before the other goes on.
    """
    outer = current_processing()
    if outer.entered is declarations:
        outer.view_ran = True
        yield
        return
    inner = outer.inner()
    token = current_context.set(inner)
    try:
        inner.begin(declarations)
        inner.accepted = inner.take_body(inner, running_request())
        yield
    finally:
        current_context.reset(token)
        try:
            commit_processing(inner, None)
        finally:
            inner.end()
            outer.inherit_from(inner)


def current_processing() -> ProcessingContext:
    context = current_context.get()
    if not isinstance(context, ProcessingContext):
        raise UndeclaredProcessing(
            "the application was called around its gate: call the Flask object, or its wsgi_app, "
            "not something captured before init_app"
        )
    return context
