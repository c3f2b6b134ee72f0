from __future__ import annotations

import pytest

from greenlang_secrets.errors import AccessDenied, SecretNotFound, VaultRefused
from greenlang_secrets.paths import FolderPath, SecretPath
from greenlang_secrets.vault.kv1 import KvV1
from support.mounts import mounted, speaking, token_with

PATH = SecretPath.parse("database/postgresql")
ROOT = FolderPath(())


@pytest.fixture
async def mount(vault_server):
    async with mounted(vault_server, "kv", options={"version": "1"}) as name:
        yield name


@pytest.fixture
async def kv(vault_server, mount):
    async with speaking(vault_server, vault_server.root_token) as call:
        yield KvV1(call, mount=mount)


async def test_written_secret_is_read_back(kv):
    """What was written comes back, masked."""
    await kv.write(PATH, {"user": "app", "password": "p w/ü"})

    secret = await kv.read(PATH)

    assert secret.path == "database/postgresql"
    assert secret.data.reveal() == {"user": "app", "password": "p w/ü"}
    assert "p w/ü" not in repr(secret)
    assert secret.refresh_after == 32 * 24 * 3600.0


async def test_write_replaces_all_keys(kv):
    """Version 1 keeps nothing of what was there before."""
    await kv.write(PATH, {"a": "1", "b": "2"})
    await kv.write(PATH, {"b": "3"})

    assert (await kv.read(PATH)).data.reveal() == {"b": "3"}


async def test_own_ttl_is_the_advice_and_foreign_values_are_their_json(kv, vault_server, mount):
    """A secret's `ttl` says when to read again; values of other types are given as JSON."""
    await vault_server.request("POST", f"{mount}/database/postgresql", {"ttl": "30m", "n": [1]})

    secret = await kv.read(PATH)

    assert secret.refresh_after == 1800.0
    assert secret.data.reveal() == {"ttl": "30m", "n": "[1]"}


async def test_missing_secret_is_not_found(kv):
    """Reading what was never written or was deleted says SecretNotFound, with the path."""
    await kv.write(PATH, {"k": "v"})
    await kv.delete(PATH)
    await kv.delete(PATH)

    with pytest.raises(SecretNotFound) as caught:
        await kv.read(PATH)
    assert caught.value.path == "database/postgresql"


async def test_names_are_listed(kv):
    """A listing has the names directly below a folder, folders with a slash; empty if none."""
    assert await kv.list(ROOT) == ()
    await kv.write(PATH, {"k": "v"})
    await kv.write(SecretPath.parse("api"), {"k": "v"})

    assert await kv.list(ROOT) == ("api", "database/")
    assert await kv.list(FolderPath.parse("database/")) == ("postgresql",)


async def test_empty_data_is_refused(kv):
    """Version 1 keeps no empty secret."""
    with pytest.raises(VaultRefused):
        await kv.write(PATH, {})


async def test_mount_of_version_2_is_no_missing_secret(vault_server):
    """A mount of version 2, or none, is VaultRefused: not the secret is missing."""
    async with (
        mounted(vault_server, "kv", options={"version": "2"}) as version_2,
        speaking(vault_server, vault_server.root_token) as call,
    ):
        for mount in (version_2, "no-such-mount"):
            kv = KvV1(call, mount=mount)
            with pytest.raises(VaultRefused):
                await kv.read(PATH)
            with pytest.raises(VaultRefused):
                await kv.write(PATH, {"k": "v"})
            with pytest.raises(VaultRefused):
                await kv.list(ROOT)


async def test_denied_is_denied(vault_server, mount):
    """A token without a policy for the mount may neither read nor list."""
    async with speaking(vault_server, await token_with(vault_server)) as call:
        kv = KvV1(call, mount=mount)
        with pytest.raises(AccessDenied):
            await kv.read(PATH)
        with pytest.raises(AccessDenied):
            await kv.list(ROOT)
