from __future__ import annotations

import asyncio
import socket
import ssl

import aiohttp
import aiohttp.connector
import pytest

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import OutcomeUnknown
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import Transport, VaultRequest
from greenlang_secrets.transport.messages import Failure
from greenlang_secrets.transport.wire import _failure
from support.scripted import DROP, Scripted, answer, scripted

READ = VaultRequest(method="GET", path=ApiPath("secret/data/x"))
GOOD = answer(200, b"{}")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_http_client_repeats_nothing_by_itself(method):
    """A PUT or DELETE whose answer is lost on a connection that was used before is sent once:
    aiohttp would send it again, unseen.
    """
    write = VaultRequest(method=method, path=ApiPath("secret/data/x"))
    async with (
        scripted(GOOD, DROP, GOOD) as vault,
        Transport(SecretsServiceConfig(addresses=(vault.addr,))) as transport,
    ):
        await transport.send(READ)
        with pytest.raises(OutcomeUnknown):
            await transport.send(write)

    assert vault.requests == ["GET /v1/secret/data/x", f"{method} /v1/secret/data/x"]


@pytest.mark.parametrize(
    ("reason", "unsent"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", True),
        ("TLSV1_ALERT_UNKNOWN_CA", True),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", True),
        ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", False),
        (None, False),
    ],
)
def test_refusal_of_our_certificate_after_the_handshake(reason, unsent):
    """TLS 1.3 tells of it as if in answer to the request, which the server has not looked at; any
    other end of a connection leaves open what was done.
    """
    lost = aiohttp.ClientOSError(1, "lost")
    lost.__cause__ = ssl.SSLError(1, "alert")
    lost.__cause__.reason = reason

    assert _failure(lost) == (
        Failure("tls", final=True, unsent=True) if unsent else Failure("network", done=True)
    )


async def test_peer_that_vanishes_is_noticed_by_tcp():
    """Connections ask after their peer when idle for 10 s, three times, 3 s apart."""
    async with (
        scripted(GOOD) as vault,
        Transport(SecretsServiceConfig(addresses=(vault.addr,))) as transport,
    ):
        await transport.send(READ)
        session = transport._wire._session
        [[(connection, _)]] = session.connector._conns.values()
        peer = connection.transport.get_extra_info("socket")

        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert [
            peer.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ] == [10, 3, 3]


async def test_name_that_moved_is_resolved_anew_within_30_seconds(monkeypatch):
    """A name is remembered for half a minute; a connection after that goes where it leads now."""
    later = 0.0
    leads_to = "127.0.0.1"
    real = aiohttp.connector.monotonic

    async def getaddrinfo(host, port, **_):
        assert host == "vault.internal"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (leads_to, port))]

    monkeypatch.setattr(aiohttp.connector, "monotonic", lambda: real() + later)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    # Both close each connection, so that each request makes a new one.
    reply = answer(200, b"{}", extra="Connection: close\r\n")
    old, new = Scripted([reply]), Scripted([reply])
    async with await asyncio.start_server(old.handle, "127.0.0.1", 0) as first:
        port = first.sockets[0].getsockname()[1]
        config = SecretsServiceConfig(addresses=(f"http://vault.internal:{port}",))
        async with (
            await asyncio.start_server(new.handle, "127.0.0.2", port),
            Transport(config) as transport,
        ):
            await transport.send(READ)
            leads_to = "127.0.0.2"
            await transport.send(READ)
            later = 31.0
            await transport.send(READ)

    assert (len(old.requests), len(new.requests)) == (2, 1)
