"""One attempt at one address over HTTP: what a request looks like on the wire, strict JSON, and
the table that tells an answer from a failure.

Redirects are never followed: a standby's 307 names an address, and following it would
send the token there (docs/explanation/vault-facts.md). Targets are sent as built, and nothing is
sent twice: there is one layer of retries, and it is not this one.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from greenlang_secrets.background import Supervisor
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import VaultProtocolError
from greenlang_secrets.tracing import traceparent
from greenlang_secrets.transport.certificates import Certificates
from greenlang_secrets.transport.connection import Connection
from greenlang_secrets.transport.connections import Connections, Origin
from greenlang_secrets.transport.messages import Call, Failure, VaultResponse
from greenlang_secrets.transport.replies import MAX_RESPONSE, BadReply, Reply, ReplyTooLarge
from greenlang_secrets.version import __version__

__all__ = ["MAX_RESPONSE", "READ_TIMEOUT", "Wire"]

_Outcome = VaultResponse | Failure | VaultProtocolError | ValueError
"""Errors are values down here, so that no traceback holds these frames."""

READ_TIMEOUT: Final = 2.0
"""Seconds of silence after which one attempt is given up: a frozen node accepts and is mute."""

_RETRY_AFTER_CAP: Final = 5.0

# Alerts with which a server ends a handshake. In TLS 1.3 the client has finished its own half by
# then, so they come as the answer to a request; the server has not looked at that.
_REFUSED_CERTIFICATE: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE")

_TARGET: Final = re.compile(r"[!-~]+")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


class Wire:
    """The connections to Vault; use it as an async context manager."""

    def __init__(
        self,
        config: SecretsServiceConfig,
        *,
        supervisor: Supervisor,
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._supervisor = supervisor
        self._clock = clock
        self._silence = min(READ_TIMEOUT, config.request_timeout)
        self.certificates = Certificates(config)
        self._connections: Connections | None = None
        self._origins = {address: Origin.of(address) for address in config.addresses}
        self._fields = (
            f"User-Agent: greenlang-secrets/{__version__}\r\n"
            "Accept: */*\r\nAccept-Encoding: identity\r\nX-Vault-Request: true\r\n"
        )

    async def __aenter__(self) -> Self:
        await self.certificates.load()
        self._connections = Connections(
            connect_timeout=self._config.connect_timeout, supervisor=self._supervisor
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connections is not None:
            await self._connections.close()
            self._connections = None

    async def attempt(
        self, call: Call, address: str, *, index: str | None = None
    ) -> VaultResponse | Failure:
        """Do one attempt at one address; a failure is a value, so that no traceback of what is
        below (which names hosts, and holds headers in its frames) travels on.

        After a TLS failure the certificate files are looked at, and if they have changed it is
        done once more. `index` is what the node must have applied to answer a read.

        Raises:
            VaultProtocolError: the answer is not Vault's.
            ValueError: the token has a character that no header field may have, such as a line's
                end; nothing was sent.
            RuntimeError: the connections are not open.
        """
        context = self.certificates.context
        outcome = await self._attempt(call, address, index)
        if isinstance(outcome, Failure) and outcome.reason == "tls":
            await self.certificates.refresh()
            if self.certificates.context is not context:
                outcome = await self._attempt(call, address, index)
        if isinstance(outcome, VaultProtocolError | ValueError):
            # Raised here, where no frame holds the token or the body in clear (a log may show
            # the frames' variables), and no error from below is its context.
            raise outcome
        return outcome

    async def _attempt(self, call: Call, address: str, index: str | None) -> _Outcome:
        connections = self._connections
        if connections is None:
            raise RuntimeError("the transport is not open; use it as an async context manager")
        asked_at = self._clock()
        within = call.deadline - asked_at
        if within <= 0:
            return Failure("timeout")  # not sent, so known not to have been done
        deadline = asyncio.get_running_loop().time() + within
        origin = self._origins[address]
        try:
            request = self._request(call, origin, index)
        except _UnsendableError:
            return ValueError("a header field or target has a character that it may not have")
        connection = connections.kept(origin, self.certificates.context)
        if connection is None:
            dialled = await self._dialled(connections, origin, deadline)
            if isinstance(dialled, Failure):
                return dialled
            connection = dialled
        try:
            reply = await connection.ask(request, deadline=deadline, silence=self._silence)
        except ReplyTooLarge:
            return VaultProtocolError("Vault's answer is larger than 4 MiB.")
        except BadReply:
            return VaultProtocolError()
        except OSError as error:  # TimeoutError is one
            return _lost(error)
        connections.keep(origin, connection)
        return _judge(reply, asked_at, asked_for=index)

    async def _dialled(
        self, connections: Connections, origin: Origin, deadline: float
    ) -> Connection | Failure:
        try:
            async with asyncio.timeout_at(deadline) as limit:
                # With the newest context, whenever the last connection was made.
                return await connections.dialled(origin, self.certificates.context)
        except ssl.SSLError:
            return Failure("tls", final=True, unsent=True)
        except OSError:
            # With no time left for it nothing is known of the node.
            return Failure("timeout") if limit.expired() else Failure("network", unsent=True)

    def _request(self, call: Call, origin: Origin, index: str | None) -> bytes:
        request = call.request
        query = f"?{request.query}" if request.query else ""
        target = f"/v1/{request.path.text}{query}"
        if _TARGET.fullmatch(target) is None:
            raise _UnsendableError
        head = f"{request.method} {target} HTTP/1.1\r\nHost: {origin.named}\r\n{self._fields}"
        if call.token is not None:
            head += _field("X-Vault-Token", call.token.reveal())
        if self._config.namespace is not None:
            head += _field("X-Vault-Namespace", self._config.namespace)
        if request.wrap_ttl is not None:
            head += _field("X-Vault-Wrap-TTL", str(request.wrap_ttl))
        if index is not None:
            head += _field("X-Vault-Index", index)
        if self._config.vault_traceparent and (parent := traceparent()) is not None:
            head += _field("traceparent", parent)
        if request.body is not None:
            body = json.dumps(request.body, ensure_ascii=False).encode()
            head += _field("Content-Type", request.content_type)
            return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        if not request.reads:
            head += "Content-Length: 0\r\n"
        return f"{head}\r\n".encode()


class _UnsendableError(Exception):
    """The request would not be one on the wire, or more than one."""


def _field(name: str, value: str) -> str:
    """A header field, refused if it would be two, or end the head."""
    if _VALUE.fullmatch(value) is None:
        raise _UnsendableError
    return f"{name}: {value}\r\n"


def _lost(error: OSError) -> Failure:
    """What it means that a request was sent and no answer came."""
    if isinstance(error, TimeoutError):
        return Failure("timeout", done=True)
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    if reason is not None and any(name in reason for name in _REFUSED_CERTIFICATE):
        return Failure("tls", final=True, unsent=True)
    return Failure("network", done=True)


def _judge(reply: Reply, asked_at: float, *, asked_for: str | None) -> _Outcome:
    """The retry table (docs/explanation/vault-facts.md): which statuses are answers."""
    match reply.status:
        case 307 | 472 | 473:
            return Failure("standby", location=reply.fields.get("location"))
        case 429:
            body = _json(reply)
            if isinstance(body, VaultProtocolError):
                return body
            if asked_for is not None and not body.get("errors"):
                # The node has not got that far. It asks to wait for 1 s; its lag is a tenth.
                return Failure("standby", lagging=True)
            return Failure("overloaded", wait=_retry_after(reply))
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
            body = _json(reply)
            if isinstance(body, VaultProtocolError):
                return body
            return VaultResponse(
                status=status,
                body=body,
                asked_at=asked_at,
                index=reply.fields.get("x-vault-index"),
            )


def _json(reply: Reply) -> Mapping[str, Any] | VaultProtocolError:
    """The JSON object of an answer; the error as a value, for `Wire.attempt` to raise."""
    if not reply.body:
        return {}
    kind, _, _ = reply.fields.get("content-type", "").partition(";")
    if kind.rstrip().lower() != "application/json":
        if reply.status < 400:
            return VaultProtocolError()
        return {}  # such as "400 Bad Request" in text, or HTML
    try:
        body = json.loads(reply.body.decode())
    except ValueError:  # JSONDecodeError carries the whole text: it must not travel on
        body = None
    return body if isinstance(body, dict) else VaultProtocolError()


def _retry_after(reply: Reply) -> float | None:
    """Seconds asked for, capped; 0 and absence (both seen) leave it to the backoff."""
    try:
        seconds = float(reply.fields.get("retry-after", "0"))
    except ValueError:
        return None
    return min(seconds, _RETRY_AFTER_CAP) if seconds > 0 else None
