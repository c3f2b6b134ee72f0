"""An HTTP client for Vault that shares nothing with the library it testifies about.

Owns one request at a time, by the standard library: no retry, no redirect, no proxy, no cache.
"""

import http.client
import json as jsonlib
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread

from greenlang_secrets.testing.process import ServerError

__all__ = ["VaultWitness"]


class VaultWitness(ABC):
    """A Vault that can be asked directly, by path, with its root token."""

    ca_file: Path | None = None
    """Certificates to trust for it; the system's when None."""

    @property
    @abstractmethod
    def addr(self) -> str:
        """The address, like ``http://127.0.0.1:8200``."""

    @property
    @abstractmethod
    def root_token(self) -> str:
        """A token that may do everything these tests need."""

    async def request(
        self,
        method: str,
        path: str,
        json: object = None,
        token: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109  the socket's own: a thread cannot be cancelled
    ) -> tuple[int, Any]:
        """Return the status and body of one request, whatever the status is.

        Args:
            method: the HTTP method; Vault's LIST too.
            path: what follows ``/v1/``, percent-encoded as on the wire, query included.
            json: the body; None sends none.
            token: the token to send; the root token when None, none when empty.
            headers: more headers, such as ``X-Vault-Wrap-TTL``.
            timeout: seconds each step (connect, send, read) may take.

        The body is parsed when it is JSON, text when it is something else, None when it is empty.

        Raises:
            ServerError: nothing answered, or not in time.
        """
        sent = dict(headers or {})
        if token != "":
            sent["X-Vault-Token"] = token if token is not None else self.root_token
        body = None if json is None else jsonlib.dumps(json).encode()
        address = self.addr

        def call() -> tuple[int, Any]:
            try:
                return _exchange(
                    address, method, path, body, sent, timeout=timeout, ca_file=self.ca_file
                )
            except (OSError, http.client.HTTPException) as error:
                raise ServerError(
                    f"{address} gave no answer to {method} {path}: {type(error).__name__}; "
                    "is it running, and not paused?"
                ) from None

        return await anyio.to_thread.run_sync(call)

    async def health(self) -> int:
        """Return the status of ``GET /v1/sys/health``: 200 active, 429 standby, 503 sealed, 501 new."""
        status, _ = await self.request("GET", "sys/health", token="")
        return status


def _exchange(
    address: str,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    timeout: float,
    ca_file: Path | None,
) -> tuple[int, Any]:
    url = urlsplit(address)
    host = url.hostname or ""
    connection = (
        http.client.HTTPSConnection(
            host, url.port, timeout=timeout, context=ssl.create_default_context(cafile=ca_file)
        )
        if url.scheme == "https"
        else http.client.HTTPConnection(host, url.port, timeout=timeout)
    )
    try:
        connection.request(method, f"{url.path.rstrip('/')}/v1/{path}", body=body, headers=headers)
        response = connection.getresponse()
        content = response.read().decode()
        if not content:
            return response.status, None
        if response.headers.get_content_type() == "application/json":
            return response.status, jsonlib.loads(content)
        return response.status, content
    finally:
        connection.close()
