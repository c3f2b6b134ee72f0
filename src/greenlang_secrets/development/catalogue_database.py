"""The catalogue of a development stack: in the PostgreSQL beside, with an owner and a role for
the service as in production, or in a file.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio.to_thread
import asyncpg

from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.catalogue.schema import migrate
from greenlang_secrets.development.private_files import write_private
from greenlang_secrets.rotation.scram import scram_verifier
from greenlang_secrets.sensitive import SecretValue

__all__ = ["prepare_catalogue"]

DATABASE: Final = "greenlang_catalogue"
OWNER: Final = "greenlang_catalogue_owner"
SERVICE: Final = "greenlang_secrets"


async def prepare_catalogue(folder: Path, postgres_url: SecretValue | None) -> dict[str, str]:
    """Return the settings that say where the catalogue is, having made it.

    In PostgreSQL that is a database, its owner, the service's role, and the tables; all of it
    may be there already. Passwords are kept in files with mode 0600.

    Raises:
        CatalogueUnavailable: the tables could not be made.
    """
    if postgres_url is None:
        return {"GREENLANG_SECRETS_DATABASE_URL": f"sqlite:///{folder / 'catalogue.sqlite3'}"}
    files = {role: folder / f"{role}.password" for role in (OWNER, SERVICE)}
    passwords = {
        role: await anyio.to_thread.run_sync(_password, file) for role, file in files.items()
    }
    await _make(postgres_url, passwords)
    where = urlsplit(postgres_url.reveal()).netloc.rpartition("@")[2]
    owner = CatalogueConfig.of(f"postgresql://{OWNER}:{passwords[OWNER]}@{where}/{DATABASE}")
    await anyio.to_thread.run_sync(lambda: migrate(owner, app_role=SERVICE))
    return {
        "GREENLANG_SECRETS_DATABASE_URL": f"postgresql://{SERVICE}@{where}/{DATABASE}",
        "GREENLANG_SECRETS_DATABASE_PASSWORD_FILE": str(files[SERVICE]),
    }


def _password(file: Path) -> str:
    """The password in a file, made if there is none."""
    if not file.exists():
        write_private(file, secrets.token_hex(24))
    return file.read_text("ascii")


async def _make(postgres_url: SecretValue, passwords: Mapping[str, str]) -> None:
    connection = await asyncpg.connect(postgres_url.reveal())
    try:
        for role, password in passwords.items():
            found = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
            what = "ALTER" if found else "CREATE"
            # Sent in its place, so that it cannot come into the server's log.
            verifier = scram_verifier(SecretValue(password)).reveal()
            await connection.execute(f"{what} ROLE {role} LOGIN PASSWORD '{verifier}'")
        found = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE)
        if not found:
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    finally:
        await connection.close()
