"""List and watch of the Kubernetes API for two kinds of objects, and one annotation on one of them.

It is an HTTP client of three requests and no Kubernetes client. Those there are weigh 48 MB
(`kubernetes-asyncio`) or bring a second HTTP stack beside aiohttp (`lightkube`, `kr8s`), and the
service needs GET on two resources and PATCH on one. Protocol: Kubernetes documentation, "API Concepts".

The token and the authority are read anew for each request: Kubernetes replaces both while a pod
runs, the token within the hour.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import aiohttp
import anyio
import anyio.to_thread
from yarl import URL

from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api.eso_config import EsoConfig
from greenlang_secrets_api.eso_objects import (
    EXTERNAL_SECRETS,
    Kind,
    Listed,
    MalformedError,
    parse_page,
)

__all__ = ["EsoApi", "Place", "Trouble", "TroubleError", "lines"]

GROUP: Final = "external-secrets.io"
PAGE: Final = 100  # objects on a page of a list
MAX_PAGE: Final = 32 * 1024 * 1024  # octets of a page
MAX_PAGES: Final = 1000
MAX_LINE: Final = 4 * 1024 * 1024
"""Octets of one line of a watch: the API server takes no object over 3 MiB (etcd 1.5 MiB)."""
MAX_FILE: Final = 256 * 1024  # octets of a token or of authorities
_LONGEST_RETRY_AFTER: Final = 60.0


class Trouble(StrEnum):
    """Why a watch was not told of something; a closed set, the `reason` label."""

    CREDENTIALS = "credentials"
    UNREACHABLE = "unreachable"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    NOT_SERVED = "not_served"
    UNAVAILABLE = "unavailable"
    GONE = "gone"
    DISCONNECTED = "disconnected"
    SILENT = "silent"
    INVALID = "invalid"
    TOO_MANY = "too_many"
    INTERNAL = "internal"


_BY_STATUS: Final = {
    401: Trouble.UNAUTHENTICATED,
    403: Trouble.DENIED,
    404: Trouble.NOT_SERVED,
    410: Trouble.GONE,
}


_PASSING: Final = frozenset({408, 409, 429})
"""Refusals of a change that may be none the next time; others of 4xx last."""


class TroubleError(Exception):
    """A list or a watch has ended badly.

    Attributes:
        trouble: why.
        error: the class of what was raised below, for the log; never its text, which has
            addresses.
        retry_after: seconds that the server asks to wait, or None.
    """

    def __init__(
        self, trouble: Trouble, *, error: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble
        self.error = error
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The objects of one kind, in one namespace or in all."""

    kind: Kind
    namespace: str | None = None

    def path(self, version: str) -> str:
        """Return where they are in the API, under one version of the group."""
        within = "" if self.namespace is None else f"/namespaces/{self.namespace}"
        return f"/apis/{GROUP}/{version}{within}/{self.kind.resource}"


class EsoApi:
    """Sends the three requests to one API server, over a session that somebody else closes."""

    def __init__(self, config: EsoConfig, session: aiohttp.ClientSession) -> None:
        self._config = config
        self._base = config.api_url.rstrip("/")
        self._session = session
        self._authorities = b""
        self._context: ssl.SSLContext | None = None

    async def page(self, place: Place, version: str, token: str) -> Listed:
        """Return one page of a list; `token` is the one of the page before, or empty.

        ``GET /apis/external-secrets.io/{version}/…?limit=100``, without a resource version, so
        that it is read from etcd and not from a cache that may be behind.

        Raises:
            TroubleError: it cannot be had.
        """
        query = {"limit": str(PAGE)} | ({"continue": token} if token else {})
        pace = self._config.pace
        async with self._asked(place, version, query, silence=pace.page_within) as answer:
            try:
                with anyio.fail_after(pace.page_within):
                    body = await _whole(answer.content)
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                raise TroubleError(Trouble.DISCONNECTED, error=type(error).__name__) from None
        try:
            # In a thread: a page may be megabytes.
            return await anyio.to_thread.run_sync(parse_page, body, place.kind)
        except MalformedError:
            raise TroubleError(Trouble.INVALID) from None

    @asynccontextmanager
    async def watch(
        self, place: Place, version: str, resource_version: str, *, seconds: int
    ) -> AsyncIterator[AsyncIterator[bytes | None]]:
        """Yield the lines of a watch from `resource_version` on, as `lines` gives them.

        ``GET /apis/external-secrets.io/{version}/…?watch=1``, with bookmarks. The server is asked
        to end it after `seconds`.

        Raises:
            TroubleError: it does not begin. It may be raised by the lines too.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        silence = self._config.pace.silence
        async with (
            self._asked(place, version, query, silence=silence) as answer,
            aclosing(lines(answer.content)) as incoming,
        ):
            yield incoming

    async def force_sync(
        self, namespace: str, name: str, version: str, stamp: str, *, within: float
    ) -> None:
        """Set the annotation ``force-sync`` of an ExternalSecret: the operator syncs it at once.

        ``PATCH /apis/external-secrets.io/{version}/namespaces/{namespace}/externalsecrets/{name}``
        with a JSON merge patch, all of it in `within` seconds.

        Raises:
            TroubleError: it is not known to be set.
        """
        place = Place(kind=EXTERNAL_SECRETS, namespace=namespace)
        url = URL(f"{self._base}{place.path(version)}/{name}", encoded=True)
        body = json.dumps({"metadata": {"annotations": {"force-sync": stamp}}}).encode()
        try:
            with anyio.fail_after(within):
                headers, context = await self._credentials()
                answer = await self._session.patch(
                    url,
                    data=body,
                    headers={**headers, "Content-Type": "application/merge-patch+json"},
                    ssl=context,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=within),
                )
        except (aiohttp.ClientError, OSError) as error:
            raise TroubleError(Trouble.UNREACHABLE, error=type(error).__name__) from None
        answer.close()
        if answer.status != 200:
            lasting = 400 <= answer.status < 500 and answer.status not in _PASSING
            raise TroubleError(
                _BY_STATUS.get(answer.status, Trouble.INVALID if lasting else Trouble.UNAVAILABLE),
                error=str(answer.status),
                retry_after=_seconds(answer.headers.get("Retry-After")),
            )

    @asynccontextmanager
    async def _asked(
        self, place: Place, version: str, query: Mapping[str, str], *, silence: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(self._base + place.path(version), encoded=True).with_query(query)
        within = self._config.pace.open_within
        try:
            with anyio.fail_after(within):
                headers, context = await self._credentials()
                answer = await self._session.get(
                    url,
                    headers=headers,
                    ssl=context,
                    allow_redirects=False,  # it would carry the token elsewhere
                    timeout=aiohttp.ClientTimeout(sock_connect=within, sock_read=silence),
                )
        except (aiohttp.ClientError, OSError) as error:
            raise TroubleError(Trouble.UNREACHABLE, error=type(error).__name__) from None
        try:
            if answer.status != 200:
                raise TroubleError(
                    _BY_STATUS.get(answer.status, Trouble.UNAVAILABLE),
                    error=str(answer.status),
                    retry_after=_seconds(answer.headers.get("Retry-After")),
                )
            yield answer
        finally:
            answer.close()

    async def _credentials(self) -> tuple[dict[str, str], ssl.SSLContext | bool]:
        """The headers of a request, and whom to trust."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            token, context = await anyio.to_thread.run_sync(self._read, abandon_on_cancel=True)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise TroubleError(Trouble.CREDENTIALS, error=type(error).__name__) from None
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        return headers, context

    def _read(self) -> tuple[SecretValue | None, ssl.SSLContext | bool]:
        token = None
        if self._config.token_file is not None:
            text = _content(self._config.token_file).decode("ascii").strip()
            if not text.isprintable() or not text:
                raise ValueError
            token = SecretValue(text)
        if self._config.ca_file is None:
            return token, True
        authorities = _content(self._config.ca_file)
        if self._context is None or authorities != self._authorities:
            self._context = ssl.create_default_context(cadata=authorities.decode("ascii"))
            self._authorities = authorities
        return token, self._context


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError
    return content


def _seconds(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After, a minute at most; a date is not looked at."""
    if retry_after is None or not retry_after.isdecimal() or not retry_after.isascii():
        return None
    return min(float(retry_after), _LONGEST_RETRY_AFTER)


async def _whole(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MAX_PAGE:
            raise TroubleError(Trouble.INVALID)
    return bytes(body)


async def lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes | None, None]:
    """Yield each whole line, and None in place of one over 4 MiB, of which no more is held.

    A line that is cut off by the end is not yielded: the server sends it again.

    Raises:
        TroubleError: the connection broke, fell silent, or ended within a line.
    """
    held = bytearray()
    skipping = False
    try:
        async for chunk in content.iter_any():
            *ended, rest = chunk.split(b"\n")
            for part in ended:
                held += part
                whole, too_long = bytes(held), skipping or len(held) > MAX_LINE
                held.clear()
                skipping = False
                if too_long:
                    yield None
                elif whole.strip():
                    yield whole
            held += rest
            if len(held) > MAX_LINE:
                held.clear()
                skipping = True
    except TimeoutError as error:
        raise TroubleError(Trouble.SILENT, error=type(error).__name__) from None
    except (aiohttp.ClientError, OSError) as error:
        raise TroubleError(Trouble.DISCONNECTED, error=type(error).__name__) from None
    if held or skipping:
        raise TroubleError(Trouble.DISCONNECTED)
