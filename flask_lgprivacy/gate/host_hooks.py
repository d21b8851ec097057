"""Functions that an application registers: who is asking, and which clients pay directly."""

from __future__ import annotations

from collections.abc import Callable

from .actor import Actor, ActorLoader


class HostHooks:
    """The functions of one application; those of the extension object where it has none.

    Args:
        shared: What all applications of one extension object share, or None for these themselves.
    """

    __slots__ = ("actor_loader", "direct_payment", "shared")

    def __init__(self, shared: HostHooks | None = None) -> None:
        self.shared = shared
        self.actor_loader: ActorLoader | None = None
        self.direct_payment: Callable[[str], object] | None = None

    @property
    def has_actor_loader(self) -> bool:
        """Whether anybody can be signed in."""
        return self._actor_loader() is not None

    def load_actor(self) -> Actor | None:
        """Who is asking; None where nobody is signed in."""
        load = self._actor_loader()
        return load() if load is not None else None

    def pays_directly(self, client: str) -> bool:
        """Whether a client pays directly under the contract; only `True` counts (LG-04)."""
        pays = self.direct_payment
        if pays is None and self.shared is not None:
            pays = self.shared.direct_payment
        return pays is not None and pays(client) is True

    def _actor_loader(self) -> ActorLoader | None:
        if self.actor_loader is None and self.shared is not None:
            return self.shared.actor_loader
        return self.actor_loader
