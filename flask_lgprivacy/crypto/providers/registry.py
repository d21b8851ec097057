"""Key providers from the settings: each with its kind, and nothing that the kind does not know."""

from __future__ import annotations

import inspect
import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from ...errors import ConfigurationError
from .base import KeyProvider
from .kms import KmsProvider
from .local_file import LocalKeyFile
from .transit import TransitProvider

KeyProviderKind = Callable[..., KeyProvider]
"""Takes the name of an entry of LGPRIVACY_KEY_SERVICES, and the entry's options by keyword.

Its keyword-only parameters are the options, with their types and defaults. One that ends in `url`
starts with https:// (http:// only on this machine), one of the type `Path` is a path, and `timeout`
is a number of seconds.
"""
LONGEST_TIMEOUT = 10
ACCEPTED: Mapping[Any, tuple[type, ...]] = {Path: (str, Path), float: (int, float)}
"""What an option of a type takes besides that type."""


def local_key_file(_name: str, *, path: Path) -> KeyProvider:
    """The kind `key-file`: root keys in a file that exists."""
    return LocalKeyFile(path)


KINDS: Mapping[str, KeyProviderKind] = {
    "key-file": local_key_file,
    "vault-transit": TransitProvider,
    "kms": KmsProvider,
}
"""Those that are built in."""


def key_provider(
    name: str, given: Any, kinds: Mapping[str, KeyProviderKind] = KINDS
) -> KeyProvider:
    """The provider that one entry of LGPRIVACY_KEY_SERVICES describes.

    Args:
        name: Of the entry.
        given: The entry: `kind`, and the options of that kind.
        kinds: By name.

    Raises:
        ConfigurationError: Names the entry, the option, and what to mend.
    """
    location = f"LGPRIVACY_KEY_SERVICES[{name!r}]"
    kind = given.get("kind") if isinstance(given, Mapping) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ConfigurationError(
            f"{location}: takes a mapping with 'kind', which is one of {', '.join(kinds)}"
        )
    types, needed = option_types(kinds[kind])
    options: dict[str, Any] = {option: value for option, value in given.items() if option != "kind"}
    for option, value in options.items():
        if option not in types:
            raise ConfigurationError(
                f"{location}: {kind} has no option {option!r}; it has {', '.join(types)}"
            )
        if not isinstance(value, types[option]) or isinstance(value, bool):
            raise ConfigurationError(
                f"{location}: {option} is of the wrong type, {type(value).__name__}"
            )
        if option.endswith("url"):
            _refuse_plain_http(location, option, options[option])
        if Path in types[option]:
            options[option] = Path(options[option])
    missing = sorted(needed - options.keys())
    if missing:
        raise ConfigurationError(f"{location}: {kind} needs {', '.join(missing)}")
    if not 0 < options.get("timeout", 1) <= LONGEST_TIMEOUT:
        raise ConfigurationError(
            f"{location}: timeout is between 0 and {LONGEST_TIMEOUT} seconds, because requests "
            "wait for it"
        )
    provider = kinds[kind](name, **options)
    if not hasattr(provider, "wrap") or not hasattr(provider, "unwrap"):
        raise ConfigurationError(
            f"{location}: {kind} made no key provider, which wraps and unwraps"
        )
    return provider


def option_types(kind: KeyProviderKind) -> tuple[dict[str, tuple[type, ...]], frozenset[str]]:
    """The options of a kind with the types that they take, and which of them are needed."""
    made_by = kind.__init__ if inspect.isclass(kind) else kind
    try:
        hints = get_type_hints(made_by)
    except (NameError, TypeError):
        hints = {}
    parameters = [
        parameter
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    types: dict[str, tuple[type, ...]] = {}
    for parameter in parameters:
        hint = hints.get(parameter.name)
        alternatives = get_args(hint) if get_origin(hint) is UnionType else (hint,)
        chosen = [kind for kind in alternatives if kind is not type(None)]
        if not chosen or not all(isinstance(kind, type) for kind in chosen):
            raise ConfigurationError(
                f"the option {parameter.name} of a kind of key provider has no plain type; "
                "annotate "
                "it with str, Path, int or float"
            )
        types[parameter.name] = tuple(
            accepted for kind in chosen for accepted in ACCEPTED.get(kind, (kind,))
        )
    needed = frozenset(item.name for item in parameters if item.default is item.empty)
    return types, needed


def _refuse_plain_http(location: str, option: str, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError(f"{location}: {option} is not a URL") from None
    if parts.scheme == "https" and parts.hostname:
        return
    try:
        is_here = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        is_here = parts.hostname == "localhost"
    if parts.scheme != "http" or not is_here:
        raise ConfigurationError(
            f"{location}: {option} starts with https:// (http:// only on this machine)"
        )
