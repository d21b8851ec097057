"""The gate: who acts, what was declared, and what may be opened."""

from .actor import Actor, ActorLoader
from .context import ProcessingContext

__all__ = ["Actor", "ActorLoader", "ProcessingContext"]
