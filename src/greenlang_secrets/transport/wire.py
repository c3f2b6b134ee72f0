"""One attempt at one address over HTTP: the only importer of the HTTP client.

Owns the connections, what a request looks like on the wire, the cap on answers, strict
JSON, and the table that tells an answer from a failure.

Redirects are never followed: a standby's 307 names an address, and following it would
send the token there (docs/explanation/vault-facts.md). URLs are sent as built, because the
client would collapse ``..`` otherwise.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import aiohttp
import yarl

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import VaultProtocolError
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport.certificates import tls_context
from greenlang_secrets.transport.messages import Failure, VaultRequest, VaultResponse
from greenlang_secrets.transport.places import MAX_IN_FLIGHT

__all__ = ["MAX_RESPONSE", "READ_TIMEOUT", "Wire"]

MAX_RESPONSE: Final = 4 * 1024 * 1024
"""Octets of an answer read at most: raft keeps values under 1 MiB, lists are longer."""

READ_TIMEOUT: Final = 2.0
"""Seconds of silence after which one attempt is given up: a frozen node accepts and is mute."""

_RETRY_AFTER_CAP: Final = 5.0


class Wire:
    """The connections to Vault; use it as an async context manager."""

    def __init__(self, config: SecretsServiceConfig, *, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._headers = {"X-Vault-Request": "true", "Accept-Encoding": "identity"}
        if config.namespace is not None:
            self._headers["X-Vault-Namespace"] = config.namespace

    async def __aenter__(self) -> Self:
        config = self._config
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_IN_FLIGHT,
                ssl=tls_context(config),
                ttl_dns_cache=30,
                keepalive_timeout=30,
            ),
            timeout=aiohttp.ClientTimeout(
                total=config.request_timeout,
                sock_connect=config.connect_timeout,
                sock_read=min(READ_TIMEOUT, config.request_timeout),
            ),
            auto_decompress=False,  # a compressed answer could unpack past the cap
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # a proxy from the environment would see the token
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def attempt(
        self, request: VaultRequest, token: SecretValue | None, address: str, deadline: float
    ) -> VaultResponse | Failure:
        """Do one attempt at one address; a failure is a value, so that no traceback of the
        HTTP client (which names hosts, and holds headers in its frames) travels on.

        Raises:
            VaultProtocolError: the answer is not Vault's.
            RuntimeError: the connections are not open.
        """
        if self._session is None:
            raise RuntimeError("the transport is not open; use it as an async context manager")
        headers = dict(self._headers)
        if token is not None:
            headers["X-Vault-Token"] = token.reveal()
        if request.wrap_ttl is not None:
            headers["X-Vault-Wrap-TTL"] = str(request.wrap_ttl)
        data = None
        if request.body is not None:
            data = json.dumps(request.body, ensure_ascii=False).encode()
            headers["Content-Type"] = request.content_type
        query = f"?{request.query}" if request.query else ""
        url = yarl.URL(f"{address}/v1/{request.path.text}{query}", encoded=True)
        asked_at = self._clock()
        try:
            async with (
                asyncio.timeout(max(0.0, deadline - asked_at)),
                self._session.request(
                    request.method, url, headers=headers, data=data, allow_redirects=False
                ) as answer,
            ):
                payload = await _read(answer)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            failure = _failure(error)
        else:
            return _judge(answer, payload, asked_at)
        if failure is None:
            # Raised out here, or the client's error, which quotes the answer, would stay
            # reachable as its __context__.
            raise VaultProtocolError
        return failure


async def _read(answer: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, or None if it is longer than the cap."""
    if (answer.content_length or 0) > MAX_RESPONSE:
        answer.close()
        return None
    chunks: list[bytes] = []
    size = 0
    while chunk := await answer.content.readany():
        size += len(chunk)
        if size > MAX_RESPONSE:
            answer.close()
            return None
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _failure(error: Exception) -> Failure | None:
    """What an exception of the HTTP client means, the most specific first; None for an answer
    that is not HTTP.
    """
    match error:
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Failure("tls", final=True)
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return Failure("network")  # nothing was sent
        case TimeoutError():
            return Failure("timeout", done=True)
        case aiohttp.ClientResponseError():
            return None
        case _:
            return Failure("network", done=True)


def _judge(
    answer: aiohttp.ClientResponse, payload: bytes | None, asked_at: float
) -> VaultResponse | Failure:
    """The retry table (docs/explanation/vault-facts.md): which statuses are answers."""
    match answer.status:
        case 307 | 472 | 473:
            return Failure("standby")
        case 429:
            return Failure("overloaded", wait=_retry_after(answer))
        case 501 | 503:
            return Failure("sealed", final=True)
        case 500:
            # Vault itself fails: a full audit device, a raft without leader. The response
            # is audited after the effect, so a write may have happened.
            return Failure("audit", done=True)
        case status if status > 500:
            return Failure("network", done=True)
        case status:
            return VaultResponse(status=status, body=_json(answer, payload), asked_at=asked_at)


def _json(answer: aiohttp.ClientResponse, payload: bytes | None) -> Mapping[str, Any]:
    if payload is None:
        raise VaultProtocolError("Vault's answer is larger than 4 MiB.")
    if not payload:
        return {}
    if answer.content_type != "application/json":
        if answer.status < 400:
            raise VaultProtocolError
        return {}  # such as "400 Bad Request" in text, or HTML
    try:
        body = json.loads(payload)
    except ValueError:  # JSONDecodeError carries the whole text: it must not travel on
        body = None
    if not isinstance(body, dict):
        raise VaultProtocolError
    return body


def _retry_after(answer: aiohttp.ClientResponse) -> float | None:
    """Seconds asked for, capped; 0 and absence (both seen) leave it to the backoff."""
    try:
        seconds = float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        return None
    return min(seconds, _RETRY_AFTER_CAP) if seconds > 0 else None
