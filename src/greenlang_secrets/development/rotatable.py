"""What a development stack rotates: users of the servers beside, and the policies for them.

The users are made with the passwords that their secrets hold, at each start: a Valkey forgets
its users, and a PostgreSQL that was kept may be newer than the Vault beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio.to_thread
import asyncpg
from redis import asyncio as driver

from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.development.seed import PAIR, POSTGRESQL, REDIS, USER, Beside
from greenlang_secrets.errors import SecretUnavailable
from greenlang_secrets.rotation.applying import apply_policies
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.manager import RotationManager
from greenlang_secrets.rotation.policy_file import read_policies
from greenlang_secrets.rotation.scram import scram_verifier
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.service import SecretsService

__all__ = ["POLICIES", "let_in", "set_policies"]

POLICIES: Final = Path(__file__).with_name("rotation.yaml")

OWNER: Final = "app"

_MEMBERS: Final = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{owner}') THEN
        CREATE ROLE {owner} NOLOGIN;
        GRANT ALL ON SCHEMA public TO {owner};
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') THEN
        CREATE ROLE {user} LOGIN IN ROLE {owner};
        ALTER ROLE {user} SET role TO {owner};
    END IF;
END
$$
"""


async def let_in(service: SecretsService, beside: Beside) -> None:
    """Have the servers beside take what the secrets say; one that is deleted, or is no login of
    ours any more, is left alone.

    Raises:
        SecretsError: Vault gives no answer, or denies it.
    """
    if beside.postgres_url is not None:
        await _postgresql(beside.postgres_url, await _login(service, POSTGRESQL, PAIR))
    if beside.valkey_url is not None:
        login = await _login(service, REDIS, (USER,))
        if login is not None:
            await _valkey(beside.valkey_url, login[1])


async def _login(
    service: SecretsService, path: str, users: Collection[str]
) -> tuple[str, SecretValue] | None:
    """The user and the password at a path, if it is one of these users."""
    try:
        data = (await service.get(path)).data
    except SecretUnavailable:
        return None
    username, password = data.get("username"), data.get("password")
    if username is None or password is None or username.reveal() not in users:
        return None
    return username.reveal(), password


async def set_policies(
    service: SecretsService, catalogue: Catalogue, supervisor: Supervisor, paths: Collection[str]
) -> None:
    """Set the policies of `rotation.yaml` for these paths: what a developer changes stays so.

    Raises:
        SecretsError: they could not be set.
    """
    config = replace(RotationConfig.from_env(service.config.environment), enabled=False)
    wanted = await anyio.to_thread.run_sync(
        lambda: read_policies(POLICIES, default_interval=config.default_interval)
    )
    wanted = tuple(each for each in wanted if each.path in paths)
    if not wanted:
        return
    async with RotationManager.open(service, catalogue, supervisor, config=config) as manager:
        await apply_policies(wanted, manager, catalogue)


async def _postgresql(url: SecretValue, login: tuple[str, SecretValue] | None) -> None:
    connection = await asyncpg.connect(url.reveal())
    try:
        for user in PAIR:
            await connection.execute(_MEMBERS.format(owner=OWNER, user=user))
        if login is not None:
            username, password = login
            verifier = scram_verifier(password).reveal()
            await connection.execute(f"ALTER ROLE {username} PASSWORD '{verifier}'")
    finally:
        await connection.close()


async def _valkey(url: SecretValue, password: SecretValue) -> None:
    digest = hashlib.sha256(password.reveal().encode()).hexdigest()
    server = driver.Redis.from_url(url.reveal())
    try:
        await server.execute_command(  # type: ignore[no-untyped-call]  # redis ships it so
            *("ACL", "SETUSER", USER, "reset", "on", f"#{digest}"),
            *("~*", "&*", "+@all", "-@dangerous"),
        )
    finally:
        await server.aclose()
