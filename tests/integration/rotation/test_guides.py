"""What the guides tell an operator to do is enough, on servers of their own."""

from __future__ import annotations

import json
from pathlib import Path

import greenlang_secrets as gs
from contracts.markdown import ROOT, blocks
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath
from greenlang_secrets.rotation.postgresql import PostgresqlRotation
from greenlang_secrets.rotation.redis import RedisRotation
from greenlang_secrets.testing import PostgresServer, ValkeyServer
from support.acl_users import AclUser
from support.pairs import UserPair
from support.rotating import ByHand, declared

GUIDES = ROOT / "docs" / "how-to"
ADMIN = "a-password-of-the-administrator"
FIRST = "a-first-password"


def texts(page: Path, language: str) -> list[str]:
    """Return the blocks of a page in one language."""
    return [block.text for block in blocks(page.read_text("utf-8")) if block.language == language]


async def test_guide_to_postgresql(client: gs.VaultClient, mount: str) -> None:
    """After the guide's statements a secret is rotated with the guide's settings, twice."""
    page = GUIDES / "rotate-a-postgresql-password.md"
    roles, schema = texts(page, "sql")
    settings = json.loads(texts(page, "json")[0])["settings"]
    async with PostgresServer() as server:
        root = UserPair(server, "postgres", "", "", "orders", "")
        pair = UserPair(server, "orders", "orders_a", "orders_b", "orders", "rotation_admin")
        await root.sql(*filter(str.strip, roles.split(";")))
        await pair.sql(*filter(str.strip, schema.split(";")))
        handler = PostgresqlRotation(client, kv_mount=mount)
        path = SecretPath.parse("database/orders")
        by_hand = ByHand(client, handler, mount, settings, path=path)
        admin = KvPath.of(mount, PLATFORM, SecretPath.parse(settings["admin"]))
        await declared(client, admin, pair.data(pair.admin, ADMIN), SecretType.DATABASE)
        await declared(client, by_hand.place, pair.data(pair.a, FIRST), SecretType.DATABASE)

        await handler.check(await by_hand.subject())
        for fence in (1, 2):
            await by_hand.rotate(fence=fence)

            assert await pair.works(await by_hand.live())


async def test_guide_to_redis(client: gs.VaultClient, mount: str) -> None:
    """With the guide's users a secret is rotated with the guide's settings, twice."""
    page = GUIDES / "rotate-a-redis-password.md"
    settings = json.loads(texts(page, "json")[0])["settings"]
    async with ValkeyServer() as server:
        user = AclUser(server, "orders", "rotation-admin")
        for line in texts(page, "valkey")[0].splitlines():
            await user.run(*line.split())
        handler = RedisRotation(client, kv_mount=mount)
        by_hand = ByHand(
            client,
            handler,
            mount,
            settings,
            path=SecretPath.parse("cache/orders"),
            type=SecretType.CACHE,
        )
        admin = KvPath.of(mount, PLATFORM, SecretPath.parse(settings["admin"]))
        await declared(client, admin, user.data(user.admin, ADMIN), SecretType.CACHE)
        await declared(client, by_hand.place, user.data(user.name, FIRST), SecretType.CACHE)

        await handler.check(await by_hand.subject())
        for fence in (1, 2):
            await by_hand.rotate(fence=fence)

            assert await user.works(await by_hand.live())
