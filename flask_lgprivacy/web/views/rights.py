"""Export, delete, rectify, and the requests they open; JSON, with problem details for every
refusal.
"""

from __future__ import annotations

import io
from typing import Any

from flask import Response, jsonify, request, send_file, url_for

from ...errors import RequestInvalid
from ...gate.actor import Actor
from ...policy.model import Right
from ...rights.requests import PAGE, RightsRequest
from ...rights.service import RightsService, has_certificate
from ...state import get_state
from .common import format_id, json_object, json_response, require_actor

BODY_KEYS = frozenset({"subject", "changes"})


def export() -> Response:
    """`POST /export`: ask for access (GDPR Art. 15)."""
    return _submit(Right.EXPORT)


def delete() -> Response:
    """`POST /delete`: ask for erasure (GDPR Art. 17)."""
    return _submit(Right.DELETE)


def rectify() -> Response:
    """`POST /rectify`: ask for rectification (GDPR Art. 16)."""
    return _submit(Right.RECTIFY)


def _submit(right: Right) -> Response:
    actor = require_actor()
    body = _body()
    kind, one = _subject(body, actor)
    done = _service().submit(right, actor, kind=kind, one=one, changes=body.get("changes"))
    if done.state == "in-progress":
        get_state().background.start()
    response: Response = jsonify(_shown(done))
    response.status_code = 202
    response.headers["Location"] = url_for("lgprivacy.show_request", number=done.id)
    return response


def list_requests() -> Response:
    """`GET /requests`: a page of the requests that the actor may see."""
    after, limit = request.args.get("after"), request.args.get("limit", str(PAGE))
    if not limit.isdecimal() or not 1 <= int(limit) <= PAGE:
        raise RequestInvalid(f"limit: a whole number from 1 to {PAGE}")
    page = _service().visible_to(require_actor(), after=after, limit=int(limit))
    response = json_response([_shown(found) for found in page])
    if len(page) == int(limit):
        following = url_for("lgprivacy.list_requests", after=page[-1].id, limit=limit)
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


def show_request(number: str) -> Response:
    """`GET /requests/<number>`: one request with its history."""
    return json_response(_shown(_service().find(require_actor(), number)))


def archive(number: str) -> Response:
    """`GET /requests/<number>/archive`: the archive of an export."""
    content = _service().archive(require_actor(), number)
    if content.startswith(b"{"):
        return Response(content, mimetype="application/json")
    return send_file(
        io.BytesIO(content),
        mimetype="application/zip",
        as_attachment=True,
        download_name=f"export-{number}.zip",
    )


def certificate(number: str) -> Response:
    """`GET /requests/<number>/certificate`: what an erasure did."""
    return json_response(_service().certificate(require_actor(), number))


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
    stated = body.get("subject")
    if stated is None:
        if not actor.subjects:
            raise RequestInvalid('subject: say whom this is about, as {"kind": …, "id": …}')
        return actor.subjects[0]
    if (
        not isinstance(stated, dict)
        or set(stated) != {"kind", "id"}
        or not all(isinstance(v, str) for v in stated.values())
    ):
        raise RequestInvalid("subject: an object with kind and id, both texts")
    return stated["kind"], stated["id"]


def _shown(found: RightsRequest) -> dict[str, Any]:
    links = {"self": url_for("lgprivacy.show_request", number=found.id)}
    asked = found.right is Right.RECTIFY and found.state == "forwarded"
    if asked or (found.right is Right.EXPORT and found.state == "completed"):
        links["archive"] = url_for("lgprivacy.archive", number=found.id)
    if has_certificate(found):
        links["certificate"] = url_for("lgprivacy.certificate", number=found.id)
    return {
        "id": found.id,
        "right": found.right.value,
        "subject": {"kind": found.subject[0], "id": format_id(found.subject[1])},
        "state": found.state,
        "clause": found.clause,
        "received": found.received_at.isoformat(),
        "due": found.due_at.isoformat(),
        "ended": found.ended_at.isoformat() if found.ended_at else None,
        "history": [
            {"at": step.at.isoformat(), "state": step.state, "note": step.note}
            for step in found.steps
        ],
        "links": links,
    }
