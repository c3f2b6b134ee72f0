"""A partner with two slots for keys, played by a real HTTP server on loopback.

It keeps the greatest fence for each slot and answers 409 to a smaller one. `dies_before` and
`dies_after` have it close the connection without an answer, before or after it did what was asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from greenlang_secrets.errors import RotationFailed, RotationFenced
from greenlang_secrets.rotation.handler import Rotation
from greenlang_secrets.sensitive import SecretMap, SecretValue


class Partner:
    """What the partner knows.

    Attributes:
        keys: by slot.
        fences: the greatest, by slot; None for a partner that keeps none.
        calls: method and path of each request.
    """

    def __init__(self, *, fenced: bool = True) -> None:
        self.keys: dict[str, str] = {"a": "first-key"}
        self.fences: dict[str, int] | None = {} if fenced else None
        self.calls: list[tuple[str, str]] = []
        self.dies_before: str | None = None
        self.dies_after: str | None = None
        self.status: int | None = None
        self.url = ""
        self._made = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.calls.append((request.method, request.path))
        if self.dies_before == request.method:
            return self._close(request)
        if self.status is not None:
            return web.Response(status=self.status)
        response = self._do(request)
        return self._close(request) if self.dies_after == request.method else response

    def _do(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            known = request.headers.get("X-Api-Key") in self.keys.values()
            return web.Response(status=200 if known else 401)
        slot = request.match_info["slot"]
        fence = int(request.headers["X-Fence"])
        if self.fences is not None:
            if fence < self.fences.get(slot, 0):
                return web.Response(status=409)
            self.fences[slot] = fence
        if request.method == "DELETE":
            self.keys.pop(slot, None)
            return web.Response(status=204)
        self._made += 1
        self.keys[slot] = f"{slot}-key-{self._made}"
        return web.json_response({"key": self.keys[slot]})

    @staticmethod
    def _close(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


class HttpAdapter:
    """Speaks to a `Partner`, as an application would write it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def create(self, slot: str, rotation: Rotation) -> Mapping[str, SecretValue]:
        """PUT the slot."""
        async with self._asking("PUT", f"/keys/{slot}", _fence(rotation)) as got:
            _check(got)
            return {"api_key": SecretValue((await got.json())["key"])}

    async def test(self, candidate: SecretMap) -> bool:
        """GET something with the key."""
        headers = {"X-Api-Key": candidate["api_key"].reveal()}
        async with self._asking("GET", "/ping", headers) as got:
            return got.status == 200

    async def revoke(self, slot: str, rotation: Rotation) -> None:
        """DELETE the slot."""
        async with self._asking("DELETE", f"/keys/{slot}", _fence(rotation)) as got:
            _check(got)

    @asynccontextmanager
    async def _asking(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(method, self._url + path, headers=headers) as got:
                yield got
        except aiohttp.ClientError:
            raise RotationFailed("partner_failed") from None


def _fence(rotation: Rotation) -> dict[str, str]:
    return {"X-Fence": str(rotation.fence)}


def _check(got: aiohttp.ClientResponse) -> None:
    if got.status == 409:
        raise RotationFenced
    if got.status >= 400:
        raise RotationFailed("partner_failed")


@asynccontextmanager
async def serving(partner: Partner) -> AsyncIterator[HttpAdapter]:
    """Serve it on loopback, and give what speaks to it."""
    app = web.Application()
    app.router.add_route("*", "/keys/{slot}", partner.answer)
    app.router.add_get("/ping", partner.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        partner.url = f"http://{host}:{port}"
        # A retry of the client's own would hide that the partner died.
        async with aiohttp.ClientSession() as session:
            session._retry_connection = False
            yield HttpAdapter(partner.url, session)
    finally:
        await runner.cleanup()
