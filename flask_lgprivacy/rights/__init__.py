"""The rights of data subjects: one handler for each, and what an application brings to them."""

from .archive_renderers import ArchiveContent, ArchiveRenderer
from .handler import (
    ChangesHandler,
    Outcome,
    ResumableHandler,
    RightHandler,
    RightsCase,
    exportable_categories,
    held_categories,
)
from .requests import RightsRequest

__all__ = [
    "ArchiveContent",
    "ArchiveRenderer",
    "ChangesHandler",
    "Outcome",
    "ResumableHandler",
    "RightHandler",
    "RightsCase",
    "RightsRequest",
    "exportable_categories",
    "held_categories",
]
