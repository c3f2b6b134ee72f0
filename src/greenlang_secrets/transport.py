"""Requests to Vault over HTTP: the only importer of the HTTP client.

Owns addresses and failover, deadlines, the one layer of retries, the cap on answers, and
the translation of every way to fail into one of our errors. It leaves tokens to
`vault.session` and the meaning of 200, 400, 403 and 404 to the engines.

Redirects are never followed: a standby's 307 names an address, and following it would
send the token there (docs/explanation/vault-facts.md). URLs are sent as built, because the
client would collapse ``..`` otherwise.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

import aiohttp
import yarl

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import (
    ConfigurationError,
    OutcomeUnknown,
    UnavailableReason,
    VaultError,
    VaultProtocolError,
    VaultUnavailable,
)
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.retry import Backoff, RetryBudget
from greenlang_secrets.sensitive import SecretValue

__all__ = ["Transport", "VaultRequest", "VaultResponse"]

MAX_RESPONSE: Final = 4 * 1024 * 1024
"""Octets of an answer read at most: raft keeps values under 1 MiB, lists are longer."""

MAX_IN_FLIGHT: Final = 64
"""Requests sent at once; more only queue inside Vault."""

MAX_WAITING: Final = 1024
"""Callers waiting for a place; one more is shed at once instead of growing the queue."""

MAX_WAIT: Final = 1.0
"""Seconds a caller waits for a place."""

READ_TIMEOUT: Final = 2.0
"""Seconds of silence after which one attempt is given up: a frozen node accepts and is mute."""

_RETRY_AFTER_CAP: Final = 5.0

Method = Literal["GET", "LIST", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRequest:
    """One request, without token or address.

    Attributes:
        query: an encoded query string made of constants and numbers only.
        body: sent as JSON; masked in the repr, since it may hold values.
        repeatable: whether doing it twice is harmless; reads are, writes say so.
        subject: the caller's own path, for errors.
        wrap_ttl: whole seconds for which Vault shall wrap its answer (`X-Vault-Wrap-TTL`).
    """

    method: Method
    path: ApiPath
    query: str = ""
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    content_type: str = "application/json"
    repeatable: bool | None = None
    subject: object | None = None
    wrap_ttl: int | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether an attempt of unknown outcome may be followed by another."""
        if self.repeatable is None:
            return self.method in {"GET", "LIST"}
        return self.repeatable


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultResponse:
    """Vault's answer: a status the engine must read, and the JSON object with it, if any.

    Attributes:
        body: empty for an answer without JSON; masked in the repr, since it may hold values.
        asked_at: monotonic seconds at which the request was sent.
    """

    status: int
    body: Mapping[str, Any] = field(repr=False)
    asked_at: float

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status < 300

    @property
    def data(self) -> Mapping[str, Any]:
        """The envelope's `data` object; empty if there is none."""
        data = self.body.get("data")
        return data if isinstance(data, dict) else {}


@dataclass(frozen=True, slots=True)
class _Failure:
    """One attempt that gave no answer to hand on.

    Attributes:
        done: whether Vault may have carried the request out.
        wait: seconds Vault asks to wait; None leaves it to the backoff.
        elsewhere: whether another address may do better at once.
    """

    reason: UnavailableReason
    done: bool = False
    wait: float | None = None
    elsewhere: bool = False
    final: bool = False


class Transport:
    """Sends requests to the configured addresses; use it as an async context manager."""

    def __init__(
        self,
        config: SecretsServiceConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_retry: Callable[[UnavailableReason], None] = lambda _: None,
    ) -> None:
        self._addresses = config.addresses
        self._preferred = 0
        self._config = config
        self._clock = clock
        self._on_retry = on_retry
        self._places = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._waiting = 0
        self._budget = RetryBudget()
        self._session: aiohttp.ClientSession | None = None
        self._headers = {"X-Vault-Request": "true", "Accept-Encoding": "identity"}
        if config.namespace is not None:
            self._headers["X-Vault-Namespace"] = config.namespace

    async def __aenter__(self) -> Self:
        config = self._config
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_IN_FLIGHT, ssl=_tls(config), ttl_dns_cache=30, keepalive_timeout=30
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

    async def send(
        self, request: VaultRequest, *, token: SecretValue | None = None
    ) -> VaultResponse:
        """Return Vault's answer with status 2xx, 400, 403, 404, 405, 412 or 415.

        Repeatable requests are retried on other addresses and after a full-jitter backoff
        within the configured timeout and a budget of one retry in ten requests. A
        cancelled call may have been carried out.

        Raises:
            VaultUnavailable: no usable answer in time; nothing was changed.
            OutcomeUnknown: the same, but a request that must not be repeated was sent.
            VaultProtocolError: an answer that is not Vault's.
        """
        deadline = self._clock() + self._config.request_timeout
        await self._enter(request)
        try:
            return await self._attempts(request, token, deadline)
        finally:
            self._places.release()

    async def _enter(self, request: VaultRequest) -> None:
        if not self._places.locked():
            await self._places.acquire()  # does not wait: there is a place
            return
        if self._waiting >= MAX_WAITING:
            raise VaultUnavailable("overloaded", path=request.subject)
        self._waiting += 1
        try:
            async with asyncio.timeout(min(MAX_WAIT, self._config.request_timeout)):
                await self._places.acquire()
        except TimeoutError:
            raise VaultUnavailable("overloaded", path=request.subject) from None
        finally:
            self._waiting -= 1

    async def _attempts(
        self, request: VaultRequest, token: SecretValue | None, deadline: float
    ) -> VaultResponse:
        backoff = Backoff(random.random)
        self._budget.deposit()
        attempt = 0
        while True:
            index = (self._preferred + attempt) % len(self._addresses)
            outcome = await self._attempt(request, token, self._addresses[index], deadline)
            if isinstance(outcome, VaultResponse):
                self._preferred = index
                return outcome
            tried_all = attempt + 1 >= len(self._addresses)
            wait = 0.0 if outcome.elsewhere and not tried_all else backoff.next(outcome.wait)
            if (
                (outcome.done and not request.may_repeat)
                or (tried_all and (outcome.final or (outcome.reason == "audit" and attempt > 0)))
                or self._clock() + wait >= deadline
                or attempt >= 3 * len(self._addresses)
                or not self._budget.withdraw()
            ):
                raise _give_up(request, outcome)
            attempt += 1
            self._on_retry(outcome.reason)
            await asyncio.sleep(wait)

    async def _attempt(
        self, request: VaultRequest, token: SecretValue | None, address: str, deadline: float
    ) -> VaultResponse | _Failure:
        """Do one attempt at one address; a failure is a value, so that no traceback of the
        HTTP client (which names hosts, and holds headers in its frames) travels on.
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


def _tls(config: SecretsServiceConfig) -> ssl.SSLContext | bool:
    """The TLS settings; certificates and host names are always verified."""
    if not any(address.startswith("https") for address in config.addresses):
        return True
    try:
        context = ssl.create_default_context(
            cafile=None if config.ca_cert is None else str(config.ca_cert)
        )
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.client_cert is not None and config.client_key is not None:
            context.load_cert_chain(config.client_cert, config.client_key)
    except (ssl.SSLError, OSError):
        raise ConfigurationError(
            "VAULT_CACERT, VAULT_CLIENT_CERT or VAULT_CLIENT_KEY cannot be read as PEM."
        ) from None
    return context


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


def _failure(error: Exception) -> _Failure | None:
    """What an exception of the HTTP client means, the most specific first; None for an answer
    that is not HTTP.
    """
    match error:
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return _Failure("tls", final=True, elsewhere=True)
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return _Failure("network", elsewhere=True)  # nothing was sent
        case TimeoutError():
            return _Failure("timeout", done=True, elsewhere=True)
        case aiohttp.ClientResponseError():
            return None
        case _:
            return _Failure("network", done=True, elsewhere=True)


def _judge(
    answer: aiohttp.ClientResponse, payload: bytes | None, asked_at: float
) -> VaultResponse | _Failure:
    """The retry table (docs/explanation/vault-facts.md): which statuses are answers."""
    match answer.status:
        case 307 | 472 | 473:
            return _Failure("standby", elsewhere=True)
        case 429:
            return _Failure("overloaded", wait=_retry_after(answer), elsewhere=True)
        case 501 | 503:
            return _Failure("sealed", elsewhere=True, final=True)
        case 500:
            # Vault itself fails: a full audit device, a raft without leader. The response
            # is audited after the effect, so a write may have happened.
            return _Failure("audit", done=True, elsewhere=True)
        case status if status > 500:
            return _Failure("network", done=True, elsewhere=True)
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


def _give_up(request: VaultRequest, failure: _Failure) -> VaultError:
    if failure.done and not request.may_repeat:
        return OutcomeUnknown(path=request.subject)
    return VaultUnavailable(failure.reason, path=request.subject, retry_after=failure.wait)
