"""How a processing begins: who is asking, by what name the trail knows them, and whether the endpoint is for their role."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ..errors import AccessDenied, AuthenticationRequired, ConfigurationError, UndeclaredProcessing
from ..policy import Action, Policy
from ..vault import SubjectKey
from .actor import PUBLIC_ROLE, Actor
from .declaration import Declaration
from .ledger import school_year

if TYPE_CHECKING:
    from .processing import Processing


def begin(processing: Processing, declarations: tuple[Declaration, ...]) -> None:
    """Load the actor and enter the declaration for its role; raises `AuthenticationRequired` or `AccessDenied`."""
    processing.entered = None
    actor = processing.house.load_actor()
    if actor is not None and type(actor) is not Actor:
        raise ConfigurationError(f"the actor loader must return an Actor or None, not {type(actor).__name__}")
    role = actor.role if actor is not None else PUBLIC_ROLE
    if role not in processing.house.policy.roles:
        known = ", ".join(sorted(processing.house.policy.roles))
        processing.refuse(UndeclaredProcessing(f"the actor's role is none of the policy document's; it has {known}"))
    for declaration in declarations:
        if role in declaration.roles:
            processing.enter(declaration, actor)
            processing.entered = declarations
            return
    processing.enter(declarations[0], actor)
    processing.declaration = None
    if actor is None:
        processing.refuse(
            AuthenticationRequired(
                "sign in first", clause=processing.house.policy.purposes[declarations[0].purpose].clause
            )
        )
    _refuse_role(processing, declarations, role)


def known_role(policy: Policy, actor: Actor | None) -> str | None:
    """An actor's role as the trail may name it: one of the policy document's, or `unknown`."""
    if actor is None:
        return None
    return actor.role if actor.role in policy.roles else "unknown"


def name_of(processing: Processing, actor: Actor) -> str:
    """The actor's pseudonym: the data subject's own where the actor is one, else under the publisher's key."""
    cached = (actor.role, actor.client, actor.id, actor.subjects)
    known = processing.house.actor_names.get(cached)
    if known is None:
        session = processing.session()
        key = None
        if actor.subjects:
            kind, one = actor.subjects[0]
            key = processing.keys(session, kind, (one,)).get(one)
        if key is None:
            secret = processing.house.keys.publisher_secret(session)
            key = SubjectKey(actor.key, 1, bytes(32) + secret)
        known = key.pseudonym(school_year(processing.house.utcnow()))
        processing.house.actor_names.put(cached, known)
    return known


def _refuse_role(processing: Processing, declarations: tuple[Declaration, ...], role: str) -> NoReturn:
    """Say why a role has no place at an endpoint, as the policy says it where the policy does."""
    declaration = declarations[0]
    action = min(declaration.actions, default=Action.READ)
    for category in sorted(declaration.categories):
        refusal = processing.house.decisions.cell(role, category, action, declaration.purpose).conceivable
        if refusal is not None:
            processing.refuse(
                AccessDenied(refusal.reason, clause=refusal.clause, missing=", ".join(refusal.missing)),
                category=category,
                action=action.value,
            )
    clause = processing.house.policy.purposes[declaration.purpose].clause
    roles = " or ".join(sorted({name for one in declarations for name in one.roles}))
    processing.refuse(
        AccessDenied(f"this is not for role '{role}', but for {roles}", clause=clause, missing=f"role {roles}")
    )
