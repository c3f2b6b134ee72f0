"""Everything that tells one service of changes made elsewhere, opened and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from greenlang_secrets.background import Supervisor
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.following import Followers
from greenlang_secrets.invalidation.config import InvalidationConfig
from greenlang_secrets.invalidation.revalidation import Revalidation
from greenlang_secrets.invalidation.vault_audit import AuditReader, VaultAuditTail

if TYPE_CHECKING:
    from greenlang_secrets.invalidation.notices import ChangeFeed, Connect

_SETTLING: Final = 0.5
"""Seconds: a standby's lag was 119 ms at most in 200 tries (docs/explanation/vault-facts.md)."""

__all__ = ["Invalidation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidation:
    """What a service hears with.

    Attributes:
        revalidation: what is done about it; `stats` counts.
        feed: what other replicas tell; None without a database they share.
        tails: Vault's audit files.
    """

    revalidation: Revalidation
    feed: ChangeFeed | None
    tails: tuple[VaultAuditTail, ...]

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        followers: Followers,
        config: SecretsServiceConfig,
        *,
        hears: InvalidationConfig | None = None,
        connect: Connect | None = None,
    ) -> AsyncIterator[Invalidation]:
        """Yield it, listening from now on; None for `hears` reads the environment.

        `connect` makes an asyncpg connection to the database that all replicas share. A database
        that is away, or a file that is not there, does not keep it from opening: it is waited for.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        hears = hears or InvalidationConfig.from_env()
        reader = AuditReader(kv_mount=config.kv_mount, namespace=config.namespace)
        async with AsyncExitStack() as stack:
            supervisor = await stack.enter_async_context(Supervisor())
            settle_after = hears.settle_after
            if settle_after is None:
                settle_after = _SETTLING if len(config.addresses) > 1 else 0.0
            revalidation = Revalidation(
                followers,
                supervisor,
                revalidate_every=hears.revalidate_every,
                settle_after=settle_after,
            )
            tails = tuple(
                VaultAuditTail(path, reader, revalidation, poll_every=hears.audit_poll_every)
                for path in hears.vault_audit_logs
            )
            for tail in tails:
                supervisor.spawn(tail.run(), name="vault_audit")
            feed = None
            if connect is not None:
                from greenlang_secrets.invalidation.notices import (  # noqa: PLC0415  # needs asyncpg
                    ChangeFeed,
                )

                feed = await stack.enter_async_context(
                    ChangeFeed.open(followers, revalidation, connect)
                )
            yield cls(revalidation=revalidation, feed=feed, tails=tails)
