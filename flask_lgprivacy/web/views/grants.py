"""Grants and requests for assistance: given, listed and revoked by the client (LG-20 to LG-22)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flask import Response, jsonify, url_for
from marshmallow import fields, validate

from ...errors import RequestInvalid
from ...permissions.grant_service import GrantService
from ...permissions.grants import AssistanceRequest, Grant, GrantScope, GrantUse
from ...permissions.workflows import GrantProposal
from ...state import get_state
from .common import BodySchema, format_id, json_object, json_response, load_json, require_actor

_SAID = (
    "categories",
    "purpose",
    "until",
    "hours",
    "assistance",
    "client",
    "ground",
    "case",
)


class _Name(BodySchema):
    kind = fields.Str(required=True)
    id = fields.Str(required=True, validate=validate.Length(min=1, max=64))


class _Scoped(BodySchema):
    categories = fields.List(fields.Str(), validate=validate.Length(min=1))
    everybody = fields.Bool(data_key="all", load_default=False)
    subjects = fields.List(fields.Nested(_Name), load_default=list)
    groups = fields.List(fields.Str(), load_default=list)
    hours = fields.Int(strict=True)


class _AssistanceBody(_Scoped):
    agent = fields.Nested(_Name)
    reference = fields.Str()


class _GrantBody(_Scoped):
    kind = fields.Str(required=True)
    to = fields.Nested(_Name, required=True)
    purpose = fields.Str()
    until = fields.AwareDateTime(format="iso")
    assistance = fields.Str()
    client = fields.Str()
    ground = fields.Str()
    case = fields.Str()


def list_grants() -> Response:
    """`GET /grants`: the grants that the actor may see, with their uses."""
    grants = _service().visible_to(require_actor())
    uses = _service().uses_of(grants)
    return json_response([_shown(grant, _now(), uses[grant.id]) for grant in grants])


def give_grant() -> Response:
    """`POST /grants`: let somebody in."""
    return _created(_given(load_json(_GrantBody())), _now())


def revoke_grant(grant_id: str) -> Response:
    """`DELETE /grants/<grant_id>`: end a grant."""
    return json_response(_shown(_service().revoke(by=require_actor(), grant=grant_id), _now(), []))


def list_assistance() -> Response:
    """`GET /assistance`: requests for assistance."""
    return json_response(
        [_shown_request(request) for request in _service().assistance_visible_to(require_actor())]
    )


def open_assistance() -> Response:
    """`POST /assistance`: ask for assistance."""
    payload = load_json(_AssistanceBody())
    opened = _service().open_assistance(
        by=require_actor(),
        categories=_needed(payload, "categories"),
        scope=_scope(payload),
        hours=_needed(payload, "hours"),
        agent=_pair(payload.get("agent")),
        reference=payload.get("reference"),
    )
    response: Response = jsonify(_shown_request(opened))
    response.status_code = 201
    return response


def ask(assistance_id: str) -> Response:
    """`POST /assistance/<assistance_id>/ask`: an agent asks to be let in."""
    json_object()
    return _created(_service().ask(by=require_actor(), assistance=assistance_id), _now())


def close_assistance(assistance_id: str) -> Response:
    """`DELETE /assistance/<assistance_id>`: close a request for assistance."""
    return json_response(
        _shown_request(_service().close(by=require_actor(), assistance=assistance_id))
    )


def _service() -> GrantService:
    return get_state().grants


def _now() -> dt.datetime:
    return get_state().runtime.utcnow()


def _given(payload: dict[str, Any]) -> Grant:
    state, to = get_state(), payload["to"]
    kinds = state.policy.grant_kinds
    if payload["kind"] not in kinds:
        raise RequestInvalid(f"kind: one of {', '.join(sorted(kinds))}")
    said = {name: payload.get(name) for name in _SAID}
    has_scope = payload["everybody"] or payload["subjects"] or payload["groups"]
    proposal = GrantProposal(
        by=require_actor(),
        kind=kinds[payload["kind"]],
        to=(to["kind"], to["id"]),
        scope=_scope(payload) if has_scope else None,
        **said,
    )
    workflow = state.grant_workflows[proposal.kind.workflow]
    proposal.refuse_unused(workflow.takes)
    return workflow.give(state.grants, proposal)


def _needed(payload: dict[str, Any], name: str) -> Any:
    if name not in payload:
        raise RequestInvalid(f"{name}: is missing")
    return payload[name]


def _pair(name: dict[str, str] | None) -> tuple[str, str] | None:
    return (name["kind"], name["id"]) if name is not None else None


def _scope(payload: dict[str, Any]) -> GrantScope:
    subjects = [(entry["kind"], entry["id"]) for entry in payload["subjects"]]
    return GrantScope.of(
        everybody=payload["everybody"], subjects=subjects, groups=payload["groups"]
    )


def _created(grant: Grant, now: Any) -> Response:
    response: Response = jsonify(_shown(grant, now, []))
    response.status_code = 201
    return response


def _shown(grant: Grant, now: Any, uses: list[GrantUse]) -> dict[str, Any]:
    return {
        "id": grant.id,
        "kind": grant.kind,
        "client": format_id(grant.client),
        "to": _shown_name(grant.to),
        "state": grant.state(now),
        "purpose": grant.purpose,
        "categories": sorted(grant.categories),
        "scope": _shown_scope(grant.scope),
        "assistance": grant.assistance,
        "ground": grant.ground,
        "case": grant.case,
        "asked": grant.asked_at.isoformat(),
        "given": grant.given_at and grant.given_at.isoformat(),
        "until": grant.until and grant.until.isoformat(),
        "revoked": grant.revoked_at and grant.revoked_at.isoformat(),
        "uses": [
            {
                "at": use.at.isoformat(),
                "endpoint": use.endpoint,
                "category": use.category,
                "action": use.action,
                "subjects": use.subjects,
            }
            for use in uses
        ],
        "links": {"revoke": url_for("lgprivacy.revoke_grant", grant_id=grant.id)},
    }


def _shown_request(request: AssistanceRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "client": format_id(request.client),
        "state": "closed" if request.closed_at else "open",
        "agent": _shown_name(request.agent) if request.agent else None,
        "reference": request.reference,
        "categories": sorted(request.categories),
        "scope": _shown_scope(request.scope),
        "hours": request.hours,
        "opened": request.opened_at.isoformat(),
        "closed": request.closed_at and request.closed_at.isoformat(),
        "links": {
            "close": url_for("lgprivacy.close_assistance", assistance_id=request.id),
            "ask": url_for("lgprivacy.ask", assistance_id=request.id),
        },
    }


def _shown_name(name: tuple[str, str]) -> dict[str, str]:
    return {"kind": name[0], "id": format_id(name[1])}


def _shown_scope(scope: GrantScope) -> dict[str, Any]:
    if scope.everybody:
        return {"all": True}
    return {
        "subjects": [_shown_name(name) for name in sorted(scope.subjects)],
        "groups": [format_id(group) for group in sorted(scope.groups)],
    }
