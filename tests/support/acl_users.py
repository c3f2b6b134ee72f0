"""A user of a real Valkey's ACL and an administrator, set up by the witness."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from greenlang_secrets.sensitive import SecretMap

__all__ = ["AclUser", "acl_user"]

_numbers = itertools.count(1)
FIRST = "first-password-of-the-user"
ADMIN = "password-of-the-administrator"


@dataclass(frozen=True)
class AclUser:
    """A user who may use keys, and an administrator who may use nothing but what it needs."""

    server: Any
    name: str
    admin: str

    def data(self, username: str, password: str, **more: str) -> dict[str, str]:
        """What a secret of the type `cache` holds."""
        return {
            "username": username,
            "password": password,
            "host": "127.0.0.1",
            "port": str(self.server.port),
            **more,
        }

    @asynccontextmanager
    async def connection(self, data: SecretMap | None = None) -> AsyncIterator[Any]:
        """Log in with what a secret holds; as the default user without one."""
        async with Redis(
            host="127.0.0.1",
            port=self.server.port,
            username="default" if data is None else data["username"].reveal(),
            password=self.server.password if data is None else data["password"].reveal(),
            decode_responses=True,
            protocol=2,
            driver_info=None,
        ) as connection:
            yield connection

    async def works(self, data: SecretMap) -> bool:
        """Whether a login with this is let in."""
        try:
            async with self.connection(data) as connection:
                return bool(await connection.ping())
        except AuthenticationError:
            return False

    async def run(self, *command: str) -> Any:
        """Send a command as the default user."""
        async with self.connection() as connection:
            return await connection.execute_command(*command)

    async def digests(self) -> set[str]:
        """Return the digests of the passwords that the user takes."""
        return set((await self.run("ACL GETUSER", self.name))["passwords"])


def digest(password: str) -> str:
    """Return what the server keeps of a password."""
    return hashlib.sha256(password.encode()).hexdigest()


@asynccontextmanager
async def acl_user(server: Any) -> AsyncIterator[AclUser]:
    """Make the two users, and drop them afterwards."""
    number = f"{os.getpid()}-{next(_numbers)}"
    user = AclUser(server, f"app-{number}", f"admin-{number}")
    may = ("+acl", "+get", "+set", "+watch", "+unwatch", "+multi", "+exec", "~gls:fence:*")
    await user.run("ACL SETUSER", user.name, "on", f">{FIRST}", "~app:*", "+@read", "+ping")
    await user.run("ACL SETUSER", user.admin, "on", f">{ADMIN}", *may)
    try:
        yield user
    finally:
        await user.run("ACL DELUSER", user.name, user.admin)
        await user.run("DEL", f"gls:fence:{user.name}")
