import asyncio
import os
import re
import shutil
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from greenlang_secrets.testing import ExternalVault, OpenBaoServer, ServerError
from greenlang_secrets.testing.openbao import _bao
from greenlang_secrets.testing.process import free_port

NewVaultServer = Callable[..., Awaitable[OpenBaoServer]]
_KV = {"type": "kv", "options": {"version": "2"}}


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_serves_when_started(new_vault_server: NewVaultServer) -> None:
    """A started server is active, and a secret written to it can be read."""
    server = await new_vault_server()
    assert await server.health() == 200
    assert await server.request("POST", "sys/mounts/secret", _KV) == (204, None)

    while (await server.request("POST", "secret/data/a", {"data": {"k": "v"}}))[0] == 400:
        await asyncio.sleep(0.05)  # a mount of version 2 is made ready after it was mounted
    status, body = await server.request("GET", "secret/data/a")

    assert status == 200
    assert body["data"]["data"] == {"k": "v"}


async def test_memory_is_lost_in_a_crash(new_vault_server: NewVaultServer) -> None:
    """Killed and started again, a server in memory is empty, at the same address, with a new token."""
    server = await new_vault_server()
    addr, token = server.addr, server.root_token
    await server.request("POST", "sys/mounts/secret", _KV)

    await server.kill()
    with pytest.raises(ServerError, match="gave no answer to GET sys/health"):
        await server.health()
    await server.start()

    assert server.addr == addr
    assert server.root_token != token
    _, mounts = await server.request("GET", "sys/mounts")
    assert "secret/" not in mounts["data"]


async def test_seals_and_unseals_in_memory(new_vault_server: NewVaultServer) -> None:
    """A sealed server answers 503 to everything and keeps its data until it is unsealed."""
    server = await new_vault_server()
    await server.request("POST", "sys/mounts/secret", _KV)

    await server.seal()
    assert await server.health() == 503
    assert (await server.request("GET", "sys/mounts"))[0] == 503
    await server.unseal()

    assert await server.health() == 200
    assert "secret/" in (await server.request("GET", "sys/mounts"))[1]["data"]


@pytest.fixture(scope="module")
def left_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data_dir left by a server that was killed, with a mount in it, and its root token."""
    folder = tmp_path_factory.mktemp("openbao") / "data"

    async def make() -> str:
        server = OpenBaoServer(data_dir=folder)
        await server.start()
        await server.request("POST", "sys/mounts/secret", _KV)
        await server.kill()
        await server.stop()
        return server.root_token

    return folder, asyncio.run(make())


@pytest.fixture
def kept_folder(left_folder: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that folder, for one test to start a server on."""
    return shutil.copytree(left_folder[0], tmp_path / "moved")


async def test_keeps_its_data_and_unseals_itself(
    new_vault_server: NewVaultServer, left_folder: tuple[Path, str], kept_folder: Path
) -> None:
    """After a crash another server, elsewhere and on another port, has the data and the token."""
    server = await new_vault_server(data_dir=kept_folder)

    assert server.root_token == left_folder[1]
    assert "secret/" in (await server.request("GET", "sys/mounts"))[1]["data"]
    assert (await server.request("GET", "sys/seal-status"))[1]["type"] == "static"


async def test_seals_and_unseals_with_a_static_seal(
    new_vault_server: NewVaultServer, kept_folder: Path
) -> None:
    """A server that unseals itself at start can be sealed and unsealed without one."""
    server = await new_vault_server(data_dir=kept_folder)
    pid = server.pid

    await server.seal()
    assert await server.health() == 503
    await server.unseal()

    assert await server.health() == 200
    assert server.pid == pid


async def test_a_sealed_server_unseals_itself_at_restart(
    new_vault_server: NewVaultServer, kept_folder: Path
) -> None:
    """A seal does not outlive the process when the key lies beside the data."""
    server = await new_vault_server(data_dir=kept_folder)
    await server.seal()

    await server.restart()

    assert await server.health() == 200


def test_what_is_kept_is_private(left_folder: tuple[Path, str]) -> None:
    """The folder is its owner's alone, and so is each file with a secret in it."""
    folder, _ = left_folder

    assert _mode(folder) == 0o700
    for secret in ("seal.key", "unseal.key", "root.token", "config.hcl", "audit.log"):
        assert _mode(folder / secret) == 0o600


async def test_a_folder_without_its_token_is_refused(kept_folder: Path) -> None:
    """An initialised folder whose token file is gone is an error that names the file."""
    (kept_folder / "root.token").unlink()

    with pytest.raises(ServerError, match=r"holds an initialised server, but not .*root\.token"):
        await OpenBaoServer(data_dir=kept_folder).start()


async def test_requests_stand_in_the_audit_log(new_vault_server: NewVaultServer) -> None:
    """Every request after a mark is found, in order, before its answer is used."""
    server = await new_vault_server()
    await server.request("POST", "sys/mounts/secret", _KV)
    mark = await server.audit_mark()

    await server.request("POST", "secret/data/a", {"data": {"k": "v"}})
    await server.request("GET", "secret/data/a")
    await server.request("GET", "sys/mounts")

    assert await server.audit_requests(mark, "secret/") == [
        ("create", "secret/data/a"),
        ("read", "secret/data/a"),
    ]
    assert len(await server.audit_entries(since=mark)) == 6
    assert b'"v"' not in server.audit_file.read_bytes()


async def test_audit_can_be_left_out(new_vault_server: NewVaultServer) -> None:
    """Without audit there is no log, and asking for it gives nothing."""
    server = await new_vault_server(audit=False)
    assert await server.audit_mark() == 0
    assert await server.audit_entries() == []
    assert not server.audit_file.exists()


async def test_pause_leaves_requests_unanswered(new_vault_server: NewVaultServer) -> None:
    """A paused server accepts a request and does not answer it; resumed, it serves again."""
    server = await new_vault_server()
    await server.pause()
    with pytest.raises(ServerError, match="gave no answer to GET sys/health: TimeoutError"):
        await server.request("GET", "sys/health", timeout=0.2)
    await server.resume()

    assert await server.health() == 200


async def test_metrics_are_text(new_vault_server: NewVaultServer) -> None:
    """A body that is not JSON is returned as text."""
    server = await new_vault_server()
    status, text = await server.request("GET", "sys/metrics?format=prometheus")

    assert status == 200
    assert "vault_core_unsealed" in text


async def test_metrics_are_told_while_sealed_where_the_listener_allows_it(
    new_vault_server: NewVaultServer,
) -> None:
    """Our listener tells them without a token, sealed or not; one without that setting refuses
    the token's absence, and everything while sealed.
    """
    plain = free_port()
    listener = f'listener "tcp" {{\naddress = "127.0.0.1:{plain}"\ntls_disable = true\n}}'
    server = await new_vault_server(extra_config=listener)
    other = ExternalVault(f"http://127.0.0.1:{plain}", server.root_token)
    path = "sys/metrics?format=prometheus"
    assert (await server.request("GET", path, token=""))[0] == 200
    assert (await other.request("GET", path, token=""))[0] == 403

    await server.seal()

    status, text = await server.request("GET", path, token="")
    assert (await other.request("GET", path))[0] == 503
    assert status == 200
    assert re.search(r"^vault_core_unsealed\S* 0$", text, re.MULTILINE)

    await server.unseal()

    _, text = await server.request("GET", path, token="")
    told = re.findall(r"^vault_core_unsealed\S* (\d)$", text, re.MULTILINE)
    assert sorted(told) == ["0", "1"]  # the one from before goes after the retention time


async def test_tokens_and_headers_of_a_request(new_vault_server: NewVaultServer) -> None:
    """An empty token sends none, another one is sent as it is, headers are added."""
    server = await new_vault_server()
    assert (await server.request("GET", "sys/mounts", token=""))[0] == 403
    assert (await server.request("GET", "sys/mounts", token="wrong"))[0] == 403
    _, wrapped = await server.request("GET", "sys/mounts", headers={"X-Vault-Wrap-TTL": "60s"})

    assert wrapped["wrap_info"]["ttl"] == 60


async def test_more_configuration(new_vault_server: NewVaultServer) -> None:
    """What extra_config says reaches the server."""
    server = await new_vault_server(extra_config='default_lease_ttl = "7m"')
    _, body = await server.request("GET", "sys/mounts/sys/tune")

    assert body["data"]["default_lease_ttl"] == 420


async def test_a_refused_configuration_is_told_and_leaves_nothing() -> None:
    """A server that dies at start is an error with its log, and no process is left."""
    server = OpenBaoServer(extra_config='seal "no-such-seal" {}')

    with pytest.raises(ServerError, match=r"exit code 1 while starting(?s:.*)no-such-seal"):
        await server.start()

    assert not server.running


async def test_a_busy_port_is_named() -> None:
    """A fixed port in use is an error that says so."""
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]

        with pytest.raises(ServerError, match=f"OpenBao cannot listen on 127.0.0.1:{port}"):
            await OpenBaoServer(port=port).start()


async def test_another_binary(tmp_path: Path) -> None:
    """A binary of one's own gets audit by API and is unsealed by us, over restarts too."""
    async with OpenBaoServer(binary=_bao(), data_dir=tmp_path) as server:
        await server.restart()

        assert await server.health() == 200
        assert (await server.request("GET", "sys/audit"))[1]["data"]["file/"]["type"] == "file"
        _, state = await server.request("GET", "sys/seal-status")
        assert state["type"] == "shamir"
        assert ("read", "sys/audit") in await server.audit_requests()


async def test_a_refused_request_of_ours_carries_no_secret(
    new_vault_server: NewVaultServer,
) -> None:
    """An error of seal or unseal says status and path, and never token or key."""
    server = await new_vault_server()
    server._unseal_key, key = "00" * 33, server._unseal_key
    await server.seal()

    with pytest.raises(ServerError, match="PUT sys/unseal with 400") as caught:
        await server.unseal()

    assert key not in str(caught.value)
    assert server.root_token not in str(caught.value)


async def test_the_token_is_not_in_the_repr() -> None:
    """Printing a server shows its port and pid, not its token."""
    server = OpenBaoServer()
    with pytest.raises(ServerError, match="no root token before"):
        _ = server.root_token

    async with server:
        assert repr(server) == f"<OpenBaoServer on port {server.port}, running, pid {server.pid}>"
        assert server.root_token not in repr(vars(server).keys()) + repr(server) + str(server)


async def test_the_environment_does_not_reach_it(
    new_vault_server: NewVaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables of Vault's client in our environment change nothing."""
    monkeypatch.setenv("BAO_ADDR", "http://elsewhere.invalid")
    monkeypatch.setenv("VAULT_LOG_LEVEL", "no-such-level")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    server = await new_vault_server()
    assert await server.health() == 200


async def test_many_at_once() -> None:
    """Servers started at the same time do not meet on a port."""
    servers = [OpenBaoServer() for _ in range(4)]
    try:
        await asyncio.gather(*(server.start() for server in servers))

        assert [await server.health() for server in servers] == [200] * 4
    finally:
        await asyncio.gather(*(server.stop(grace=0) for server in servers))


async def test_an_external_vault_is_used_and_left_running(new_vault_server: NewVaultServer) -> None:
    """Somebody else's server is asked with the token given, and outlives our context."""
    server = await new_vault_server()
    async with ExternalVault(f"{server.addr}/", server.root_token) as external:
        assert external.addr == server.addr
        assert external.root_token == server.root_token
        assert await external.health() == 200
        assert (await external.request("GET", "sys/mounts"))[0] == 200
        assert server.root_token not in repr(external)

    assert server.running


async def test_an_external_vault_must_be_unsealed(new_vault_server: NewVaultServer) -> None:
    """A sealed server is refused at start with what to do."""
    server = await new_vault_server()
    await server.seal()

    with pytest.raises(ServerError, match="its health is 503: unseal it first"):
        await ExternalVault(server.addr, server.root_token).start()


@pytest.mark.parametrize(
    "act",
    [
        "kill",
        "pause",
        "resume",
        "restart",
        "seal",
        "unseal",
        "audit_mark",
        "audit_entries",
        "audit_requests",
    ],
)
async def test_an_external_vault_is_not_ours(act: str) -> None:
    """What needs the process, its keys or its files says that it needs a server of our own."""
    external = ExternalVault("https://vault.example/", "token")

    with pytest.raises(ServerError, match=rf"{act}\(\) needs a server of our own"):
        await getattr(external, act)()


async def test_an_external_vault_over_tls_is_verified(
    new_vault_server: NewVaultServer, tmp_path: Path
) -> None:
    """A server without TLS behind an https address is no answer."""
    server = await new_vault_server()
    external = ExternalVault(server.addr.replace("http:", "https:"), "token")

    with pytest.raises(ServerError, match="SSLError"):
        await external.health()


def test_is_run_as_ourselves() -> None:
    """The binary is the server itself and can be executed."""
    assert os.access(_bao(), os.X_OK)
