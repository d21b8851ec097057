"""What an application brings to the extension: objects, or names such as `shop.trail:TRAIL`."""

from __future__ import annotations

import datetime as dt
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .audit.trail import AuditTrail
from .crypto.providers.base import KeyProvider
from .crypto.providers.registry import KeyProviderKind
from .errors import ConfigurationError
from .permissions.grants import Notifier
from .permissions.workflows import GrantWorkflow
from .rights.archive_renderers import ArchiveRenderer
from .rights.handler import RightHandler
from .stores import SubjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an application brings besides what is built in, or instead of it.

    Attributes:
        key_provider: Holds the root key, or None for the configured one.
        key_provider_kinds: That LGPRIVACY_KEY_SERVICES may name.
        trail: Takes events, or None for files in a directory.
        notify: Tells a client of an emergency, or None.
        grant_workflows: By which grants come about.
        rights: Handlers of rights.
        stores: Places outside the database that hold data of subjects.
        renderers: Of archives.
        utcnow: Returns the time in UTC.
    """

    key_provider: KeyProvider | None
    key_provider_kinds: Mapping[str, KeyProviderKind]
    trail: AuditTrail | None
    notify: Notifier | None
    grant_workflows: tuple[GrantWorkflow, ...]
    rights: tuple[RightHandler, ...]
    stores: tuple[SubjectStore, ...]
    renderers: tuple[ArchiveRenderer, ...]
    utcnow: Callable[[], dt.datetime]


def load_parts(**given: Any) -> Parts:
    """The parts, with those that are named imported.

    Args:
        given: By the name of the parameter of `LGPrivacy`; a text is the name of an object in a
            module, `module:object`.

    Raises:
        ConfigurationError: A name cannot be imported.
    """
    return Parts(**{parameter: _loaded(parameter, part) for parameter, part in given.items()})


def _loaded(parameter: str, part: Any) -> Any:
    if isinstance(part, str):
        return _imported(parameter, part)
    if isinstance(part, Mapping):
        return {name: _loaded(parameter, value) for name, value in part.items()}
    if isinstance(part, Iterable):
        return tuple(_loaded(parameter, item) for item in part)
    return part


def _imported(parameter: str, name: str) -> Any:
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"LGPrivacy({parameter}=…): {name!r} cannot be imported ({type(error).__name__}); "
            "write "
            "the module and the object in it, such as 'shop.trail:TRAIL'"
        ) from error
