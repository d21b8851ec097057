"""Refusals and faults as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any

from markupsafe import escape


def _page(problem: dict[str, Any]) -> str:
    """The same for somebody who reads it in a browser."""
    contact = problem["contact"]
    clause = f"{problem['clause']}: {problem['says']}" if "clause" in problem else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>'
        "<h1>{title}</h1><p>{detail}</p><p>{clause}</p><p>{name}, {address}, {email}, {phone}</p></body></html>"
    ).format(
        **{name: escape(text) for name, text in {**problem, **contact, "clause": clause}.items()}
    )


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
