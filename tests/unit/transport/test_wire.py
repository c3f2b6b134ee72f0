from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import OutcomeUnknown, VaultUnavailable
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import Transport, VaultRequest
from greenlang_secrets.transport.messages import Failure
from greenlang_secrets.transport.wire import _lost
from support.logins import with_locals
from support.scripted import DROP, Scripted, answer, scripted

READ = VaultRequest(method="GET", path=ApiPath("secret/data/x"))
GOOD = answer(200, b"{}")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_http_client_repeats_nothing_by_itself(method):
    """A PUT or DELETE whose answer is lost on a connection that was used before is sent once."""
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
    lost = ssl.SSLError(1, "alert")
    lost.reason = reason

    assert _lost(lost) == (
        Failure("tls", final=True, unsent=True) if unsent else Failure("network", done=True)
    )


async def test_peer_that_vanishes_is_noticed_by_tcp():
    """Connections ask after their peer when idle for 10 s, three times, 3 s apart."""
    async with (
        scripted(GOOD) as vault,
        Transport(SecretsServiceConfig(addresses=(vault.addr,))) as transport,
    ):
        await transport.send(READ)
        [connection] = transport._wire._connections._open
        peer = connection._transport.get_extra_info("socket")

        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert [
            peer.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ] == [10, 3, 3]


async def test_name_that_moved_is_resolved_anew_within_30_seconds(monkeypatch):
    """A name is remembered for half a minute; a connection after that goes where it leads now."""
    later = 0.0
    leads_to = "127.0.0.1"
    loop = asyncio.get_running_loop()
    real = loop.time

    async def getaddrinfo(host, port, **_):
        assert host == "vault.internal"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (leads_to, port))]

    monkeypatch.setattr(loop, "time", lambda: real() + later)
    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
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


@pytest.mark.parametrize("token", ["hvs.t\r\nX-Vault-Namespace: other", "hvs.t\n", "hvs\0t"])
async def test_token_that_would_be_more_than_a_field_is_not_sent(token):
    """A token from a broken file must not add a field of its own; the error does not show it."""
    async with (
        scripted(GOOD) as vault,
        Transport(SecretsServiceConfig(addresses=(vault.addr,))) as transport,
    ):
        with pytest.raises(ValueError, match="may not have") as caught:
            await transport.send(READ, token=SecretValue(token))

    assert vault.requests == []
    assert "hvs" not in with_locals(caught.value)


@pytest.mark.parametrize("path", ["secret/data/x HTTP/1.1\r\nX: y", "secret/data/a b", "grün"])
async def test_target_that_would_be_more_than_one_is_not_sent(path):
    """The target is visible ASCII, whatever a path was made from."""
    async with (
        scripted(GOOD) as vault,
        Transport(SecretsServiceConfig(addresses=(vault.addr,))) as transport,
    ):
        with pytest.raises(ValueError, match="may not have"):
            await transport.send(VaultRequest(method="GET", path=ApiPath(path)))

    assert vault.requests == []


async def test_deadline_that_passes_while_connecting_says_nothing_of_the_node(monkeypatch):
    """With less time left than connecting may take, an attempt ends unsent, and the node is not
    taken for one that nobody listens at.
    """

    async def getaddrinfo(*_: object, **__: object):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    config = SecretsServiceConfig(addresses=("http://vault.internal:1",), request_timeout=0.1)
    async with Transport(config) as transport:
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(READ)

        assert caught.value.reason == "timeout"
        assert transport.circuits() == {"vault.internal:1": False}


async def test_request_without_a_body_says_so():
    """A write without a body has the length 0, which servers may ask for; a read has none."""
    async with (
        scripted(GOOD) as vault,
        Transport(SecretsServiceConfig(addresses=(vault.addr,))) as transport,
    ):
        await transport.send(READ)
        await transport.send(VaultRequest(method="POST", path=ApiPath("p")))

    read, write = (head.lower() for head in vault.heads)
    assert f"\r\nhost: {vault.addr.removeprefix('http://')}\r\n" in read
    assert "\r\nuser-agent: greenlang-secrets/" in read
    assert "content-length" not in read
    assert "\r\ncontent-length: 0\r\n" in write
