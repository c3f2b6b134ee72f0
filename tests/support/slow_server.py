"""A server that keeps who logs in waiting, for tests of what happens meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

__all__ = ["SlowServer"]


class SlowServer:
    """Accepts connections and says nothing before `go`, and then what PostgreSQL says."""

    def __init__(self, behind: int = 0) -> None:
        self.behind = behind
        self.called = asyncio.Event()
        self.go = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.called.set()
        await self.go.wait()
        if self.behind:
            back, forth = await asyncio.open_connection("127.0.0.1", self.behind)
            self.writers.append(forth)
            await asyncio.gather(self._pass_on(reader, forth), self._pass_on(back, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while octets := await reader.read(65536):
                writer.write(octets)
        writer.close()

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.number = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.behind = 0
        self.go.set()
        for writer in self.writers:
            writer.close()
        self.server.close()
        await self.server.wait_closed()
