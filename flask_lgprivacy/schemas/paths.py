"""How a path to a field is shown without a value."""

from __future__ import annotations

import re
from typing import Any

_PLAIN_KEY = re.compile(r"[^\W\d][\w-]{0,39}")


def path_segment(key: Any, number: int) -> str:
    """A key as a path may show it: by name where it is one word, else by its position, because it
    could be a value.
    """
    return key if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) else f"[{number}]"
