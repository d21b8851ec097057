"""The settings of one application, parsed once from `app.config` into a frozen value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .crypto.cache import MOST_SECONDS
from .crypto.providers.base import KeyProvider
from .crypto.providers.local_file import LazyKeyFile
from .crypto.providers.pool import ROOT
from .crypto.providers.registry import KINDS, key_provider
from .database.identifiers import SubjectRef, canonical_id
from .disclosure.address import RecipientAddress, parse_recipient_addresses
from .errors import ConfigurationError
from .maintenance.plaintext_migration import parse_migration_windows
from .parts import Parts
from .permissions.grant_rules import check_agents
from .policy.loader import SHIPPED, load_policy
from .policy.model import Capabilities, Policy, Right, Workflow
from .stores import DataStore, parse_stores
from .usage.events import UsageEvent, parse_usage

PREFIX = "LGPRIVACY_"
LONGEST_BODY = 16 << 20
"""Bytes of a body that are read at most where neither Flask's MAX_CONTENT_LENGTH nor
LGPRIVACY_LONGEST_BODY says otherwise.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: In `app.config`.
        takes: The types of its value.
        default: Its value where nobody sets it; a path is below the instance folder.
        meaning: What it is for, and what is refused.
    """

    name: str
    takes: tuple[type, ...]
    default: Any
    meaning: str

    @property
    def is_path(self) -> bool:
        """Whether it is a path; one that is set is taken as it is, and below the current folder
        where it is relative.
        """
        return Path in self.takes


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(
            "LGPRIVACY_STORES",
            (Mapping,),
            {},
            "Every place that may hold personal data, with `host` and `country`: `database`, "
            "`database:<bind>` for each bind, `key-service:<name>`, `trail`; and `files:<name>` "
            "and `queue:<name>` with the `categories` that they may hold. All that the application "
            "has are needed.",
        ),
        Setting(
            "LGPRIVACY_POLICY",
            (str, Path),
            SHIPPED,
            "The policy document, a TOML file.",
        ),
        Setting(
            "LGPRIVACY_KEY_FILE",
            (str, Path),
            Path("lgprivacy.key"),
            "The key file of the root key, of mode 0600; not used where a key service is called "
            "`root`.",
        ),
        Setting(
            "LGPRIVACY_KEY_SERVICES",
            (Mapping,),
            {},
            "Key services by name, each with its `kind` and that kind's options. The one called "
            "`root` wraps the keys of clients that brought none.",
        ),
        Setting(
            "LGPRIVACY_KEYS_BIND",
            (str, type(None)),
            None,
            "The bind of the database that holds the key tables, so that they have backups of "
            "their own.",
        ),
        Setting(
            "LGPRIVACY_KEY_CACHE_SIZE",
            (int,),
            20_000,
            "How many unwrapped keys a process keeps for each kind of subject, 3 kB each.",
        ),
        Setting(
            "LGPRIVACY_KEY_CACHE_SECONDS",
            (int, float),
            MOST_SECONDS,
            "How long they are used after their last load, 60 seconds at most: a cached key "
            "outlives an erasure elsewhere.",
        ),
        Setting(
            "LGPRIVACY_TRAIL_DIRECTORY",
            (str, Path),
            Path("trail"),
            "Where the trail of files is written.",
        ),
        Setting(
            "LGPRIVACY_EXEMPT",
            (Mapping,),
            {},
            "Endpoint to the reason why it processes no personal data, for views that take no "
            "decorator.",
        ),
        Setting(
            "LGPRIVACY_RECIPIENTS",
            (Mapping,),
            {},
            "Recipients of the policy document to where they are reached: `base_url`, and "
            "optionally `ca_file` and `authorization`.",
        ),
        Setting(
            "LGPRIVACY_AGENTS",
            (list, tuple, set, frozenset),
            (),
            "The publisher's short list of support agents, as (kind, id) pairs of accounts.",
        ),
        Setting(
            "LGPRIVACY_USAGE",
            (Mapping,),
            {},
            "Usage events by name: `by`, a kind of subject, and `dimensions`, each with all its "
            "values.",
        ),
        Setting(
            "LGPRIVACY_MIGRATION_WINDOWS",
            (Mapping,),
            {},
            "Until which day, by model, plain text in columns that are migrated may be read; 90 "
            "days at most.",
        ),
        Setting(
            "LGPRIVACY_URL_PREFIX",
            (str,),
            "/privacy",
            "Where the rights, consents and grants are mounted.",
        ),
        Setting(
            "LGPRIVACY_LONGEST_BODY",
            (int,),
            LONGEST_BODY,
            "Bytes of a body that are read at most; Flask's MAX_CONTENT_LENGTH counts too where "
            "it is lower.",
        ),
    )
}
"""Every setting, by name."""


@dataclass(frozen=True, slots=True)
class Config:
    """Parsed settings, and what was made of them."""

    policy: Policy
    trail_directory: Path
    key_file: Path
    uses_key_file: bool
    key_providers: Mapping[str, KeyProvider]
    keys_bind: str | None
    url_prefix: str
    exempt: Mapping[str, str]
    recipients: Mapping[str, RecipientAddress]
    stores: Mapping[str, DataStore]
    migration_windows: Mapping[str, dt.date]
    agents: frozenset[SubjectRef]
    usage: Mapping[str, UsageEvent]
    key_cache_size: int
    key_cache_seconds: float
    longest_body: int


def parse_config(app_config: Mapping[str, Any], *, instance: Path, parts: Parts) -> Config:
    """Parse and check the settings.

    Args:
        app_config: Of the application.
        instance: Its instance folder.
        parts: What it brings.

    Raises:
        ConfigurationError: Names the setting, and what to mend.
    """
    for name in app_config:
        if name.startswith(PREFIX) and name not in SETTINGS:
            raise ConfigurationError(
                f"unknown setting {name}; the settings are {', '.join(sorted(SETTINGS))}"
            )
    given = {name: _value(setting, app_config, instance) for name, setting in SETTINGS.items()}
    policy = load_policy(given["LGPRIVACY_POLICY"], _capabilities(parts))
    agents = _agents(given["LGPRIVACY_AGENTS"])
    check_agents(agents, policy)
    return Config(
        policy=policy,
        trail_directory=given["LGPRIVACY_TRAIL_DIRECTORY"],
        key_file=given["LGPRIVACY_KEY_FILE"],
        uses_key_file=parts.key_provider is None and ROOT not in given["LGPRIVACY_KEY_SERVICES"],
        key_providers=_key_providers(
            given["LGPRIVACY_KEY_SERVICES"], parts, given["LGPRIVACY_KEY_FILE"]
        ),
        keys_bind=given["LGPRIVACY_KEYS_BIND"],
        url_prefix=_url_prefix(given["LGPRIVACY_URL_PREFIX"]),
        exempt=_exempt(given["LGPRIVACY_EXEMPT"]),
        recipients=parse_recipient_addresses(policy, given["LGPRIVACY_RECIPIENTS"]),
        stores=parse_stores(given["LGPRIVACY_STORES"], policy),
        migration_windows=parse_migration_windows(
            given["LGPRIVACY_MIGRATION_WINDOWS"], parts.utcnow().date()
        ),
        agents=agents,
        usage=parse_usage(given["LGPRIVACY_USAGE"], policy),
        key_cache_size=given["LGPRIVACY_KEY_CACHE_SIZE"],
        key_cache_seconds=_between(
            given,
            "LGPRIVACY_KEY_CACHE_SECONDS",
            lambda seconds: 0 <= seconds <= MOST_SECONDS,
            f"is between 0 and {MOST_SECONDS:.0f}: a cached key outlives an erasure",
        ),
        longest_body=_between(
            given,
            "LGPRIVACY_LONGEST_BODY",
            lambda longest: longest >= 1,
            "is a number of bytes, one at least",
        ),
    )


def _value(setting: Setting, app_config: Mapping[str, Any], instance: Path) -> Any:
    if setting.name not in app_config:
        return instance / setting.default if setting.is_path else setting.default
    value = app_config[setting.name]
    if not isinstance(value, setting.takes) or isinstance(value, bool):
        names = " or ".join(
            "a dictionary" if accepted is Mapping else accepted.__name__
            for accepted in setting.takes
        )
        raise ConfigurationError(f"{setting.name} takes {names}, not {type(value).__name__}")
    return Path(str(value)) if setting.is_path else value


def _between(
    given: Mapping[str, Any], name: str, holds: Callable[[Any], bool], refusal: str
) -> Any:
    if not holds(given[name]):
        raise ConfigurationError(f"{name} {refusal}")
    return given[name]


def _capabilities(parts: Parts) -> Capabilities:
    return Capabilities(
        rights=frozenset({*Right, *(handler.name for handler in parts.rights)}),
        workflows=frozenset({*Workflow, *(workflow.name for workflow in parts.grant_workflows)}),
    )


def _key_providers(
    settings: Mapping[str, Any], parts: Parts, key_file: Path
) -> dict[str, KeyProvider]:
    for kind in parts.key_provider_kinds.keys() & KINDS.keys():
        raise ConfigurationError(
            f"the kind of key provider {kind!r} is built in; name it otherwise"
        )
    kinds = {**KINDS, **parts.key_provider_kinds}
    providers = {name: key_provider(name, entry, kinds) for name, entry in settings.items()}
    if parts.key_provider is not None:
        providers[ROOT] = parts.key_provider
    elif ROOT not in providers:
        providers[ROOT] = LazyKeyFile(key_file)
    return providers


def _url_prefix(prefix: str) -> str:
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise ConfigurationError("LGPRIVACY_URL_PREFIX starts with / and does not end with it")
    return prefix


def _exempt(reasons: Mapping[str, Any]) -> Mapping[str, str]:
    for endpoint, reason in reasons.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigurationError(
                f"LGPRIVACY_EXEMPT[{endpoint!r}] needs the reason why the endpoint processes no "
                "personal data"
            )
    return reasons


def _agents(agents: Any) -> frozenset[SubjectRef]:
    """The short list of support agents, each as (kind, id) of the account."""
    if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in agents):
        raise ConfigurationError(
            "LGPRIVACY_AGENTS takes a list of (kind, id) pairs, such as [('account', 'the id')]"
        )
    return frozenset((str(kind), canonical_id(subject_id)) for kind, subject_id in agents)
