"""Custody: what is done to keys and stores over the years, without reading what they hold."""

from .archives import archive_binding
from .custodian import Custodian, Progress, silent

__all__ = ["Custodian", "Progress", "archive_binding", "silent"]
