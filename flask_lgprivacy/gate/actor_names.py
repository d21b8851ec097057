"""The pseudonyms of actors in the trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..crypto.keys import SubjectKey
from ..crypto.pseudonym_period import school_year
from .actor import Actor

if TYPE_CHECKING:
    from .context import ProcessingContext


def name_of(processing: ProcessingContext, actor: Actor) -> str:
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
