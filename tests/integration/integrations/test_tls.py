"""Certificates of a real PKI engine, on real TLS connections, through their renewal."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest
import uvicorn

import greenlang_secrets as gs
from greenlang_secrets.integrations.tls import client_context, present, server_context
from support.client_certificates import mutual_server, serial_of, shown_by
from support.mounts import mounted

PATH = "certificates/internal-mtls"


@pytest.fixture
async def pki(vault_server) -> AsyncIterator[str]:
    """A PKI engine with the role `app`, for localhost."""
    async with mounted(vault_server, "pki") as mount:
        for path, body in (
            ("root/generate/internal", {"common_name": "Test CA", "key_type": "ec"}),
            (
                "roles/app",
                {
                    "allowed_domains": ["localhost"],
                    "allow_bare_domains": True,
                    "key_type": "ec",
                    "not_before_duration": "30s",
                },
            ),
        ):
            status, _ = await vault_server.request("POST", f"{mount}/{path}", body)
            assert status in {200, 204}
        yield mount


@pytest.fixture
async def held(secrets, pki) -> AsyncIterator[gs.HeldLease[gs.TlsCertificate]]:
    """A certificate of an hour, held; `refresh` is its renewal."""
    async with await secrets.hold_certificate(
        "app", common_name="localhost", ttl=3600.0, mount=pki
    ) as held:
        yield held


@pytest.fixture
async def issue(secrets, pki):
    """A function that issues a certificate of an hour."""

    async def issued() -> gs.TlsCertificate:
        return await secrets.certificate("app", common_name="localhost", ttl=3600.0, mount=pki)

    return issued


def as_secret(certificate: gs.TlsCertificate) -> dict[str, str]:
    return {
        "certificate": certificate.certificate,
        "private_key": certificate.private_key.reveal(),
        "ca_chain": "\n".join(certificate.chain),
    }


def in_use(secrets: gs.SecretsService) -> list[int]:
    """Return the versions that contexts present, as a rotation sees them."""
    secrets.consumers.rotated = frozenset({("", PATH)})
    return [each.version for each in secrets.consumers.reports() if "tls" in each.consumer]


async def made(certificate: gs.TlsCertificate, *args, **more) -> ssl.SSLContext:
    return await asyncio.to_thread(certificate.ssl_context, *args, **more)


async def another_than(serial: int, port: int, context: ssl.SSLContext) -> int:
    """Connect until another serial number is shown, and return it."""
    async with asyncio.timeout(20):
        while (shown := await shown_by(port, context)) == serial:
            pass
    return shown


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- clients


async def test_a_session_of_aiohttp_presents_the_renewed_certificate(secrets, held, issue) -> None:
    """One session, never made anew: a server that demands certificates sees the new serial number
    on each connection after a renewal, and the old one on what was open.
    """
    server = await made(await issue(), verify_client=True)
    async with (
        mutual_server(server) as port,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=await client_context(secrets, held))
        ) as session,
    ):

        async def seen(path: str) -> int:
            async with session.get(f"https://localhost:{port}/{path}") as answer:
                return int(await answer.text())

        first = serial_of(held.current)
        before = await seen("stay")
        new = serial_of(await held.refresh())
        kept = await seen("close")
        after = [first]
        while after[-1] == first:
            after.append(await seen("close"))

    assert (before, kept) == (first, first)
    assert after[-1] == new != first


async def test_a_client_of_httpx_presents_the_renewed_certificate(secrets, held, issue) -> None:
    """The same for a client of httpx, through three renewals."""
    server = await made(await issue(), verify_client=True)
    context = await client_context(secrets, held)
    async with mutual_server(server) as port, httpx.AsyncClient(verify=context) as client:
        for _ in range(3):
            new = serial_of(await held.refresh())
            async with asyncio.timeout(20):
                while (await client.get(f"https://localhost:{port}/close")).text != str(new):
                    pass


async def test_no_handshake_fails_while_both_sides_are_renewed(secrets, pki) -> None:
    """Twenty renewals of client and server, under connections without a pause: all succeed, and each
    certificate of the client is seen.
    """
    held = [
        await secrets.hold_certificate("app", common_name="localhost", ttl=ttl, mount=pki)
        for ttl in (3600.0, 3000.0)
    ]
    server = await server_context(secrets, held[0], verify_client=True)
    context = await client_context(secrets, held[1])
    renewed = asyncio.Event()
    seen: set[int] = set()
    async with mutual_server(server) as port:

        async def connect() -> None:
            async with httpx.AsyncClient(verify=context) as client:
                while not renewed.is_set():
                    seen.add(int((await client.get(f"https://localhost:{port}/close")).text))

        async def renew() -> None:
            try:
                for _ in range(20):
                    await asyncio.gather(*(each.refresh() for each in held))
                    new = serial_of(held[1].current)
                    await until(lambda new=new: new in seen)
            finally:
                renewed.set()

        await asyncio.gather(connect(), connect(), connect(), renew())
        shown = await shown_by(port, context)

    assert shown == serial_of(held[0].current)
    assert len(seen) >= 20


async def test_a_context_made_once_stays_behind(held, issue) -> None:
    """The control: a context that follows nothing goes on with the certificate it was made of."""
    server = await made(await issue(), verify_client=True)
    context = await made(held.current, ssl.Purpose.SERVER_AUTH)
    first = serial_of(held.current)
    await held.refresh()
    async with mutual_server(server) as port, httpx.AsyncClient(verify=context) as client:
        answer = await client.get(f"https://localhost:{port}/close")

    assert int(answer.text) == first != serial_of(held.current)


async def test_a_certificate_of_seconds_is_followed_by_itself(secrets, pki, issue) -> None:
    """Nobody refreshes: a certificate of 3 s is renewed in time, and the connections never fail."""
    server = await made(await issue(), verify_client=True)
    context = await client_context(
        secrets, await secrets.hold_certificate("app", common_name="localhost", ttl=3.0, mount=pki)
    )
    seen: set[int] = set()
    async with mutual_server(server) as port, httpx.AsyncClient(verify=context) as client:
        async with asyncio.timeout(20):
            while len(seen) < 3:
                answer = await client.get(f"https://localhost:{port}/close")
                seen.add(int(answer.text))
                await asyncio.sleep(0.05)


# ---------------------------------------------------------------- servers


async def test_a_server_shows_the_renewed_certificate(secrets, held, issue) -> None:
    """A listening server shows the new serial number on new connections; who is not of its chain is
    refused before and after.
    """
    client = await made(await issue(), ssl.Purpose.SERVER_AUTH)
    stranger = ssl.create_default_context(cadata="\n".join(held.current.chain))
    context = await server_context(secrets, held, verify_client=True)
    async with mutual_server(context) as port:
        first = await shown_by(port, client)
        before = serial_of(held.current)
        await held.refresh()
        second = await another_than(first, port, client)

        async with httpx.AsyncClient(verify=stranger) as without:
            with pytest.raises(httpx.TransportError):
                await without.get(f"https://localhost:{port}/close")

    assert (first, second) == (before, serial_of(held.current))
    assert first != second


async def test_uvicorn_shows_the_renewed_certificate(secrets, held, issue) -> None:
    """The context that its factory is given follows, too."""
    context = await server_context(secrets, held)

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(
        app, port=0, log_config=None, lifespan="off", ssl_context_factory=lambda *_: context
    )
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server.serve())
    try:
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        client = await made(await issue(), ssl.Purpose.SERVER_AUTH)
        first = await shown_by(port, client)
        await held.refresh()
        second = await another_than(first, port, client)
        async with httpx.AsyncClient(verify=client) as session:
            assert (await session.get(f"https://localhost:{port}/")).status_code == 200
    finally:
        server.should_exit = True
        await running

    assert second == serial_of(held.current)


async def test_a_server_may_let_everybody_in(secrets, held) -> None:
    """Without `verify_client` a client needs no certificate."""
    context = await server_context(secrets, held)
    client = ssl.create_default_context(cadata="\n".join(held.current.chain))
    seen = asyncio.Queue[int]()

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.put_nowait(1)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await shown_by(port, client) == serial_of(held.current)
        await asyncio.wait_for(seen.get(), 5)


async def test_a_context_of_ones_own_keeps_its_settings(secrets, held, issue) -> None:
    """`present` changes the certificate, and neither whom the context trusts nor how."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    await present(secrets, held, context)
    client = await made(await issue(), ssl.Purpose.SERVER_AUTH)
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        first = await shown_by(port, client)
        await held.refresh()
        second = await another_than(first, port, client)

    assert first != second == serial_of(held.current)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.get_ca_certs() == []


# ---------------------------------------------------------------- secrets


async def test_a_secret_is_followed_too(secrets, issue) -> None:
    """A certificate in KV: a new version is shown, and counted as what is in use."""
    first, second = await issue(), await issue()
    await secrets.create(PATH, as_secret(first), type=gs.SecretType.CERTIFICATE)
    context = await server_context(secrets, PATH)
    client = await made(first, ssl.Purpose.SERVER_AUTH)
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await shown_by(port, client) == serial_of(first)
        before = in_use(secrets)
        await secrets.put(PATH, as_secret(second))
        assert await another_than(serial_of(first), port, client) == serial_of(second)
        after = in_use(secrets)

    assert (before, after) == ([1], [2])


async def test_a_version_that_cannot_be_used_changes_nothing(secrets, issue, caplog) -> None:
    """A key of another certificate is logged, by the error's class, and the one before stays; the
    next good one is taken.
    """
    first, second = await issue(), await issue()
    await secrets.create(PATH, as_secret(first), type=gs.SecretType.CERTIFICATE)
    context = await server_context(secrets, PATH)
    client = await made(first, ssl.Purpose.SERVER_AUTH)
    broken = {**as_secret(first), "private_key": second.private_key.reveal()}
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with caplog.at_level(logging.WARNING):
            await secrets.put(PATH, broken)
            await until(lambda: "SecretIncomplete" in str([vars(each) for each in caplog.records]))
        kept = await shown_by(port, client)
        await secrets.put(PATH, as_secret(second))
        taken = await another_than(serial_of(first), port, client)

    assert (kept, taken) == (serial_of(first), serial_of(second))
    assert "BEGIN" not in str([vars(each) for each in caplog.records])


async def test_a_pair_that_does_not_fit_breaks_a_context(issue, tmp_path) -> None:
    """The control: given to OpenSSL without a trial, such a version ends every handshake."""
    first, second = await issue(), await issue()
    context = await made(first)
    client = await made(first, ssl.Purpose.SERVER_AUTH)
    (tmp_path / "pair.pem").write_text(first.private_key.reveal() + "\n" + second.certificate)
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(tmp_path / "pair.pem")
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown_by(server.sockets[0].getsockname()[1], client)


async def test_a_new_authority_is_trusted_from_then_on(secrets, issue, vault_server, pki) -> None:
    """After a change of the CA a client trusts servers of the new one, and still those of the old."""
    old = await issue()
    await secrets.create(PATH, as_secret(old), type=gs.SecretType.CERTIFICATE)
    context = await client_context(secrets, PATH)
    status, _ = await vault_server.request(
        "POST", f"{pki}/root/rotate/internal", {"common_name": "Second CA", "key_type": "ec"}
    )
    assert status == 200
    _, issuers = await vault_server.request("GET", f"{pki}/config/issuers")
    _, found = await vault_server.request("LIST", f"{pki}/issuers")
    [other] = set(found["data"]["keys"]) - {issuers["data"]["default"]}
    status, _ = await vault_server.request("POST", f"{pki}/config/issuers", {"default": other})
    assert status == 200
    new = await issue()
    authorities = len(context.get_ca_certs())
    await secrets.put(PATH, as_secret(new))
    await until(lambda: len(context.get_ca_certs()) > authorities)

    for certificate in (new, old):
        server = await asyncio.start_server(
            lambda _, w: w.close(), "127.0.0.1", 0, ssl=await made(certificate)
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            assert await shown_by(port, context) == serial_of(certificate)
    assert new.chain != old.chain


async def test_what_is_no_certificate_is_refused(secrets) -> None:
    """A secret of another type, or one that is not there, fails at once."""
    await secrets.create(PATH, {"a": "b"})

    with pytest.raises(gs.SecretTypeMismatch):
        await client_context(secrets, PATH)
    with pytest.raises(gs.SecretNotFound):
        await server_context(secrets, "certificates/none")


async def test_a_context_that_is_dropped_is_followed_no_more(secrets, issue) -> None:
    """With its context gone nothing is held, and nobody counts as a user of the secret."""
    await secrets.create(PATH, as_secret(await issue()), type=gs.SecretType.CERTIFICATE)
    context = await client_context(secrets, PATH)
    assert secrets.followers.version_of("", PATH) == 1

    del context
    gc.collect()

    await until(lambda: secrets.followers.version_of("", PATH) is None)
    assert in_use(secrets) == []
