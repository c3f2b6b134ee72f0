"""A pair of users of a real PostgreSQL, in a database of a test's own, set up by the witness."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from greenlang_secrets.sensitive import SecretMap

__all__ = ["UserPair", "user_pair"]

_numbers = itertools.count(1)
FIRST = "first-password-of-the-pair"
ADMIN = "password-of-the-administrator"


@dataclass(frozen=True)
class UserPair:
    """Two users, the role that both are members of, and an administrator who is no superuser."""

    server: Any
    database: str
    a: str
    b: str
    owner: str
    admin: str

    @property
    def users(self) -> str:
        """The setting ``users``."""
        return f"{self.a},{self.b}"

    def data(self, username: str, password: str, **more: str) -> dict[str, str]:
        """What a secret of the type `database` holds."""
        return {
            "username": username,
            "password": password,
            "host": self.server.host,
            "port": str(self.server.port),
            "database": self.database,
            **more,
        }

    @asynccontextmanager
    async def connection(self, data: SecretMap | None = None) -> AsyncIterator[Any]:
        """Log in with what a secret holds; as the superuser without one."""
        connection = await asyncpg.connect(
            host=self.server.host,
            port=self.server.port,
            user=self.server.user if data is None else data["username"].reveal(),
            password=self.server.password if data is None else data["password"].reveal(),
            database=self.database,
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def works(self, data: SecretMap) -> bool:
        """Whether a login with this is let in, and acts as the owner."""
        try:
            async with self.connection(data) as connection:
                return str(await connection.fetchval("SELECT current_user")) == self.owner
        except asyncpg.InvalidPasswordError:
            return False

    async def sql(self, *statements: str) -> Any:
        """Execute as the superuser; return the first value of the last one."""
        async with self.connection() as connection:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])


@asynccontextmanager
async def user_pair(server: Any) -> AsyncIterator[UserPair]:
    """Make the roles and the database, and drop them afterwards."""
    number = f"{os.getpid()}_{next(_numbers)}"
    pair = UserPair(
        server=server,
        database=f"rotated_{number}",
        a=f"app_{number}_a",
        b=f"app_{number}_b",
        owner=f"app_{number}",
        admin=f"admin_{number}",
    )
    root = UserPair(server, "postgres", pair.a, pair.b, pair.owner, pair.admin)
    await root.sql(
        f"CREATE ROLE {pair.owner} NOLOGIN",
        f"CREATE ROLE {pair.admin} LOGIN CREATEROLE PASSWORD '{ADMIN}'",
        f"CREATE ROLE {pair.a} LOGIN PASSWORD '{FIRST}' IN ROLE {pair.owner}",
        f"CREATE ROLE {pair.b} NOLOGIN IN ROLE {pair.owner}",
        f"ALTER ROLE {pair.a} SET role TO {pair.owner}",
        f"GRANT {pair.owner}, {pair.a}, {pair.b} TO {pair.admin} WITH ADMIN OPTION",
        f"CREATE DATABASE {pair.database}",
        f"GRANT CREATE ON DATABASE {pair.database} TO {pair.admin}",
    )
    try:
        yield pair
    finally:
        roles = f"{pair.a}, {pair.b}, {pair.owner}, {pair.admin}"
        await root.sql(f"DROP DATABASE {pair.database} WITH (FORCE)")
        await root.sql(f"DROP ROLE IF EXISTS {roles}")
