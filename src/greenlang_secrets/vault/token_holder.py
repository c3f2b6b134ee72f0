"""One token for many callers: made once, told dead from denied, let go of after its last user.

A 403 means either "your token is dead" or "your policy forbids it", with a text that differs
between servers, so the text is not read: one ``lookup-self`` decides
(docs/explanation/vault-facts.md).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import anyio

from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import AuthenticationLost, SecretsError, VaultError
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.telemetry import Operation, Result, Tally
from greenlang_secrets.transport import Transport, VaultRequest, VaultResponse
from greenlang_secrets.vault.auth import VaultToken
from greenlang_secrets.vault.live_token import LiveToken

__all__ = ["Event", "TokenHolder"]

_FIRST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 30.0

_BREATH: Final = 0.25
"""Seconds between two logins while Vault is away: far from a storm, and soon enough to be back
within two seconds of its return."""

REVOKE_DEADLINE: Final = 2.0
"""Seconds for the revocations at the end."""

_ROUNDS: Final = 3
"""Tokens tried for one call: one may be revoked between a login and its first use."""

_NEWBORN: Final = 0.5
"""Seconds after a token's death in which the next one, denied at its first use, counts as alive:
each denial would cost login after login."""

REFRESH_EVERY: Final = 60.0
"""Seconds between two logins that are made because a token was denied: its role may have got
new policies, which an old token does not have."""

_own: Final = partial(ApiPath.of, "auth", "token")
_LOOK_UP: Final = VaultRequest(method="GET", path=_own("lookup-self"))
_REVOKE: Final = VaultRequest(method="POST", path=_own("revoke-self"), repeatable=True)

Event = Callable[[str], None]
"""Hears how a login or renewal went: success, failure or relogin."""


class TokenHolder:
    """One token, kept usable.

    `acquire` makes a new one. A refused acquisition is not repeated for 1 s, doubling to
    30 s, so that a wrong secret id does not hammer Vault; meanwhile callers get the same
    error at once. While Vault is away there is one login in a quarter of a second, and callers
    wait for it together.
    """

    def __init__(
        self,
        acquire: Callable[[], Awaitable[VaultToken]],
        *,
        transport: Transport,
        supervisor: Supervisor,
        clock: Callable[[], float] = time.monotonic,
        on_event: Event = lambda _: None,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._acquire = acquire
        self._transport = transport
        self._supervisor = supervisor
        self._clock = clock
        self._on_event = on_event
        self._token: LiveToken | None = None
        self._acquisition: asyncio.Task[LiveToken] | None = None
        self._examination: asyncio.Task[bool] | None = None
        self._examined: LiveToken | None = None
        self._refused: AuthenticationLost | None = None
        self._not_before = -math.inf
        self._refused_until = 0.0
        self._backoff = _FIRST_BACKOFF
        self._refreshed_at = -math.inf
        self._died_at = -math.inf
        self._ever = False
        self._closed = False
        self._retired: set[LiveToken] = set()
        self._on_replaced: list[Callable[[], None]] = []

    @property
    def token(self) -> LiveToken | None:
        """The token held now, dead or alive; None before the first."""
        return self._token

    def on_replaced(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever the token has died or another has taken over from it: what
        was made with it ends with it.
        """
        self._on_replaced.append(callback)

    async def call(
        self, request: VaultRequest, *, made_by: Callable[[LiveToken], None] = lambda _: None
    ) -> VaultResponse:
        """Return Vault's answer to `request`, sent with a living token.

        A 403 that is returned is a real denial; one refresh login per minute at most has made
        sure that it is not an old token's only. `made_by` is told the token that an answer
        without an error was given to, while it is in use: what was made hangs on it.

        Raises:
            AuthenticationLost: Vault refuses the login.
            VaultUnavailable, OutcomeUnknown, VaultProtocolError: as `Transport.send`.
            RuntimeError: it was closed.
        """
        token = await self.current()
        answer = await self._send(request, token, made_by)
        # Denied before anything was done, so even a write may be sent again.
        for _ in range(_ROUNDS):
            if answer.status != 403 or not await self._has_better_than(token):
                break
            token = await self.current()
            answer = await self._send(request, token, made_by)
        return answer

    async def _send(
        self, request: VaultRequest, token: LiveToken, made_by: Callable[[LiveToken], None]
    ) -> VaultResponse:
        with token.in_use():
            answer = await self._transport.send(request, token=token.value)
            if answer.ok:
                made_by(token)
        if answer.status != 403:
            token.answered_at = self._clock()
        return answer

    async def current(self) -> LiveToken:
        """Return a token that lives, as far as is known.

        Raises:
            AuthenticationLost, VaultUnavailable: there is none, and none could be made.
        """
        token = self._token
        if token is None or (now := self._clock()) >= token.expires_at:
            return await asyncio.shield(self._start_acquisition())
        if now >= token.ahead_at and token.ours:
            # It still works: get the next one behind the caller's back, and while that fails,
            # try once a second and not with every call.
            token.ahead_at = now + _FIRST_BACKOFF
            self._ahead(token)
        return token

    def _ahead(self, _: LiveToken) -> None:
        self._start_acquisition()

    def _start_acquisition(self) -> asyncio.Task[LiveToken]:
        if self._closed:
            raise RuntimeError("the service is closed; open it anew")
        if self._acquisition is None or self._acquisition.done():
            self._acquisition = self._supervisor.spawn(self._replace(), name="vault.login")
        return self._acquisition

    async def _replace(self) -> LiveToken:
        if self._refused is not None and self._clock() < self._refused_until:
            raise self._refused.again()
        now, held = self._clock(), self._token
        if now < self._not_before and (held is None or now >= held.expires_at):
            await anyio.sleep(self._not_before - now)  # while one lives, its keeper has a pace
        try:
            with self._tally.counting(Operation.LOGIN, SecretType.SERVICE_TOKEN):
                made = await self._acquire()
        except AuthenticationLost as error:
            self._refused = error.again()
            self._refused_until = self._clock() + self._backoff
            self._backoff = min(_LONGEST_BACKOFF, self._backoff * 2)
            self._on_event("failure")
            raise
        except SecretsError:
            # Vault answers 503 within a millisecond, and every reader would ask for a login.
            self._not_before = self._clock() + _BREATH
            self._on_event("failure")
            raise
        self._on_event("relogin" if self._ever else "success")
        self._ever = True
        self._refused = None
        self._backoff = _FIRST_BACKOFF
        token = LiveToken(made, made_at=self._clock(), unused=self._unused)
        self._take_over(token)
        return token

    def _take_over(self, token: LiveToken | None) -> None:
        old, self._token = self._token, token
        if old is None:
            return
        if not old.dead:
            self._retired.add(old)
            old.retire()
        for callback in self._on_replaced:
            callback()

    # ------------------------------------------------------------ what a 403 means

    async def _has_better_than(self, token: LiveToken) -> bool:
        """Whether a call that was answered with 403 is to be sent again: `token` is dead, or a
        refresh login has replaced it.
        """
        return await self._is_dead(token) or await self._is_refreshed(token)

    async def _is_dead(self, token: LiveToken) -> bool:
        """Whether `token`, just answered with 403, is dead; if so it was replaced, or dropped
        so that the next call gets a new one.
        """
        joined_before = False
        while token is self._token:
            examination, begins_now = self._join_examination(token)
            dead = await asyncio.shield(examination)
            # One that had begun before our 403 may have looked before the token died: its
            # "alive" does not count, and the next one we join began after it.
            if dead or begins_now or joined_before:
                return dead
            joined_before = True
        return True

    def _join_examination(self, token: LiveToken) -> tuple[asyncio.Task[bool], bool]:
        running = self._examination
        if running is not None and not running.done() and self._examined is token:
            return running, False
        self._examined = token
        self._examination = self._supervisor.spawn(self._examine(token), name="vault.lookup")
        return self._examination, True

    async def _examine(self, token: LiveToken) -> bool:
        if not token.limited:  # a look would take one of its last uses away
            answer = await self._transport.send(_LOOK_UP, token=token.value)
            if answer.status != 403:
                return False
        # A token without the policy `default` may not look itself up, alive or dead: then at most
        # one is taken for dead in a minute, or each denial would make a login, and an account.
        since = self._clock() - self._died_at
        if (not token.has_default and since < REFRESH_EVERY) or (
            token.answered_at is None and since < _NEWBORN
        ):
            return False
        if token is self._token:
            self._died_at = self._clock()
            token.dead = True
            self._take_over(None)
            await asyncio.shield(self._start_acquisition())
        return True

    async def _is_refreshed(self, token: LiveToken) -> bool:
        """Whether a login made because of a denial has replaced `token`; at most one a minute,
        shared by all who are denied.
        """
        if token is not self._token:
            return True
        now = self._clock()
        if self._acquisition is None or self._acquisition.done():
            if (
                not token.ours
                or now - token.made_at < REFRESH_EVERY
                or now - self._refreshed_at < REFRESH_EVERY
            ):
                return False
            self._refreshed_at = now
        try:
            return await asyncio.shield(self._start_acquisition()) is not token
        except SecretsError:
            return False  # the denial stands; the token lives on

    # ------------------------------------------------------------ the end

    def _unused(self, token: LiveToken) -> None:
        if token in self._retired:
            self._retired.discard(token)
            if token.revocable and self._clock() < token.expires_at:
                with suppress(RuntimeError):  # at close: `revoke` has seen to it, or the TTL will
                    self._supervisor.spawn(self._revoke(token), name="vault.revoke")

    async def revoke(self) -> None:
        """Revoke our tokens, those not yet let go among them, and make no more; at most 2 s, errors
        ignored: they die by their TTL anyway. What was made with them ends with them.
        """
        self._closed = True
        with anyio.move_on_after(REVOKE_DEADLINE):
            await self._revoke_held()
            if self._acquisition is not None:  # nobody else will know what it makes
                await asyncio.wait({self._acquisition})
                await self._revoke_held()

    async def _revoke_held(self) -> None:
        tokens = [*self._retired, *([] if self._token is None else [self._token])]
        self._retired.clear()
        self._token = None
        ours = [token for token in tokens if token.revocable]
        for token in ours:
            token.dead = True
        await asyncio.gather(*(self._revoke(token) for token in ours))

    async def _revoke(self, token: LiveToken) -> None:
        with (
            suppress(VaultError, TimeoutError),
            self._tally.counting(Operation.REVOKE, SecretType.SERVICE_TOKEN) as outcome,
        ):
            async with asyncio.timeout(REVOKE_DEADLINE):
                answer = await self._transport.send(_REVOKE, token=token.value)
            if not answer.ok:
                outcome.result = Result.DENIED
