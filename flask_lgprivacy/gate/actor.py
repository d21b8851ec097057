"""Who asks: what the host application says of the person behind a request or job."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ..database.identifiers import canonical_id
from ..errors import ConfigurationError
from ..policy.model import Policy

PUBLIC_ROLE = "public"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts.

    `client_text` is the client as it was given, where that was a text.

    Args:
        id: In the host application; kept out of the trail, which has a pseudonym.
        role: Of the policy document.
        client: For whom the actor acts, or None.
        subjects: As whom the actor stands in the data, each as (kind, id), the one meant by
            "myself" first.
        strongly_authenticated: As the host asserts it (LG-23).

    Raises:
        ConfigurationError: A value is not of the type that is expected.
    """

    id: str
    role: str
    client: str | None = None
    subjects: tuple[tuple[str, str], ...] = ()
    strongly_authenticated: bool = False
    client_text: str | None = field(default=None, compare=False, repr=False)

    def __init__(
        self,
        id: Any,
        *,
        role: str,
        client: Any = None,
        subjects: Iterable[tuple[str, Any]] = (),
        strongly_authenticated: bool = False,
    ) -> None:
        if not isinstance(role, str) or not role:
            raise ConfigurationError(
                "Actor(role=…) takes the name of a role of the policy document"
            )
        if type(strongly_authenticated) is not bool:
            raise ConfigurationError(
                "Actor(strongly_authenticated=…) takes True or False, and no other value that "
                "counts as true"
            )
        pairs = [] if isinstance(subjects, str) else list(subjects)
        if any(
            not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str)
            for pair in pairs
        ) or isinstance(subjects, str):
            raise ConfigurationError(
                "Actor(subjects=…) takes a list of (kind, id) pairs, such as [('account', user.id)]"
            )
        if client is not None and not isinstance(client, str | bytes | int | UUID):
            raise ConfigurationError(
                f"Actor(client=…) takes the identifier of a client, not a {type(client).__name__}"
            )
        set_field = object.__setattr__
        set_field(self, "id", _identifier(id, "the first argument"))
        set_field(self, "role", role)
        set_field(self, "client", None if client is None else canonical_id(client))
        set_field(self, "client_text", client if isinstance(client, str) else None)
        set_field(
            self,
            "subjects",
            tuple((kind, _identifier(subject_id, "subjects=…")) for kind, subject_id in pairs),
        )
        set_field(self, "strongly_authenticated", strongly_authenticated)

    @property
    def key(self) -> str:
        """Who this is among all actors of a host, whose tables of users may share identifiers."""
        return ":".join(map(actor_part, (self.role, self.client or "", self.id)))

    def __repr__(self) -> str:
        return f"<Actor with role {self.role}>"


def actor_part(text: str) -> str:
    """One part of an actor's key, so that no text is taken for two."""
    return text.replace("%", "%25").replace(":", "%3A")


def _identifier(value: Any, location: str) -> str:
    """An identifier that names somebody; a missing one would make one person of all who
    have none.
    """
    if not isinstance(value, str | int | UUID) or isinstance(value, bool) or value == "":
        raise ConfigurationError(
            f"Actor: {location} takes an identifier: a UUID, a whole number or a text that is not "
            "empty"
        )
    return canonical_id(value)


ActorLoader = Callable[[], Actor | None]
NO_ACTOR_LOADER = (
    "no actor loader is registered, so every request is anonymous; decorate a "
    "function with @privacy.actor_loader"
)


def no_actor() -> Actor | None:
    """The loader of an application that signs nobody in."""
    return None


def audited_role(policy: Policy, actor: Actor | None) -> str | None:
    """An actor's role as the trail may name it: one of the policy document's, or `unknown`."""
    if actor is None:
        return None
    return actor.role if actor.role in policy.roles else "unknown"
