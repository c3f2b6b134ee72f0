from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
from pathlib import Path

import pytest

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import VaultUnavailable
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import Transport, VaultRequest
from greenlang_secrets.transport import certificates as module
from greenlang_secrets.transport.certificates import Certificates
from support.certificates import self_signed
from support.scripted import answer, scripted
from support.stub import stub

READ = VaultRequest(method="GET", path=ApiPath("secret/data/x"))
GOOD = answer(200, b'{"data": {"k": "v"}}')


@pytest.fixture
def pairs(tmp_path: Path):
    """Two self-signed certificates of the server's host, and the file that is configured."""
    pairs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pairs.append(self_signed(tmp_path / name, "vault"))
    ca = tmp_path / "ca.pem"
    shutil.copy(pairs[0].cert, ca)
    return (*pairs, ca)


def config(addr: str, ca: Path, **settings: Path) -> SecretsServiceConfig:
    return SecretsServiceConfig(addresses=(addr,), ca_cert=ca, request_timeout=2.0, **settings)


def serving(pair, *, clients: Path | None = None) -> ssl.SSLContext:
    tls = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=None if clients is None else str(clients)
    )
    tls.load_cert_chain(pair.cert, pair.key)
    if clients is not None:
        tls.verify_mode = ssl.CERT_REQUIRED
    return tls


async def test_new_authority_is_used_after_a_failure(pairs):
    """When the server's certificate does not fit and the CA file has changed, it is read and the
    request sent once more, in the same call.
    """
    _, two, ca = pairs
    async with (
        scripted(GOOD, tls=serving(two)) as vault,
        Transport(config(vault.addr, ca)) as transport,
    ):
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(READ)
        assert caught.value.reason == "tls"
        assert vault.requests == []

        shutil.copy(two.cert, ca)

        assert (await transport.send(READ)).ok


async def test_new_client_certificate_is_used_after_a_failure(pairs, tmp_path):
    """A server that refuses the client certificate is shown the new one, when there is one; and a
    write was not done before.
    """
    one, two, _ = pairs
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    shutil.copy(two.cert, cert)
    shutil.copy(two.key, key)
    write = VaultRequest(method="POST", path=ApiPath("secret/data/x"))
    # In TLS 1.3 the refusal comes after the handshake, and may be lost to a reset.
    tls = serving(one, clients=one.cert)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with stub(lambda _: (200, "application/json", b"{}"), tls=tls) as vault:
        settings = config(vault.addr, one.cert, client_cert=cert, client_key=key)
        async with Transport(settings) as transport:
            with pytest.raises(VaultUnavailable) as caught:
                await transport.send(write)
            assert caught.value.reason == "tls"

            shutil.copy(one.cert, cert)
            shutil.copy(one.key, key)

            assert (await transport.send(write)).ok
    assert len(vault.asked) == 1


async def test_changed_file_is_noticed_without_a_failure(pairs, monkeypatch):
    """The files are looked at from time to time, so that the next connection has the new ones."""
    monkeypatch.setattr(module, "WATCH_EVERY", 0.01)
    _, two, ca = pairs
    async with Transport(config("https://127.0.0.1:1", ca)) as transport:
        before = transport._wire.certificates.context
        shutil.copy(two.cert, ca)

        while transport._wire.certificates.context is before:
            await asyncio.sleep(0.01)


async def test_bad_file_keeps_the_old_context_and_is_logged_once(pairs, caplog):
    """Half of a change is no reason to lose the connection, nor to fill the log."""
    caplog.set_level(logging.INFO, "greenlang_secrets")
    _, two, ca = pairs
    certificates = Certificates(config("https://127.0.0.1:1", ca))
    await certificates.load()
    before = certificates.context

    ca.write_text("half a certificate")
    await certificates.refresh()
    await certificates.refresh()
    assert certificates.context is before

    ca.unlink()
    await certificates.refresh()
    shutil.copy(two.cert, ca)
    await certificates.refresh()

    assert certificates.context is not before
    assert [record.message for record in caplog.records] == [
        "tls.reload_failed",
        "tls.reload_failed",  # another state of the files
        "tls.reloaded",
    ]


async def test_unchanged_files_are_not_read_again(pairs):
    """A look that finds nothing new leaves the context, and with it the open connections."""
    _, _, ca = pairs
    certificates = Certificates(config("https://127.0.0.1:1", ca))
    await certificates.load()
    before = certificates.context

    await certificates.refresh()

    assert certificates.context is before


async def test_without_https_no_file_is_touched(tmp_path):
    """Plain HTTP needs no context, and the watch ends by itself."""
    certificates = Certificates(config("http://127.0.0.1:1", tmp_path / "missing"))

    await certificates.load()
    await certificates.refresh()
    await asyncio.wait_for(certificates.watch(), 1)

    assert certificates.context is None
