"""The settings of one application, parsed once from `app.config` into a frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .crypto.cache import MOST_SECONDS
from .database.identifiers import canonical_id
from .errors import ConfigurationError
from .policy.loader import SHIPPED

PREFIX = "LGPRIVACY_"
LONGEST_BODY = 16 << 20
"""Bytes of a body that are read at most where neither Flask's MAX_CONTENT_LENGTH nor
LGPRIVACY_LONGEST_BODY says otherwise.
"""


@dataclass(frozen=True, slots=True)
class Config:
    """Parsed settings; each is `LGPRIVACY_` and the field's name in capitals."""

    policy: Path
    trail_directory: Path
    key_file: Path
    keys_bind: str | None
    url_prefix: str
    exempt: Mapping[str, str]
    recipients: Mapping[str, Any]
    key_services: Mapping[str, Any]
    stores: Mapping[str, Any]
    migration_windows: Mapping[str, Any]
    agents: frozenset[tuple[str, str]]
    usage: Mapping[str, Any]
    key_cache_size: int
    key_cache_seconds: float
    longest_body: int


def parse_config(config: Mapping[str, Any], *, instance: Path) -> Config:
    """Parse and check the settings; raises `ConfigurationError` naming the setting."""
    settings = {name: value for name, value in config.items() if name.startswith(PREFIX)}
    setting_names = {PREFIX + name.upper() for name in Config.__dataclass_fields__}
    for name in settings:
        if name not in setting_names:
            raise ConfigurationError(
                f"unknown setting {name}; the settings are {', '.join(sorted(setting_names))}"
            )

    def setting(name: str, default: Any, kind: type | tuple[type, ...]) -> Any:
        value = settings.get(PREFIX + name, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            names = " or ".join(
                "a dictionary" if accepted is Mapping else accepted.__name__ for accepted in kinds
            )
            raise ConfigurationError(f"{PREFIX}{name} takes {names}, not {type(value).__name__}")
        return value

    prefix = setting("URL_PREFIX", "/privacy", str)
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise ConfigurationError("LGPRIVACY_URL_PREFIX starts with / and does not end with it")
    exempt = setting("EXEMPT", {}, Mapping)
    for endpoint, reason in exempt.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigurationError(
                f"LGPRIVACY_EXEMPT[{endpoint!r}] needs the reason why the endpoint processes no "
                "personal data"
            )
    seconds = setting("KEY_CACHE_SECONDS", MOST_SECONDS, (int, float))
    if not 0 <= seconds <= MOST_SECONDS:
        raise ConfigurationError(
            f"LGPRIVACY_KEY_CACHE_SECONDS is between 0 and {MOST_SECONDS:.0f}: a cached key "
            "outlives an erasure"
        )
    longest = setting("LONGEST_BODY", LONGEST_BODY, int)
    if longest < 1:
        raise ConfigurationError("LGPRIVACY_LONGEST_BODY is a number of bytes, one at least")
    return Config(
        policy=Path(setting("POLICY", SHIPPED, (str, Path))),
        trail_directory=Path(setting("TRAIL_DIRECTORY", instance / "trail", (str, Path))),
        key_file=Path(setting("KEY_FILE", instance / "lgprivacy.key", (str, Path))),
        keys_bind=setting("KEYS_BIND", None, (str, type(None))),
        url_prefix=prefix,
        exempt=exempt,
        recipients=setting("RECIPIENTS", {}, Mapping),
        key_services=setting("KEY_SERVICES", {}, Mapping),
        stores=setting("STORES", {}, Mapping),
        migration_windows=setting("MIGRATION_WINDOWS", {}, Mapping),
        agents=_agents(setting("AGENTS", (), (list, tuple, set, frozenset))),
        usage=setting("USAGE", {}, Mapping),
        key_cache_size=setting("KEY_CACHE_SIZE", 20_000, int),
        key_cache_seconds=float(seconds),
        longest_body=longest,
    )


def _agents(agents: Any) -> frozenset[tuple[str, str]]:
    """The short list of support agents, each as (kind, id) of the account."""
    if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in agents):
        raise ConfigurationError(
            "LGPRIVACY_AGENTS takes a list of (kind, id) pairs, such as [('account', 'the id')]"
        )
    return frozenset((str(kind), canonical_id(pair)) for kind, pair in agents)
