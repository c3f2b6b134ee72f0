"""The way to Vault: what the operating system, TLS and the node itself say becomes a cause."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.doctor import Cause, Finding, Level, examine
from greenlang_secrets.testing.process import free_port
from support.certificates import Pem, self_signed

Listener = Callable[..., Awaitable[str]]


@pytest.fixture
def config() -> gs.SecretsServiceConfig:
    """A token that nobody knows; who wants another sets it."""
    return gs.SecretsServiceConfig(
        auth=gs.AuthConfig(token=gs.SecretValue("none")), tenant_token_role=None
    )


async def faults(config: gs.SecretsServiceConfig, address: str) -> list[Finding]:
    """Return what is wrong with this address, and nothing of what is behind it."""
    diagnosis = await examine(replace(config, addresses=(address,)))
    return [found for found in diagnosis.faults if found.check != "login"]


async def only_fault(config: gs.SecretsServiceConfig, address: str) -> Finding:
    """Return the one thing that is wrong."""
    [found] = await faults(config, address)
    assert found.fix
    return found


@pytest.fixture
async def listener(new_vault_server, tmp_path) -> Listener:
    """Start an OpenBao with a second listener, which speaks TLS, and return its host and port."""

    async def start(pem: Pem, options: str = "") -> str:
        port, cluster_port = free_port(), free_port()
        await new_vault_server(
            extra_config=(
                f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n'
                f'  cluster_address = "127.0.0.1:{cluster_port}"\n'
                f"  tls_cert_file = {json.dumps(str(pem.cert))}\n"
                f"  tls_key_file = {json.dumps(str(pem.key))}\n{options}\n}}"
            )
        )
        return f"127.0.0.1:{port}"

    return start


# ---------------------------------------------------------------- the address


async def test_an_unknown_name_is_a_wrong_address(config):
    """A name that no name service knows is told as such; .invalid is never one (RFC 6761)."""
    found = await only_fault(config, "http://vault.invalid:8200")

    assert (found.check, found.cause) == ("address", Cause.WRONG_ADDRESS)
    assert found.what.startswith("it cannot be reached: ")


async def test_a_name_that_no_name_can_be_is_a_wrong_address(config):
    """Two dots in a row are refused before any name service is asked."""
    found = await only_fault(config, "http://a..b:8200")

    assert (found.cause, found.what) == (
        Cause.WRONG_ADDRESS,
        "it cannot be reached: its name is none",
    )


async def test_an_address_that_is_silent_is_a_wrong_address(config):
    """A port whose queue is full answers nothing, and is given up within the timeout."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(4):
            queued = socket.socket()
            queued.setblocking(False)
            queued.connect_ex(("127.0.0.1", port))
            waiting.append(queued)
        try:
            found = await only_fault(config, f"http://127.0.0.1:{port}")
        finally:
            for queued in waiting:
                queued.close()

    assert (found.cause, found.what) == (
        Cause.WRONG_ADDRESS,
        "nothing answers there in time",
    )


@asynccontextmanager
async def answering(octets: bytes) -> AsyncIterator[str]:
    """Serve the same octets to everybody, and yield host and port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(octets)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/html\r\n\r\nhi",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
    ids=["web", "ssh", "nothing"],
)
async def test_a_server_that_is_no_vault_is_told_apart(config, octets):
    """A web server, a server of another protocol and one that hangs up are no Vault."""
    async with answering(octets) as place:
        found = await only_fault(config, f"http://{place}")

    assert (found.check, found.cause) == ("address", Cause.NOT_VAULT)


async def test_a_plain_request_to_tls_is_told_apart(config, listener, tmp_path):
    """With http:// before a port that speaks TLS the fix names https://."""
    place = await listener(self_signed(tmp_path, "vault"))

    found = await only_fault(config, f"http://{place}")

    assert found.cause is Cause.NOT_VAULT
    assert "https://" in found.fix


async def test_each_address_is_examined(config, vault_server):
    """Of two addresses the dead one is a fault, and the living one leads on to the login."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
        auth = gs.AuthConfig(token=gs.SecretValue(vault_server.root_token))

        diagnosis = await examine(replace(config, addresses=(dead, vault_server.addr), auth=auth))

    at = [(found.subject, found.level) for found in diagnosis.findings if found.check == "address"]
    assert at == [(dead, Level.FAULT), (vault_server.addr, Level.OK)]
    [login] = [found for found in diagnosis.findings if found.check == "login"]
    assert login.level is Level.OK


# ---------------------------------------------------------------- TLS


async def test_tls_to_a_plain_port_is_told_apart(config, vault_server):
    """With https:// before a port that speaks plain HTTP the cause is that there is no TLS."""
    found = await only_fault(config, vault_server.addr.replace("http:", "https:"))

    assert (found.check, found.cause) == ("tls", Cause.NO_TLS)


async def test_a_server_that_hangs_up_speaks_no_tls(config):
    """The end of the connection in the midst of the handshake is told as no TLS."""
    async with answering(b"") as place:
        found = await only_fault(config, f"https://{place}")

    assert (found.check, found.cause) == ("tls", Cause.NO_TLS)


async def test_another_name_in_the_certificate_is_told(config, listener, tmp_path):
    """A certificate for 127.0.0.1 does not do for localhost, though it is the same machine."""
    pem = self_signed(tmp_path, "vault")
    place = await listener(pem)
    trusting = replace(config, ca_cert=pem.cert)

    wrong = await only_fault(trusting, f"https://{place.replace('127.0.0.1', 'localhost')}")

    assert (wrong.check, wrong.cause) == ("tls", Cause.WRONG_HOST_NAME)
    assert await faults(trusting, f"https://{place}") == []


async def test_a_certificate_whose_time_is_over_is_told(config, listener, tmp_path):
    """An expired certificate is told apart from one of a strange CA."""
    pem = self_signed(tmp_path, "vault", lives=dt.timedelta(minutes=-1))
    place = await listener(pem)

    found = await only_fault(replace(config, ca_cert=pem.cert), f"https://{place}")

    assert (found.check, found.cause) == ("tls", Cause.CERTIFICATE_EXPIRED)


async def test_a_missing_client_certificate_is_told(config, listener, tmp_path):
    """Where the listener wants a certificate, the fix names ours; with one nothing is wrong."""
    pem, ours = self_signed(tmp_path, "vault"), self_signed(tmp_path, "ours")
    place = await listener(
        pem,
        "  tls_require_and_verify_client_cert = true\n"
        f"  tls_client_ca_file = {json.dumps(str(ours.cert))}",
    )
    without = replace(config, ca_cert=pem.cert)
    given = replace(without, client_cert=ours.cert, client_key=ours.key)

    found = await only_fault(without, f"https://{place}")

    assert (found.check, found.cause) == ("tls", Cause.CLIENT_CERTIFICATE)
    assert "VAULT_CLIENT_CERT" in found.fix
    assert await faults(given, f"https://{place}") == []


async def test_a_ca_file_that_is_none_is_told(config, vault_server, tmp_path):
    """A file that is no PEM is a fault of the configuration."""
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    address = vault_server.addr.replace("http:", "https:")

    found = await only_fault(replace(config, ca_cert=bad), address)

    assert (found.check, found.cause) == ("tls", Cause.CONFIGURATION)


# ---------------------------------------------------------------- the node


def health(**members: object) -> bytes:
    """Return an answer to ``sys/health``."""
    body = json.dumps(
        {
            "initialized": True,
            "sealed": False,
            "standby": False,
            "version": "2.7.2",
            "server_time_utc": int(dt.datetime.now(dt.UTC).timestamp()),
            **members,
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\nConnection: close\r\n\r\n".encode() + body


async def test_a_vault_that_was_never_initialised_is_told(config):
    """It is sealed as well, but unsealing it would not help."""
    async with answering(health(initialized=False, sealed=True)) as place:
        found = await only_fault(config, f"http://{place}")

    assert (found.check, found.cause) == ("seal", Cause.NOT_INITIALISED)


async def test_a_vault_that_fails_is_told(config):
    """A node that answers its health with 500 fails, and its log is where to look."""
    answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with answering(answer) as place:
        found = await only_fault(config, f"http://{place}")

    assert (found.check, found.cause) == ("seal", Cause.VAULT_FAILS)


@pytest.mark.parametrize(
    ("off", "told"), [(9.0, False), (-9.0, False), (11.5, True), (-11.5, True)]
)
async def test_ten_seconds_of_skew_are_borne(config, off, told):
    """The control of clock skew: what NTP may leave is none."""
    now = dt.datetime.now(dt.UTC).timestamp()
    async with answering(health(server_time_utc=int(now))) as place:
        diagnosis = await examine(
            replace(config, addresses=(f"http://{place}",)), clock=lambda: int(now) + 0.5 + off
        )

    [clock] = [found for found in diagnosis.findings if found.check == "clock"]
    assert (clock.level is Level.FAULT) == told
