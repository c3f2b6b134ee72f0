"""Transit keys of a real engine: rotated, everything encrypted anew, old versions shut out."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import greenlang_secrets as gs
from greenlang_secrets.errors import CiphertextTooOld, NotRotatable, RotationFailed
from greenlang_secrets.paths import Tenant, TenantId
from greenlang_secrets.rotation import transit_key
from greenlang_secrets.rotation.ciphertexts import CiphertextSources, Found, KvCiphertexts
from greenlang_secrets.rotation.handler import NotYet
from greenlang_secrets.rotation.sql_ciphertexts import SqlCiphertexts
from greenlang_secrets.rotation.transit_key import TransitKeyRotation
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets.vault.kv import KvV2
from greenlang_secrets.vault.transit import Transit
from greenlang_secrets.vault.transit_values import Encrypted, Plaintext, bound_to
from support.mounts import mounted
from support.rotations import Played, subject_of

CLEAR = Plaintext.of(b"clear")


@pytest.fixture
async def transit_mount(vault_server) -> AsyncIterator[str]:
    async with mounted(vault_server, "transit") as name:
        await vault_server.request("POST", f"{name}/keys/k", {})
        await vault_server.request("POST", f"{name}/keys/other", {})
        await vault_server.request("POST", f"{name}/keys/derived", {"derived": True})
        await vault_server.request("POST", f"{name}/keys/signing", {"type": "ed25519"})
        yield name


@pytest.fixture
def transit(client, transit_mount) -> Transit:
    return client.transit(mount=transit_mount)


@pytest.fixture
def handler(client, mount) -> TransitKeyRotation:
    return TransitKeyRotation(client, kv_mount=mount)


@pytest.fixture
def data(transit_mount) -> dict[str, str]:
    return {"transit_key": "k", "mount": transit_mount}


def play(handler, data, **settings: str) -> Played:
    return Played(handler, data, **settings)


async def prepared_and_tried(played: Played) -> Played:
    """Every step before the overlap."""
    await played.prepare()
    await played.apply()
    await played.verify()
    return played


async def encrypted(transit: Transit, *, binding: Any = None, key: str = "k") -> str:
    return (await transit.encrypt(key, CLEAR, associated_data=binding)).ciphertext


async def min_version(transit: Transit) -> int:
    return (await transit.keys.read("k")).min_decryption_version


async def retired(played: Played) -> int:
    """Retire as often as it takes; the number of turns."""
    turns = 1
    while True:
        try:
            await played.retire()
        except NotYet:
            turns += 1
        else:
            return turns


# ---------------------------------------------------------------- the key


async def test_both_versions_decrypt_until_the_old_one_is_retired(handler, data, transit, secrets):
    """After apply old ciphertexts decrypt; after the sweep they are new, and old ones refused."""
    old = await encrypted(transit)
    await secrets.create("data/a", {"token": old})
    played = await prepared_and_tried(play(handler, data, sweep="kv:data/"))
    during = (await transit.decrypt("k", old)).reveal()

    await played.retire()

    new = (await secrets.get("data/a", fresh=True))["token"].reveal()
    assert during == b"clear"
    assert (await transit.decrypt("k", new)).reveal() == b"clear"
    assert await min_version(transit) == 2
    with pytest.raises(CiphertextTooOld):
        await transit.decrypt("k", old)


@pytest.mark.parametrize("lost", [True, False])
async def test_every_step_may_be_repeated_by_the_next_owner(handler, data, transit, secrets, lost):
    """Whoever dies after whichever step, the key has one new version and the sweep its end."""
    await secrets.create("data/a", {"token": await encrypted(transit)})
    played = play(handler, data, sweep="kv:data/")
    await played.prepare(lost=lost)
    second = played.taken_over()
    await second.prepare()
    await second.apply(lost=lost)
    third = second.taken_over()
    await third.apply()
    await third.apply()
    await third.verify()
    await third.verify()
    await third.retire(lost=lost)
    await third.taken_over().retire()

    key = await transit.keys.read("k")
    assert (key.latest_version, key.min_decryption_version) == (2, 2)


async def test_without_a_sweep_old_versions_go_on_decrypting(handler, data, transit):
    """A policy that names no source only adds versions."""
    old = await encrypted(transit)
    played = await prepared_and_tried(play(handler, data))

    await played.retire()

    assert (await transit.decrypt("k", old)).reveal() == b"clear"
    assert (await transit.keys.read("k")).latest_version == 2


async def test_key_noted_at_the_beginning_is_the_one(handler, data, transit):
    """A secret that names another key by now does not move the rotation to that one."""
    played = play(handler, data)
    await played.prepare()
    played.rotation = replace(played.rotation, current=SecretMap({**data, "transit_key": "other"}))
    await played.apply()

    assert (await transit.keys.read("k")).latest_version == 2
    assert (await transit.keys.read("other")).latest_version == 1


@pytest.mark.parametrize("damage", ["too-old", "not-newer"])
async def test_version_that_does_not_work_is_told(handler, data, transit, damage):
    """A shut-out old version, or a new one that is not used, fails the test."""
    played = await prepared_and_tried(play(handler, data))
    if damage == "too-old":
        await transit.keys.configure("k", min_decryption_version=2)
    else:
        notes = {**played.rotation.notes, "new": "3"}
        played.rotation = replace(played.rotation, notes=notes)

    with pytest.raises(RotationFailed) as caught:
        await played.verify()

    assert caught.value.reason == "verify_failed"


async def test_end_of_old_versions_is_never_moved_back(handler, data, transit):
    """An operator who has shut out more keeps that."""
    played = await prepared_and_tried(play(handler, data, sweep="kv:data/"))
    await transit.keys.rotate("k")
    await transit.keys.configure("k", min_decryption_version=3)

    await played.retire()

    assert await min_version(transit) == 3


# ---------------------------------------------------------------- the sweep


async def test_sweep_shows_how_far_it_is(handler, data, transit, secrets, monkeypatch):
    """Numbers grow page by page, and every ciphertext is counted once."""
    monkeypatch.setattr(transit_key, "_PAGE", 2)
    for name in ("a", "b/c", "b/d", "e"):
        await secrets.create(f"data/{name}", {"token": await encrypted(transit), "note": "n"})
    played = await prepared_and_tried(play(handler, data, sweep="kv:data/"))

    await played.retire()

    rewrapped = [step["rewrapped"] for step in played.steps]
    assert rewrapped == sorted(rewrapped)
    assert played.steps[-1] == {"scanned": 4, "rewrapped": 4, "refused": 0}
    assert len(played.steps) > 4


async def test_sweep_stops_in_time_and_goes_on_where_it_was(
    handler, data, transit, secrets, monkeypatch
):
    """Each turn is one page here; another owner takes each next one, and none is done twice."""
    monkeypatch.setattr(transit_key, "_PAGE", 1)
    monkeypatch.setattr(transit_key, "_TURN", 0.0)
    for name in "abc":
        await secrets.create(f"data/{name}", {"token": await encrypted(transit)})
    played = await prepared_and_tried(play(handler, data, sweep="kv:data/"))
    turns = 0
    while True:
        turns += 1
        try:
            await played.retire()
        except NotYet as wait:
            assert not wait.operator  # noqa: PT017  # the loop ends at the end
            played = played.taken_over()
        else:
            break

    assert turns == 9  # three pages and an empty one, twice, and the end
    assert [(await secrets.get(f"data/{name}", fresh=True)).version for name in "abc"] == [2, 2, 2]
    assert await min_version(transit) == 2


class Source:
    """A source that a test writes: pages by number, and what becomes of a replacement."""

    def __init__(self, *ciphertexts: str, takes: bool = True) -> None:
        self.items = dict(enumerate(ciphertexts))
        self.takes = takes

    async def page(self, after: str | None, limit: int) -> list[Found]:
        behind = -1 if after is None else int(after)
        rows = [(at, text) for at, text in self.items.items() if at > behind]
        return [Found(place=str(at), ciphertext=text) for at, text in rows[:limit]]

    async def replace(self, found: Found, new: Encrypted) -> bool:
        if self.takes:
            self.items[int(found.place)] = new.ciphertext
        return self.takes


async def test_old_versions_stay_while_something_is_left(handler, data, transit):
    """A ciphertext that cannot be replaced keeps the old version decrypting, and is told."""
    source = Source(await encrypted(transit), takes=False)
    handler.sources.register("mine", source)
    played = await prepared_and_tried(play(handler, data, sweep="mine"))

    with pytest.raises(RotationFailed) as caught:
        await played.retire()

    assert caught.value.reason == "rewrap_failed"
    assert await min_version(transit) == 1
    source.takes = True
    await played.taken_over().retire()
    assert await min_version(transit) == 2


async def test_without_the_second_look_what_is_left_would_be_lost(handler, data, transit):
    """The control: had the version been raised then, the ciphertext would not decrypt."""
    left = await encrypted(transit)
    handler.sources.register("mine", Source(left, takes=False))
    played = await prepared_and_tried(play(handler, data, sweep="mine"))
    with pytest.raises(RotationFailed):
        await played.retire()
    assert (await transit.decrypt("k", left)).reveal() == b"clear"

    await transit.keys.configure("k", min_decryption_version=2)

    with pytest.raises(CiphertextTooOld):
        await transit.decrypt("k", left)


async def test_one_that_cannot_be_encrypted_anew_costs_no_other(handler, data, transit, secrets):
    """Another key's ciphertext, and one bound to something, are left and counted."""
    good = await encrypted(transit)
    foreign = await encrypted(transit, key="other")
    bound = await encrypted(transit, binding=bound_to("", "users"))
    await secrets.create("data/a", {"x": foreign, "y": good, "z": bound})
    played = await prepared_and_tried(play(handler, data, sweep="kv:data/"))

    with pytest.raises(RotationFailed) as caught:
        await played.retire()

    there = (await secrets.get("data/a", fresh=True)).data.reveal()
    assert caught.value.reason == "rewrap_failed"
    assert (there["x"], there["z"]) == (foreign, bound)
    assert there["y"].startswith("vault:v2:")
    assert played.steps[-1] == {"scanned": 3, "rewrapped": 1, "refused": 2}
    assert played.rotation.notes["sweep_phase"] == "rewrap"


async def test_place_with_many_ciphertexts_is_asked_for_in_parts(
    handler, data, transit, vault_server, transit_mount
):
    """More than the server takes in one request are no obstacle; it does refuse them at once."""

    class Whole(Source):
        async def page(self, after: str | None, limit: int) -> list[Found]:
            return await super().page(after, 1000)

    text = await encrypted(transit)
    handler.sources.register("whole", Whole(*[text] * 500))
    played = await prepared_and_tried(play(handler, data, sweep="whole"))

    await played.retire()
    status, _ = await vault_server.request(
        "POST", f"{transit_mount}/rewrap/k", {"batch_input": [{"ciphertext": text}] * 500}
    )

    assert played.steps[-1] == {"scanned": 500, "rewrapped": 500, "refused": 0}
    assert status == 400


# ---------------------------------------------------------------- secrets as a source


def kv_source(client, mount) -> KvCiphertexts:
    [source] = CiphertextSources().of(
        "kv:data/", kv=client.kv(gs.PLATFORM), kv_mount=mount, scope=gs.PLATFORM
    )
    assert isinstance(source, KvCiphertexts)
    return source


async def test_secrets_are_paged_in_order_and_each_once(client, mount, secrets, transit):
    """A secret and a folder of one name, nested folders and names that sort oddly: all come."""
    text = await encrypted(transit)
    names = ["a", "a-b", "a/c/d", "a/c/e", "a.b", "z"]
    for name in names:
        place = f"{mount}/data/greenlang/data/{name}"
        await client.write(gs.paths.ApiPath(place), {"data": {"t": text, "n": "plain"}})
    source = kv_source(client, mount)
    seen: list[str] = []
    after = None
    while page := await source.page(after, 1):
        seen += [found.place for found in page]
        after = page[-1].place

    assert sorted(seen) == sorted(f"data/{name}" for name in names)
    assert [found.place for found in await source.page(None, 100)] == seen


async def test_what_no_caller_can_name_and_what_is_gone_is_left_out(
    client, mount, secrets, transit, vault_server
):
    """Names outside the grammar and deleted secrets are no part of the sweep."""
    text = await encrypted(transit)
    await secrets.create("data/gone", {"t": text})
    await secrets.delete("data/gone")
    await vault_server.request("POST", f"{mount}/data/greenlang/data/_own", {"data": {"t": text}})
    await vault_server.request("POST", f"{mount}/data/greenlang/else/x", {"data": {"t": text}})

    assert await kv_source(client, mount).page(None, 10) == []


async def test_secret_that_was_changed_meanwhile_is_not_overwritten(
    client, mount, secrets, transit, monkeypatch
):
    """Changed, deleted or overtaken between the look and the write: the newer value stays."""
    source = kv_source(client, mount)
    text = await encrypted(transit)
    new = await transit.encrypt("k", CLEAR)
    await secrets.create("data/a", {"t": text, "u": text})
    [found, _] = await source.page(None, 10)
    real = KvV2.patch

    async def overtaken(self, path, data, *, cas=None):
        monkeypatch.setattr(KvV2, "patch", real)
        await secrets.patch("data/a", {"t": "newest"})
        return await real(self, path, data, cas=cas)

    monkeypatch.setattr(KvV2, "patch", overtaken)

    assert not await source.replace(found, new)  # overtaken
    assert not await source.replace(found, new)  # changed
    await secrets.patch("data/a", {"t": None})
    assert not await source.replace(found, new)  # the field is gone
    await secrets.delete("data/a")
    assert not await source.replace(found, new)  # all of it is


# ---------------------------------------------------------------- a table as a source


@pytest.fixture
async def engine(postgres_server) -> AsyncIterator[AsyncEngine]:
    url = postgres_server.url.replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url, connect_args={"ssl": False})
    async with engine.begin() as connection:
        await connection.execute(sa.text("DROP TABLE IF EXISTS cards"))
        await connection.execute(sa.text("CREATE TABLE cards (id bigint PRIMARY KEY, number text)"))
    yield engine
    async with engine.begin() as connection:
        await connection.execute(sa.text("DROP TABLE IF EXISTS cards"))
    await engine.dispose()


async def fill(engine: AsyncEngine, rows: dict[int, str | None]) -> None:
    async with engine.begin() as connection:
        for key, text in rows.items():
            await connection.execute(
                sa.text("INSERT INTO cards VALUES (:id, :number)"), {"id": key, "number": text}
            )


async def numbers(engine: AsyncEngine) -> dict[int, str | None]:
    async with engine.connect() as connection:
        rows = await connection.execute(sa.text("SELECT id, number FROM cards ORDER BY id"))
        return {row.id: row.number for row in rows}


def cards(engine: AsyncEngine, **options: Any) -> SqlCiphertexts:
    return SqlCiphertexts(
        engine, table="cards", key="id", ciphertext="number", from_text=int, **options
    )


async def test_column_is_encrypted_anew(handler, data, transit, engine, monkeypatch):
    """Every row that holds a ciphertext is replaced, in the order of numbers and not of texts."""
    monkeypatch.setattr(transit_key, "_PAGE", 3)
    rows = {key: await encrypted(transit) for key in (2, 9, 10, 11, 100, 2_000_000_000_000)}
    await fill(engine, {**rows, 3: "plain", 4: None, 5: "vault:v1", 6: "vault:v1:", 7: "vault:vx"})
    handler.sources.register("cards", cards(engine, schema="public"))
    played = await prepared_and_tried(play(handler, data, sweep="cards"))

    await played.retire()

    after = await numbers(engine)
    assert all(after[key].startswith("vault:v2:") for key in rows)
    assert [after[key] for key in (3, 4, 7)] == ["plain", None, "vault:vx"]
    assert await min_version(transit) == 2


async def test_bound_ciphertexts_stay_bound(handler, data, transit, engine):
    """A row's ciphertext is decrypted and encrypted with what it is bound to, and with that only."""

    def binding(key: str) -> Any:
        return bound_to("acme", "cards", key)

    await fill(engine, {key: await encrypted(transit, binding=binding(str(key))) for key in (1, 2)})
    await fill(engine, {3: await encrypted(transit, binding=binding("1"))})  # another row's
    handler.sources.register("cards", cards(engine, bound_to=binding))
    played = await prepared_and_tried(play(handler, data, sweep="cards"))

    with pytest.raises(RotationFailed):
        await played.retire()
    assert played.steps[-1] == {"scanned": 3, "rewrapped": 2, "refused": 1}
    async with engine.begin() as connection:
        await connection.execute(sa.text("DELETE FROM cards WHERE id = 3"))
    await played.retire()

    after = await numbers(engine)
    plain = await transit.decrypt("k", after[2], associated_data=binding("2"))
    assert plain.reveal() == b"clear"
    assert await min_version(transit) == 2


async def test_row_that_was_changed_meanwhile_is_not_overwritten(transit, engine):
    """The statement names the old ciphertext, so a newer value stays."""
    await fill(engine, {1: await encrypted(transit)})
    source = cards(engine)
    [found] = await source.page(None, 10)
    async with engine.begin() as connection:
        await connection.execute(sa.text("UPDATE cards SET number = 'newest'"))

    assert not await source.replace(found, await transit.encrypt("k", CLEAR))
    assert await numbers(engine) == {1: "newest"}


async def test_rows_that_only_look_alike_are_not_the_end(transit, engine):
    """A whole page of texts that begin like a ciphertext hides nothing behind it."""
    await fill(engine, dict.fromkeys(range(5), "vault:vx"))
    await fill(engine, {9: await encrypted(transit)})

    assert [found.place for found in await cards(engine).page(None, 2)] == ["9"]


async def test_database_that_fails_is_told_without_its_words(transit):
    """A database that is away is a target that cannot be reached; its text is not passed on."""
    engine = create_async_engine(
        "postgresql+asyncpg://user:hunter2@127.0.0.1:1/none", connect_args={"ssl": False}
    )
    source = cards(engine)
    found = Found(place="1", ciphertext=await encrypted(transit))

    for attempt in (
        source.page(None, 10),
        source.replace(found, await transit.encrypt("k", CLEAR)),
    ):
        with pytest.raises(RotationFailed) as caught:
            await attempt
        assert caught.value.reason == "target_unavailable"
        assert "hunter2" not in str(caught.value)
    await engine.dispose()


# ---------------------------------------------------------------- check


def subject(data, **settings: Any):
    options = {"scope": settings.pop("scope")} if "scope" in settings else {}
    return subject_of(
        RotationKind.TRANSIT_KEY, gs.SecretType.ENCRYPTION_KEY, data, **options, **settings
    )


async def test_what_fits_is_accepted(handler, data):
    """A key that encrypts is rotated, with sources or without."""
    handler.sources.register("cards", Source())
    await handler.check(subject(data))
    await handler.check(subject(data, sweep="kv:a/b/, cards"))


@pytest.mark.parametrize(
    ("changes", "settings", "text"),
    [
        ({"transit_key": ""}, {}, "no field 'transit_key'"),
        ({"transit_key": "none"}, {}, "do not name a key"),
        ({"transit_key": "../x"}, {}, "do not name a key"),
        ({"transit_key": "derived"}, {}, "needs a context"),
        ({"transit_key": "signing"}, {}, "does not encrypt"),
        ({}, {"sweep": "cards"}, "does not have"),
        ({}, {"sweep": "kv:"}, "kv:prefix/"),
        ({}, {"sweep": "kv:data"}, "kv:prefix/"),
        ({}, {"scope": Tenant(TenantId("acme"))}, "for the platform's own secrets"),
    ],
)
async def test_what_does_not_fit_is_told(handler, data, changes, settings, text):
    """Each refusal says what to change."""
    with pytest.raises(NotRotatable, match=text):
        await handler.check(subject({**data, **changes}, **settings))


async def test_source_that_only_another_process_has_fails(handler, data):
    """A rotation that this process cannot go on with is left to one that can."""
    played = await prepared_and_tried(play(handler, data, sweep="cards"))

    with pytest.raises(RotationFailed) as caught:
        await played.retire()

    assert caught.value.reason == "incomplete"


async def test_key_of_the_default_mount_needs_no_mount(client, mount, vault_server):
    """A secret without a mount names a key of `transit`."""
    handler = TransitKeyRotation(client, kv_mount=mount)

    with pytest.raises((NotRotatable, gs.VaultRefused)):
        await handler.check(subject({"transit_key": f"none-{uuid.uuid4()}"}))
