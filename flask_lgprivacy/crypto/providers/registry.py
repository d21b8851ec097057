"""Key providers from the settings: each with its kind, and nothing that the kind does not know."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import ConfigurationError
from .base import KeyProvider
from .kms import KmsProvider
from .local_file import LocalKeyFile
from .transit import TransitProvider

KINDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "key-file": {"path": (str, Path)},
    "vault-transit": {
        "url": str, "key": str, "token_file": (str, Path), "mount": str, "ca_file": (str, Path), "timeout": (int, float)
    },
    "kms": {"key_id": str, "region": str, "endpoint_url": str, "timeout": (int, float)},
}  # fmt: skip
NEEDED = {
    "key-file": {"path"},
    "vault-transit": {"url", "key", "token_file"},
    "kms": {"key_id", "region"},
}
LONGEST_TIMEOUT = 10


def key_provider(name: str, given: Any) -> KeyProvider:
    """The provider that one entry of LGPRIVACY_KEY_SERVICES describes; raises `ConfigurationError`
    naming what to mend.
    """
    location = f"LGPRIVACY_KEY_SERVICES[{name!r}]"
    if not isinstance(given, Mapping) or given.get("kind") not in KINDS:
        raise ConfigurationError(
            f"{location}: takes a mapping with 'kind', which is one of {', '.join(KINDS)}"
        )
    kind = str(given["kind"])
    option_types = KINDS[kind]
    options = {option: value for option, value in given.items() if option != "kind"}
    for option, value in options.items():
        if option not in option_types:
            raise ConfigurationError(
                f"{location}: {kind} has no option {option!r}; it has {', '.join(option_types)}"
            )
        if not isinstance(value, option_types[option]):
            raise ConfigurationError(
                f"{location}: {option} is of the wrong type, {type(value).__name__}"
            )
    missing = sorted(NEEDED[kind] - options.keys())
    if missing:
        raise ConfigurationError(f"{location}: {kind} needs {', '.join(missing)}")
    if not 0 < options.get("timeout", 1) <= LONGEST_TIMEOUT:
        raise ConfigurationError(
            f"{location}: timeout is between 0 and {LONGEST_TIMEOUT} seconds, because requests "
            "wait for it"
        )
    for option in ("url", "endpoint_url"):
        if option in options:
            _refuse_plain_http(location, option, options[option])
    for option in ("path", "token_file", "ca_file"):
        if option in options:
            options[option] = Path(options[option])
    if kind == "key-file":
        return LocalKeyFile(**options)
    return (
        TransitProvider(name, **options)
        if kind == "vault-transit"
        else KmsProvider(name, **options)
    )


def _refuse_plain_http(location: str, option: str, url: str) -> None:
    parts = urlsplit(url)
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
