"""Tokens in use: one login for many callers, and a new one when the old is dead.

`TokenHolder` owns one token: it gets it once however many ask, replaces it before it
ends, and tells a dead token from a real denial. `Session` holds the service's own, and
`TenantTokens` one for each tenant. A 403 means either "your token is dead" or "your
policy forbids it", with a text that differs between servers, so the text is not read:
one ``lookup-self`` decides (docs/explanation/vault-facts.md).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import anyio

from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import AuthenticationLost, SecretsError, VaultError
from greenlang_secrets.paths import ApiPath, TenantId
from greenlang_secrets.transport import Transport, VaultRequest, VaultResponse
from greenlang_secrets.vault.auth import AuthMethod, VaultToken, token_from_auth

__all__ = ["Session", "TenantTokens", "TokenHolder"]

MAX_TENANT_TOKENS: Final = 1000
"""Tenant tokens held at once; the least recently used is dropped and dies by its TTL."""

_FIRST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 30.0
_REVOKE_DEADLINE: Final = 2.0

_WATCH_EVERY: Final = 1.0
"""Seconds between two looks at an Agent's sink file."""

Event = Callable[[str], None]


class TokenHolder:
    """One token, kept usable.

    `acquire` makes a new one. A refused acquisition is not repeated for 1 s, doubling to
    30 s, so that a wrong secret id does not hammer Vault; meanwhile callers get the same
    error at once.
    """

    def __init__(
        self,
        acquire: Callable[[], Awaitable[VaultToken]],
        *,
        transport: Transport,
        supervisor: Supervisor,
        clock: Callable[[], float] = time.monotonic,
        on_event: Event = lambda _: None,
    ) -> None:
        self._acquire = acquire
        self._transport = transport
        self._supervisor = supervisor
        self._clock = clock
        self._on_event = on_event
        self._token: VaultToken | None = None
        self._acquisition: asyncio.Task[VaultToken] | None = None
        self._examination: asyncio.Task[bool] | None = None
        self._refused: AuthenticationLost | None = None
        self._refused_until = 0.0
        self._backoff = _FIRST_BACKOFF
        self._ahead_at = 0.0
        self._ever = False

    @property
    def token(self) -> VaultToken | None:
        """The token held now, dead or alive; None before the first."""
        return self._token

    async def call(self, request: VaultRequest) -> VaultResponse:
        """Return Vault's answer to `request`, sent with a living token.

        A 403 that is returned is a real denial.

        Raises:
            AuthenticationLost: Vault refuses the login.
            VaultUnavailable, OutcomeUnknown, VaultProtocolError: as `Transport.send`.
        """
        token = await self._current()
        answer = await self._transport.send(request, token=token.value)
        if answer.status != 403 or not await self._is_dead(token):
            return answer
        # Denied before anything was done, so even a write may be sent again.
        token = await self._current()
        return await self._transport.send(request, token=token.value)

    async def _current(self) -> VaultToken:
        token = self._token
        if token is not None:
            now = self._clock()
            if now < token.replace_at:
                return token
            if now < token.expires_at:
                # The old one still works: get the next one behind the caller's back, and
                # while that fails, try once a second and not with every call.
                if now >= self._ahead_at:
                    self._ahead_at = now + _FIRST_BACKOFF
                    self._start_acquisition()
                return token
        return await asyncio.shield(self._start_acquisition())

    def _start_acquisition(self) -> asyncio.Task[VaultToken]:
        if self._acquisition is None or self._acquisition.done():
            self._acquisition = self._supervisor.spawn(self._renew(), name="vault.login")
        return self._acquisition

    async def _renew(self) -> VaultToken:
        if self._refused is not None and self._clock() < self._refused_until:
            raise self._refused.again()
        try:
            token = await self._acquire()
        except AuthenticationLost as error:
            self._refused = error.again()
            self._refused_until = self._clock() + self._backoff
            self._backoff = min(_LONGEST_BACKOFF, self._backoff * 2)
            self._on_event("failure")
            raise
        except SecretsError:
            self._on_event("failure")
            raise
        self._on_event("relogin" if self._ever else "success")
        self._ever = True
        self._token = token
        self._refused = None
        self._backoff = _FIRST_BACKOFF
        return token

    async def _is_dead(self, token: VaultToken) -> bool:
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

    def _join_examination(self, token: VaultToken) -> tuple[asyncio.Task[bool], bool]:
        if self._examination is not None and not self._examination.done():
            return self._examination, False
        self._examination = self._supervisor.spawn(self._examine(token), name="vault.lookup")
        return self._examination, True

    async def _examine(self, token: VaultToken) -> bool:
        answer = await self._transport.send(
            VaultRequest(method="GET", path=ApiPath.of("auth", "token", "lookup-self")),
            token=token.value,
        )
        if answer.status != 403:
            return False
        # A token without the policy `default` may not look itself up and counts as dead
        # here: a denial then costs a login, and is still answered as a denial by `call`.
        if token is self._token:
            self._token = None
            await asyncio.shield(self._start_acquisition())
        return True

    async def revoke(self) -> None:
        """Revoke the token if a login made it; at most 2 s, errors ignored: it dies by its
        TTL anyway.
        """
        token, self._token = self._token, None
        if token is None or not token.ours:
            return
        request = VaultRequest(
            method="POST", path=ApiPath.of("auth", "token", "revoke-self"), repeatable=True
        )
        try:
            async with asyncio.timeout(_REVOKE_DEADLINE):
                await self._transport.send(request, token=token.value)
        except (VaultError, TimeoutError):
            return


class Session(TokenHolder):
    """The service's own login."""

    def __init__(
        self,
        method: AuthMethod,
        *,
        transport: Transport,
        supervisor: Supervisor,
        on_event: Event = lambda _: None,
    ) -> None:
        self._method = method
        super().__init__(
            lambda: method.login(transport),
            transport=transport,
            supervisor=supervisor,
            on_event=on_event,
        )

    async def login(self) -> None:
        """Get the token now, so that wrong credentials show at start-up.

        Raises:
            AuthenticationLost: Vault refuses the login.
            VaultUnavailable: Vault cannot be asked.
        """
        await self._current()

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


class TenantTokens:
    """A child token for each tenant: the second wall between tenants.

    ``POST /v1/auth/token/create/{role}`` with the tenant's id as entity alias (Vault API:
    Token, "Create Token"); the role's templated policy then opens that tenant's prefix and
    nothing else. The tokens are orphans of 15 minutes, so the death of the service's own
    token does not take them along.
    """

    def __init__(
        self, session: TokenHolder, *, role: str, transport: Transport, supervisor: Supervisor
    ) -> None:
        self._session = session
        self._role = role
        self._transport = transport
        self._supervisor = supervisor
        self._holders: OrderedDict[TenantId, TokenHolder] = OrderedDict()

    def of(self, tenant: TenantId) -> TokenHolder:
        """Return the holder of `tenant`'s token; the token itself is made at its first use."""
        holder = self._holders.get(tenant)
        if holder is not None:
            self._holders.move_to_end(tenant)
            return holder
        holder = TokenHolder(
            lambda: self._create(tenant), transport=self._transport, supervisor=self._supervisor
        )
        self._holders[tenant] = holder
        if len(self._holders) > MAX_TENANT_TOKENS:
            self._holders.popitem(last=False)
        return holder

    async def _create(self, tenant: TenantId) -> VaultToken:
        # Repeatable: a second one costs a token that dies by its TTL.
        answer = await self._session.call(
            VaultRequest(
                method="POST",
                path=ApiPath.of("auth", "token", "create", self._role),
                body={"entity_alias": tenant.value, "policies": [self._role]},
                repeatable=True,
            )
        )
        if not answer.ok:
            raise AuthenticationLost(
                "Vault does not let this service make tenant tokens; run "
                "greenlang-secrets provision, or set GREENLANG_SECRETS_TENANT_TOKEN_ROLE."
            )
        return token_from_auth(answer)
