"""`VaultClient`: the engines, each spoken to with the right token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from greenlang_secrets.background import Supervisor
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import AccessDenied, VaultRefused, VaultUnavailable
from greenlang_secrets.paths import PLATFORM, ApiPath, Platform, Scope, Tenant
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.telemetry import Tally
from greenlang_secrets.transport import Method, NodeStates, Transport, VaultRequest, VaultResponse
from greenlang_secrets.vault.auth import auth_method
from greenlang_secrets.vault.database import Database
from greenlang_secrets.vault.kv import KvV2
from greenlang_secrets.vault.kv1 import KvV1
from greenlang_secrets.vault.pki import Pki
from greenlang_secrets.vault.session import Session
from greenlang_secrets.vault.sys import Sys
from greenlang_secrets.vault.sys_capabilities import Capabilities
from greenlang_secrets.vault.sys_leases import Leases
from greenlang_secrets.vault.sys_mounts import AuthMounts, Mounts
from greenlang_secrets.vault.sys_policies import Policies
from greenlang_secrets.vault.sys_wrapping import Wrapping
from greenlang_secrets.vault.tenant_tokens import TenantTokens
from greenlang_secrets.vault.token import Tokens
from greenlang_secrets.vault.token_holder import TokenHolder
from greenlang_secrets.vault.transit import Transit

__all__ = ["VaultClient"]


class VaultClient:
    """A Vault, logged in to.

    Attributes:
        sys: health and seal status.
        session: the service's own login.
        states: asks each node how it is, for who runs its `keep`.
        tally: what telemetry exports; closed with the client.
        leases, mounts, auth_mounts, policies, capabilities, wrapping, tokens: the system
            backend and the token store, spoken to with the service's own token.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        session: Session,
        tenant_tokens: TenantTokens | None,
        write_timeout: float = 10.0,
        tally: Tally | None = None,
    ) -> None:
        self.tally = tally or Tally()
        self.states: NodeStates = transport.states
        self._transport = transport
        self.sys = Sys(transport)
        self.session = session
        self._tenant_tokens = tenant_tokens
        self._write_timeout = write_timeout
        self.leases = Leases(session.call)
        self.mounts = Mounts(session.call)
        self.auth_mounts = AuthMounts(session.call)
        self.policies = Policies(session.call)
        self.capabilities = Capabilities(session.call)
        self.wrapping = Wrapping(session.call)
        self.tokens = Tokens(session.call)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: SecretsServiceConfig, supervisor: Supervisor
    ) -> AsyncIterator[VaultClient]:
        """Yield a client that has tried to log in; its own tokens are revoked at the end, and with
        them the leases that were made with them.

        A Vault that cannot be reached does not keep the client from opening: the login
        is made at the first use then.

        Raises:
            AuthenticationLost: Vault refuses the login.
            ConfigurationError: a setting is missing or wrong.
        """
        tally = Tally()
        async with Transport(config, on_retry=tally.count_retry) as transport:
            session = Session(
                auth_method(config.auth),
                transport=transport,
                supervisor=supervisor,
                on_event=tally.count_renewal,
                tally=tally,
            )
            tenant_tokens = (
                None
                if config.tenant_token_role is None
                else TenantTokens(
                    session,
                    role=config.tenant_token_role,
                    transport=transport,
                    supervisor=supervisor,
                    tally=tally,
                )
            )
            sources = tally.sources
            sources.token = session.life
            sources.in_flight = lambda: transport.in_flight
            sources.failovers = lambda: transport.failovers
            sources.circuits = transport.circuits
            sources.nodes = lambda: transport.states.found
            try:
                with suppress(VaultUnavailable):
                    await session.login()
                supervisor.spawn(session.keep(), name="vault.keep")
                supervisor.spawn(session.notice(), name="vault.notice")
                if config.auth.token_file is not None:
                    supervisor.spawn(session.watch(), name="vault.sink")
                yield cls(
                    transport=transport,
                    session=session,
                    tenant_tokens=tenant_tokens,
                    write_timeout=config.write_timeout,
                    tally=tally,
                )
            finally:  # of a login, too, whose waiter was cancelled
                if tenant_tokens is not None:
                    await tenant_tokens.revoke()
                await session.revoke()
                tally.close()

    def kv(self, scope: Scope) -> KvV2:
        """Return the KV engine as seen with the token of `scope`."""
        return KvV2(self._holder(scope).call, write_timeout=self._write_timeout)

    def kv1(self, *, mount: str) -> KvV1:
        """Return a KV version 1 mount, spoken to with the service's own token."""
        return KvV1(self.session.call, mount=mount)

    def database(self, *, mount: str = "database") -> Database:
        """Return a database mount, spoken to with the service's own token."""
        return Database(self.session.call, mount=mount)

    def transit(self, *, mount: str = "transit", scope: Scope = PLATFORM) -> Transit:
        """Return a transit mount as seen with the token of `scope`."""
        return Transit(self._holder(scope).call, mount=mount)

    def pki(self, *, mount: str = "pki") -> Pki:
        """Return a PKI mount, spoken to with the service's own token."""
        return Pki(self.session.call, mount=mount)

    def capabilities_in(self, scope: Scope) -> Capabilities:
        """Return questions about what the token of `scope` may do; a tenant's is made for it."""
        return Capabilities(self._holder(scope).call)

    def tokens_of(self, token: SecretValue) -> Tokens:
        """Return the token store as seen with a token of somebody else's, to see that it works."""

        async def call(request: VaultRequest) -> VaultResponse:
            return await self._transport.send(request, token=token)

        return Tokens(call)

    def _holder(self, scope: Scope) -> TokenHolder:
        match scope:
            case Tenant(id=tenant) if self._tenant_tokens is not None:
                return self._tenant_tokens.of(tenant)
            case Platform() | Tenant():
                return self.session

    async def read(self, path: ApiPath) -> Mapping[str, Any] | None:
        """Return the `data` at any API path, or None if Vault says 404; for engines that have
        no room of their own here.

        Raises:
            AccessDenied: the service's policies do not allow it.
            VaultRefused: Vault refuses the request.
        """
        answer = await self.session.call(VaultRequest(method="GET", path=path))
        if answer.status == 404:
            return None
        if answer.ok:
            return answer.data
        raise _refusal(answer.status)

    async def write(
        self, path: ApiPath, body: Mapping[str, Any] | None = None, *, method: Method = "POST"
    ) -> Mapping[str, Any]:
        """Write `body` to any API path and return the answer's `data`.

        Raises:
            AccessDenied: the service's policies do not allow it.
            VaultRefused: Vault refuses the request.
            OutcomeUnknown: no answer came; the write may have happened.
        """
        answer = await self.session.call(VaultRequest(method=method, path=path, body=body))
        if answer.ok:
            return answer.data
        raise _refusal(answer.status)


def _refusal(status: int) -> AccessDenied | VaultRefused:
    return AccessDenied() if status == 403 else VaultRefused(status=status)
