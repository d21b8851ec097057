"""Who outside may receive what, for which purpose: pure, with a clause for every refusal (LG-09 to
LG-14).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from .engine import Decision, Outcome
from .model import Action, Policy, Prohibition, Recipient


def prohibition_of_recipient(policy: Policy, recipient: Recipient) -> Prohibition | None:
    """The prohibition that a declaration of `recipient` would break, or None."""
    pairs = [
        (category, purpose) for category in recipient.categories for purpose in recipient.purposes
    ]
    for prohibition in policy.prohibitions:
        if prohibition.actions and not recipient.hosts:
            continue  # nothing is sent to one without hosts: it stores what is sealed
        if any(
            forbids_disclosure(prohibition, recipient.kind, category, purpose)
            for category, purpose in pairs
        ):
            return prohibition
    return None


def forbids_disclosure(
    prohibition: Prohibition, recipient_kind: str, category: str, purpose: str
) -> bool:
    """Whether a prohibition forbids that a kind of recipient is given a category for a purpose,
    whoever gives it.
    """
    return (
        not prohibition.roles
        and not prohibition.except_roles
        and (not prohibition.actions or Action.DISCLOSE in prohibition.actions)
        and (not prohibition.recipient_kinds or recipient_kind in prohibition.recipient_kinds)
        and (not prohibition.categories or category in prohibition.categories)
        and (not prohibition.purposes or purpose in prohibition.purposes)
        and recipient_kind not in prohibition.except_recipient_kinds
        and purpose not in prohibition.except_purposes
    )


def decide_disclosure(
    policy: Policy, recipient: str, purpose: str, categories: Iterable[str], on: dt.date
) -> Decision | Recipient:
    """Decide whether a recipient may receive categories for a purpose on a day; the actor is
    decided elsewhere.

    Returns the declared `Recipient` where it may, else the `Decision` that refuses (LG-09 to LG-11,
    LG-14).
    """
    for prohibition in policy.prohibitions:
        if purpose in prohibition.purposes and not (
            prohibition.roles or prohibition.categories or prohibition.actions
        ):
            return _refused(
                prohibition.clause,
                f"purpose '{purpose}' is prohibited: {prohibition.says}",
                prohibition.id,
            )
    declared = policy.recipients.get(recipient)
    if declared is None:
        clause = policy.clause_of("undeclared-recipients")
        return Decision(
            Outcome.NO_RULE, clause, f"recipient '{recipient}' is not declared", ("recipient",)
        )
    if purpose not in declared.purposes:
        return Decision(
            Outcome.NO_RULE,
            declared.clause,
            f"recipient '{recipient}' is not declared for purpose '{purpose}'",
            ("purpose",),
        )
    for category in sorted(categories):
        if category not in declared.categories:
            return Decision(
                Outcome.NO_RULE,
                declared.clause,
                f"recipient '{recipient}' is not declared for category '{category}'",
                ("category",),
            )
        for prohibition in policy.prohibitions:
            if forbids_disclosure(prohibition, declared.kind, category, purpose):
                reason = (
                    f"recipient '{recipient}' is never given '{category}' for '{purpose}': "
                    f"{prohibition.says}"
                )
                return _refused(prohibition.clause, reason, prohibition.id)
    return _transfer_refusal(policy, declared, on) or declared


def _transfer_refusal(policy: Policy, recipient: Recipient, on: dt.date) -> Decision | None:
    if recipient.country in policy.transfer_region:
        return None
    clause = policy.clause_of("transfer-tools")
    if recipient.transfer is None:
        reason = f"a transfer to {recipient.country} has no transfer tool"
    elif not recipient.transfer.in_force(on):
        reason = (
            f"the transfer tool of '{recipient.id}' for {recipient.country} is not in force "
            f"on {on.isoformat()}"
        )
    else:
        return None
    return Decision(Outcome.NO_RULE, clause, reason, ("transfer-tool",))


def _refused(clause: str, reason: str, missing: str) -> Decision:
    return Decision(Outcome.PROHIBITED, clause, reason, (missing,))
