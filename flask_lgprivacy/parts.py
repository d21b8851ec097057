"""What an application brings to the extension: objects, or names such as `shop.trail:TRAIL`."""

from __future__ import annotations

import datetime as dt
import inspect
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


NEEDS: Mapping[str, tuple[str, ...]] = {
    "key_provider": ("wrap", "unwrap"),
    "trail": ("commit",),
    "grant_workflows": ("name", "takes", "give"),
    "rights": ("name", "actions", "categories", "carry_out"),
    "stores": ("name", "export", "erase", "count"),
    "renderers": ("render",),
}
"""What a part has to have, by the parameter that takes it; the others are functions."""
LISTS = frozenset({"grant_workflows", "rights", "stores", "renderers"})
TABLES = frozenset({"key_provider_kinds"})
OPTIONAL = frozenset({"key_provider", "trail", "notify"})


def load_parts(**given: Any) -> Parts:
    """The parts, with those that are named imported.

    Args:
        given: By the name of the parameter of `LGPrivacy`; a text is the name of an object in a
            module, `module:object`.

    Raises:
        ConfigurationError: A name cannot be imported, or what it names is no such part.
    """
    return Parts(**{parameter: _loaded(parameter, value) for parameter, value in given.items()})


def _loaded(parameter: str, value: Any) -> Any:
    if parameter in LISTS:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ConfigurationError(f"LGPrivacy({parameter}=…) takes a list, such as [{value!r}]")
        return tuple(_part(parameter, item) for item in value)
    if parameter in TABLES:
        return {name: _part(parameter, item) for name, item in value.items()}
    return None if value is None and parameter in OPTIONAL else _part(parameter, value)


def _part(parameter: str, given: Any) -> Any:
    part = _imported(parameter, given) if isinstance(given, str) else given
    needed = NEEDS.get(parameter)
    if needed is None:
        if callable(part):
            return part
        raise ConfigurationError(f"LGPrivacy({parameter}=…) takes a function or a class")
    missing = [name for name in needed if not hasattr(part, name)]
    if inspect.isclass(part):
        raise ConfigurationError(
            f"LGPrivacy({parameter}=…) takes an object and not its class; write "
            f"{part.__name__}(…), or the name of an object that is made of it"
        )
    if missing:
        raise ConfigurationError(
            f"LGPrivacy({parameter}=…): a {type(part).__name__} lacks {', '.join(missing)}"
        )
    return part


def _imported(parameter: str, name: str) -> Any:
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"LGPrivacy({parameter}=…): {name!r} cannot be imported ({type(error).__name__}); "
            "write the module and the object in it, such as 'shop.trail:TRAIL'"
        ) from error
