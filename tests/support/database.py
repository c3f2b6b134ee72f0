"""A database engine on a real server, before a real PostgreSQL, set up by the witness."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg

from greenlang_secrets.credentials import DatabaseCredentials
from support.mounts import mounted

CUT_OFF = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'",
    'DROP ROLE IF EXISTS "{{name}}"',
)
"""Statements by which an account's end is the end of its connections."""

_LOGIN = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"


@dataclass(frozen=True)
class DatabaseEngine:
    """A mount with the role ``app``, and the PostgreSQL behind it."""

    vault: Any
    postgres: Any
    mount: str

    @property
    def policy(self) -> str:
        """What a service needs to hold its credentials (HCL)."""
        return (
            f'path "{self.mount}/*" {{ capabilities = ["read"] }}\n'
            'path "sys/leases/revoke" { capabilities = ["update"] }\n'
        )

    async def role(
        self, *, ttl: str, max_ttl: str, name: str = "app", at_end: Sequence[str] = ()
    ) -> None:
        """Make a role whose accounts may only log in; `at_end` are the statements that end one,
        instead of the plugin's own.
        """
        await self.write(
            f"roles/{name}",
            {
                "db_name": "pg",
                "creation_statements": [_LOGIN],
                "revocation_statements": list(at_end),
                "default_ttl": ttl,
                "max_ttl": max_ttl,
            },
        )

    async def write(self, path: str, body: dict[str, Any]) -> None:
        """Write below the mount."""
        status, answer = await self.vault.request("POST", f"{self.mount}/{path}", body)
        assert status in {200, 204}, answer

    async def leases(self, role: str = "app") -> list[str]:
        """Return the ids of the leases Vault has for a role."""
        prefix = f"{self.mount}/creds/{role}"
        status, body = await self.vault.request("LIST", f"sys/leases/lookup/{prefix}")
        return [] if status == 404 else [f"{prefix}/{key}" for key in body["data"]["keys"]]

    async def log_in(self, credentials: DatabaseCredentials) -> str:
        """Really log in; return who PostgreSQL takes us for."""
        connection = await asyncpg.connect(
            host=self.postgres.host,
            port=self.postgres.port,
            user=credentials.username,
            password=credentials.password.reveal(),
            database="postgres",
        )
        try:
            return str(await connection.fetchval("SELECT current_user"))
        finally:
            await connection.close()


@asynccontextmanager
async def database_engine(vault: Any, postgres: Any) -> AsyncIterator[DatabaseEngine]:
    """Mount the engine and connect it."""
    async with mounted(vault, "database") as name:
        engine = DatabaseEngine(vault, postgres, name)
        parts = urlsplit(postgres.url)
        await engine.write(
            "config/pg",
            {
                "plugin_name": "postgresql-database-plugin",
                "allowed_roles": "*",
                "connection_url": "postgresql://{{username}}:{{password}}@"
                f"{postgres.host}:{postgres.port}/postgres?sslmode=disable",
                "username": unquote(parts.username or ""),
                "password": unquote(parts.password or ""),
            },
        )
        try:
            yield engine
        finally:
            await vault.request("POST", f"sys/leases/revoke-prefix/{name}", {"sync": True})
