"""Whose folder a file stands in: whoever may put files there may put another one in its place."""

from __future__ import annotations

import os

from ..errors import ConfigurationError


def refuse_open_folder(mode: int, owner: int, group: int, name: str, content: str) -> None:
    """Refuse a folder in which others may put files; raises `ConfigurationError`.

    Args:
        mode: As `stat` gives it.
        owner: The folder's.
        group: The folder's; a group of the owner's own, as many systems make one for each user, is
            the owner.
        name: The folder's, for the message.
        content: What stands in it.
    """
    is_sticky, is_private_group = bool(mode & 0o1000), group == owner
    others = mode & 0o002 or (mode & 0o020 and not is_private_group)
    if others and not is_sticky:
        raise ConfigurationError(
            f"{content} stands in {name}, where others may put files (mode {mode & 0o7777:04o}); "
            "run 'chmod go-w' on it"
        )
    if hasattr(os, "geteuid") and owner not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"{content} stands in {name}, which belongs to another user; use a folder of the "
            "service's own user"
        )
