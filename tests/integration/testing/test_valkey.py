import asyncio
import socket
import stat
from pathlib import Path

import anyio
import pytest

from greenlang_secrets.testing import ServerError, ValkeyServer
from greenlang_secrets.testing.valkey import _answers_ping


async def _ask(server: ValkeyServer, *commands: str, password: str | None = None) -> list[str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    sent = [f"AUTH {password or server.password}", *commands]
    writer.write("".join(f"{command}\r\n" for command in sent).encode())
    async with asyncio.timeout(5):
        answers = [(await reader.readline()).decode().strip() for _ in sent]
    writer.close()
    await writer.wait_closed()
    return answers


async def test_serves_with_a_password() -> None:
    """The right password opens it; a wrong one or none does not."""
    async with ValkeyServer() as server:
        assert server.url == f"redis://:{server.password}@127.0.0.1:{server.port}/0"
        assert await _ask(server, "SET a 1", "INCR a") == ["+OK", "+OK", ":2"]

        refused, unauthenticated = await _ask(server, "PING", password="wrong")

    assert refused.startswith("-WRONGPASS")
    assert unauthenticated.startswith("-NOAUTH")


async def test_the_password_is_not_on_the_command_line() -> None:
    """The command line names the configuration file, and that is private."""
    async with ValkeyServer() as server:
        command = await anyio.Path(f"/proc/{server.pid}/cmdline").read_text()
        config = server.log_file.with_name("valkey.conf")

        assert server.password not in command
        assert server.password not in repr(server)
        assert stat.S_IMODE(config.stat().st_mode) == 0o600


async def test_memory_is_lost_in_a_crash() -> None:
    """Without a data_dir, killed and started again it is empty."""
    async with ValkeyServer() as server:
        await _ask(server, "SET a 1")
        await server.kill()
        await server.start()

        assert await _ask(server, "EXISTS a") == ["+OK", ":0"]


async def test_keeps_its_data(tmp_path: Path) -> None:
    """With a data_dir, data and password are there for the next server."""
    async with ValkeyServer(data_dir=tmp_path / "a folder") as server:
        password = server.password
        await _ask(server, "SET a 1")

    async with ValkeyServer(data_dir=tmp_path / "a folder") as another:
        assert another.password == password
        assert await _ask(another, "INCR a") == ["+OK", ":2"]


async def test_pause_and_resume() -> None:
    """A paused server does not answer; a resumed one does."""
    async with ValkeyServer() as server:
        await server.pause()
        assert not await asyncio.to_thread(_answers_ping, server.port, server.password)

        await server.resume()

        assert await _ask(server, "PING") == ["+OK", "+PONG"]


async def test_a_busy_port_is_named() -> None:
    """A fixed port in use is an error that says so."""
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]

        with pytest.raises(ServerError, match=f"Valkey cannot listen on 127.0.0.1:{port}"):
            await ValkeyServer(port=port).start()


def test_there_is_no_password_before_the_start() -> None:
    """Asking for the URL too early says to start it."""
    with pytest.raises(ServerError, match="no password before"):
        _ = ValkeyServer().url
