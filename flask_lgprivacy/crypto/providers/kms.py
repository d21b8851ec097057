"""A key management service that speaks AWS KMS's API as key provider; needs the extra `kms`."""

from __future__ import annotations

import base64
import logging
from typing import Any, NoReturn

from ...errors import ConfigurationError, KeyUnavailable

TELLING = (
    "botocore.endpoint",
    "botocore.parsers",
    "botocore.hooks",
    "botocore.client",
    "botocore.auth",
    "botocore.httpsession",
)
"""Loggers that write requests and answers out, keys included, where somebody sets them to DEBUG."""


def _without_bodies(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


class KmsProvider:
    """Wraps client keys by a KMS key, to which the context is bound as encryption context.

    Credentials come as boto3 finds them. The service rotates its key itself.

    Args:
        name: For messages.
        key_id: The key's id, ARN or alias.
        region: The region of the service.
        endpoint_url: Of another service than AWS's; https unless on this machine.
        timeout: Seconds for each of two tries.

    Source: AWS KMS API, `Encrypt` and `Decrypt`.
    """

    def __init__(
        self,
        name: str,
        *,
        key_id: str,
        region: str,
        endpoint_url: str | None = None,
        timeout: float = 2.0,
    ) -> None:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError:
            raise ConfigurationError(
                f"key service {name!r}: needs boto3; install 'flask-lgprivacy[kms]'"
            ) from None
        self._name = name
        self._key_id = key_id
        self._away: type[Exception] = BotoCoreError
        self._refused: type[Exception] = ClientError
        patience = Config(
            connect_timeout=timeout,
            read_timeout=timeout,
            retries={"total_max_attempts": 2, "mode": "standard"},
            proxies={},
        )
        for logger in TELLING:
            logging.getLogger(logger).addFilter(_without_bodies)
        self._client: Any = boto3.client(
            "kms", region_name=region, endpoint_url=endpoint_url, config=patience
        )

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """Wrap a key, bound to `context`; raises `KeyUnavailable`."""
        answer = self._call(
            "encrypt", KeyId=self._key_id, Plaintext=key, EncryptionContext=_context(context)
        )
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """Unwrap what `wrap` returned for the same `context`; raises `KeyUnavailable`."""
        answer = self._call(
            "decrypt",
            KeyId=self._key_id,
            CiphertextBlob=wrapped,
            EncryptionContext=_context(context),
        )
        return bytes(answer["Plaintext"])

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(**arguments)
        except self._refused as refused:
            response: Any = getattr(refused, "response", {})
            code = str(response.get("Error", {}).get("Code", "")) or "refused"
            raise KeyUnavailable(f"key service {self._name!r}: {code}", is_away=False) from None
        except self._away as away:
            raise KeyUnavailable(
                f"key service {self._name!r}: {type(away).__name__}", is_away=True
            ) from None

    def __repr__(self) -> str:
        return f"<KmsProvider {self._name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key provider cannot be pickled")


def _context(context: bytes) -> dict[str, str]:
    return {"lgprivacy": base64.b64encode(context).decode()}
