"""A worker with a database account of its own, which Vault makes, renews, replaces and drops.

Every few seconds it counts the database's sessions and prints the count, signed with a key that
may be rotated at any time. SIGTERM ends it after the report under way, and its account with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import signal
import ssl
from contextlib import suppress

import asyncpg

import greenlang_secrets as gs
from greenlang_secrets.integrations.asyncpg import create_pool

DATABASE = os.environ.get("DATABASE_SECRET", "database/postgresql")
MOUNT = os.environ.get("DATABASE_MOUNT", "database")
ROLE = os.environ.get("DATABASE_ROLE", "greenlang-readonly")
SIGNING_KEY = os.environ.get("SIGNING_KEY_SECRET", "api-keys/internal")
EVERY = float(os.environ.get("REPORT_SECONDS", "5"))


class Signer:
    """Signs with the newest key."""

    def __init__(self, secret: gs.Secret) -> None:
        self._secret = secret

    async def follow(self, secrets: gs.SecretsService) -> None:
        """Take the key, and each new one, until the service closes."""
        async for secret in secrets.watch(SIGNING_KEY):
            self._secret = secret

    def sign(self, report: dict[str, str | int]) -> dict[str, str | int]:
        """Return the report with its signature."""
        text = json.dumps(report, sort_keys=True)
        key = self._secret["api_key"].reveal().encode()
        signature = hmac.digest(key, text.encode(), hashlib.sha256).hex()
        return {**report, "key_version": self._secret.version, "signature": signature}


async def work(pool: asyncpg.Pool, signer: Signer, stopping: asyncio.Event) -> None:
    """Report until told to stop; a report that has begun is finished."""
    while not stopping.is_set():
        row = await pool.fetchrow("SELECT session_user, count(*) FROM pg_stat_activity")
        report = signer.sign({"account": row["session_user"], "sessions": row["count"]})
        print(json.dumps(report), flush=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), EVERY)


def database_tls() -> ssl.SSLContext | bool:
    """Return how to verify the database; `make dev` has one without TLS, on this machine."""
    authority = os.environ.get("DATABASE_CA")
    return ssl.create_default_context(cafile=authority) if authority else False


async def main() -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    # Left in the other order: the pool closes, the account is dropped, the token is revoked.
    async with (
        gs.SecretsService.open() as secrets,
        await secrets.database_credentials(ROLE, mount=MOUNT, at=DATABASE) as account,
        await create_pool(secrets, account, min_size=1, max_size=2, ssl=database_tls()) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        signer = Signer(await secrets.get(SIGNING_KEY))
        following = tasks.create_task(signer.follow(secrets))
        try:
            await work(pool, signer, stopping)
        finally:
            following.cancel()


if __name__ == "__main__":
    asyncio.run(main())
