"""Custody: what is done to keys and stores over the years, without reading what they hold."""

from .archives import archive_binding
from .custodian import Custodian, Progress, silent
from .replay import Replay

__all__ = ["Custodian", "Progress", "Replay", "archive_binding", "silent"]
