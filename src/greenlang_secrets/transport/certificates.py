"""The TLS settings of connections to Vault, read again when their files change.

Certificates and host names are always verified. Files are looked at in a thread, never on the
event loop.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import ConfigurationError

__all__ = ["Certificates"]

WATCH_EVERY: Final = 1.0
"""Seconds between two looks at the files; a look costs three calls of stat in a thread."""

_log: Final = logging.getLogger("greenlang_secrets")

_Stamp = tuple[tuple[int, int, int] | None, ...]


class Certificates:
    """The TLS context for a configuration's files.

    Attributes:
        context: what new connections use; None where no address begins
            with https.
    """

    def __init__(self, config: SecretsServiceConfig) -> None:
        self._config = config
        self._wanted = any(address.startswith("https") for address in config.addresses)
        named = (config.ca_cert, config.client_cert, config.client_key)
        self._files: tuple[Path, ...] = tuple(file for file in named if file is not None)
        self._stamp: _Stamp = ()
        self._looking = asyncio.Lock()
        self.context: ssl.SSLContext | None = None

    async def load(self) -> None:
        """Read the files for the first time.

        Raises:
            ConfigurationError: one cannot be read as PEM.
        """
        if self._wanted:
            self._stamp, self.context = await anyio.to_thread.run_sync(self._read)

    async def refresh(self) -> None:
        """Look at the files, and use what they hold now if they have changed.

        A file that cannot be used leaves the old context in use and is logged once, as
        ``tls.reload_failed``: files that belong together are seldom replaced at one moment.
        """
        async with self._looking:  # no network in here, and one look serves all who wait
            stamp = await anyio.to_thread.run_sync(self._look)
            if stamp == self._stamp:
                return
            try:
                self._stamp, self.context = await anyio.to_thread.run_sync(self._read)
            except ConfigurationError:
                self._stamp = stamp
                _log.warning("tls.reload_failed")
            else:
                _log.info("tls.reloaded")

    async def watch(self) -> None:
        """Refresh every second; runs until cancelled, or not at all without files."""
        while self._wanted and self._files:
            await anyio.sleep(WATCH_EVERY)
            await self.refresh()

    def _look(self) -> _Stamp:
        stamps: list[tuple[int, int, int] | None] = []
        for file in self._files if self._wanted else ():
            try:
                found = file.stat()
            except OSError:  # between the removal of the old one and the arrival of the new
                stamps.append(None)
            else:
                stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamps)

    def _read(self) -> tuple[_Stamp, ssl.SSLContext]:
        config = self._config
        stamp = self._look()  # before: what changes while we read is seen at the next look
        try:
            context = ssl.create_default_context(
                cafile=None if config.ca_cert is None else str(config.ca_cert)
            )
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if config.client_cert is not None and config.client_key is not None:
                context.load_cert_chain(config.client_cert, config.client_key)
        except (ssl.SSLError, OSError):
            raise ConfigurationError(
                "VAULT_CACERT, VAULT_CLIENT_CERT or VAULT_CLIENT_KEY cannot be read as PEM."
            ) from None
        return stamp, context
