"""Export, delete, rectify, and the requests they open; JSON, with problem details for every
refusal.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, jsonify, request, send_file, stream_with_context, url_for

from ...errors import RequestInvalid
from ...gate.actor import Actor
from ...policy.model import Right
from ...rights.erasure import has_certificate
from ...rights.requests import PAGE, RightsRequest
from ...rights.service import RightsService
from ...state import get_state
from .common import format_id, json_object, json_response, require_actor

BODY_KEYS = frozenset({"subject", "changes"})


ASKED_FOR: Mapping[str, str] = {
    Right.EXPORT: "access to everything that is held (GDPR Art. 15)",
    Right.DELETE: "erasure (GDPR Art. 17)",
    Right.RECTIFY: "rectification (GDPR Art. 16)",
}


def submit_view(right: str) -> Callable[[], Response]:
    """The view of `POST /<right>`, which asks that a right be exercised over a subject."""

    def submit() -> Response:
        return _submit(right)

    submit.__name__ = right.replace("-", "_")
    submit.__doc__ = f"`POST /{right}`: ask for {ASKED_FOR.get(right, f'the right {right}')}."
    return submit


def _submit(right: str) -> Response:
    actor = require_actor()
    body = _body()
    kind, subject_id = _subject(body, actor)
    done = _service().submit(right, actor, kind=kind, one=subject_id, changes=body.get("changes"))
    if done.state == "in-progress":
        get_state().background.start()
    response: Response = jsonify(_shown(done))
    response.status_code = 202
    response.headers["Location"] = url_for("lgprivacy.show_request", request_id=done.id)
    return response


def list_requests() -> Response:
    """`GET /requests`: a page of the requests that the actor may see."""
    after, limit = request.args.get("after"), request.args.get("limit", str(PAGE))
    if not limit.isdecimal() or not 1 <= int(limit) <= PAGE:
        raise RequestInvalid(f"limit: a whole number from 1 to {PAGE}")
    page = _service().visible_to(require_actor(), after=after, limit=int(limit))
    response = json_response([_shown(item) for item in page])
    if len(page) == int(limit):
        following = url_for("lgprivacy.list_requests", after=page[-1].id, limit=limit)
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


def show_request(request_id: str) -> Response:
    """`GET /requests/<request_id>`: one request with its history."""
    return json_response(_shown(_service().find(require_actor(), request_id)))


def archive(request_id: str) -> Response:
    """`GET /requests/<request_id>/archive`: the archive of an export."""
    actor, service = require_actor(), _service()
    if service.find(actor, request_id).is_about_client:
        named = {"Content-Disposition": f'attachment; filename="export-{request_id}.zip"'}
        portions = stream_with_context(service.client_archive(actor, request_id))
        return Response(portions, mimetype="application/zip", headers=named)
    content = service.archive(actor, request_id)
    if content.startswith(b"{"):
        return Response(content, mimetype="application/json")
    return send_file(
        io.BytesIO(content),
        mimetype="application/zip",
        as_attachment=True,
        download_name=f"export-{request_id}.zip",
    )


def certificate(request_id: str) -> Response:
    """`GET /requests/<request_id>/certificate`: what an erasure did."""
    return json_response(_service().certificate(require_actor(), request_id))


def _service() -> RightsService:
    return get_state().rights


def _body() -> dict[str, Any]:
    body = json_object()
    unknown = sorted(set(body) - BODY_KEYS)
    if unknown:
        raise RequestInvalid(f"the body takes only {' and '.join(sorted(BODY_KEYS))}")
    if "changes" in body and not isinstance(body["changes"], dict):
        raise RequestInvalid("changes: an object of field to new value")
    return body


def _subject(body: dict[str, Any], actor: Actor) -> tuple[str, str]:
    reference = body.get("subject")
    if reference is None:
        if not actor.subjects:
            raise RequestInvalid('subject: say whom this is about, as {"kind": …, "id": …}')
        return actor.subjects[0]
    if (
        not isinstance(reference, dict)
        or set(reference) != {"kind", "id"}
        or not all(isinstance(v, str) for v in reference.values())
    ):
        raise RequestInvalid("subject: an object with kind and id, both texts")
    return reference["kind"], reference["id"]


def _shown(shown_request: RightsRequest) -> dict[str, Any]:
    links = {"self": url_for("lgprivacy.show_request", request_id=shown_request.id)}
    outcome = shown_request.outcome or {}
    has_passed_on = shown_request.state == "forwarded" and outcome.get("fields")
    if has_passed_on or (
        shown_request.right == Right.EXPORT and shown_request.state == "completed"
    ):
        links["archive"] = url_for("lgprivacy.archive", request_id=shown_request.id)
    if has_certificate(shown_request):
        links["certificate"] = url_for("lgprivacy.certificate", request_id=shown_request.id)
    return {
        "id": shown_request.id,
        "right": shown_request.right,
        "subject": {"kind": shown_request.subject[0], "id": format_id(shown_request.subject[1])},
        "state": shown_request.state,
        "clause": shown_request.clause,
        "received": shown_request.received_at.isoformat(),
        "due": shown_request.due_at.isoformat(),
        "ended": shown_request.ended_at.isoformat() if shown_request.ended_at else None,
        "history": [
            {"at": step.at.isoformat(), "state": step.state, "note": step.note}
            for step in shown_request.steps
        ],
        "links": links,
    }
