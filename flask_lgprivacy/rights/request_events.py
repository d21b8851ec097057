"""Each state of a request goes into the trail."""

from __future__ import annotations

from ..gate.audit_recorder import acting_pseudonym
from ..gate.runtime import Runtime
from .requests import RightsRequest


def record_state(runtime: Runtime, request: RightsRequest, state: str, clause: str | None) -> None:
    """Record that a request reached a state without anybody acting, as background work does."""
    _record(runtime, request, state, clause)


def record_state_by_actor(
    runtime: Runtime, request: RightsRequest, state: str, clause: str | None
) -> None:
    """Record that the current actor brought a request to a state."""
    _record(runtime, request, state, clause, actor=acting_pseudonym())


def record_erasing(runtime: Runtime, request: RightsRequest, pseudonym: str) -> None:
    """Record whom an erasure is about, by a pseudonym and without the request's id, so that a
    replay can repeat it.
    """
    runtime.audit.rights_request(
        request=None,
        right=request.right,
        state="erasing",
        subject_kind=request.subject[0],
        pseudonym=pseudonym,
        actor=None,
        role=request.requester_role,
        client=request.client,
        clause=request.clause,
    )


def _record(
    runtime: Runtime,
    request: RightsRequest,
    state: str,
    clause: str | None,
    *,
    actor: str | None = None,
) -> None:
    runtime.audit.rights_request(
        request=request.id,
        right=request.right,
        state=state,
        subject_kind=request.subject[0],
        pseudonym=None,
        actor=actor,
        role=request.requester_role,
        client=request.client,
        clause=clause,
    )
