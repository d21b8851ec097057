"""The blueprint `lgprivacy`: every HTTP call with which people exercise rights and give
permissions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flask import Blueprint, Response

from ...gate.declaration import Declaration
from ...policy.model import EndpointGroup, Policy
from ..decorators import guard
from .consents import change_consent, show_consents
from .grants import (
    ask,
    close_assistance,
    give_grant,
    list_assistance,
    list_grants,
    open_assistance,
    revoke_grant,
)
from .rights import archive, certificate, list_requests, show_request, submit_view

Route = tuple[str, str, Callable[..., Response]]
"""Rule, method and view."""
REQUESTS: tuple[Route, ...] = (
    ("/requests", "GET", list_requests),
    ("/requests/<request_id>", "GET", show_request),
    ("/requests/<request_id>/archive", "GET", archive),
    ("/requests/<request_id>/certificate", "GET", certificate),
)
CONSENTS: tuple[Route, ...] = (
    ("/consents", "GET", show_consents),
    ("/consents", "PUT", change_consent),
)
GRANTS: tuple[Route, ...] = (
    ("/grants", "GET", list_grants),
    ("/grants", "POST", give_grant),
    ("/grants/<grant_id>", "DELETE", revoke_grant),
)
ASSISTANCE: tuple[Route, ...] = (
    ("/assistance", "GET", list_assistance),
    ("/assistance", "POST", open_assistance),
    ("/assistance/<assistance_id>/ask", "POST", ask),
    ("/assistance/<assistance_id>", "DELETE", close_assistance),
)


def privacy_blueprint(policy: Policy, rights: Iterable[str], url_prefix: str) -> Blueprint:
    """The blueprint, open to the roles that the policy document names for each call.

    Args:
        policy: Its rights, grant kinds and purposes say for whom and for what.
        rights: The names of the rights that are handled; each has a call of its own.
        url_prefix: Where the blueprint is mounted.
    """
    blueprint = Blueprint("lgprivacy", __name__, url_prefix=url_prefix)
    requesters = frozenset(role for rule in policy.rights for role in rule.roles)
    for right in rights:
        purposes = [rule.purpose for rule in policy.rights if right in rule.rights]
        purpose = purposes[0] if purposes else policy.endpoints[EndpointGroup.REQUESTS].purpose
        route = (f"/{right}", "POST", submit_view(right))
        _mount(blueprint, [route], requesters, purpose)
    groups: list[tuple[EndpointGroup, Iterable[Route], frozenset[str]]] = [
        (EndpointGroup.REQUESTS, REQUESTS, requesters),
        (EndpointGroup.CONSENTS, CONSENTS, requesters),
    ]
    kinds = policy.grant_kinds.values()
    if kinds:
        roles = frozenset().union(*(kind.asked_by | kind.given_by | {kind.to} for kind in kinds))
        groups += [
            (EndpointGroup.GRANTS, GRANTS, roles),
            (EndpointGroup.ASSISTANCE, ASSISTANCE, roles),
        ]
    for group, routes, roles in groups:
        _mount(blueprint, routes, roles, policy.endpoints[group].purpose)
    return blueprint


def _mount(
    blueprint: Blueprint, routes: Iterable[Route], roles: frozenset[str], purpose: str
) -> None:
    declaration = Declaration(frozenset(), roles, purpose, frozenset())
    for rule, method, view in routes:
        blueprint.add_url_rule(rule, view_func=guard(view, declaration), methods=[method])
