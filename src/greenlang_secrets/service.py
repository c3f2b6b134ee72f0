"""`SecretsService`: the one thing users hold.

It joins the pieces and owns their lives. What may be done with secrets is in `view`;
the service is itself the view of the platform scope, with every permission.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from greenlang_secrets.access import SERVICE, Action, Principal, TenantContext
from greenlang_secrets.background import Supervisor
from greenlang_secrets.cache import SecretCache
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.consumers import ConsumerRegistry
from greenlang_secrets.credentials import DatabaseCredentials, TlsCertificate
from greenlang_secrets.errors import VaultError
from greenlang_secrets.following import Followers
from greenlang_secrets.leases import HeldLease, LeaseKeeper, certificate, database
from greenlang_secrets.model import Health, Secret, SecretType
from greenlang_secrets.paths import PLATFORM, Tenant, TenantId
from greenlang_secrets.telemetry import Operation
from greenlang_secrets.vault import VaultClient
from greenlang_secrets.view import Core, SecretsView
from greenlang_secrets.view.core import Rotator
from greenlang_secrets.watching import VaultWatch

__all__ = ["SecretsService"]


class SecretsService(SecretsView):
    """Secrets of the platform scope, and the way to those of tenants.

    Use ``async with SecretsService.open(config) as secrets``. One per process is enough:
    views share its client, cache and login.

    Attributes:
        client: the Vault client below, for engines without a room of their own here.
        cache: the cache; `cache.stats()` counts.
        leases: what is held under a lease.
        followers: who follows which secret; `followers.changed` is for whoever knows of one.
        consumers: who in this process uses what is rotated, for the ledger of the rotation.
        rotator: where a rotation manager leaves its way in, for `rotate`.
        tally: what telemetry exports.
    """

    def __init__(
        self, *, config: SecretsServiceConfig, client: VaultClient, supervisor: Supervisor
    ) -> None:
        self.config = config
        self.client = client
        self.tally = client.tally
        self.leases = LeaseKeeper(client, supervisor, tally=self.tally)
        self._watch = VaultWatch(client, supervisor, kv_mount=config.kv_mount)
        self.cache: SecretCache[Secret] = SecretCache(
            config.cache,
            supervisor,
            size_of=_size,
            as_stale=_as_stale,
            count_of=lambda secret: self.tally.fresh_reads_of(secret.type),
            lives_for=_lives_for,
            on_answer=lambda *answer: self.followers.learn(*answer),  # noqa: PLW0108  # made below
        )
        self.followers = Followers(self.cache, supervisor, config.cache, lives_for=_lives_for)
        sources = self.tally.sources
        sources.cache = self.cache.stats
        sources.leases = self.leases.lives
        sources.canary = lambda: self._watch.canary
        self.consumers = ConsumerRegistry(watched=self.followers.version_of)
        self.rotator = Rotator()
        super().__init__(
            Core(
                config=config,
                client=client,
                cache=self.cache,
                followers=self.followers,
                leases=self.leases,
                consumers=self.consumers,
                tally=self.tally,
                rotator=self.rotator,
            ),
            TenantContext(principal=SERVICE, scope=PLATFORM),
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: SecretsServiceConfig | None = None
    ) -> AsyncIterator[SecretsService]:
        """Yield a service that has tried to log in; None reads the environment.

        A Vault that is away does not keep it from opening; wrong credentials do. At the
        end leases still held are revoked (within 3 s), then the service's own tokens (within
        2 s), and background work is stopped.

        Raises:
            ConfigurationError: a setting is missing or wrong.
            AuthenticationLost: Vault refuses the login.
        """
        config = config or SecretsServiceConfig.from_env()
        async with Supervisor() as supervisor, VaultClient.open(config, supervisor) as client:
            service = cls(config=config, client=client, supervisor=supervisor)
            try:
                yield service
            finally:
                service._watch.end()
                await service.leases.close()
                service.followers.close()
                service.cache.clear()

    def scoped(self, context: TenantContext) -> SecretsView:
        """Return the view of `context`: its principal's permissions, in its scope. Light."""
        return SecretsView(self._core, context)

    def for_tenant(self, tenant: str, *, principal: Principal | None = None) -> SecretsView:
        """Return the view of one tenant's secrets, acting as `principal`, or as the service.

        Raises:
            InvalidTenant: the id is outside the grammar.
            AccessDenied: the principal belongs to another tenant.
        """
        scope = Tenant(TenantId(tenant))
        return SecretsView(self._core, TenantContext(principal=principal or SERVICE, scope=scope))

    # ------------------------------------------------------------ what is held under a lease

    async def database_credentials(
        self, role: str, *, static: bool = False, at: str | None = None, mount: str = "database"
    ) -> HeldLease[DatabaseCredentials]:
        """Return credentials of a database role that stay valid while they are held.

        ``GET /v1/{mount}/creds/{name}``, or ``static-creds`` with `static` (Vault API: Databases).
        ``.current`` is read without waiting, so a pool's callback can take it; the lease is
        renewed, and replaced before its maximum or the end of our token, and `on_change` tells.
        What was replaced lives to its own end. Keep the handle: one that is dropped is released.
        Who holds the same role shares one account, which is dropped when the last handle is
        released. `at` is a secret of the type `database` that says where the database is, for
        ``.dsn()``.

        A static role's password changes when Vault rotates it: it is read again one second after
        that is due, so a login may fail in between; `refresh` reads it at once.

        Raises:
            ObjectNotFound: there is no such role.
            AccessDenied: the service's policies do not allow it.
            SecretTypeMismatch, SecretIncomplete, SecretNotFound: what is at `at` does not say it.
            VaultUnavailable: Vault, or the database behind it, gives no answer.
        """

        async def place() -> DatabaseCredentials | None:
            return None if at is None else await self.get_typed(at, DatabaseCredentials)

        source = database.static if static else database.dynamic
        with self.tally.counting(Action.READ, SecretType.DATABASE):
            return await self.leases.hold(
                ("database", mount, role, static, at),
                source(role, mount=mount, place=place),
                secret_type=SecretType.DATABASE,
                about=at,
            )

    async def hold_certificate(
        self,
        role: str,
        *,
        common_name: str,
        alt_names: Sequence[str] = (),
        ttl: float | None = None,
        mount: str = "pki_int",
    ) -> HeldLease[TlsCertificate]:
        """Return a certificate that is followed by a new one, with a new key, two thirds into its
        life; the arguments are those of `certificate`, and so is what is raised.

        The one before is valid to its end and is not revoked.
        """
        names = tuple(alt_names)
        fetch = certificate.issued(
            role, common_name=common_name, alt_names=names, ttl=ttl, mount=mount
        )
        with self.tally.counting(Action.READ, SecretType.CERTIFICATE):
            return await self.leases.hold(
                ("pki", mount, role, common_name, names, ttl),
                fetch,
                secret_type=SecretType.CERTIFICATE,
            )

    async def hand_over(self, successor: SecretsService) -> None:
        """Have everything that is held under a lease here issued anew by `successor`, and kept there:
        for a restart inside a process. The handles stay the same, and tell of the change.

        Closing revokes our token, and with it every lease made with it. So hand over first, let
        logins that have begun end, and close this one then.

        Raises:
            SecretsError: some could not be issued; they are still kept here, so call again.
        """
        await self.leases.hand_over(successor.leases)

    async def certificate(
        self,
        role: str,
        *,
        common_name: str,
        alt_names: Sequence[str] = (),
        ttl: float | None = None,
        mount: str = "pki_int",
    ) -> TlsCertificate:
        """Return a new certificate with its private key; `ttl` in seconds, the role's when None.

        ``POST /v1/{mount}/issue/{name}`` (Vault API: PKI, "Generate Certificate and Key"). Vault
        keeps no key, and each call makes another one: keep the result, and ask again when two
        thirds of the time to its `not_after` are over, which may be sooner than asked for.

        Raises:
            ObjectNotFound: there is no such role.
            VaultRefused: the role does not allow a name, or the certificate would outlive
                its CA.
            AccessDenied: the service's policies do not allow it.
            VaultUnavailable: Vault gives no answer.
        """
        with self.tally.counting(Operation.ISSUE, SecretType.CERTIFICATE):
            pki = self.client.pki(mount=mount)
            issued = await pki.issue(role, common_name=common_name, alt_names=alt_names, ttl=ttl)
            return TlsCertificate.issued(issued)

    def watch_vault(self) -> None:
        """Begin to ask each of Vault's nodes every 5 s how it is, and to try a real request every
        15 s, for the metrics of them; a second call does nothing. Ends with the service.
        """
        self._watch.begin()

    async def health(self) -> Health:
        """Return how Vault is: what it says of itself, and whether a real request works.

        Never raises for a Vault in trouble; the report says it. The real request lists the
        platform's root, which needs the login, the policies, the storage and the audit
        device, and reads no value.
        """
        try:
            node = await self.client.sys.health()
        except VaultError:
            self._watch.failed()
            return Health(status=self._without_vault(), reachable=False)
        canary = False
        if not node.sealed and node.initialized:
            canary = await self._watch.try_canary()
        else:
            self._watch.failed()
        return Health(
            status="ok" if canary else self._without_vault(),
            reachable=True,
            initialized=node.initialized,
            sealed=node.sealed,
            standby=node.standby,
            version=node.version,
            # Vault gives whole seconds, cut off: the middle of them is the best guess.
            clock_skew=node.server_time + 0.5 - time.time(),
            canary=canary,
        )

    def _without_vault(self) -> Literal["degraded", "down"]:
        """Cached reads go on without Vault; with an empty cache nothing does."""
        return "degraded" if self.cache.stats().entries else "down"


def _size(secret: Secret) -> int:
    return secret.data.size + sum(
        len(key) + len(value) for key, value in secret.custom_metadata.items()
    )


def _as_stale(secret: Secret) -> Secret:
    return replace(secret, stale=True)


def _lives_for(secret: Secret) -> float:
    if secret.expires_at is None:
        return float("inf")
    return max(0.0, (secret.expires_at - datetime.now(UTC)).total_seconds())
