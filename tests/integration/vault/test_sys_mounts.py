from __future__ import annotations

import pytest

from greenlang_secrets.errors import AccessDenied, ObjectExists, ObjectNotFound, VaultRefused
from greenlang_secrets.vault.sys_mounts import AuthMounts, Mounts
from support.mounts import own_name, speaking, token_with


@pytest.fixture(params=[(Mounts, "kv", "mount"), (AuthMounts, "userpass", "auth mount")])
def subject(request):
    """Secret engines and auth methods keep the same promises."""
    return request.param


@pytest.fixture
async def mounts(vault_server, subject):
    async with speaking(vault_server, vault_server.root_token) as call:
        yield subject[0](call)


@pytest.fixture
def kind(subject) -> str:
    return subject[1]


@pytest.fixture
async def path(mounts, kind):
    name = own_name(kind)
    await mounts.enable(name, kind, description="of a test", default_lease_ttl=600.0)
    yield name
    await mounts.disable(name)


async def test_enabled_mount_is_listed_and_read(mounts, path, kind):
    """A new mount is in the list, and reading it says the same."""
    mount = await mounts.read(path)

    assert mount in await mounts.list()
    assert (mount.path, mount.type, mount.description) == (path, kind, "of a test")
    assert mount.accessor.split("_")[-2:][0].endswith(kind) or kind in mount.accessor
    assert (mount.local, mount.seal_wrap) == (False, False)


async def test_taken_path_is_told_from_an_unknown_type(mounts, path, kind, subject):
    """Vault says 400 to both; a mount that is there is ObjectExists."""
    with pytest.raises(ObjectExists) as caught:
        await mounts.enable(path, kind)
    with pytest.raises(VaultRefused):
        await mounts.enable(own_name("x"), "no-such-type")
    assert caught.value.kind == subject[2]


async def test_missing_mount_is_named(mounts, subject):
    """Reading and tuning what is not mounted is ObjectNotFound."""
    for attempt in (
        mounts.read("none"),
        mounts.read_tuning("none"),
        mounts.tune("none", max_lease_ttl=60.0),
    ):
        with pytest.raises(ObjectNotFound) as caught:
            await attempt
        assert caught.value.kind == subject[2]


async def test_tuning_is_read_back(mounts, path):
    """What was tuned is what the mount allows; the rest stays."""
    await mounts.tune(path, max_lease_ttl=100 * 24 * 3600.0, description="tuned")

    tuning = await mounts.read_tuning(path)

    assert (tuning.default_lease_ttl, tuning.max_lease_ttl) == (600.0, 8_640_000.0)
    assert tuning.description == "tuned"


async def test_contradictory_tuning_is_refused(mounts, path):
    """A default above the maximum is refused, and the mount is not said to be missing."""
    with pytest.raises(VaultRefused):
        await mounts.tune(path, default_lease_ttl=7200.0, max_lease_ttl=3600.0)


async def test_disabled_mount_is_gone(mounts, path):
    """A mount can be disabled, twice too."""
    await mounts.disable(path)
    await mounts.disable(path)

    assert path not in {mount.path for mount in await mounts.list()}


async def test_denied_is_denied(vault_server, subject):
    """A token of the policy ``default`` may neither list nor enable."""
    async with speaking(vault_server, await token_with(vault_server)) as call:
        humble = subject[0](call)
        for attempt in (humble.list(), humble.read("x"), humble.enable("x", subject[1])):
            with pytest.raises(AccessDenied):
                await attempt


async def test_kv_version_is_an_option(vault_server):
    """A KV mount's version is what it was enabled with; version 1 can be tuned to 2."""
    async with speaking(vault_server, vault_server.root_token) as call:
        mounts, path = Mounts(call), own_name("kv")
        await mounts.enable(path, "kv", options={"version": "1"}, max_lease_ttl=3600.0)
        before = (await mounts.read(path)).options["version"]
        await mounts.tune(path, options={"version": "2"})
        after = (await mounts.read_tuning(path)).options["version"]
        await mounts.disable(path)

    assert (before, after) == ("1", "2")


async def test_own_mounts_of_vault_stay(vault_server):
    """Vault's own mounts cannot be disabled."""
    async with speaking(vault_server, vault_server.root_token) as call:
        with pytest.raises(VaultRefused):
            await Mounts(call).disable("sys")
