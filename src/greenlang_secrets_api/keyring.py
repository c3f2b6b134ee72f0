"""The keys that Vault holds for the service itself, and what waits for them.

The audit chain, cursors and idempotency fingerprints are keyed. Without Vault there are no
keys, and nothing to give out either: a service that starts before its Vault answers 503
until both are there.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import anyio

from greenlang_secrets.audit import AuditLog
from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import OutcomeUnknown, SecretsError, VaultUnavailable
from greenlang_secrets.service import SecretsService
from greenlang_secrets.service_keys import ServiceKeys, load_service_keys

__all__ = ["Keyring"]

_log: Final = logging.getLogger("greenlang_secrets_api.keys")

RETRY: Final = 1.0  # seconds between two attempts while nobody asks


class Keyring:
    """Fetches the service's keys once, by one flight for all who need them."""

    def __init__(self, service: SecretsService, log: AuditLog, supervisor: Supervisor) -> None:
        self._service = service
        self._audit_log = log
        self._supervisor = supervisor
        self._keys: ServiceKeys | None = None
        self._flight: asyncio.Task[ServiceKeys] | None = None
        supervisor.spawn(self._until_there(), name="service_keys")

    async def keys(self) -> ServiceKeys:
        """Return the keys.

        Raises:
            SecretsError: Vault gives them not, and has not before.
        """
        if self._keys is not None:
            return self._keys
        if self._flight is None or self._flight.done():
            self._flight = self._supervisor.spawn(self._load(), name="service_keys.load")
        return await asyncio.shield(self._flight)

    async def _load(self) -> ServiceKeys:
        try:
            keys = await load_service_keys(
                self._service.client, kv_mount=self._service.config.kv_mount
            )
        except OutcomeUnknown:
            # Of keys that are made for the first time; the next attempt reads what there is.
            raise VaultUnavailable("timeout") from None
        self._audit_log.use_key(keys.audit, keys.version)
        self._keys = keys
        return keys

    async def _until_there(self) -> None:
        """Fetch before anybody asks, and go on until it worked."""
        said = ""
        while self._keys is None:
            try:
                await self.keys()
            except SecretsError as error:
                if error.code != said:
                    said = error.code
                    _log.warning("service_keys.unavailable", extra={"code": error.code})
                await anyio.sleep(RETRY)
