"""Processing outside a request: jobs, commands and the steps of a request."""

from __future__ import annotations

from ..errors import AccessDenied
from ..orm.context import current_context
from .actor import Actor
from .context import ProcessingContext
from .declaration import Declaration
from .recording import commit_processing
from .runtime import Runtime


class Job:
    """Code that runs under a declaration of its own, with its intent and its outcome in the trail.

    Args:
        runtime: The application's.
        declaration: What the job may do.
        actor: Who acts, or None.
        name: The job's, for the trail.
    """

    def __init__(
        self, runtime: Runtime, declaration: Declaration, actor: Actor | None, name: str
    ) -> None:
        self._runtime = runtime
        self._declaration = declaration
        self._actor = actor
        self._context = ProcessingContext(runtime, "job")
        self._context.endpoint = name

    def __enter__(self) -> ProcessingContext:
        self._context.enter(self._declaration, self._actor)
        self._outer = current_context.get()
        self._runtime.audit.commit(self._context.event(status=None, stage="intent"))
        self._token = current_context.set(self._context)
        return self._context

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        current_context.reset(self._token)
        if isinstance(error, AccessDenied):
            self._context.note_refusal(error)
        try:
            commit_processing(self._context, None)
            self._runtime.on_end()
        finally:
            self._context.end()
        if isinstance(self._outer, ProcessingContext):
            self._outer.inherit_from(self._context)
