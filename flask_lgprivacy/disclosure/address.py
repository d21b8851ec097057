"""Where a recipient is reached: only at its declared hosts, only over verified TLS."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from ..policy.model import Policy, Recipient

KNOWN = frozenset({"base_url", "ca_file", "authorization"})


@dataclass(frozen=True, slots=True)
class RecipientAddress:
    """The address of a recipient's interface, with the credential that it is called with."""

    host: str
    port: int
    path: str
    context: ssl.SSLContext = field(repr=False)
    authorization: str | None = field(repr=False)


def parse_recipient_addresses(
    policy: Policy, settings: Mapping[str, Any]
) -> dict[str, RecipientAddress]:
    """The endpoints that the settings give for declared recipients; raises `ConfigurationError` for
    any other.
    """
    addresses = {}
    for name, setting in settings.items():
        recipient = policy.recipients.get(name)
        if recipient is None:
            raise ConfigurationError(
                f"LGPRIVACY_RECIPIENTS: the policy document declares no recipient {name!r}",
                clause=policy.clause_of("undeclared-recipients"),
            )
        addresses[name] = _endpoint(recipient, setting)
    return addresses


def _endpoint(recipient: Recipient, setting: Any) -> RecipientAddress:
    location = f"LGPRIVACY_RECIPIENTS[{recipient.id!r}]"
    if not isinstance(setting, Mapping) or not setting.keys() <= KNOWN or "base_url" not in setting:
        raise ConfigurationError(
            f"{location}: takes base_url, and optionally ca_file and authorization"
        )
    try:
        url = urlsplit(str(setting["base_url"]))
        port = url.port or 443
    except ValueError:
        raise ConfigurationError(f"{location}: base_url is not a URL") from None
    host = (url.hostname or "").lower()
    if url.scheme != "https" or not host or url.username or url.query or url.fragment:
        raise ConfigurationError(
            f"{location}: base_url must be https://host/path without credentials, query or fragment"
        )
    if not (is_declared_host(recipient, host) or is_this_machine(host)):
        raise ConfigurationError(
            f"{location}: {host} is not a host of this recipient in the policy document",
            clause=recipient.clause,
        )
    ca_file = setting.get("ca_file")
    if ca_file is not None and not Path(str(ca_file)).is_file():
        raise ConfigurationError(f"{location}: ca_file does not exist")
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return RecipientAddress(host, port, url.path.rstrip("/"), context, setting.get("authorization"))


def is_declared_host(recipient: Recipient, host: str) -> bool:
    """Whether a host is one of the recipient's; `*.` stands for exactly one label."""
    return any(
        host == declared or (declared.startswith("*.") and host.partition(".")[2] == declared[2:])
        for declared in recipient.hosts
    )


def is_this_machine(host: str) -> bool:
    """Whether a host is the loopback interface, where a stand-in may answer: nothing leaves the
    machine.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
