"""A person's consents: seen, given and withdrawn by the person (GDPR Art. 7(3))."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from marshmallow import fields

from ...errors import RequestInvalid
from ...gate.actor import Actor
from ...permissions.consents import Consent
from ...policy.model import Basis
from ...state import get_state
from .common import BodySchema, load_json, require_actor


class _ConsentBody(BodySchema):
    purpose = fields.Str(required=True)
    given = fields.Bool(required=True)
    text_version = fields.Str()


def show_consents() -> Response:
    """`GET /consents`: the consents of the person who asks."""
    actor = require_actor()
    consents = [
        consent for subject in actor.subjects for consent in get_state().consents.of(subject)
    ]
    response: Response = jsonify([_shown(consent) for consent in consents])
    return response


def change_consent() -> Response:
    """`PUT /consents`: give or withdraw a consent."""
    actor, payload = require_actor(), load_json(_ConsentBody())
    subject = _subject(actor, payload["purpose"])
    session = get_state().runtime.database.clean_session()
    if payload["given"]:
        if "text_version" not in payload:
            raise RequestInvalid("text_version: is missing; name the text that was shown")
        get_state().consents.give(
            subject,
            purpose=payload["purpose"],
            text_version=payload["text_version"],
            collected_via="web-form",
            actor=actor,
        )
    else:
        get_state().consents.withdraw(subject, purpose=payload["purpose"], actor=actor)
    session.commit()
    return show_consents()


def _subject(actor: Actor, purpose: str) -> tuple[str, str]:
    """As whom the actor can consent: the kind of subject that the purpose's categories
    are about.
    """
    policy, policy_kind = get_state().policy, get_state().runtime.models.policy_kind
    declared = policy.purposes.get(purpose)
    if declared is None or declared.basis is not Basis.CONSENT:
        resting = sorted(
            candidate.id
            for candidate in policy.purposes.values()
            if candidate.basis is Basis.CONSENT
        )
        raise RequestInvalid(f"purpose: one that rests on consent: {', '.join(resting) or 'none'}")
    categories = frozenset().union(
        *(rule.categories for rule in policy.rules if purpose in rule.purposes)
    )
    kinds = frozenset().union(*(policy.categories[name].subjects for name in categories))
    own = (candidate for candidate in actor.subjects if policy_kind(candidate[0]) in kinds)
    own_subject = next(own, None)
    if own_subject is None:
        raise RequestInvalid(
            f"purpose: it is about {' or '.join(sorted(kinds))}; this account is linked to none"
        )
    return own_subject


def _shown(consent: Consent) -> dict[str, Any]:
    return {
        "purpose": consent.purpose,
        "categories": sorted(consent.categories),
        "text_version": consent.text_version,
        "how": consent.collected_via,
        "by": consent.by,
        "given": consent.given_at.isoformat(),
        "withdrawn": consent.withdrawn_at and consent.withdrawn_at.isoformat(),
    }
