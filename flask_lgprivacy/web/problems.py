"""Refusals and faults as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, has_request_context, request
from markupsafe import escape

from ..errors import PrivacyError
from ..policy.model import Policy

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


def problem_response(policy: Policy, error: PrivacyError) -> Response:
    """A refusal or fault as problem details, with clause, what was missing and whom to ask (RFC
    9457).
    """
    clause = error.clause or policy.clause_of(error.commitment)
    shown = not error.opaque or current_app.debug or current_app.testing
    if error.opaque or error.status >= 500:
        current_app.logger.error("%s: %s", error.code, error.message)
    problem: dict[str, Any] = {
        "type": f"urn:lgprivacy:{error.code}",
        "title": TITLES.get(error.status, "Internal Server Error"),
        "status": error.status,
        "code": error.code,
        "detail": error.message
        if shown
        else "the application tried something that it has not declared",
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
    accepted = request.accept_mimetypes if has_request_context() else None
    if (
        accepted
        and accepted.best_match(["application/problem+json", "application/json", "text/html"])
        == "text/html"
    ):
        response = Response(_page(problem), status=error.status, mimetype="text/html")
    else:
        content = current_app.json.dumps(problem)
        response = Response(content, status=error.status, mimetype="application/problem+json")
    response.headers["Cache-Control"] = "no-store"
    if error.status in RETRY_AFTER:
        response.headers["Retry-After"] = RETRY_AFTER[error.status]
    return response


def _page(problem: dict[str, Any]) -> str:
    """The same for somebody who reads it in a browser."""
    contact = problem["contact"]
    clause = f"{problem['clause']}: {problem['says']}" if "clause" in problem else ""
    return (
        '<!doctype html><html lang="en"><head><meta '
        'charset="utf-8"><title>{title}</title></head><body>'
        "<h1>{title}</h1><p>{detail}</p><p>{clause}</p><p>{name}, {address}, {email}, "
        "{phone}</p></body></html>"
    ).format(
        **{name: escape(text) for name, text in {**problem, **contact, "clause": clause}.items()}
    )
