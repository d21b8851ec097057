"""An actor loader on Flask-Login."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..gate.actor import Actor, ActorLoader


def flask_login_actor(describe: Callable[[Any], Actor]) -> ActorLoader:
    """An actor loader on Flask-Login.

    Args:
        describe: Makes an `Actor` of the signed-in user.

    Returns:
        A loader for `LGPrivacy.actor_loader`, which gives None where nobody is signed in.
    """
    from flask_login import current_user

    def load() -> Actor | None:
        return describe(current_user) if current_user and current_user.is_authenticated else None

    return load
