"""`Transport`: which address is asked, how often, and what the caller is told in the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Self

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import (
    OutcomeUnknown,
    UnavailableReason,
    VaultError,
    VaultUnavailable,
)
from greenlang_secrets.retry import Backoff, RetryBudget
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport.messages import Failure, VaultRequest, VaultResponse
from greenlang_secrets.transport.places import MAX_WAIT, Places
from greenlang_secrets.transport.wire import Wire

__all__ = ["Transport"]


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
        self._places = Places(max_wait=min(MAX_WAIT, config.request_timeout))
        self._budget = RetryBudget()
        self._wire = Wire(config, clock=clock)

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._wire.__aexit__(*exception)

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
        async with self._places.taken(request.subject):
            return await self._attempts(request, token, deadline)

    async def _attempts(
        self, request: VaultRequest, token: SecretValue | None, deadline: float
    ) -> VaultResponse:
        backoff = Backoff(random.random)
        self._budget.deposit()
        attempt = 0
        while True:
            index = (self._preferred + attempt) % len(self._addresses)
            outcome = await self._wire.attempt(request, token, self._addresses[index], deadline)
            if isinstance(outcome, VaultResponse):
                self._preferred = index
                return outcome
            tried_all = attempt + 1 >= len(self._addresses)
            wait = backoff.next(outcome.wait) if tried_all else 0.0
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


def _give_up(request: VaultRequest, failure: Failure) -> VaultError:
    if failure.done and not request.may_repeat:
        return OutcomeUnknown(path=request.subject)
    return VaultUnavailable(failure.reason, path=request.subject, retry_after=failure.wait)
