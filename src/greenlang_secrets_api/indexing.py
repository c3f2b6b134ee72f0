"""The catalogue's index follows what callers change, without holding a caller up.

What a write made is known from its answer. What a deletion leaves is not, so the secret's
metadata are asked for, behind the caller's back. If Vault does not give them either, the
index notes that it lacks something, until it is rebuilt.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

import anyio

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.errors import (
    SecretNotFound,
    SecretsError,
    VaultUnavailable,
)
from greenlang_secrets.model import SecretType, SecretWritten
from greenlang_secrets.paths import KvPath, Scope, SecretPath
from greenlang_secrets.service import SecretsService

__all__ = ["Indexing"]

MOST_WAITING: Final = 10_000
"""Secrets whose metadata are still to be asked for, at most."""
RETRY: Final = 2.0  # seconds after Vault gave no answer

_log: Final = logging.getLogger("greenlang_secrets_api")


class Indexing:
    """Takes changes at once; one task asks for what is not known of them."""

    def __init__(
        self, service: SecretsService, catalogue: Catalogue, supervisor: Supervisor
    ) -> None:
        self._service = service
        self._catalogue = catalogue
        self._asked_for: dict[tuple[Scope, str], None] = {}
        self._some = asyncio.Event()
        self._asking = False
        supervisor.spawn(self._keep(), name="indexing")

    @property
    def waiting(self) -> int:
        """Secrets whose metadata are still to be asked for."""
        return len(self._asked_for) + self._asking

    def wrote(
        self, scope: Scope, path: str, written: SecretWritten, type_: SecretType | None
    ) -> None:
        """Note a version that was written; `type_` is None where it was left as it was."""
        self._catalogue.updates.wrote(
            scope,
            path,
            version=written.version,
            type=type_,
            state="live",
            at=written.created_at,
        )

    def changed(self, scope: Scope, path: str) -> None:
        """Note that versions were deleted, restored or destroyed: which state is left is asked."""
        if len(self._asked_for) >= MOST_WAITING and (scope, path) not in self._asked_for:
            _log.warning("indexing.overflow")
            return
        self._asked_for[scope, path] = None
        self._some.set()

    async def _keep(self) -> None:
        while True:
            await self._some.wait()
            await reported(self._ask_all(), name="indexing")

    async def _ask_all(self) -> None:
        while self._asked_for:
            scope, path = next(iter(self._asked_for))
            del self._asked_for[scope, path]  # a change from here on is asked for anew
            self._asking = True
            try:
                await self._ask(scope, path)
            except VaultUnavailable:
                self._asked_for.setdefault((scope, path))
                await anyio.sleep(RETRY)
            except SecretsError as error:
                _log.warning("indexing.failed", extra={"code": error.code})
            finally:
                self._asking = False
        self._some.clear()

    async def _ask(self, scope: Scope, path: str) -> None:
        at = datetime.now(UTC)
        kv_path = KvPath.of(self._service.config.kv_mount, scope, SecretPath.parse(path))
        try:
            metadata = await self._service.client.kv(scope).read_metadata(kv_path)
        except SecretNotFound:
            self._catalogue.updates.forget(scope, path, at=at)
            return
        self._catalogue.updates.wrote(
            scope,
            path,
            version=metadata.current_version,
            type=metadata.type,
            state="destroyed" if metadata.current is None else metadata.current.state,
            at=at,
        )
