"""What is kept for a time only is removed when that is over, once in an hour."""

from __future__ import annotations

import logging
import random
from typing import Final

import anyio

from greenlang_secrets.catalogue.audit_copy import AuditCopy
from greenlang_secrets.catalogue.idempotency import IdempotencyKeys
from greenlang_secrets.catalogue.rotations import RotationStore
from greenlang_secrets.errors import CatalogueUnavailable

__all__ = ["keep_purging"]

_EVERY: Final = 3600.0  # seconds; retention is counted in days
_AWAY: Final = 60.0  # seconds until it is tried again where the database is away

_log: Final = logging.getLogger("greenlang_secrets")


async def keep_purging(
    audit: AuditCopy, idempotency: IdempotencyKeys, rotations: RotationStore
) -> None:
    """Purge now, and every hour from then on, for ever. Several replicas may do so at once."""
    while True:
        try:
            removed = (
                await audit.purge(),
                await idempotency.purge(),
                await rotations.purge(),
            )
        except CatalogueUnavailable:
            await anyio.sleep(_AWAY)
            continue
        if any(removed):
            _log.info(
                "catalogue.purged",
                extra={
                    "audit_events": removed[0],
                    "idempotency_keys": removed[1],
                    "rotations": removed[2],
                },
            )
        await anyio.sleep(_EVERY * random.uniform(0.9, 1.1))  # noqa: S311  spreads replicas
