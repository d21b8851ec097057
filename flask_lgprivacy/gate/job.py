"""Processing outside a request: jobs, commands and the steps of a request, with intent before and outcome after."""

from __future__ import annotations

from ..errors import AccessDenied
from ..orm.context import current_context
from .actor import Actor
from .context import ProcessingContext
from .declaration import Declaration
from .runtime import Runtime


class Job:
    """`with` this, code runs under a declaration of its own, with the intent and the outcome in the trail."""

    def __init__(
        self, house: Runtime, declaration: Declaration, actor: Actor | None, what: str
    ) -> None:
        self._house = house
        self._declaration = declaration
        self._actor = actor
        self._processing = ProcessingContext(house, "job")
        self._processing.endpoint = what

    def __enter__(self) -> ProcessingContext:
        self._processing.enter(self._declaration, self._actor)
        self._outer = current_context.get()
        self._house.trail.commit(self._processing.event(status=None, stage="intent"))
        self._token = current_context.set(self._processing)
        return self._processing

    def __exit__(self, _kind: object, fault: BaseException | None, _traceback: object) -> None:
        current_context.reset(self._token)
        if isinstance(fault, AccessDenied):
            self._processing.note_refusal(fault)
        try:
            self._house.record(self._processing, None)
            self._house.settle()
        finally:
            self._processing.end()
        if isinstance(self._outer, ProcessingContext):
            self._outer.answer_for(self._processing)
