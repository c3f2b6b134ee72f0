"""Where an issuer's keys come from: a file, or a URL; both keep them and renew them.

`find` is cheap when nothing is to be done. A renewal that fails keeps the keys there
are: an issuer that is down for an hour must not lock everybody out.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp

from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets_api.jwks import JwksError, VerificationKey, parse_jwks
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.watched_file import FileContentError, WatchedFile

__all__ = ["FileKeys", "UrlKeys"]

_log: Final = logging.getLogger("greenlang_secrets_api.keys")

MAX_DOCUMENT: Final = 256 * 1024  # octets of a JWKS
FETCH_TIMEOUT: Final = 5.0  # seconds for one fetch
RETRY_FIRST: Final = 1.0  # seconds between attempts while there is no key at all
RETRY: Final = 30.0  # seconds between attempts otherwise; also for an unknown key id
KEEP: Final = 24 * 3600.0  # seconds past max-age that keys are used while the issuer is down
MAX_AGE: Final = (300.0, 24 * 3600.0)  # what Cache-Control's max-age is clamped to, seconds

_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=([0-9]{1,9})(?:$|[\s,;])")


class FileKeys:
    """Keys of a JWKS file, read anew within a second of its change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: WatchedFile[Mapping[str, VerificationKey]] = WatchedFile(
            path, limit=MAX_DOCUMENT, parse=parse_jwks, log=_log, event="jwks.reload_failed"
        )

    @property
    def generation(self) -> int:
        """Rises when the keys change."""
        return self._file.generation

    async def open(self) -> None:
        """Read the file for the first time.

        Raises:
            ConfigurationError: it cannot be read, or holds no usable key.
        """
        try:
            await self._file.open()
        except (OSError, FileContentError) as error:
            why = error if isinstance(error, FileContentError) else "it cannot be read"
            raise ConfigurationError(
                f"GREENLANG_SECRETS_JWT_JWKS_FILE is {str(self._path)!r}: {why}; "
                "give the issuer's JWKS."
            ) from None

    async def refresh(self) -> None:
        """Look whether the file has changed, at most once a second."""
        await self._file.refresh()

    async def find(self, kid: str) -> VerificationKey | None:
        """Return the key of that id, or None."""
        return self._file.value.get(kid)


class UrlKeys:
    """Keys of a JWKS URL: kept for its max-age, fetched by one flight for many callers."""

    def __init__(self, url: str, *, supervisor: Supervisor, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._supervisor = supervisor
        self._session = session
        self._keys: Mapping[str, VerificationKey] = {}
        self._document = b""
        self._fetched_at = float("-inf")
        self._max_age = MAX_AGE[0]
        self._attempted_at = float("-inf")
        self._flight: asyncio.Task[None] | None = None
        self.generation = 0

    async def refresh(self) -> None:
        """Renew what is too old: behind the caller's back while there are keys to use.

        Raises:
            ProblemError: ``keys_unavailable``, there is none, or none young enough.
        """
        overdue = self._overdue()
        if overdue < 0:
            return
        if overdue < KEEP:
            self._start(RETRY)
            return
        flight = self._start(RETRY_FIRST)
        if flight is not None:
            await asyncio.shield(flight)
        if self._overdue() >= KEEP:
            raise ProblemError("keys_unavailable")

    async def find(self, kid: str) -> VerificationKey | None:
        """Return the key of that id, or None; an unknown one is asked for every 30 s at most."""
        if kid not in self._keys:
            flight = self._start(RETRY)
            if flight is not None:
                await asyncio.shield(flight)
        return self._keys.get(kid)

    def _overdue(self) -> float:
        """Seconds since the keys should have been fetched anew; negative before that."""
        return time.monotonic() - self._fetched_at - self._max_age

    def _start(self, pause: float) -> asyncio.Task[None] | None:
        """Return the fetch under way, or a new one unless the last began within `pause`."""
        if self._flight is not None and not self._flight.done():
            return self._flight
        now = time.monotonic()
        if now - self._attempted_at < pause:
            return None
        self._attempted_at = now
        self._flight = self._supervisor.spawn(self._fetch(), name="jwks")
        return self._flight

    async def _fetch(self) -> None:
        """Fetch once; a failure is logged and changes nothing."""
        try:
            document, max_age = await self._download()
            keys = parse_jwks(document)
        except (aiohttp.ClientError, TimeoutError, OSError, JwksError) as error:
            _log.warning("jwks.fetch_failed", extra={"error": type(error).__name__})
            return
        self._fetched_at, self._max_age = time.monotonic(), max_age
        if document != self._document:
            self._document, self._keys = document, keys
            self.generation += 1

    async def _download(self) -> tuple[bytes, float]:
        async with self._session.get(
            self._url,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT),
            headers={"Accept": "application/json"},
        ) as response:
            if response.status != 200:
                raise JwksError("the issuer did not answer 200")
            document = bytearray()
            async for chunk in response.content.iter_chunked(16 * 1024):
                document += chunk
                if len(document) > MAX_DOCUMENT:
                    raise JwksError("the document is too large")
            return bytes(document), _clamped_max_age(response.headers.get("Cache-Control", ""))


def _clamped_max_age(cache_control: str) -> float:
    found = _MAX_AGE.search(cache_control.lower())
    least, most = MAX_AGE
    return least if found is None else min(max(float(found[1]), least), most)
