"""A child token for each tenant: the second wall between tenants."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

import anyio

from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import AuthenticationLost
from greenlang_secrets.paths import ApiPath, TenantId
from greenlang_secrets.telemetry import Tally
from greenlang_secrets.transport import Transport, VaultRequest
from greenlang_secrets.vault.auth import VaultToken, token_from_auth
from greenlang_secrets.vault.token_holder import TokenHolder

__all__ = ["TenantTokens"]

MAX_TENANT_TOKENS: Final = 1000
"""Tenant tokens held at once; the least recently used is dropped and dies by its TTL."""

_REVOKE_DEADLINE: Final = 5.0
"""Seconds for all revocations at the end; a raft makes some 300 a second (2 cores)."""

_REVOKED_AT_ONCE: Final = 16


class TenantTokens:
    """A token for each tenant that was asked for.

    ``POST /v1/auth/token/create/{role}`` with the tenant's id as entity alias (Vault API:
    Token, "Create Token"); the role's templated policy then opens that tenant's prefix and
    nothing else. The tokens are orphans of 15 minutes, so the death of the service's own
    token does not take them along. They are not renewed: the next one is made behind a call
    in the last third of their life, and none for a tenant whom nobody asks for.
    """

    def __init__(
        self,
        session: TokenHolder,
        *,
        role: str,
        transport: Transport,
        supervisor: Supervisor,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
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
            lambda: self._create(tenant),
            transport=self._transport,
            supervisor=self._supervisor,
            tally=self._tally,
        )
        self._holders[tenant] = holder
        if len(self._holders) > MAX_TENANT_TOKENS:
            self._holders.popitem(last=False)
        return holder

    async def revoke(self) -> None:
        """Revoke all of them; at most 5 s, errors ignored: they die by their TTL anyway."""
        holders = list(self._holders.values())
        self._holders.clear()

        async def revoke_some() -> None:
            while holders:
                await holders.pop().revoke()

        with anyio.move_on_after(_REVOKE_DEADLINE):
            # Not all at once: the transport sheds what waits for longer than a second.
            await asyncio.gather(*(revoke_some() for _ in range(_REVOKED_AT_ONCE)))

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
