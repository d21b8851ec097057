"""The names under which the trail knows data subjects and actors (GDPR Art. 4(5))."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from ..crypto.cache import KeyCache
from ..crypto.keys import SubjectKey
from ..crypto.pseudonym_period import school_year
from ..database.identifiers import SubjectRef
from ..keys.store import KeyStore
from .actor import Actor

LoadKeys = Callable[[Session, str, tuple[str, ...]], dict[str, SubjectKey]]


class Pseudonyms:
    """Pseudonyms under keys: a subject's under its own, another actor's under the publisher's.

    Args:
        keys: The key store.
        utcnow: Returns the time in UTC; a pseudonym changes with the school year.
    """

    __slots__ = ("_actors", "_keys", "_utcnow")

    def __init__(self, keys: KeyStore, utcnow: Callable[[], dt.datetime]) -> None:
        self._keys = keys
        self._utcnow = utcnow
        self._actors: KeyCache[tuple[Any, ...], str] = KeyCache(
            size=10_000, seconds=60, clock=time.monotonic
        )

    def of_key(self, key: SubjectKey) -> str:
        """The pseudonym that a subject's key gives today."""
        return key.pseudonym(school_year(self._utcnow()))

    def of_subject(self, session: Session, subject: SubjectRef) -> str | None:
        """The pseudonym of a data subject; None where it has no key."""
        subject_kind, subject_id = subject
        key = self._keys.load(session, subject_kind, [subject_id]).get(subject_id)
        return self.of_key(key) if key is not None else None

    def of_actor(self, actor: Actor, session: Callable[[], Session], load_keys: LoadKeys) -> str:
        """The actor's pseudonym: the data subject's own where the actor is one.

        Args:
            actor: Who acts.
            session: Returns a session on the data; called only where the name is not known.
            load_keys: Loads keys of subjects, and tells the trail where that is refused.
        """
        identity = (actor.role, actor.client, actor.id, actor.subjects)
        pseudonym = self._actors.get(identity)
        if pseudonym is None:
            key = None
            if actor.subjects:
                subject_kind, subject_id = actor.subjects[0]
                key = load_keys(session(), subject_kind, (subject_id,)).get(subject_id)
            if key is None:
                secret = self._keys.publisher_secret(session())
                key = SubjectKey(actor.key, 1, bytes(32) + secret)
            pseudonym = self.of_key(key)
            self._actors.put(identity, pseudonym)
        return pseudonym
