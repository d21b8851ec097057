"""Decisions about rows of several people: whoever is allowed for one of them is allowed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..database.identifiers import SubjectRef
from ..errors import PrivacyError, SubjectErased
from ..orm.key_access import SubjectKeyAccess
from ..policy.model import Action
from .authorization import Authorization


@dataclass(frozen=True, slots=True)
class AllowedFor:
    """On whose behalf an action is allowed."""

    subject: SubjectRef
    client: str | None


def decide_for_any(
    decisions: Authorization,
    keys: SubjectKeyAccess,
    category: str,
    action: Action,
    subjects: Sequence[SubjectRef],
) -> AllowedFor | PrivacyError:
    """The first of some subjects on whose behalf an action is allowed, or why it is not for the
    first of them.

    Args:
        decisions: For the actor.
        keys: Of subjects; who has none is erased and is nobody's reason.
        category: Of the row's field.
        action: What is about to happen.
        subjects: The row's, in the order in which they are asked.
    """
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for kind, subject_id in subjects:
        ids[kind].append(subject_id)
    loaded = {kind: keys.load(None, kind, of_kind) for kind, of_kind in ids.items()}
    first_refusal: PrivacyError | None = None
    for subject in subjects:
        kind, subject_id = subject
        key = loaded[kind].get(subject_id)
        if key is None:
            continue
        client = key.client or None
        refusal = decisions.refusal(category, action, client, subject)
        if refusal is None:
            return AllowedFor(subject, client)
        first_refusal = first_refusal or refusal
    return first_refusal or SubjectErased()


def own_first(
    subjects: Sequence[SubjectRef], own_subjects: Collection[SubjectRef]
) -> list[SubjectRef]:
    """The same subjects, those that the actor is before the others."""
    return sorted(subjects, key=lambda subject: subject not in own_subjects)
