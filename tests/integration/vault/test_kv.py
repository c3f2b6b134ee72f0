from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from greenlang_secrets.errors import (
    AccessDenied,
    PreconditionRequired,
    SecretDeleted,
    SecretNotFound,
    VaultRefused,
    VersionConflict,
    VersionNotFound,
)
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, FolderPath, KvPath, SecretPath
from greenlang_secrets.vault.kv import KvV2


@pytest.fixture
def kv(client) -> KvV2:
    return client.kv(PLATFORM)


@pytest.fixture
def path(mount) -> KvPath:
    return KvPath.of(mount, PLATFORM, SecretPath.parse("database/postgresql"))


@pytest.fixture
def folder(mount):
    return KvPath.folder(mount, PLATFORM, FolderPath(()))


# ---------------------------------------------------------------- read and write


async def test_written_secret_is_read_back(kv, path):
    """What was written comes back as version 1, with Vault's time."""
    written = await kv.write(path, {"user": "app", "password": "p w/ü"})

    secret = await kv.read(path)

    assert (written.version, secret.version, secret.path) == (1, 1, "database/postgresql")
    assert secret.data.reveal() == {"user": "app", "password": "p w/ü"}
    assert abs(secret.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert secret.created_at == written.created_at
    assert secret.type is SecretType.GENERIC


async def test_any_version_is_read(kv, path):
    """An older version stays readable by its number; without one the newest is given."""
    await kv.write(path, {"k": "one"})
    await kv.write(path, {"k": "two"})

    assert (await kv.read(path, version=1))["k"].reveal() == "one"
    assert (await kv.read(path))["k"].reveal() == "two"


async def test_missing_secret_and_missing_version_are_told_apart(kv, path):
    """Vault says the same 404 to both; the caller hears which it is."""
    with pytest.raises(SecretNotFound):
        await kv.read(path)
    with pytest.raises(SecretNotFound):
        await kv.read(path, version=2)
    await kv.write(path, {"k": "v"})

    with pytest.raises(VersionNotFound) as caught:
        await kv.read(path, version=2)
    assert caught.value.facts == {"version": 2}


async def test_deleted_and_destroyed_versions_are_told_apart(kv, path):
    """A soft-deleted version says when; a destroyed one says it is gone for good."""
    await kv.write(path, {"k": "one"})
    await kv.write(path, {"k": "two"})
    await kv.delete(path, [1])
    await kv.destroy(path, [2])

    with pytest.raises(SecretDeleted) as deleted:
        await kv.read(path, version=1)
    with pytest.raises(SecretDeleted) as destroyed:
        await kv.read(path)

    assert (deleted.value.version, deleted.value.destroyed) == (1, False)
    assert "deleted_at" in deleted.value.facts
    assert (destroyed.value.version, destroyed.value.destroyed) == (2, True)


async def test_foreign_values_that_are_no_strings_are_given_as_their_json(
    kv, path, vault_server, mount
):
    """What another tool wrote as number or structure is text here, and nothing fails."""
    await vault_server.request(
        "POST",
        f"{mount}/data/greenlang/database/postgresql",
        {"data": {"port": 5432, "tls": True, "hosts": ["a", "b"], "none": None}},
    )

    secret = await kv.read(path)

    assert secret.data.reveal() == {
        "port": "5432",
        "tls": "true",
        "hosts": '["a", "b"]',
        "none": "null",
    }


async def test_version_that_deletes_itself_is_live_and_says_when(kv, path):
    """With `delete_version_after` a version is readable and carries its end."""
    await kv.write(path, {"k": "old"})
    await kv.patch_metadata(path, delete_version_after=3600)
    await kv.write(path, {"k": "v"})

    secret = await kv.read(path)
    metadata = await kv.read_metadata(path)

    assert secret.expires_at is not None
    assert timedelta(minutes=59) < secret.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert metadata.current is not None
    assert (metadata.current.state, metadata.current.expires_at) == ("live", secret.expires_at)


async def test_long_life_of_a_version_is_understood_by_the_server(kv, path):
    """90 days go out as seconds without an exponent."""
    await kv.write(path, {"k": "v"})

    await kv.patch_metadata(path, delete_version_after=90 * 86400)
    await kv.write(path, {"k": "v"})

    expires_at = (await kv.read(path)).expires_at
    assert timedelta(days=89) < expires_at - datetime.now(UTC) <= timedelta(days=90)


# ---------------------------------------------------------------- CAS


async def test_cas_admits_the_expected_version_only(kv, path):
    """A write with the wrong expected version changes nothing and names the current one."""
    await kv.write(path, {"k": "one"}, cas=0)

    with pytest.raises(VersionConflict) as caught:
        await kv.write(path, {"k": "other"}, cas=0)
    written = await kv.write(path, {"k": "two"}, cas=1)

    assert caught.value.facts == {"current_version": 1}
    assert written.version == 2


async def test_cas_on_a_secret_that_is_not_there(kv, path):
    """Expecting a version of nothing is a conflict with current version 0."""
    with pytest.raises(VersionConflict) as caught:
        await kv.write(path, {"k": "v"}, cas=3)

    assert caught.value.facts == {"current_version": 0}


async def test_cas_required_is_told_when_no_version_was_named(kv, path):
    """A secret that demands CAS refuses a blind write with an error of its own."""
    await kv.write(path, {"k": "one"})
    await kv.patch_metadata(path, cas_required=True)

    with pytest.raises(PreconditionRequired):
        await kv.write(path, {"k": "two"})


async def test_of_ten_concurrent_writers_with_cas_one_wins(kv, path):
    """CAS admits exactly one of ten writes that expect the same version."""
    await kv.write(path, {"k": "0"})

    results = await asyncio.gather(
        *(kv.write(path, {"k": str(n)}, cas=1) for n in range(10)), return_exceptions=True
    )

    conflicts = [result for result in results if isinstance(result, VersionConflict)]
    assert len(conflicts) == 9
    assert (await kv.read_metadata(path)).current_version == 2


# ---------------------------------------------------------------- patch


async def test_patch_changes_the_named_keys_and_removes_those_set_to_none(kv, path):
    """A merge patch keeps the other keys."""
    await kv.write(path, {"user": "app", "password": "old", "note": "n"})

    written = await kv.patch(path, {"password": "new", "note": None}, cas=1)

    assert written.version == 2
    assert (await kv.read(path)).data.reveal() == {"user": "app", "password": "new"}


async def test_patch_needs_a_live_version(kv, path):
    """There is nothing to patch at a missing or deleted secret."""
    with pytest.raises(SecretNotFound):
        await kv.patch(path, {"k": "v"})
    await kv.write(path, {"k": "v"})
    await kv.delete_latest(path)

    with pytest.raises(SecretDeleted):
        await kv.patch(path, {"k": "v"})


async def test_patch_with_the_wrong_version_is_a_conflict(kv, path):
    """CAS holds for patches too."""
    await kv.write(path, {"k": "v"})

    with pytest.raises(VersionConflict):
        await kv.patch(path, {"k": "w"}, cas=7)


# ---------------------------------------------------------------- metadata


async def test_metadata_has_all_versions_newest_first_with_their_states(kv, path):
    """History shows live, deleted and destroyed versions, and no values."""
    for number in range(3):
        await kv.write(path, {"k": str(number)})
    await kv.delete(path, [2])
    await kv.destroy(path, [1])

    metadata = await kv.read_metadata(path)

    assert [(row.version, row.state) for row in metadata.versions] == [
        (3, "live"),
        (2, "deleted"),
        (1, "destroyed"),
    ]
    assert metadata.live
    assert metadata.versions[1].deleted_at is not None


async def test_pruned_versions_are_not_found(kv, path):
    """With `max_versions` the oldest vanish, and the oldest kept one is named."""
    await kv.write(path, {"k": "0"})
    await kv.patch_metadata(path, max_versions=2)
    for number in range(3):
        await kv.write(path, {"k": str(number)})

    metadata = await kv.read_metadata(path)

    assert (metadata.oldest_version, metadata.max_versions, metadata.current_version) == (3, 2, 4)
    with pytest.raises(VersionNotFound):
        await kv.read(path, version=1)


async def test_custom_metadata_is_merged_and_none_removes(kv, path):
    """Custom metadata changes key by key; the type is told apart from it."""
    await kv.write(path, {"k": "v"})
    await kv.patch_metadata(path, custom_metadata={"type": "api_key", "owner": "a", "x": "1"})
    await kv.patch_metadata(path, custom_metadata={"owner": "b", "x": None})

    metadata = await kv.read_metadata(path)

    assert metadata.custom_metadata == {"owner": "b"}
    assert metadata.type is SecretType.API_KEY
    assert (await kv.read(path)).custom_metadata == {"owner": "b"}


async def test_metadata_of_a_missing_secret(kv, path):
    """Settings of nothing cannot be read or changed."""
    with pytest.raises(SecretNotFound):
        await kv.read_metadata(path)
    with pytest.raises(SecretNotFound):
        await kv.patch_metadata(path, custom_metadata={"owner": "a"})


async def test_metadata_that_vault_refuses(kv, path):
    """A value over 512 octets is Vault's to refuse here; nothing of its text is passed on."""
    await kv.write(path, {"k": "v"})

    with pytest.raises(VaultRefused) as caught:
        await kv.patch_metadata(path, custom_metadata={"owner": "a" * 513})

    assert "512" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("owner", "é ß 中", True),
        ("\u00cd", "v", True),
        ("owner", "\u0088", False),
        ("\u0088", "v", False),
        ("owner", "a\u00a0b", False),
        ("owner", "a\nb", False),
        ("owner", "a\u200bb", False),
    ],
)
async def test_metadata_that_is_not_printable(kv, path, key, value, kept):
    """Vault refuses what Python's `isprintable` refuses, in keys and values."""
    await kv.write(path, {"k": "v"})

    assert (key.isprintable() and value.isprintable()) == kept
    if kept:
        await kv.patch_metadata(path, custom_metadata={key: value})
        assert (await kv.read_metadata(path)).custom_metadata == {key: value}
    else:
        with pytest.raises(VaultRefused):
            await kv.patch_metadata(path, custom_metadata={key: value})


async def test_removed_metadata_removes_everything(kv, path):
    """After `delete_metadata` the secret never was, and begins again at version 1."""
    await kv.write(path, {"k": "v"})
    await kv.write(path, {"k": "v"})

    await kv.delete_metadata(path)

    with pytest.raises(SecretNotFound):
        await kv.read(path)
    assert (await kv.write(path, {"k": "v"}, cas=0)).version == 1


# ---------------------------------------------------------------- delete, undelete, destroy


async def test_deleted_latest_comes_back_with_undelete(kv, path):
    """A soft delete is undone."""
    await kv.write(path, {"k": "v"})
    await kv.delete_latest(path)
    with pytest.raises(SecretDeleted):
        await kv.read(path)

    await kv.undelete(path, [1])

    assert (await kv.read(path))["k"].reveal() == "v"


async def test_destroyed_version_stays_gone(kv, path):
    """Undelete says nothing about a destroyed version, and does nothing."""
    await kv.write(path, {"k": "v"})
    await kv.destroy(path, [1])

    await kv.undelete(path, [1])

    with pytest.raises(SecretDeleted):
        await kv.read(path)


# ---------------------------------------------------------------- list


async def test_list_is_sorted_with_folders_marked(kv, mount, folder):
    """Names come sorted; what has something below it ends with a slash."""
    for name in ("b", "a/x", "c"):
        await kv.write(KvPath.of(mount, PLATFORM, SecretPath.parse(name)), {"k": "v"})

    assert await kv.list(folder) == ["a/", "b", "c"]
    assert await kv.list(folder, after="a/", limit=1) == ["b"]


async def test_list_of_nothing_is_empty(kv, folder):
    """An unknown folder is an empty one."""
    assert await kv.list(folder) == []


async def test_list_of_a_mount_that_is_not_there_is_an_error(kv):
    """A missing mount does not look like an empty one."""
    with pytest.raises(VaultRefused):
        await kv.list(KvPath.folder("no-such-mount", PLATFORM, FolderPath(())))


async def test_policy_denial_is_told_as_denied(denied, path, folder):
    """A token without a policy for the path is denied, for reads, writes and lists."""
    kv = denied.client.kv(PLATFORM)

    for call in (kv.read(path), kv.write(path, {"k": "v"}), kv.list(folder), kv.delete(path, [1])):
        with pytest.raises(AccessDenied):
            await call
