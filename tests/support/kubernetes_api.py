"""A small server that speaks list and watch as the Kubernetes API server does, and misbehaves as told.

It keeps objects, versions them with one counter, and remembers every change until it is compacted.
Protocol: Kubernetes documentation, "API Concepts": lists in pages of one snapshot, watches from a
resource version with bookmarks, ``410 Gone`` for a version that is compacted.
"""

from __future__ import annotations

import asyncio
import copy
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

GROUP = "external-secrets.io"
SERVED = {"externalsecrets": {"v1"}, "pushsecrets": {"v1alpha1"}}
EVERYTHING = {(verb, resource) for verb in ("list", "watch") for resource in SERVED}
KINDS = {"externalsecrets": "ExternalSecret", "pushsecrets": "PushSecret"}

Json = dict[str, Any]
Key = tuple[str, str, str]
"""(resource, namespace, name)"""


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes = b""

    @property
    def verb(self) -> str:
        """As RBAC calls it."""
        if self.method == "PATCH":
            return "patch"
        return "watch" if self.query.get("watch") == "1" else "list"


@dataclass(eq=False)
class Stream:
    """A watch that is open."""

    resource: str
    namespace: str | None
    response: web.StreamResponse
    transport: Any
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    def hears(self, key: Key) -> bool:
        """Whether it is told of an object."""
        return key[0] == self.resource and self.namespace in {None, key[1]}


class KubernetesApi:
    """The server.

    Attributes:
        url: where it listens, the same after a restart.
        rights: what each bearer may do, pairs of verb and resource; None lets everybody in.
        served: versions of the group by resource.
        answers: statuses that the next requests get, whatever they ask, with headers.
        pages: bodies that the next lists of ExternalSecrets get, whatever there is.
        gone_by_status: whether a watch of a compacted version is answered 410, or begins and then
            has an event that says so, as real servers have it either way.
        patch_status: what each PATCH gets, if not what is right.
        torn: lists that the connection breaks in the middle of.
        page_limit: objects on a page at most, whatever the client asks.
        endless: never end a watch, whatever the client asks.
        mute: accept requests and say nothing.
        asked: every request.
        streams: the watches that are open.
    """

    def __init__(self) -> None:
        self.url = ""
        self.rights: dict[str, set[tuple[str, str]]] | None = None
        self.served = {resource: set(versions) for resource, versions in SERVED.items()}
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.pages: list[bytes] = []
        self.patch_status: int | None = None
        self.torn = 0
        self.gone_by_status = False
        self.page_limit = 1000
        self.endless = False
        self.mute = False
        self.asked: list[Asked] = []
        self.streams: list[Stream] = []
        self.version = 100
        self._uids = 0
        self._compacted = 0
        self._objects: dict[Key, Json] = {}
        self._log: list[tuple[int, str, Key, Json]] = []
        self._runner: web.AppRunner | None = None
        self._port = 0

    # ---------------------------------------------------------------- objects

    def apply(
        self,
        namespace: str,
        name: str,
        *,
        resource: str = "externalsecrets",
        refreshed: str | None = None,
        ready: str | None = None,
        reason: str = "SecretSynced",
        since: str = "2026-11-26T01:00:00Z",
        status: Any = None,
        spec: Json | None = None,
    ) -> None:
        """Make an object or change its status."""
        key = (resource, namespace, name)
        before = self._objects.get(key)
        self.version += 1
        if before is None:
            self._uids += 1
        uid = before["metadata"]["uid"] if before else f"uid-{self._uids}"
        conditions = [] if ready is None else [_condition(ready, reason, since)]
        built = {
            **({} if refreshed is None else {"refreshTime": refreshed}),
            **({"conditions": conditions} if conditions else {}),
        }
        self._put(
            "MODIFIED" if before else "ADDED",
            key,
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": KINDS[resource],
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "uid": uid,
                    "resourceVersion": str(self.version),
                },
                "spec": spec or (before or {}).get("spec") or {"refreshInterval": "15s"},
                "status": built if status is None else status,
            },
        )

    def succeed(self, namespace: str, name: str, at: str, **more: Any) -> None:
        """Note a sync that went well, as the operator does."""
        self.apply(namespace, name, refreshed=at, ready="True", **more)

    def delete(self, namespace: str, name: str, *, resource: str = "externalsecrets") -> None:
        """Remove an object."""
        self.version += 1
        key = (resource, namespace, name)
        last = copy.deepcopy(self._objects.pop(key))
        last["metadata"]["resourceVersion"] = str(self.version)
        self._tell("DELETED", key, last)

    def compact(self) -> None:
        """Forget every change, as etcd does after five minutes."""
        self._log.clear()
        self._compacted = self.version

    def bookmark(self) -> None:
        """Tell each watch that nothing has happened up to now."""
        for stream in self.streams:
            stream.lines.put_nowait(
                _event(
                    "BOOKMARK",
                    {
                        "kind": KINDS[stream.resource],
                        "metadata": {"resourceVersion": str(self.version)},
                    },
                )
            )

    def say(self, line: bytes, *, resource: str = "externalsecrets") -> None:
        """Send octets to the watches of a resource as they are."""
        for stream in self.streams:
            if stream.resource == resource:
                stream.lines.put_nowait(line)

    def end(self) -> None:
        """End each watch as the server does when its time is over."""
        for stream in self.streams:
            stream.lines.put_nowait(None)

    def cut(self) -> None:
        """Break the connection of each watch."""
        for stream in self.streams:
            stream.transport.abort()
            stream.lines.put_nowait(None)
        self.streams = []

    def _put(self, type_: str, key: Key, item: Json) -> None:
        self._objects[key] = item
        self._tell(type_, key, item)

    def _tell(self, type_: str, key: Key, item: Json) -> None:
        self._log.append((self.version, type_, key, item))
        for stream in self.streams:
            if stream.hears(key):
                stream.lines.put_nowait(_event(type_, item))

    # ---------------------------------------------------------------- requests

    def verbs(self, resource: str = "externalsecrets") -> list[str]:
        """Return what was asked of a resource, in order."""
        return [asked.verb for asked in self.asked if asked.path.endswith(f"/{resource}")]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            request.path,
            dict(request.query),
            dict(request.headers),
            request.method,
            await request.read(),
        )
        self.asked.append(asked)
        if self.mute:
            await asyncio.Event().wait()
        if self.answers:
            status, headers = self.answers.pop(0)
            return _status(status, headers)
        resource = request.match_info["resource"]
        version = request.match_info["version"]
        if version not in self.served.get(resource, set()):
            return web.Response(status=404, text="404 page not found\n")
        if self.rights is not None:
            bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if bearer not in self.rights:
                return _status(401)
            if (asked.verb, resource) not in self.rights[bearer]:
                return _status(403)
        namespace = request.match_info.get("namespace")
        if asked.verb == "patch":
            return self._patch(
                request, asked, (resource, namespace or "", request.match_info["name"])
            )
        if asked.verb == "watch":
            return await self._watch(request, resource, namespace)
        if self.torn:
            self.torn -= 1
            return await _torn(request)
        return self._list(request, resource, namespace)

    def patches(self) -> list[str]:
        """Return what was patched, ``namespace/name``, in order."""
        return [
            "{4}/{6}".format(*asked.path.strip("/").split("/"))
            for asked in self.asked
            if asked.verb == "patch"
        ]

    def _patch(self, request: web.Request, asked: Asked, key: Key) -> web.Response:
        if self.patch_status is not None:
            return _status(self.patch_status)
        if request.content_type != "application/merge-patch+json":
            return _status(415)
        if key not in self._objects:
            return _status(404)
        self.version += 1
        item = _merged(self._objects[key], json.loads(asked.body))
        item["metadata"]["resourceVersion"] = str(self.version)
        self._put("MODIFIED", key, item)
        return web.json_response(item)

    def _list(self, request: web.Request, resource: str, namespace: str | None) -> web.Response:
        if self.pages and resource == "externalsecrets":
            return web.Response(body=self.pages.pop(0), content_type="application/json")
        version, after = self.version, ""
        if "continue" in request.query:
            version, after = json.loads(request.query["continue"])
            if version < self._compacted:
                return _status(410)
        limit = min(int(request.query.get("limit", "0")) or self.page_limit, self.page_limit)
        there = sorted(
            (f"{key[1]}/{key[2]}", item)
            for key, item in self._objects.items()
            if key[0] == resource and namespace in {None, key[1]}
        )
        rest = [(place, item) for place, item in there if place > after]
        more = {"continue": json.dumps([version, rest[limit - 1][0]])} if len(rest) > limit else {}
        return web.json_response(
            {
                "kind": f"{KINDS[resource]}List",
                "metadata": {"resourceVersion": str(version), **more},
                "items": [item for _, item in rest[:limit]],
            }
        )

    async def _watch(
        self, request: web.Request, resource: str, namespace: str | None
    ) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        if since < self._compacted and self.gone_by_status:
            return _status(410)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if since < self._compacted:
            await response.write(_event("ERROR", {"kind": "Status", "code": 410}))
            await response.write_eof()
            return response
        stream = Stream(resource, namespace, response, request.transport)
        for version, type_, key, item in self._log:
            if version > since and stream.hears(key):
                stream.lines.put_nowait(_event(type_, item))
        self.streams.append(stream)
        try:
            with suppress(TimeoutError):
                seconds = None if self.endless else int(request.query["timeoutSeconds"])
                async with asyncio.timeout(seconds):
                    while (line := await stream.lines.get()) is not None:
                        await response.write(line)
        finally:
            self.streams = [each for each in self.streams if each is not stream]
        await response.write_eof()
        return response

    # ---------------------------------------------------------------- life

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen; after `stop` on the same port."""
        app = web.Application()
        app.router.add_get(f"/apis/{GROUP}/{{version}}/{{resource}}", self._answer)
        app.router.add_get(
            f"/apis/{GROUP}/{{version}}/namespaces/{{namespace}}/{{resource}}", self._answer
        )
        app.router.add_patch(
            f"/apis/{GROUP}/{{version}}/namespaces/{{namespace}}/{{resource}}/{{name}}",
            self._answer,
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, "127.0.0.1", self._port, ssl_context=tls, reuse_address=True
        )
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Break every connection and listen no more; the objects stay."""
        self.cut()
        if self._runner is not None:
            await self._runner.cleanup()


@asynccontextmanager
async def kubernetes_api(tls: ssl.SSLContext | None = None) -> AsyncIterator[KubernetesApi]:
    """Yield a server on a free port."""
    api = KubernetesApi()
    await api.start(tls)
    try:
        yield api
    finally:
        with suppress(ConnectionError):
            await api.stop()


async def _torn(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"items":[')
    assert request.transport is not None
    request.transport.abort()
    return response


def _merged(item: Json, patch: Json) -> Json:
    """RFC 7396."""
    merged = copy.deepcopy(item)
    for name, value in patch.items():
        merged[name] = _merged(merged.get(name) or {}, value) if isinstance(value, dict) else value
    return {name: value for name, value in merged.items() if value is not None}


def _condition(ready: str, reason: str, since: str) -> Json:
    return {
        "type": "Ready",
        "status": ready,
        "reason": reason,
        "message": "m",
        "lastTransitionTime": since,
    }


def _event(type_: str, item: Json) -> bytes:
    return json.dumps({"type": type_, "object": item}).encode() + b"\n"


def _status(code: int, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code}
    return web.json_response(body, status=code, headers=headers)
