"""`flask privacy …`: set up, check, explain, and read the trail."""

from . import audit, document, keys, permissions, retention
from .group import privacy
from .house import initialise

__all__ = ["audit", "document", "initialise", "keys", "permissions", "privacy", "retention"]
