"""Who asks: what the host application says of the person behind a request or job."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError
from ..models import identifier

PUBLIC_ROLE = "public"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts.

    Parameters: `id` in the host application (kept out of the trail, which has a pseudonym); `role` of the policy
    document; `client` for whom the actor acts, or None; `subjects` as whom the actor stands in the data, each as
    (kind, id), the one meant by "myself" first; `strongly_authenticated` as the host asserts it (LG-23).
    """

    id: str
    role: str
    client: str | None = None
    subjects: tuple[tuple[str, str], ...] = ()
    strongly_authenticated: bool = False

    def __init__(
        self,
        id: Any,
        *,
        role: str,
        client: Any = None,
        subjects: Iterable[tuple[str, Any]] = (),
        strongly_authenticated: bool = False,
    ) -> None:
        set_field = object.__setattr__
        set_field(self, "id", identifier(id))
        set_field(self, "role", role)
        set_field(self, "client", None if client is None else identifier(client))
        pairs = list(subjects)
        if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in pairs):
            raise ConfigurationError(
                "Actor(subjects=…) takes a list of (kind, id) pairs, such as [('account', user.id)]"
            )
        set_field(self, "subjects", tuple((kind, identifier(one)) for kind, one in pairs))
        set_field(self, "strongly_authenticated", strongly_authenticated)

    @property
    def key(self) -> str:
        """Who this is among all actors of a host, whose tables of users may share identifiers."""
        return f"{self.role}:{self.client or ''}:{self.id}"

    def __repr__(self) -> str:
        return f"<Actor with role {self.role}>"


ActorLoader = Callable[[], Actor | None]


def nobody() -> Actor | None:
    """The loader of an application that signs nobody in."""
    return None


def flask_login_actor(describe: Callable[[Any], Actor]) -> ActorLoader:
    """An actor loader on Flask-Login.

    Parameters: `describe` makes an `Actor` of the signed-in user. Returns a loader for `LGPrivacy.actor_loader`, which gives
    None where nobody is signed in.
    """
    from flask_login import current_user

    def load() -> Actor | None:
        return describe(current_user) if current_user and current_user.is_authenticated else None

    return load
