"""The service's own login, kept alive by itself: renewed while it can be, replaced before it ends.

What a token's users need of it is in `token_holder`; when to act is decided in `lifetime`.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

import anyio

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.errors import SecretsError
from greenlang_secrets.lifetime import Step, Term, next_step
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.telemetry import Life, Operation, Result, Tally
from greenlang_secrets.transport import Transport, VaultRequest
from greenlang_secrets.vault.auth import AuthMethod, term_from_renewal
from greenlang_secrets.vault.live_token import LiveToken
from greenlang_secrets.vault.token_holder import Event, TokenHolder

__all__ = ["Session"]

NOTICE_EVERY: Final = 30.0
"""Seconds without an answer after which a token is looked at: two requests a minute of an idle
process, against accounts that do not log in for up to two thirds of their lease."""

_WATCH_EVERY: Final = 1.0
"""Seconds between two looks at an Agent's sink file."""

_RENEW: Final = VaultRequest(
    method="POST", path=ApiPath.of("auth", "token", "renew-self"), body={}, repeatable=True
)


class Session(TokenHolder):
    """The service's own login."""

    def __init__(
        self,
        method: AuthMethod,
        *,
        transport: Transport,
        supervisor: Supervisor,
        chance: Callable[[], float] = random.random,
        on_event: Event = lambda _: None,
        tally: Tally | None = None,
    ) -> None:
        self._method = method
        self._chance = chance
        self._woken = anyio.Event()
        super().__init__(
            lambda: method.login(transport),
            transport=transport,
            supervisor=supervisor,
            on_event=on_event,
            tally=tally,
        )

    def life(self) -> Life | None:
        """Return how long the token lives; None while there is none that does."""
        token = self._token
        if token is None or token.dead:
            return None
        term = token.term
        return Life(
            secret_type=SecretType.SERVICE_TOKEN,
            left=max(0.0, term.ends_at - self._clock()),
            # A given token is looked up: its duration is what was left of it then.
            granted=max(term.duration, term.wanted),
        )

    async def login(self) -> None:
        """Get the token now, so that wrong credentials show at start-up.

        Raises:
            AuthenticationLost: Vault refuses the login.
            VaultUnavailable: Vault cannot be asked.
        """
        await self.current()

    def _ahead(self, token: LiveToken) -> None:
        """Leave a renewable token to `keep`, which asks for no new one before it must."""
        if not token.term.renewable:
            self._start_acquisition()

    def _take_over(self, token: LiveToken | None) -> None:
        super()._take_over(token)
        self._woken.set()

    async def keep(self) -> None:
        """Renew the token, or log in anew, before it ends; runs until cancelled.

        ``POST /v1/auth/token/renew-self`` (Vault API: Token, "Renew a Token (Self)"). One that
        may not be renewed, or is near its maximum, is replaced by a login; a given one, which
        cannot be, is left to end.
        """
        while True:
            self._woken = anyio.Event()
            token = self._token
            at = math.inf
            if token is not None:
                step = next_step(token.term, self._clock(), self._chance())
                if not token.ours and token.term.renewable:
                    step = replace(step, action="renew")  # there is no other way to keep it
                if step.action == "renew" or token.ours:
                    at = step.at
            with anyio.move_on_after(max(0.0, at - self._clock())):
                await self._woken.wait()
                continue
            if token is not None and await reported(self._take(token, step), name="keep") is None:
                token.term = token.term.failed(self._clock())

    async def _take(self, token: LiveToken, step: Step) -> bool:
        """Do a step; a failure is noted in the token's term, for the next plan."""
        try:
            async with asyncio.timeout(step.within):
                if step.action == "renew":
                    token.term = await self._renewed(token)
                else:
                    await asyncio.shield(self._start_acquisition())
        except (SecretsError, TimeoutError):
            token.term = token.term.failed(self._clock())
            if step.action == "renew":  # a login has told its failure itself
                self._on_event("failure")
        return True

    async def _renewed(self, token: LiveToken) -> Term:
        if token.limited:
            return token.term.unrenewable()
        with self._tally.counting(Operation.RENEW, SecretType.SERVICE_TOKEN) as outcome:
            answer = await self._transport.send(_RENEW, token=token.value)
            if not answer.ok:
                outcome.result = Result.DENIED
        if answer.ok:
            self._on_event("success")
            return term_from_renewal(token.term, answer)
        if answer.status == 403:
            # Dead, and replaced by now; or it may not renew itself, which is as good as cannot.
            await self._is_dead(token)
        return token.term.unrenewable()

    async def notice(self) -> None:
        """Ask Vault about a token that was not used for half a minute; runs until cancelled. What
        hangs on it, such as accounts in a pool, would end unnoticed until its next renewal.
        """
        while True:
            await anyio.sleep(NOTICE_EVERY)
            token = self._token
            if (
                token is not None
                and not token.limited  # a look costs a use
                and token.has_default  # or is not allowed
                and self._clock() - (token.answered_at or token.made_at) >= NOTICE_EVERY
            ):
                with suppress(SecretsError):
                    await self._is_dead(token)

    async def watch(self) -> None:
        """Log in anew whenever the token was replaced at its source, such as an Agent's sink
        file; runs until cancelled. A new token that Vault refuses is tried once, and the old
        one stays in use.
        """
        while True:
            await anyio.sleep(_WATCH_EVERY)
            if await self._method.changed():
                with suppress(SecretsError):
                    await asyncio.shield(self._start_acquisition())
