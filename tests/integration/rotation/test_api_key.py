"""Internal API keys with a list of accepted ones, in a real OpenBao."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import greenlang_secrets as gs
from greenlang_secrets.errors import NotRotatable, RotationFailed, RotationFenced
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath, Tenant, TenantId
from greenlang_secrets.rotation.api_key import ApiKeyRotation
from greenlang_secrets.rotation.handler import NotYet
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.vault.kv import KvV2
from support.rotations import Played, subject_of

OLD = {"api_key": "0" * 40, "key_id": "k1", "owner": "billing"}
OLD_DIGEST = "sha256:" + hashlib.sha256(b"0" * 40).hexdigest()
SETTINGS = {"verifiers": "api-keys/accepted", "verifiers_refresh": "true"}


@pytest.fixture
def handler(client, mount) -> ApiKeyRotation:
    return ApiKeyRotation(client, kv_mount=mount)


@pytest.fixture
def played(handler) -> Played:
    return Played(handler, OLD, **SETTINGS)


async def listed(secrets) -> dict[str, str]:
    """The list as Vault has it."""
    return (await secrets.get("api-keys/accepted", fresh=True)).data.reveal()


def digest(key: str) -> str:
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


async def until_known(played: Played) -> None:
    """Verify as often as it takes."""
    while True:
        try:
            return await played.verify()
        except NotYet:
            played.rotation = _older(played.rotation, 10)


async def prepared_and_applied(played: Played) -> None:
    await played.prepare()
    await played.apply()


def _older(rotation, seconds: float):
    """The same rotation, with its list written that much earlier."""
    at = datetime.fromisoformat(rotation.notes["listed_at"]) - timedelta(seconds=seconds)
    return replace(rotation, notes={**rotation.notes, "listed_at": at.isoformat()})


async def test_both_keys_are_accepted_until_the_old_one_is_retired(played, secrets):
    """From apply to retire the verifier takes the old key and the new one, then the new alone."""
    verifier = gs.ApiKeyVerifier(secrets, "api-keys/accepted")
    await played.prepare()
    await played.apply()
    new = played.candidate["api_key"]

    during = [await verifier.accepts(key) for key in (OLD["api_key"], new, "1" * 40)]
    await until_known(played)
    await played.retire()
    await secrets.get("api-keys/accepted", fresh=True)
    after = [await verifier.accepts(key) for key in (OLD["api_key"], new)]

    assert (during, after) == ([True, True, False], [False, True])


async def test_list_holds_digests_and_no_key(played, secrets):
    """What stands in the list is the SHA-256 of each key; neither key is there."""
    await played.prepare()
    await played.apply()

    there = await listed(secrets)

    candidate = played.candidate
    assert there == {
        "k1": OLD_DIGEST,
        candidate["key_id"]: digest(candidate["api_key"]),
        "_fence": "1",
        "_secret": "some/path",
    }


async def test_candidate_keeps_the_other_fields(played):
    """The new key stands in the field of the old one, begins with its id, and is long."""
    await played.prepare()

    candidate = played.candidate

    assert set(candidate) == {"api_key", "key_id", "owner"}
    assert candidate["owner"] == "billing"
    assert candidate["api_key"].startswith(candidate["key_id"] + ".")
    assert len(candidate["api_key"]) >= 16 + 1 + 43


@pytest.mark.parametrize("lost", [True, False])
async def test_every_step_may_be_repeated_by_the_next_owner(played, secrets, lost):
    """An owner that dies after any step, with or without its result, is followed by another."""
    await played.prepare()
    await played.apply(lost=lost)
    second = played.taken_over()
    await second.apply()
    await second.apply()
    await until_known(second)
    third = second.taken_over()
    await third.retire(lost=lost)
    fourth = third.taken_over()
    await fourth.retire()

    assert await listed(secrets) == {
        played.candidate["key_id"]: digest(played.candidate["api_key"]),
        "_fence": "4",
        "_secret": "some/path",
    }


async def test_repeated_step_writes_nothing(played, secrets):
    """What is true already costs no version, so a list does not grow while steps are tried."""
    await played.prepare()
    await played.apply()
    await played.apply()

    assert (await secrets.get("api-keys/accepted", fresh=True)).version == 1


async def test_owner_taken_for_dead_is_refused(played, secrets):
    """After a takeover the list refuses the smaller fence, and keeps what the successor made."""
    await played.prepare()
    await played.apply()
    await played.taken_over().apply()
    before = await listed(secrets)

    for step in (played.apply, played.retire):
        with pytest.raises(RotationFenced):
            await step()

    assert await listed(secrets) == before


async def test_without_the_fence_the_owner_taken_for_dead_changes_the_list(played, secrets, client):
    """The control: where the list keeps no fence, the late owner cuts off what came after it."""
    await played.prepare()
    await played.apply()
    zombie = played
    next_one = Played(played.handler, played.candidate, fence=2, **SETTINGS)
    await next_one.prepare()
    await next_one.apply()
    await secrets.patch("api-keys/accepted", {"_fence": None})

    await zombie.retire()

    assert next_one.candidate["key_id"] not in await listed(secrets)


async def test_owner_that_is_overtaken_in_mid_write_looks_again(played, secrets, monkeypatch):
    """Between its look and its write another owner writes: the CAS fails and the fence decides."""
    await played.prepare()
    successor = played.taken_over()
    real = KvV2.write

    async def overtaken(self, path, data, *, cas=None):
        monkeypatch.setattr(KvV2, "write", real)
        await successor.apply()
        return await real(self, path, data, cas=cas)

    monkeypatch.setattr(KvV2, "write", overtaken)

    with pytest.raises(RotationFenced):
        await played.apply()

    assert (await listed(secrets))["_fence"] == "2"


async def test_list_that_never_stays_is_given_up(played, secrets, monkeypatch):
    """Somebody who writes the list all the time makes the step fail, not hang."""
    await played.prepare()
    real = KvV2.write

    async def disturbed(self, path, data, *, cas=None):
        await real(self, path, {"k1": OLD_DIGEST})
        return await real(self, path, data, cas=cas)

    monkeypatch.setattr(KvV2, "write", disturbed)

    with pytest.raises(RotationFailed) as caught:
        await played.apply()

    assert caught.value.reason == "target_refused"


async def test_keys_that_others_listed_stay_until_the_old_is_retired(played, secrets):
    """Apply takes nothing away, retire leaves the new key alone."""
    await secrets.create("api-keys/accepted", {"by-hand": digest("2" * 40)})
    await played.prepare()
    await played.apply()
    during = await listed(secrets)
    await played.retire()

    assert set(during) == {"by-hand", "k1", played.candidate["key_id"], "_fence", "_secret"}
    assert set(await listed(secrets)) == {played.candidate["key_id"], "_fence", "_secret"}


async def test_deleted_list_is_made_anew(played, secrets):
    """A list that somebody deleted is written again, after its deleted versions."""
    await secrets.create("api-keys/accepted", {"k1": OLD_DIGEST})
    await secrets.delete("api-keys/accepted")
    await played.prepare()

    await played.apply()

    assert (await secrets.get("api-keys/accepted", fresh=True)).version == 2


@pytest.mark.parametrize(("refresh", "seconds"), [("false", 900), ("true", 5)])
async def test_promotion_waits_until_every_verifier_knows_the_key(handler, refresh, seconds):
    """The wait is counted from the write of the list: the promotion gap, or a few seconds."""
    played = Played(handler, OLD, verifiers="api-keys/accepted", verifiers_refresh=refresh)
    before = datetime.now(UTC)
    await played.prepare()
    await played.apply()

    with pytest.raises(NotYet) as caught:
        await played.verify()

    assert abs((caught.value.until - before).total_seconds() - seconds) < 3
    assert not caught.value.operator
    played.rotation = _older(played.rotation, seconds + 3)
    await played.verify()


async def test_list_that_lost_the_candidate_does_not_verify(played, secrets):
    """What the verifier would refuse is not promoted."""
    await played.prepare()
    await played.apply()
    await secrets.put("api-keys/accepted", {"k1": OLD_DIGEST})

    with pytest.raises(RotationFailed) as caught:
        await played.verify()

    assert caught.value.reason == "verify_failed"


@pytest.mark.parametrize("fence", ["-1", "one", "²"])
async def test_list_with_a_fence_that_is_no_number_is_left_alone(played, secrets, fence):
    """A list that somebody spoilt is not overwritten, since its fence is unknown."""
    await secrets.create("api-keys/accepted", {"_fence": fence})
    await played.prepare()

    with pytest.raises(RotationFailed) as caught:
        await played.apply()

    assert caught.value.reason == "incomplete"


async def test_list_of_another_secret_is_refused(handler, played, secrets):
    """Two secrets with one list would cut each other off, so check and apply refuse it."""
    await secrets.create("api-keys/accepted", {"_secret": "other/path"})
    await played.prepare()

    with pytest.raises(NotRotatable, match="belongs to another secret"):
        await handler.check(
            subject_of(RotationKind.API_KEY, gs.SecretType.API_KEY, OLD, **SETTINGS)
        )
    with pytest.raises(RotationFailed) as caught:
        await played.apply()

    assert caught.value.reason == "target_refused"


@pytest.mark.parametrize(
    ("data", "settings", "text"),
    [
        (OLD, {}, "Set 'verifiers'"),
        (OLD, {"verifiers": "some/path"}, "another secret"),
        (OLD, {"verifiers": "../x"}, "another secret"),
        (OLD, {**SETTINGS, "verifiers_refresh": "yes"}, "true or false"),
        (OLD, {**SETTINGS, "slots": "a,b"}, "no setting 'slots'; it knows verifiers, verifiers_"),
        ({"key_id": "k1"}, SETTINGS, "no field 'api_key' or 'key' or 'value'"),
        ({"api_key": "0" * 40}, SETTINGS, "no field 'key_id'"),
        ({"api_key": "0" * 40, "key_id": "_x"}, SETTINGS, "'key_id' is 1 to 64"),
        ({"api_key": "hunter2hunter2", "key_id": "k"}, SETTINGS, "fewer than 32"),
    ],
)
async def test_what_does_not_fit_is_told(handler, data, settings, text):
    """Each refusal says what to change, and shows no key."""
    with pytest.raises(NotRotatable, match=text) as caught:
        await handler.check(
            subject_of(RotationKind.API_KEY, gs.SecretType.API_KEY, data, **settings)
        )

    assert "hunter2" not in str(caught.value)


async def test_secret_of_another_type_is_told(handler):
    """The text names the type that is needed and the one declared."""
    with pytest.raises(NotRotatable, match="declared as generic, and api_key rotates api_key"):
        await handler.check(
            subject_of(RotationKind.API_KEY, gs.SecretType.GENERIC, OLD, **SETTINGS)
        )


async def test_what_fits_is_accepted(handler, secrets):
    """A secret with key and id is rotated, whether its list is there or not."""
    subject = subject_of(RotationKind.API_KEY, gs.SecretType.API_KEY, OLD, **SETTINGS)
    await handler.check(subject)
    await secrets.create("api-keys/accepted", {"_secret": "some/path"})
    await handler.check(subject)


@pytest.mark.parametrize("gone", ["current", "key", "id", "candidate"])
async def test_rotation_whose_parts_are_gone_fails(handler, gone):
    """Without the version it began from, a key, an id or a candidate a step says so."""
    data = {"current": None, "key": {"key_id": "k"}, "id": {"key": "0" * 40}, "candidate": OLD}[
        gone
    ]
    played = Played(handler, data, **SETTINGS)

    with pytest.raises(RotationFailed) as caught:
        await (played.apply() if gone == "candidate" else prepared_and_applied(played))

    assert caught.value.reason == "incomplete"


async def test_new_key_is_listed_though_the_old_version_is_gone(handler, secrets):
    """A purged base version leaves the list as it is, and the candidate is added."""
    played = Played(handler, OLD, **SETTINGS)
    await played.prepare()
    played.rotation = replace(played.rotation, current=None)
    await played.apply()

    assert set(await listed(secrets)) == {played.candidate["key_id"], "_fence", "_secret"}


async def test_tenants_list_is_the_tenants_own(client, secrets, mount):
    """A tenant's key is listed in its own scope, and nowhere else."""
    acme = Tenant(TenantId("acme"))
    played = Played(ApiKeyRotation(client, kv_mount=mount), OLD, scope=acme, **SETTINGS)
    await played.prepare()
    await played.apply()

    path = SecretPath.parse("api-keys/accepted")
    assert "k1" in (await client.kv(acme).read(KvPath.of(mount, acme, path))).data
    with pytest.raises(gs.SecretNotFound):
        await client.kv(PLATFORM).read(KvPath.of(mount, PLATFORM, path))


async def test_new_key_is_accepted_though_the_list_is_cached(played, secrets):
    """A verifier whose list is fresh and old reads it again for an id that it does not know."""
    await secrets.create("api-keys/accepted", {"k1": OLD_DIGEST})
    verifier = gs.ApiKeyVerifier(secrets, "api-keys/accepted")
    assert await verifier.accepts(OLD["api_key"])
    while (await secrets.get("api-keys/accepted")).age < 1.0:
        await asyncio.sleep(0.05)
    await played.prepare()
    await played.apply()

    assert await verifier.accepts(gs.SecretValue(played.candidate["api_key"]))


async def test_unknown_keys_cost_one_request_a_second(secrets, vault_server, mount):
    """A hundred unknown keys at once have the list read once more at most."""
    await secrets.create("api-keys/accepted", {"k1": OLD_DIGEST})
    verifier = gs.ApiKeyVerifier(secrets, "api-keys/accepted")
    await verifier.accepts(OLD["api_key"])
    mark = await vault_server.audit_mark()

    answers = await asyncio.gather(*(verifier.accepts(f"u{n}.xyz") for n in range(100)))

    assert answers == [False] * 100
    assert len(await vault_server.audit_requests(mark, f"{mount}/data")) <= 1


async def test_wrong_key_of_a_known_id_asks_nobody(secrets, vault_server, mount):
    """Where the id is known the list is not stale, and the refusal costs no request."""
    await secrets.create("api-keys/accepted", {"k1": OLD_DIGEST})
    verifier = gs.ApiKeyVerifier(secrets, "api-keys/accepted")
    await verifier.accepts(OLD["api_key"])
    while (await secrets.get("api-keys/accepted")).age < 1.0:
        await asyncio.sleep(0.05)
    mark = await vault_server.audit_mark()

    answers = [await verifier.accepts(key) for key in ("k1.wrong", "k1", "_fence", "", "ü.x")]

    assert answers == [False] * 5
    assert await vault_server.audit_requests(mark, f"{mount}/data") == []


async def test_without_a_list_nothing_can_be_said(secrets):
    """A list that is not there is an error and no refusal, so that somebody notices."""
    with pytest.raises(gs.SecretNotFound):
        await gs.ApiKeyVerifier(secrets, "api-keys/accepted").accepts("k1.x")


@pytest.mark.parametrize(
    ("live", "kept"),
    [
        (OLD, {"k1"}),
        ({"api_key": "3" * 40, "key_id": "by-hand"}, {"by-hand"}),
        ({"key_id": "no-key"}, set()),
        ({"key_id": "_odd", "api_key": "3" * 40}, set()),
        ({"other": "x"}, set()),
    ],
)
async def test_key_that_somebody_wrote_since_stays_accepted(played, secrets, live, kept):
    """Who goes back to the old key by hand, or on to another, is not cut off at the end."""
    await played.prepare()
    await played.apply()
    await secrets.create("some/path", live)

    await played.retire()

    expected = {played.candidate["key_id"], "_fence", "_secret"} | kept
    assert set(await listed(secrets)) == expected
