"""HashiCorp Vault Transit, or OpenBao's, as key provider; needs the extra `vault`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ...errors import ConfigurationError, KeyUnavailable

TRIES = 2


class TransitProvider:
    """Wraps client keys by a Transit key (aes256-gcm96), with the context as associated data.

    The server keeps old versions of its key and rotates it itself.

    Args:
        name: For messages.
        url: Of the server; https unless on this machine.
        key: Of the Transit engine.
        token_file: Holds the token; read again when the token was refused.
        mount: Of the Transit engine.
        ca_file: Verifies the server.
        timeout: Seconds for each of two tries.

    Source: Vault HTTP API, `transit/encrypt`.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        key: str,
        token_file: Path,
        mount: str = "transit",
        ca_file: Path | None = None,
        timeout: float = 2.0,
    ) -> None:
        try:
            import hvac
            import requests
        except ImportError:
            raise ConfigurationError(
                f"key service {name!r}: needs hvac; install 'flask-lgprivacy[vault]'"
            ) from None
        self._name = name
        self._key = key
        self._mount = mount
        self._token_file = token_file
        self._refused = (hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized)
        self._faulty = hvac.exceptions.VaultError
        self._down = (
            hvac.exceptions.VaultDown,
            hvac.exceptions.BadGateway,
            hvac.exceptions.InternalServerError,
        )
        self._away = requests.RequestException
        session = requests.Session()
        session.trust_env = False
        self._client = hvac.Client(
            url=url,
            timeout=timeout,
            session=session,
            verify=str(ca_file) if ca_file else True,
            allow_redirects=False,
        )

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """Wrap a key, bound to `context`; raises `KeyUnavailable`."""
        text = _base64(key)
        answer = self._call(
            lambda transit: transit.encrypt_data(
                self._key, plaintext=text, associated_data=_base64(context), mount_point=self._mount
            )
        )
        return str(answer["ciphertext"]).encode()

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """Unwrap what `wrap` returned for the same `context`; raises `KeyUnavailable`."""
        text = wrapped.decode("ascii", "replace")
        answer = self._call(
            lambda transit: transit.decrypt_data(
                self._key, text, associated_data=_base64(context), mount_point=self._mount
            )
        )
        try:
            return base64.b64decode(answer["plaintext"], validate=True)
        except (KeyError, TypeError, binascii.Error):
            raise KeyUnavailable(f"key service {self._name!r}: its answer is not a key") from None

    def _call(self, ask: Callable[[Any], Any]) -> Any:
        """Ask twice where the server did not answer, or refused a token that may have been renewed;
        never longer.
        """
        error = "did not answer"
        for _ in range(TRIES):
            try:
                if self._client.token is None:
                    self._client.token = self._token_file.read_text(encoding="ascii").strip()
                return ask(self._client.secrets.transit)["data"]
            except OSError as missing:
                if isinstance(missing, self._away):
                    continue
                error = f"the token file {self._token_file.name} cannot be read"
            except self._refused:
                self._client.token = None
                error = "refused access"
            except self._faulty as failed:
                is_away = isinstance(failed, self._down)
                raise KeyUnavailable(
                    f"key service {self._name!r}: {type(failed).__name__}", is_away=is_away
                ) from None
            except (KeyError, TypeError, ValueError):
                error = "its answer cannot be read"
        raise KeyUnavailable(
            f"key service {self._name!r}: {error}", is_away=error == "did not answer"
        )

    def __repr__(self) -> str:
        return f"<TransitProvider {self._name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key provider cannot be pickled")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
