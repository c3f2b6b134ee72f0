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
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import aiohttp
import yarl

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import VaultProtocolError
from greenlang_secrets.tracing import traceparent
from greenlang_secrets.transport.certificates import Certificates
from greenlang_secrets.transport.messages import Call, Failure, VaultRequest, VaultResponse
from greenlang_secrets.transport.places import MAX_IN_FLIGHT

__all__ = ["MAX_RESPONSE", "READ_TIMEOUT", "Wire"]

_Outcome = VaultResponse | Failure | VaultProtocolError
"""Errors are values down here, so that no traceback holds these frames."""

MAX_RESPONSE: Final = 4 * 1024 * 1024
"""Octets of an answer read at most: raft keeps values under 1 MiB, lists are longer."""

READ_TIMEOUT: Final = 2.0
"""Seconds of silence after which one attempt is given up: a frozen node accepts and is mute."""

_RETRY_AFTER_CAP: Final = 5.0

_KEEPALIVE: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))
"""A peer that vanished is noticed 19 s after its last octet, and not after Linux's two hours."""

# Alerts with which a server ends a handshake. In TLS 1.3 the client has finished its own half by
# then, so they come as the answer to a request; the server has not looked at that.
_REFUSED_CERTIFICATE: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE")


class Wire:
    """The connections to Vault; use it as an async context manager."""

    def __init__(
        self,
        config: SecretsServiceConfig,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._clock = clock
        self.certificates = Certificates(config)
        self._session: aiohttp.ClientSession | None = None
        self._headers = {"X-Vault-Request": "true", "Accept-Encoding": "identity"}
        if config.namespace is not None:
            self._headers["X-Vault-Namespace"] = config.namespace

    async def __aenter__(self) -> Self:
        config = self._config
        await self.certificates.load()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # A read that is late is sent to a second node, hence twice as many in all.
                limit=2 * MAX_IN_FLIGHT,
                limit_per_host=MAX_IN_FLIGHT,
                ttl_dns_cache=30,
                keepalive_timeout=30,
                socket_factory=_socket,
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
        # Else the client itself sends a PUT or DELETE again whose answer was lost, unseen: there
        # is one layer of retries, and it is not this one (test_transport.py holds it).
        self._session._retry_connection = False  # noqa: SLF001  no public switch in aiohttp 3.14
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def attempt(
        self, call: Call, address: str, *, index: str | None = None
    ) -> VaultResponse | Failure:
        """Do one attempt at one address; a failure is a value, so that no traceback of the
        HTTP client (which names hosts, and holds headers in its frames) travels on.

        After a TLS failure the certificate files are looked at, and if they have changed it is
        done once more. `index` is what the node must have applied to answer a read.

        Raises:
            VaultProtocolError: the answer is not Vault's.
            RuntimeError: the connections are not open.
        """
        context = self.certificates.context
        outcome = await self._attempt(call, address, index)
        if isinstance(outcome, Failure) and outcome.reason == "tls":
            await self.certificates.refresh()
            if self.certificates.context is not context:
                outcome = await self._attempt(call, address, index)
        if isinstance(outcome, VaultProtocolError):
            # Raised here, where no frame holds the token or the body in clear (a log may show
            # the frames' variables), and no error of the client's is its context.
            raise outcome
        return outcome

    async def _attempt(self, call: Call, address: str, index: str | None) -> _Outcome:
        if self._session is None:
            raise RuntimeError("the transport is not open; use it as an async context manager")
        request = call.request
        headers = dict(self._headers)
        if call.token is not None:
            headers["X-Vault-Token"] = call.token.reveal()
        if request.wrap_ttl is not None:
            headers["X-Vault-Wrap-TTL"] = str(request.wrap_ttl)
        if index is not None:
            headers["X-Vault-Index"] = index
        if self._config.vault_traceparent and (parent := traceparent()) is not None:
            headers["traceparent"] = parent
        data = None
        if request.body is not None:
            data = json.dumps(request.body, ensure_ascii=False).encode()
            headers["Content-Type"] = request.content_type
        asked_at = self._clock()
        if asked_at >= call.deadline:
            return Failure("timeout")  # not sent, so known not to have been done
        try:
            async with (
                asyncio.timeout(call.deadline - asked_at),
                self._session.request(
                    request.method,
                    _url(address, request),
                    headers=headers,
                    data=data,
                    allow_redirects=False,
                    # Per request, so that a new connection has the newest context.
                    ssl=self.certificates.context,
                ) as answer,
            ):
                payload = await _read(answer)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return _failure(error)
        return _judge(answer, payload, asked_at, asked_for=index)


def _socket(info: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # macOS has other names for some
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def _url(address: str, request: VaultRequest) -> yarl.URL:
    query = f"?{request.query}" if request.query else ""
    return yarl.URL(f"{address}/v1/{request.path.text}{query}", encoded=True)


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


def _failure(error: Exception) -> Failure | VaultProtocolError:
    """What an exception of the HTTP client means, the most specific first."""
    match error:
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Failure("tls", final=True, unsent=True)
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return Failure("network", unsent=True)
        case TimeoutError():
            return Failure("timeout", done=True)
        case aiohttp.ClientResponseError():  # not HTTP
            return VaultProtocolError()
        case _ if _refuses_certificate(error):
            return Failure("tls", final=True, unsent=True)
        case _:
            return Failure("network", done=True)


def _refuses_certificate(error: Exception) -> bool:
    """Whether the server ended the handshake because of our certificate; by OpenSSL's constants."""
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    return reason is not None and any(name in reason for name in _REFUSED_CERTIFICATE)


def _judge(
    answer: aiohttp.ClientResponse,
    payload: bytes | None,
    asked_at: float,
    *,
    asked_for: str | None,
) -> _Outcome:
    """The retry table (docs/explanation/vault-facts.md): which statuses are answers."""
    match answer.status:
        case 307 | 472 | 473:
            return Failure("standby", location=answer.headers.get("Location"))
        case 429:
            body = _json(answer, payload)
            if isinstance(body, VaultProtocolError):
                return body
            if asked_for is not None and not body.get("errors"):
                # The node has not got that far. It asks to wait for 1 s; its lag is a tenth.
                return Failure("standby", lagging=True)
            return Failure("overloaded", wait=_retry_after(answer))
        case 412 if asked_for is not None:  # Vault Enterprise's word for it
            return Failure("standby", lagging=True)
        case 501 | 503:
            return Failure("sealed", final=True)
        case 500:
            # Vault itself fails: a full audit device, a raft without leader. The response
            # is audited after the effect, so a write may have happened.
            return Failure("audit", done=True)
        case status if status > 500:
            return Failure("network", done=True)
        case status:
            body = _json(answer, payload)
            if isinstance(body, VaultProtocolError):
                return body
            return VaultResponse(
                status=status,
                body=body,
                asked_at=asked_at,
                index=answer.headers.get("X-Vault-Index"),
            )


def _json(
    answer: aiohttp.ClientResponse, payload: bytes | None
) -> Mapping[str, Any] | VaultProtocolError:
    """The JSON object of an answer; the error as a value, for `Wire.attempt` to raise."""
    if payload is None:
        return VaultProtocolError("Vault's answer is larger than 4 MiB.")
    if not payload:
        return {}
    if answer.content_type != "application/json":
        if answer.status < 400:
            return VaultProtocolError()
        return {}  # such as "400 Bad Request" in text, or HTML
    try:
        body = json.loads(payload)
    except ValueError:  # JSONDecodeError carries the whole text: it must not travel on
        body = None
    return body if isinstance(body, dict) else VaultProtocolError()


def _retry_after(answer: aiohttp.ClientResponse) -> float | None:
    """Seconds asked for, capped; 0 and absence (both seen) leave it to the backoff."""
    try:
        seconds = float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        return None
    return min(seconds, _RETRY_AFTER_CAP) if seconds > 0 else None
