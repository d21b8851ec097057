"""What each workflow of grants needs of the document, so that no kind of grant is accepted and then
ignored.
"""

from __future__ import annotations

from collections.abc import Callable

from .model import Capabilities, Condition, Policy, Workflow

Refuse = Callable[[str, str, str | None], None]
"""Takes the key of an entry, what is wrong with it, and its clause; raises `PolicyInvalid`."""
SINGLE = frozenset({Workflow.ASSISTANCE, Workflow.EMERGENCY})
"""Workflows of which a document has one kind of grant: a request for assistance, and an emergency,
do not say which.
"""


def check_workflows(policy: Policy, capabilities: Capabilities, refuse: Refuse) -> None:
    """Check that the code does the workflow of every kind of grant, with what the kind names."""
    seen: set[str] = set()
    for kind in policy.grant_kinds.values():
        key = f"grant_kinds.{kind.id}"
        if kind.workflow not in capabilities.workflows:
            refuse(
                f"{key}.workflow",
                f"no code does the workflow {kind.workflow}; those that are done are "
                f"{', '.join(sorted(capabilities.workflows))}",
                kind.clause,
            )
        if kind.workflow in seen & SINGLE:
            refuse(
                f"{key}.workflow",
                f"another kind has the workflow {kind.workflow} already; a document has one",
                kind.clause,
            )
        seen.add(kind.workflow)
        if kind.condition is Condition.EMERGENCY and kind.workflow != Workflow.EMERGENCY:
            refuse(
                f"{key}.workflow",
                f"only the workflow {Workflow.EMERGENCY} tells the client, so only it gives an "
                "emergency",
                kind.clause,
            )
        for field, names, workflow in (
            ("asked_by", kind.asked_by, Workflow.ASSISTANCE),
            ("grounds", kind.grounds, Workflow.EMERGENCY),
        ):
            if kind.workflow == workflow and not names:
                refuse(f"{key}.{field}", f"the workflow {workflow} needs it", kind.clause)
            if names and kind.workflow in set(Workflow) - {workflow}:
                refuse(f"{key}.{field}", f"only for the workflow {workflow}", kind.clause)
