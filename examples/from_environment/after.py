"""After: the same script, with the two values read from Vault where they are used."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import asyncpg

import greenlang_secrets as gs


async def main() -> None:
    """Count the database's tables, and sign the count."""
    async with gs.SecretsService.open() as secrets:
        database = await secrets.get_typed("reports/database-url", gs.DatabaseCredentials)
        connection = await asyncpg.connect(database.dsn().reveal(), ssl=False)
        tables = await connection.fetchval("SELECT count(*) FROM information_schema.tables")
        await connection.close()
        key = (await secrets.get("reports/signing-key"))["value"].reveal().encode()
        print(tables, hmac.digest(key, str(tables).encode(), hashlib.sha256).hex())


if __name__ == "__main__":
    asyncio.run(main())
