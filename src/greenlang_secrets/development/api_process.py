"""The API as a child process, configured by its environment, which holds paths and no secret."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.testing import ServerError
from greenlang_secrets.testing.family import dying_with_owner

__all__ = ["ApiProcess"]

_POLL: Final = 0.02  # seconds
_GRACE: Final = 51.0  # seconds; the API needs 49 at most, and far less without stuck requests
_TAIL: Final = 4000  # octets of the log that an error shows
_REFUSED: Final = 2  # the exit code of `serve` for wrong settings

# What would make our child talk to another Vault, or trust another issuer, than ours.
_FOREIGN: Final = (
    *("VAULT_", "BAO_", "GREENLANG_SECRETS_AUTH_", "GREENLANG_SECRETS_JWT_"),
    *("GREENLANG_SECRETS_KV_MOUNT", "GREENLANG_SECRETS_TENANT_TOKEN_ROLE"),
    *("GREENLANG_SECRETS_DATABASE_", "GREENLANG_SECRETS_RATE_LIMIT_URL"),
    *("GREENLANG_SECRETS_AUDIT_LOG", "GREENLANG_SECRETS_STATE_DIR"),
)


class ApiProcess:
    """``greenlang-secrets serve``, which ends with its owner.

    Args:
        environment: what to set besides our own environment, cleared of other Vaults.
        folder: for its log and the file in which it tells its URL.
        port: 0 takes a free one.
        start_within: seconds until it must answer.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        folder: Path,
        port: int,
        start_within: float = 30.0,
    ) -> None:
        self.log_file = folder / "api.log"
        self._environment = environment
        self._url_file = folder / "api.url"
        self._port = port
        self._start_within = start_within
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """The process id; 0 before `start`."""
        return 0 if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and return when ``/readyz`` answers 200.

        Raises:
            ConfigurationError: it refused its settings, or the port is taken.
            ServerError: it died, or did not answer in time; with the end of its log.
        """
        try:
            await anyio.to_thread.run_sync(self._forget_url)
            await self._spawn()
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop it in order, after 51 s by force; not interrupted by a cancellation."""
        with anyio.CancelScope(shield=True):
            process = self._process
            if process is not None and process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                with anyio.move_on_after(_GRACE):
                    await process.wait()
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            await anyio.to_thread.run_sync(self._forget_url)

    async def _spawn(self) -> None:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)
        }
        log = os.open(self.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                # -P: the current folder is no place to import from.
                *(sys.executable, "-P", "-m", "greenlang_secrets.cli", "serve"),
                *("--port", str(self._port), "--url-file", str(self._url_file)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**inherited, **self._environment},
                start_new_session=True,  # a terminal's Ctrl-C reaches its owner, who stops it
                preexec_fn=dying_with_owner(),  # two system calls, prepared before the fork
            )
        finally:
            os.close(log)

    async def _until_ready(self) -> None:
        with anyio.move_on_after(self._start_within):
            while self.running:
                if await anyio.to_thread.run_sync(self._is_ready):
                    return
                await anyio.sleep(_POLL)
        raise await anyio.to_thread.run_sync(self._failure)

    def _forget_url(self) -> None:
        self._url_file.unlink(missing_ok=True)

    def _is_ready(self) -> bool:
        """Whether it has told its URL and a fresh read would work. Blocks."""
        try:
            self.url = self._url_file.read_text("utf-8").strip()
            where = urlsplit(self.url)
            connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=2)
            with contextlib.closing(connection):
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _failure(self) -> ConfigurationError | ServerError:
        """What its log says of an end before the beginning. Blocks."""
        tail = self.log_file.read_bytes()[-_TAIL:].decode(errors="replace").strip()
        code = None if self._process is None else self._process.returncode
        last = tail.rpartition("\n")[2]
        if code == _REFUSED and last.startswith("error: "):
            return ConfigurationError(last.removeprefix("error: "))
        fate = (
            f"it was not ready within {self._start_within:g} seconds"
            if code is None
            else f"it ended with exit code {code} while starting"
        )
        return ServerError(f"The API did not start: {fate}. The end of its log:\n{tail}")
