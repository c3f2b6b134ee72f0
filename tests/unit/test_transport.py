from __future__ import annotations

import asyncio
import json
import socket
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import (
    ConfigurationError,
    OutcomeUnknown,
    VaultProtocolError,
    VaultUnavailable,
)
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import (
    MAX_IN_FLIGHT,
    MAX_RESPONSE,
    MAX_WAITING,
    Transport,
    VaultRequest,
)
from support.certificates import self_signed
from support.logins import with_locals
from support.scripted import DROP, HANG, answer, scripted

READ = VaultRequest(method="GET", path=ApiPath("secret/data/x"), subject="x")
WRITE = VaultRequest(
    method="POST", path=ApiPath("secret/data/x"), body={"data": {"k": "v"}}, subject="x"
)
GOOD = answer(200, b'{"data": {"k": "v"}}')


@asynccontextmanager
async def opened(*addresses: str, **settings: object) -> AsyncIterator[Transport]:
    config = SecretsServiceConfig(
        addresses=addresses,
        **{"request_timeout": 2.0, "connect_timeout": 0.5, **settings},  # type: ignore[arg-type]
    )
    async with Transport(config) as transport:
        yield transport


def refusing_address() -> str:
    """An address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


# ---------------------------------------------------------------- what is sent


async def test_request_carries_token_namespace_and_vaults_own_header():
    """Each request has the token, the namespace and X-Vault-Request, and nothing of a proxy."""
    async with scripted(GOOD) as vault, opened(vault.addr, namespace="team-a") as transport:
        await transport.send(READ, token=SecretValue("hvs.t"))

    head = vault.heads[0].lower()
    assert vault.requests == ["GET /v1/secret/data/x"]
    assert "x-vault-token: hvs.t\r\n" in head
    assert "x-vault-namespace: team-a\r\n" in head
    assert "x-vault-request: true\r\n" in head
    assert "accept-encoding: identity\r\n" in head


async def test_body_is_sent_as_json_in_utf8():
    """A body goes out as JSON; non-ASCII text is not escaped, so its size is what was counted."""
    request = VaultRequest(method="POST", path=ApiPath("p"), body={"k": "grün"}, query="a=1")
    async with scripted(GOOD) as vault, opened(vault.addr) as transport:
        await transport.send(request)

    assert vault.requests == ["POST /v1/p?a=1"]
    assert vault.bodies[0] == '{"k": "grün"}'.encode()


async def test_target_is_sent_byte_for_byte():
    """The HTTP client does not collapse or re-encode what it is given."""
    async with scripted(GOOD) as vault, opened(vault.addr) as transport:
        await transport.send(VaultRequest(method="GET", path=ApiPath("a/../%2e%2e/b%2Fc")))

    assert vault.requests == ["GET /v1/a/../%2e%2e/b%2Fc"]


async def test_transport_that_is_not_open_says_so():
    """Using it outside its context manager is a plain error, not an AttributeError."""
    transport = Transport(SecretsServiceConfig(addresses=("http://127.0.0.1:1",)))

    with pytest.raises(RuntimeError, match="not open"):
        await transport.send(READ)


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("status", [200, 204, 400, 403, 404, 405, 412, 415])
async def test_status_with_a_meaning_for_engines_is_handed_on(status):
    """These are answers; what they mean is the engine's to say."""
    body = b"" if status == 204 else b'{"errors": []}'
    async with scripted(answer(status, body)) as vault, opened(vault.addr) as t:
        reply = await t.send(READ)

    assert reply.status == status
    assert len(vault.requests) == 1


async def test_bad_request_in_plain_text_has_no_body():
    """Vault's text answers to malformed requests are statuses without content."""
    text = answer(400, b"400 Bad Request", content_type="text/plain")
    async with scripted(text) as vault, opened(vault.addr) as transport:
        reply = await transport.send(READ)

    assert (reply.status, reply.body, reply.data) == (400, {}, {})


@pytest.mark.parametrize(
    "bad",
    [
        answer(200, b"{not json CANARY"),
        answer(200, b'["CANARY"]'),
        answer(200, b"\xff\xfe"),
        answer(200, b"<html>CANARY</html>", content_type="text/html"),
        b"HTTP/1.1 garbage\r\n\r\n",
        b"\x00\x01CANARY\r\n\r\n",
    ],
    ids=["json", "list", "utf8", "html", "status-line", "binary"],
)
async def test_answer_that_is_not_vaults_is_a_protocol_error_without_its_text(bad):
    """Garbage is reported as such, and none of it is in the error or its causes."""
    async with scripted(bad) as vault, opened(vault.addr) as transport:
        with pytest.raises(VaultProtocolError) as caught:
            await transport.send(READ)

    shown = "".join(traceback.format_exception(caught.value))
    assert "CANARY" not in shown
    assert caught.value.__context__ is None
    assert vault.addr not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        b"HTTP/1.1 garbage\r\n\r\n",
        answer(200, b"{CANARY-VALUE"),
        answer(200, b'["CANARY-VALUE"]'),
        answer(429, b'["CANARY-VALUE"]'),
    ],
    ids=["no-http", "json", "list", "quota"],
)
async def test_traceback_of_a_protocol_error_shows_no_variable_with_a_secret(bad):
    """Not even with the frames' local variables: neither the token, nor the body sent, nor what was
    answered.
    """
    request = VaultRequest(
        method="POST", path=ApiPath("p"), body={"k": "CANARY-BODY"}, repeatable=True
    )
    async with scripted(bad) as vault, opened(vault.addr) as transport:
        with pytest.raises(VaultProtocolError) as caught:
            await transport.send(request, token=SecretValue("CANARY-TOKEN"))

    shown = with_locals(caught.value)
    assert "transport" in shown  # the control: frames are shown, and their variables
    assert "call = " in shown
    assert "CANARY" not in shown


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "streamed"])
async def test_answer_over_the_cap_is_refused(declared):
    """More than 4 MiB is not read, whether the length was announced or not."""
    body = b'{"k": "' + b"x" * MAX_RESPONSE + b'"}'
    if declared:
        huge = answer(200, body)
    else:
        huge = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        )
    async with scripted(huge) as vault, opened(vault.addr) as transport:
        with pytest.raises(VaultProtocolError, match="larger than 4 MiB"):
            await transport.send(READ)


async def test_compressed_answer_is_not_unpacked():
    """Compression was not asked for; a gzip bomb stays what it is and is refused."""
    bomb = answer(200, b"\x1f\x8b" + b"\0" * 50, extra="Content-Encoding: gzip\r\n")
    async with scripted(bomb) as vault, opened(vault.addr) as transport:
        with pytest.raises(VaultProtocolError):
            await transport.send(READ)


# ---------------------------------------------------------------- redirects


async def test_redirect_is_never_followed_and_the_token_goes_nowhere():
    """A 307 names an address; nothing is sent there."""
    async with scripted(GOOD) as elsewhere:
        redirect = answer(307, b"", extra=f"Location: {elsewhere.addr}/v1/secret/data/x\r\n")
        async with scripted(redirect) as vault, opened(vault.addr) as transport:
            with pytest.raises(VaultUnavailable) as caught:
                await transport.send(READ, token=SecretValue("hvs.t"))

        assert elsewhere.requests == []
    assert caught.value.reason == "standby"


# ---------------------------------------------------------------- retries


@pytest.mark.parametrize("status", [429, 472, 473, 500, 502, 504, 307])
async def test_read_is_repeated_after_a_passing_failure(status):
    """One bad answer does not fail a read."""
    async with scripted(answer(status), GOOD) as vault, opened(vault.addr) as transport:
        reply = await transport.send(READ)

    assert reply.data == {"k": "v"}
    assert len(vault.requests) == 2


async def test_read_is_repeated_after_a_dropped_connection():
    """A connection closed without an answer is a passing failure for a read."""
    async with scripted(DROP, GOOD) as vault, opened(vault.addr) as transport:
        reply = await transport.send(READ)

    assert reply.ok


@pytest.mark.parametrize("status", [501, 503])
async def test_sealed_vault_is_told_at_once(status):
    """Sealed is a state, not a hiccup: one request, and the error names it."""
    async with scripted(answer(status)) as vault, opened(vault.addr) as transport:
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(READ)

    assert caught.value.reason == "sealed"
    assert len(vault.requests) == 1


async def test_failing_vault_is_asked_twice_for_a_read():
    """A 500 is repeated once: a full audit device answers 500 to everything."""
    async with scripted(answer(500)) as vault, opened(vault.addr) as transport:
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(READ)

    assert caught.value.reason == "audit"
    assert len(vault.requests) == 2


@pytest.mark.parametrize("step", [answer(500), answer(502), DROP], ids=["500", "502", "drop"])
async def test_write_of_unknown_outcome_is_not_repeated(step):
    """After a 5xx or a lost answer a write may have happened: it is sent once, and said so."""
    async with scripted(step) as vault, opened(vault.addr) as transport:
        with pytest.raises(OutcomeUnknown):
            await transport.send(WRITE)

    assert len(vault.requests) == 1


async def test_write_that_says_it_is_repeatable_is_repeated():
    """A change that names its effect may be sent again."""
    request = VaultRequest(method="POST", path=ApiPath("p"), repeatable=True)
    async with scripted(answer(500), GOOD) as vault, opened(vault.addr) as transport:
        await transport.send(request)

    assert len(vault.requests) == 2


@pytest.mark.parametrize("status", [307, 429, 503])
async def test_write_that_was_not_done_is_reported_unavailable(status):
    """Standby, quota and seal refuse before acting: nothing happened, and that is known."""
    async with (
        scripted(answer(status)) as vault,
        opened(vault.addr, write_timeout=0.5) as transport,
    ):
        with pytest.raises(VaultUnavailable):
            await transport.send(WRITE)

    assert json.loads(vault.bodies[0]) == {"data": {"k": "v"}}


async def test_retry_after_within_the_deadline_is_honoured():
    """A wait that Vault asks for is waited."""
    quota = answer(429, extra="Retry-After: 1\r\n")
    loop = asyncio.get_running_loop()
    async with scripted(quota, GOOD) as vault, opened(vault.addr) as transport:
        begun = loop.time()
        await transport.send(READ)
        waited = loop.time() - begun

    assert waited >= 1.0


@pytest.mark.parametrize("value", ["60", "soon", "0"])
async def test_retry_after_that_cannot_be_waited_ends_within_the_deadline(value):
    """A wait past the deadline ends the call now; nonsense and 0 leave it to the backoff."""
    quota = answer(429, extra=f"Retry-After: {value}\r\n")
    loop = asyncio.get_running_loop()
    async with scripted(quota) as vault, opened(vault.addr, request_timeout=0.5) as transport:
        begun = loop.time()
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(READ)
        spent = loop.time() - begun

    assert caught.value.reason == "overloaded"
    assert spent < 0.8


async def test_mute_vault_ends_at_the_deadline():
    """A node that accepts and never answers costs the configured time, no more."""
    loop = asyncio.get_running_loop()
    async with scripted(HANG) as vault, opened(vault.addr, request_timeout=0.4) as transport:
        begun = loop.time()
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(READ)
        spent = loop.time() - begun

    assert caught.value.reason == "timeout"
    assert spent < 0.44 + 0.2


async def test_retries_stop_when_the_budget_is_spent():
    """A server that fails everything is not sent several times the load."""
    async with scripted(answer(502)) as vault, opened(vault.addr) as transport:
        for _ in range(30):
            with pytest.raises(VaultUnavailable):
                await transport.send(READ)

    # 30 requests, 10 retries in reserve, one more for each ten requests.
    assert 30 < len(vault.requests) <= 30 + 10 + 3


# ---------------------------------------------------------------- addresses


async def test_next_address_is_used_when_one_refuses():
    """A dead node is passed over at once, and not asked again first."""
    async with scripted(GOOD) as vault, opened(refusing_address(), vault.addr) as transport:
        await transport.send(READ)
        await transport.send(WRITE)

    assert vault.requests == [
        "GET /v1/secret/data/x",
        "GET /v1/sys/health",  # which of the two is active
        "POST /v1/secret/data/x",
    ]


async def test_next_address_is_used_when_one_is_sealed():
    """One sealed node of several does not make Vault unavailable."""
    async with (
        scripted(answer(503)) as sealed,
        scripted(GOOD) as vault,
        opened(sealed.addr, vault.addr) as transport,
    ):
        assert (await transport.send(WRITE)).ok


async def test_nobody_listening_is_network():
    """When no address answers, the reason is the network and the text names no host."""
    address = refusing_address()
    async with opened(address) as transport:
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(READ)

    assert caught.value.reason == "network"
    shown = "".join(traceback.format_exception(caught.value))
    assert address.removeprefix("http://") not in shown


async def test_certificate_of_an_unknown_authority_is_a_tls_error_and_gets_no_token(tmp_path):
    """A server that cannot prove who it is receives nothing."""
    pem = self_signed(tmp_path, "vault")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pem.cert, pem.key)
    async with scripted(GOOD, tls=tls) as vault, opened(vault.addr) as transport:
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(READ, token=SecretValue("hvs.t"))

    assert caught.value.reason == "tls"
    assert vault.requests == []


async def test_configured_authority_and_client_certificate_are_used(tmp_path):
    """With VAULT_CACERT the server is trusted, and it sees the client certificate."""
    pem = self_signed(tmp_path, "vault")
    client = self_signed(tmp_path, "client")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client.cert))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(pem.cert, pem.key)
    async with (
        scripted(GOOD, tls=tls) as vault,
        opened(
            vault.addr, ca_cert=pem.cert, client_cert=client.cert, client_key=client.key
        ) as transport,
    ):
        assert (await transport.send(READ)).ok


async def test_certificate_file_that_is_no_pem_is_named(tmp_path):
    """A CA file without a certificate is a configuration error at opening."""
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")

    with pytest.raises(ConfigurationError, match="VAULT_CACERT"):
        async with opened("https://127.0.0.1:1", ca_cert=bad):
            pass


# ---------------------------------------------------------------- bounds


async def test_no_more_than_64_requests_are_under_way():
    """More callers wait for a place instead of opening more connections."""
    seen = 0
    most = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen, most
        while await reader.readline():
            while (await reader.readline()) != b"\r\n":
                pass
            seen += 1
            most = max(most, seen)
            await asyncio.sleep(0.01)
            seen -= 1
            writer.write(GOOD)
        writer.close()

    listener = await asyncio.start_server(count, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, opened(f"http://127.0.0.1:{port}") as transport:
        answers = await asyncio.gather(*(transport.send(READ) for _ in range(200)))

    assert all(reply.ok for reply in answers)
    assert most == MAX_IN_FLIGHT


async def test_caller_that_finds_no_place_is_shed():
    """Past the queue a call fails at once; in it, after its wait."""
    async with scripted(HANG) as vault, opened(vault.addr, request_timeout=0.3) as transport:
        calls = [
            asyncio.ensure_future(transport.send(READ))
            for _ in range(MAX_IN_FLIGHT + MAX_WAITING + 1)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert calls[-1].done()
        errors = await asyncio.gather(*calls, return_exceptions=True)

    reasons = {error.reason for error in errors if isinstance(error, VaultUnavailable)}
    assert len([error for error in errors if isinstance(error, VaultUnavailable)]) == len(calls)
    assert reasons == {"overloaded", "timeout"}


async def test_cancelled_call_gives_its_place_back():
    """After cancelling more calls than there are places, a new one is served."""
    async with scripted(HANG) as vault, opened(vault.addr) as transport:
        calls = [asyncio.ensure_future(transport.send(READ)) for _ in range(MAX_IN_FLIGHT * 2)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        vault.script[:] = [GOOD]

        assert (await transport.send(READ)).ok
