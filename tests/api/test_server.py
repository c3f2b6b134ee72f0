"""Running the service as a process: readiness, signals, and what keeps it from starting."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.conftest import service_config_for
from api.issuer import Issuer
from api.live import running
from api.processes import ended, process, started
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets_api import server as server_module
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.server import bind


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_told_to_stop(
    number: signal.Signals, environment: dict[str, str], issuer: Issuer, path: str
) -> None:
    """It says its URL when it answers, and ends in order with code 0; its log lines are JSON
    and hold no path, token or value.
    """
    token = issuer.tenant("acme")
    async with process(environment) as child:
        api = await started(child)
        created = await api.ask("POST", path, token, json={"data": {"k": "hunter2"}})
        await api.ask("GET", path, token)
        await api.ask("GET", f"{path}//x", token)

        child.send_signal(number)
        code, log = await ended(child)

    assert created.status == 201
    assert code == 0
    lines = [json.loads(line) for line in log.splitlines()]
    requests = [line for line in lines if line["event"] == "http.request"]
    assert [(line["route"], line["method"], line["status"]) for line in requests] == [
        ("/api/v1/secrets/{path}", "POST", 201),
        ("/api/v1/secrets/{path}", "GET", 200),
        ("invalid", "GET", 400),
    ]
    assert all(line["duration"] > 0 and line["request_id"] for line in requests)
    for leak in (path, "hunter2", token, "acme", environment["VAULT_TOKEN"]):
        assert leak not in log


async def test_a_busy_port_is_named(environment: dict[str, str]) -> None:
    """Exit code 2 and one sentence: which port, and what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with process(environment, port) as child:
            code, errors = await ended(child)

    assert code == 2
    assert f"Port {port} on 127.0.0.1 is in use" in errors
    assert "--port" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e, _: e.pop("GREENLANG_SECRETS_JWT_ISSUER"), "GREENLANG_SECRETS_JWT_ISSUER is not"),
        (
            lambda e, broken: e.update(GREENLANG_SECRETS_JWT_JWKS_FILE=str(broken)),
            "GREENLANG_SECRETS_JWT_JWKS_FILE is",
        ),
        (
            lambda e, broken: e.update(
                GREENLANG_SECRETS_JWT_DENYLIST_FILE=str(broken.with_name("latin-1"))
            ),
            "GREENLANG_SECRETS_JWT_DENYLIST_FILE is",
        ),
        (lambda e, _: e.update(VAULT_TOKEN="hvs.wrong"), "VAULT_TOKEN"),
    ],
    ids=["missing setting", "broken key file", "broken denylist", "wrong Vault token"],
)
async def test_what_keeps_it_from_starting_is_said_in_one_line(
    change: Callable[[dict[str, str], Path], Any],
    said: str,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """Exit code 2 and one sentence, no traceback and no secret."""
    broken = tmp_path / "jwks.json"
    broken.write_text("{}")
    broken.with_name("latin-1").write_bytes(b"\xfc")
    change(environment, broken)

    async with process(environment) as child:
        code, errors = await ended(child)

    assert code == 2
    assert said in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert "hvs.wrong" not in errors


def test_an_address_of_another_machine_is_refused() -> None:
    """The refusal names the host and what to use."""
    with pytest.raises(ConfigurationError, match=re.escape("192.0.2.1")):
        bind("192.0.2.1", 0)
    with pytest.raises(ConfigurationError, match=r"no address"):
        bind("no.such.host.invalid", 0)


async def test_a_head_that_never_ends_is_given_up(
    vault_server: Any, mount: str, api_config: ApiConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a head for too long: the connection is closed; one before its time is served."""
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT", 0.2)
    with running(service_config_for(vault_server, mount), api_config) as api:
        half = await api.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: y")
        whole = await api.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert half == b""
    assert whole.startswith(b"HTTP/1.1 200 ")


async def test_a_body_that_never_ends_is_given_up(
    vault_server: Any, mount: str, api_config: ApiConfig, issuer: Issuer
) -> None:
    """408 once the body's time is over."""
    from dataclasses import replace

    head = (
        "POST /api/v1/secrets/t/slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {issuer.tenant('acme')}\r\nContent-Length: 50\r\n"
        "Connection: close\r\n\r\n{"
    )
    config = replace(api_config, body_timeout=0.2)
    with running(service_config_for(vault_server, mount), config) as api:
        answer = await api.raw(head.encode())

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_bug_at_start_is_logged_by_class_and_place_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An unexpected failure to open is not silent, and shows no text and no frames."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "Traceback CANARY"})
        raise ZeroDivisionError("CANARY")

    server = server_module.ApiServer(broken, bind("127.0.0.1", 0))

    with pytest.raises(SystemExit):
        server.run()

    [record] = [record for record in caplog.records if record.message == "service.failed"]
    assert record.error == "ZeroDivisionError"
    assert record.at.startswith("test_server.py:")
    assert "CANARY" not in caplog.text
