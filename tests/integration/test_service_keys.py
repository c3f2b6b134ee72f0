"""The service's own keys, in a real OpenBao."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import SecretDeleted, SecretIncomplete
from greenlang_secrets.paths import PLATFORM, KvPath
from greenlang_secrets.provision.policies import render_policy
from greenlang_secrets.service_keys import load_audit_keys, load_service_keys
from greenlang_secrets.vault.kv import KvV2
from support.mounts import token_with

GOOD = base64.b64encode(b"k" * 32).decode()
OTHER = base64.b64encode(b"o" * 32).decode()


def octets(key: gs.SecretValue) -> int:
    return len(base64.b64decode(key.reveal()))


async def written(server, mount: str, **data: str) -> None:
    """Write the entry as an operator would."""
    status, _ = await server.request(
        "POST", f"{mount}/data/greenlang/_service/keys", {"data": data}
    )
    assert status == 200


async def test_keys_are_made_once(client, mount):
    """The first call makes three different keys of 32 octets, the second gives the same."""
    made = await load_service_keys(client, kv_mount=mount)
    again = await load_service_keys(client, kv_mount=mount)

    assert again == made
    assert made.version == 1
    assert [octets(key) for key in (made.audit, made.cursors, made.idempotency)] == [32, 32, 32]
    assert len({made.audit.reveal(), made.cursors.reveal(), made.idempotency.reveal()}) == 3


async def test_many_replicas_that_begin_at_once_agree(client, mount):
    """One of them makes the keys, and the others take what it made."""
    found = await asyncio.gather(*(load_service_keys(client, kv_mount=mount) for _ in range(10)))

    assert len({keys.audit.reveal() for keys in found}) == 1
    assert {keys.version for keys in found} == {1}


async def test_a_replica_that_loses_the_race_takes_what_the_winner_made(
    client, mount, vault_server, monkeypatch
):
    """Between the look and the write another makes the entry: its keys are the ones."""
    real = KvV2.write

    async def second(self, *arguments, **options):
        await written(vault_server, mount, audit=GOOD, cursors=GOOD, idempotency=OTHER)
        return await real(self, *arguments, **options)

    monkeypatch.setattr(KvV2, "write", second)

    keys = await load_service_keys(client, kv_mount=mount)

    assert (keys.version, keys.audit.reveal(), keys.idempotency.reveal()) == (1, GOOD, OTHER)


async def test_old_versions_are_kept(client, mount):
    """Vault keeps a thousand versions of the entry, for logs that are verified years later."""
    await load_service_keys(client, kv_mount=mount)

    metadata = await client.kv(PLATFORM).read_metadata(KvPath.of_service(mount, "keys"))

    assert metadata.max_versions == 1000


async def test_a_rotated_key_leaves_the_old_ones_to_verify_with(client, mount, vault_server):
    """The newest version is used, and each that is live can be had by its number."""
    first = await load_service_keys(client, kv_mount=mount)
    await written(vault_server, mount, audit=GOOD, cursors=GOOD, idempotency=GOOD)
    await written(vault_server, mount, audit=OTHER, cursors=GOOD, idempotency=GOOD)
    await vault_server.request("POST", f"{mount}/delete/greenlang/_service/keys", {"versions": [2]})

    newest = await load_service_keys(client, kv_mount=mount)
    keys = await load_audit_keys(client, kv_mount=mount)

    assert (newest.version, newest.audit.reveal()) == (3, OTHER)
    assert {version: key.reveal() for version, key in keys.items()} == {
        1: first.audit.reveal(),
        3: OTHER,
    }


async def test_looking_for_old_keys_makes_none(client, mount, vault_server):
    """Where no key was ever made there is none to verify with."""
    assert await load_audit_keys(client, kv_mount=mount) == {}

    status, _ = await vault_server.request("GET", f"{mount}/data/greenlang/_service/keys")
    assert status == 404


@pytest.mark.parametrize(
    ("audit", "text"),
    [
        (None, "The field 'audit' is missing"),
        ("not base64!", "'audit' is not 32 octets in base64"),
        ("c2hvcnQ=", "'audit' is not 32 octets in base64"),
        ("é", "'audit' is not 32 octets in base64"),
    ],
)
async def test_an_entry_that_holds_no_key_is_refused(client, mount, vault_server, audit, text):
    """A key that somebody mistyped is named, and never shown."""
    given = {} if audit is None else {"audit": audit}
    await written(vault_server, mount, cursors=GOOD, idempotency=GOOD, **given)

    with pytest.raises(SecretIncomplete, match=text) as caught:
        await load_service_keys(client, kv_mount=mount)
    with pytest.raises(SecretIncomplete):
        await load_audit_keys(client, kv_mount=mount)

    assert audit is None or audit not in str(caught.value)


async def test_deleted_keys_are_not_made_anew(client, mount, vault_server):
    """New keys would leave the old records without one; the operator is told instead."""
    await load_service_keys(client, kv_mount=mount)
    await vault_server.request("DELETE", f"{mount}/data/greenlang/_service/keys")

    with pytest.raises(SecretDeleted):
        await load_service_keys(client, kv_mount=mount)


async def test_a_version_destroyed_in_between_is_passed_over(
    client, mount, vault_server, monkeypatch
):
    """A key that goes while the versions are read is one that is not there."""
    await load_service_keys(client, kv_mount=mount)
    kv = client.kv(PLATFORM)
    metadata = await kv.read_metadata(KvPath.of_service(mount, "keys"))
    await vault_server.request("PUT", f"{mount}/destroy/greenlang/_service/keys", {"versions": [1]})

    async def before(*_: object, **__: object) -> gs.SecretMetadata:
        return metadata

    monkeypatch.setattr(type(kv), "read_metadata", before)

    assert await load_audit_keys(client, kv_mount=mount) == {}


async def test_the_services_policy_is_enough(config, mount, vault_server):
    """The shipped policy lets the service make, read and keep its keys, and nothing is added."""
    rules = await asyncio.to_thread(
        render_policy, "greenlang-secrets", kv_mount=mount, token_accessor="none"
    )
    token = await token_with(vault_server, rules)
    auth = gs.AuthConfig(token=gs.SecretValue(token))

    async with (
        Supervisor() as supervisor,
        gs.VaultClient.open(replace(config, auth=auth), supervisor) as client,
    ):
        made = await load_service_keys(client, kv_mount=mount)
        assert set(await load_audit_keys(client, kv_mount=mount)) == {made.version}


async def test_callers_see_the_entry_and_cannot_address_it(client, secrets, mount):
    """A listing does not hide that it is there, and no path leads to it."""
    await load_service_keys(client, kv_mount=mount)

    listed = [(entry.path, entry.kind, entry.addressable) async for entry in secrets.list()]

    assert listed == [("_service/", "folder", False)]
    for attempt in (secrets.get("_service/keys"), secrets.put("_service/keys", {"audit": "x"})):
        with pytest.raises(gs.InvalidPath):
            await attempt
    with pytest.raises(gs.InvalidPath):
        await secrets.page("_service/")
