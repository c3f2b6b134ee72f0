from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.access import Principal
from greenlang_secrets.telemetry import Result


def caller(*permissions: gs.Permission, tenant: str | None = None) -> Principal:
    return Principal(
        subject="tester",
        permissions=frozenset(permissions),
        tenant=None if tenant is None else gs.TenantId(tenant),
    )


# ---------------------------------------------------------------- reading


async def test_200_concurrent_gets_of_a_cold_path_are_one_request(secrets, vault_server, mount):
    """Single flight, counted by the server itself: its audit file shows one read."""
    await secrets.create("database/postgresql", {"k": "v"})
    mark = await vault_server.audit_mark()

    read = await asyncio.gather(*(secrets.get("database/postgresql") for _ in range(200)))

    assert {secret["k"].reveal() for secret in read} == {"v"}
    assert await vault_server.audit_requests(mark) == [
        ("read", f"{mount}/data/greenlang/database/postgresql")
    ]


async def test_cached_gives_what_is_held_and_asks_nobody(secrets, vault_server):
    """Without waiting there is the held value, counted as a hit, or None: cold, written since, or
    not the caller's to read.
    """
    await secrets.create("x", {"k": "v"})
    mark = await vault_server.audit_mark()

    assert secrets.cached("x") is None
    held = await secrets.get("x")
    hits = secrets.cache.stats().hits
    assert secrets.cached("x") is held
    assert secrets.cache.stats().hits == hits + 1
    nobody = secrets.scoped(gs.TenantContext(principal=caller(), scope=gs.PLATFORM))
    assert nobody.cached("x") is None
    assert len(await vault_server.audit_requests(mark)) == 1

    await secrets.put("x", {"k": "w"})
    assert secrets.cached("x") is None


async def test_second_read_makes_no_request(secrets, vault_server):
    """A fresh value is answered from memory."""
    await secrets.create("x", {"k": "v"})
    first = await secrets.get("x")
    mark = await vault_server.audit_mark()

    second = await secrets.get("x")

    assert second is first
    assert await vault_server.audit_requests(mark) == []


async def test_fresh_asks_vault_now(secrets, vault_server, mount):
    """`fresh=True` sees a write made behind our back; a plain read does not have to."""
    await secrets.create("x", {"k": "old"})
    await secrets.get("x")
    await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "new"}})

    assert (await secrets.get("x"))["k"].reveal() == "old"
    assert (await secrets.get("x", fresh=True))["k"].reveal() == "new"
    assert (await secrets.get("x"))["k"].reveal() == "new"


async def test_max_age_zero_asks_vault_now(secrets, vault_server, mount):
    """An age of zero is only had by asking."""
    await secrets.create("x", {"k": "old"})
    await secrets.get("x")
    await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "new"}})

    assert (await secrets.get("x", max_age=30))["k"].reveal() == "old"
    assert (await secrets.get("x", max_age=0))["k"].reveal() == "new"


async def test_min_version_is_loaded_when_the_cache_is_older(secrets, vault_server, mount):
    """A caller that knows of version 2 gets it, whatever the cache holds."""
    await secrets.create("x", {"k": "old"})
    await secrets.get("x")
    await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "new"}})

    assert (await secrets.get("x", min_version=1)).version == 1
    assert (await secrets.get("x", min_version=2)).version == 2
    with pytest.raises(gs.VersionNotFound):
        await secrets.get("x", min_version=3)


async def test_pinned_version_is_not_served_as_the_newest(secrets):
    """A read of version 1 does not become what an unpinned read returns."""
    await secrets.create("x", {"k": "one"})
    await secrets.put("x", {"k": "two"})

    assert (await secrets.get("x", version=1))["k"].reveal() == "one"
    assert (await secrets.get("x"))["k"].reveal() == "two"
    assert (await secrets.get("x", version=1))["k"].reveal() == "one"


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.5])
async def test_version_that_is_none_is_refused_before_anything_is_sent(
    secrets, vault_server, version
):
    """Vault takes -1 for the latest; here it is an error, and no request is made."""
    mark = await vault_server.audit_mark()

    with pytest.raises(gs.InvalidVersion):
        await secrets.get("x", version=version)

    assert await vault_server.audit_requests(mark) == []


async def test_contradicting_or_negative_bounds_are_refused(secrets):
    """A version and a minimum together, or an age below zero, mean nothing."""
    with pytest.raises(gs.InvalidVersion, match="not both"):
        await secrets.get("x", version=1, min_version=1)
    with pytest.raises(gs.InvalidRequest, match="max_age"):
        await secrets.get("x", max_age=-1)
    with pytest.raises(gs.InvalidVersion):
        await secrets.get("x", min_version=0)


async def test_get_or_none_is_none_for_missing_and_deleted(secrets):
    """Absence is None; a present secret is itself."""
    await secrets.create("x", {"k": "v"})
    await secrets.create("gone", {"k": "v"})
    await secrets.delete("gone")

    assert await secrets.get_or_none("missing") is None
    assert await secrets.get_or_none("gone") is None
    assert (await secrets.get_or_none("x")).version == 1


async def test_get_many_reads_all_and_names_every_missing_one(secrets):
    """Either all are there, or one error names each that is not."""
    await secrets.create("a", {"k": "a"})
    await secrets.create("b", {"k": "b"})

    both = await secrets.get_many(["a", "b", "a"])
    with pytest.raises(gs.SecretNotFound) as caught:
        await secrets.get_many(["a", "no-1", "no-2"])

    assert [both[path]["k"].reveal() for path in ("a", "b")] == ["a", "b"]
    assert "no-1, no-2" in str(caught.value)


async def test_get_many_passes_other_errors_on(secrets):
    """A wrong path is not a missing secret."""
    with pytest.raises(gs.InvalidPath):
        await secrets.get_many(["a", "../b"])


# ---------------------------------------------------------------- create


async def test_created_secret_has_type_and_custom_metadata(secrets):
    """What was declared at creation is there at reading."""
    written = await secrets.create(
        "api-keys/stripe",
        {"key": "k"},
        type=gs.SecretType.API_KEY,
        custom_metadata={"owner": "billing"},
    )

    secret = await secrets.get("api-keys/stripe")

    assert (written.version, written.unchanged) == (1, False)
    assert secret.type is gs.SecretType.API_KEY
    assert secret.custom_metadata == {"owner": "billing"}


async def test_create_over_a_live_secret_is_refused(secrets):
    """A live secret is not overwritten, and its version is named."""
    await secrets.create("x", {"k": "v"})

    with pytest.raises(gs.SecretExists) as caught:
        await secrets.create("x", {"k": "other"})

    assert caught.value.facts == {"current_version": 1}
    assert (await secrets.get("x"))["k"].reveal() == "v"


async def test_create_after_delete_is_the_next_version(secrets):
    """Vault's CAS 0 fails after a soft delete; create works all the same, and describes anew."""
    await secrets.create("x", {"k": "v"}, custom_metadata={"owner": "a"})
    await secrets.delete("x")

    written = await secrets.create("x", {"k": "again"}, custom_metadata={"team": "b"})

    secret = await secrets.get("x")
    assert (written.version, secret.version) == (2, 2)
    assert secret.custom_metadata == {"team": "b"}


async def test_create_on_settings_without_versions(secrets, vault_server, mount):
    """A secret of which only metadata exists is created as version 1."""
    await vault_server.request("POST", f"{mount}/metadata/greenlang/x", {"max_versions": 3})

    assert (await secrets.create("x", {"k": "v"})).version == 1


async def test_of_ten_concurrent_creates_one_wins(secrets):
    """Nine hear that the secret exists, and the type is the winner's."""
    types = list(gs.SecretType)

    results = await asyncio.gather(
        *(secrets.create("x", {"k": type_.value}, type=type_) for type_ in types),
        return_exceptions=True,
    )

    winners = [result for result in results if isinstance(result, gs.SecretWritten)]
    secret = await secrets.get("x", fresh=True)
    assert len(winners) == 1
    assert sum(isinstance(result, gs.SecretExists) for result in results) == len(types) - 1
    assert secret["k"].reveal() == secret.type.value


async def test_secret_is_never_also_a_folder(secrets):
    """Neither below a secret nor above one can a secret be made, by create or by put."""
    await secrets.create("a/b", {"k": "v"})

    for write in (secrets.create, secrets.put):
        with pytest.raises(gs.PathIsFolder):
            await write("a", {"k": "v"})
        with pytest.raises(gs.AncestorIsSecret):
            await write("a/b/c/d", {"k": "v"})


@pytest.mark.parametrize(
    "path", ["health", "status/x", "rotation/status", "rotate/x", "x/undelete", "x/versions"]
)
async def test_reserved_names_cannot_come_into_being(secrets, vault_server, path):
    """What REST gives a meaning cannot be a secret's name, and nothing is sent."""
    mark = await vault_server.audit_mark()

    for write in (secrets.create, secrets.put):
        with pytest.raises(gs.ReservedName):
            await write(path, {"k": "v"})

    assert await vault_server.audit_requests(mark) == []


async def test_lost_race_for_a_new_secret_is_told_as_existing(secrets, vault_server, mount):
    """A secret that appears between the look and the write is not overwritten."""
    kv = secrets.client.kv(gs.PLATFORM)
    path = secrets._kv_path("x")
    from greenlang_secrets.writes import Writer

    class Late:
        """The engine, with another writer who comes first."""

        def __getattr__(self, name: str):
            return getattr(kv, name)

        async def write(self, path, data, *, cas):
            await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "1st"}})
            return await kv.write(path, data, cas=cas)

    with pytest.raises(gs.SecretExists):
        await Writer(Late(), path).create(
            {"k": "2nd"}, type_=gs.SecretType.GENERIC, custom_metadata=None
        )

    assert (await secrets.get("x"))["k"].reveal() == "1st"


# ---------------------------------------------------------------- put, patch


async def test_put_makes_and_replaces(secrets):
    """Without an expected version the last write wins, and the first one makes the secret."""
    first = await secrets.put("x", {"k": "1"}, type=gs.SecretType.API_KEY)
    second = await secrets.put("x", {"k": "2"})

    secret = await secrets.get("x")
    assert (first.version, second.version) == (1, 2)
    assert (secret["k"].reveal(), secret.type) == ("2", gs.SecretType.API_KEY)


async def test_put_is_seen_by_the_next_read(secrets):
    """Own writes invalidate before they return: 100 write-read pairs, none stale."""
    for number in range(100):
        await secrets.put("x", {"k": str(number)})
        assert (await secrets.get("x"))["k"].reveal() == str(number)


async def test_put_with_the_wrong_version_is_a_conflict(secrets):
    """CAS: nothing is written, and the current version is named."""
    await secrets.put("x", {"k": "1"})
    await secrets.put("x", {"k": "2"})

    with pytest.raises(gs.VersionConflict) as caught:
        await secrets.put("x", {"k": "3"}, expected_version=1)

    assert caught.value.facts == {"current_version": 2}
    assert (await secrets.get("x"))["k"].reveal() == "2"


async def test_put_of_equal_data_makes_no_version(secrets, config):
    """With an expected version equal data is `unchanged`; the setting turns that off."""
    await secrets.create("x", {"a": "1", "b": "2"})

    same = await secrets.put("x", {"b": "2", "a": "1"}, expected_version=1)
    async with gs.SecretsService.open(replace(config, skip_unchanged=False)) as other:
        anew = await other.put("x", {"a": "1", "b": "2"}, expected_version=1)

    assert (same.version, same.unchanged) == (1, True)
    assert (anew.version, anew.unchanged) == (2, False)


async def test_put_that_must_replace_refuses_where_nothing_is_live(secrets):
    """`must_exist`, or an expected version, makes nothing anew."""
    with pytest.raises(gs.SecretNotFound):
        await secrets.put("x", {"k": "v"}, must_exist=True)
    with pytest.raises(gs.SecretNotFound):
        await secrets.put("x", {"k": "v"}, expected_version=1)
    await secrets.create("x", {"k": "v"})
    await secrets.delete("x")

    with pytest.raises(gs.SecretDeleted):
        await secrets.put("x", {"k": "v"}, must_exist=True)


async def test_put_replaces_custom_metadata_only_when_given(secrets):
    """None leaves it alone; a mapping replaces it; the type stays."""
    await secrets.create(
        "x", {"k": "1"}, type=gs.SecretType.DATABASE, custom_metadata={"owner": "a", "x": "y"}
    )

    await secrets.put("x", {"k": "2"})
    kept = await secrets.get("x")
    await secrets.put("x", {"k": "3"}, custom_metadata={"owner": "b"})
    replaced = await secrets.get("x")
    await secrets.put("x", {"k": "4"}, type=gs.SecretType.CACHE)
    retyped = await secrets.get("x")

    assert kept.custom_metadata == {"owner": "a", "x": "y"}
    assert replaced.custom_metadata == {"owner": "b"}
    assert (replaced.type, retyped.type) == (gs.SecretType.DATABASE, gs.SecretType.CACHE)
    assert retyped.custom_metadata == {"owner": "b"}


@pytest.mark.parametrize("exists", [True, False], ids=["existing", "new"])
async def test_of_thirty_concurrent_puts_each_makes_a_version(secrets, exists):
    """Without an expected version nobody is refused: the last write wins, and none is lost or made
    twice, though each names a version under the hood.
    """
    before = (await secrets.put("x", {"k": "0"})).version if exists else 0

    written = await asyncio.gather(*(secrets.put("x", {"k": str(n)}) for n in range(30)))

    assert sorted(each.version for each in written) == list(range(before + 1, before + 31))
    last = max(written, key=lambda each: each.version)
    assert (await secrets.get("x"))["k"].reveal() == str(written.index(last))


async def test_concurrent_patches_of_other_keys_lose_nothing(secrets):
    """Each of ten patches is made on what is there when it is made."""
    await secrets.put("x", {"k": "v"})

    await asyncio.gather(*(secrets.patch("x", {f"k{n}": "v"}) for n in range(10)))

    assert len((await secrets.get("x")).data) == 11
    assert (await secrets.metadata("x")).current_version == 11


async def test_secret_that_demands_a_version_gets_none_by_itself(secrets, vault_server, mount):
    """`cas_required` on a secret is its owner's word to callers: a put or patch that names no
    version is refused, and not helped out.
    """
    await secrets.put("x", {"k": "v"})
    await vault_server.request("POST", f"{mount}/metadata/greenlang/x", {"cas_required": True})

    with pytest.raises(gs.PreconditionRequired):
        await secrets.put("x", {"k": "new"})
    with pytest.raises(gs.PreconditionRequired):
        await secrets.patch("x", {"k": "new"})
    assert (await secrets.put("x", {"k": "new"}, expected_version=1)).version == 2


async def test_mount_that_demands_a_version_is_given_the_one_that_was_read(
    secrets, vault_server, mount
):
    """`cas_required` on the mount is met by the version that `put` names under the hood."""
    await secrets.put("x", {"k": "v"})
    await vault_server.request("POST", f"{mount}/config", {"cas_required": True})

    assert (await secrets.put("x", {"k": "new"})).version == 2


async def test_patch_of_a_deleted_secret_says_so(secrets):
    """There is no live version to patch."""
    await secrets.put("x", {"k": "v"})
    await secrets.delete("x")

    with pytest.raises(gs.SecretDeleted):
        await secrets.patch("x", {"k": "new"})


async def test_patch_changes_some_keys(secrets):
    """The named keys change, None removes, the rest stays."""
    await secrets.create("x", {"a": "1", "b": "2"})

    written = await secrets.patch("x", {"a": "9", "b": None}, expected_version=1)

    assert written.version == 2
    assert (await secrets.get("x")).data.reveal() == {"a": "9"}


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"k": 1}, gs.InvalidSecret),
        ({"k": "\ud800"}, gs.InvalidSecret),
        ({"": "v"}, gs.InvalidSecret),
        ("text", gs.InvalidSecret),
        ({f"k{n}": "v" for n in range(257)}, gs.SecretTooLarge),
        ({"k": "x" * 768 * 1024}, gs.SecretTooLarge),
    ],
)
async def test_data_that_vault_would_alter_or_choke_on_is_refused(
    secrets, vault_server, data, error
):
    """Nothing that would come back changed, or be a 500, is sent."""
    await secrets.create("x", {"k": "v"})
    mark = await vault_server.audit_mark()

    for write in (secrets.create, secrets.put, secrets.patch):
        with pytest.raises(error):
            await write("x", data)

    assert await vault_server.audit_requests(mark) == []


async def test_largest_secret_that_is_allowed_is_kept(secrets):
    """The limit is one that the server's storage bears."""
    value = "x" * (768 * 1024 - len('{"k": ""}'))

    await secrets.create("x", {"k": value})

    assert (await secrets.get("x"))["k"].reveal() == value


# ---------------------------------------------------------------- delete, undelete, destroy


async def test_deleted_secret_is_gone_at_once_and_comes_back(secrets):
    """A delete is seen by the next read, and undone by undelete."""
    await secrets.create("x", {"k": "v"})
    await secrets.get("x")

    await secrets.delete("x")
    with pytest.raises(gs.SecretDeleted):
        await secrets.get("x")
    undeleted = await secrets.undelete("x", [1])

    assert undeleted == gs.Undeleted(path="x", restored=(1,), already_live=(), current_version=1)
    assert (await secrets.get("x"))["k"].reveal() == "v"


async def test_delete_of_what_is_not_there(secrets):
    """Vault says 204 to these; we say what is wrong."""
    with pytest.raises(gs.SecretNotFound):
        await secrets.delete("x")
    await secrets.create("x", {"k": "v"})
    with pytest.raises(gs.VersionNotFound):
        await secrets.delete("x", [2])
    await secrets.delete("x")

    with pytest.raises(gs.SecretDeleted):
        await secrets.delete("x")
    with pytest.raises(gs.SecretDeleted):
        await secrets.delete("x", [1])


async def test_some_versions_are_deleted(secrets):
    """Named versions go, the others stay."""
    for number in range(3):
        await secrets.put("x", {"k": str(number)})

    await secrets.delete("x", [1, 2])

    assert [row.state for row in await secrets.versions("x")] == ["live", "deleted", "deleted"]


async def test_delete_with_the_wrong_version_is_a_conflict(secrets):
    """An expected version protects deletes as well."""
    await secrets.create("x", {"k": "v"})

    with pytest.raises(gs.VersionConflict):
        await secrets.delete("x", expected_version=2)
    with pytest.raises(gs.VersionConflict):
        await secrets.destroy("x", [1], reason="r", expected_version=2)

    assert (await secrets.get("x")).version == 1


async def test_undelete_tells_what_it_cannot_do(secrets):
    """Unknown and destroyed versions are errors, and then nothing is restored at all."""
    for number in range(3):
        await secrets.put("x", {"k": str(number)})
    await secrets.delete("x", [1])
    await secrets.destroy("x", [2], reason="leaked")

    with pytest.raises(gs.SecretNotFound):
        await secrets.undelete("nothing", [1])
    with pytest.raises(gs.VersionNotFound):
        await secrets.undelete("x", [1, 9])
    with pytest.raises(gs.VersionDestroyed):
        await secrets.undelete("x", [1, 2])
    assert [row.state for row in await secrets.versions("x")] == ["live", "destroyed", "deleted"]

    undeleted = await secrets.undelete("x", [1, 3])
    assert (undeleted.restored, undeleted.already_live) == ((1,), (3,))


async def test_one_version_needs_no_list(secrets):
    """A single version is given as a number."""
    for number in range(2):
        await secrets.put("x", {"k": str(number)})

    await secrets.delete("x", 1)
    undeleted = await secrets.undelete("x", 1)
    await secrets.destroy("x", 1, reason="leaked")

    assert undeleted.restored == (1,)
    assert [row.state for row in await secrets.versions("x")] == ["live", "destroyed"]


async def test_destroyed_version_is_gone_for_good(secrets):
    """Destroying needs a reason and cannot be undone."""
    await secrets.create("x", {"k": "v"})

    with pytest.raises(gs.InvalidRequest, match="reason"):
        await secrets.destroy("x", [1], reason=" ")
    await secrets.destroy("x", [1], reason="leaked in ticket 42")

    with pytest.raises(gs.SecretDeleted) as caught:
        await secrets.get("x")
    assert caught.value.destroyed


@pytest.mark.parametrize("versions", [[], [0], [1, 1], ["1"], "1", None])
async def test_versions_that_are_none_are_refused(secrets, versions):
    """A list of versions is one to a hundred different whole numbers."""
    with pytest.raises(gs.InvalidVersion):
        await secrets.undelete("x", versions)
    with pytest.raises(gs.InvalidVersion):
        await secrets.destroy("x", versions, reason="r")


# ---------------------------------------------------------------- list


async def test_list_has_folders_and_secrets_with_metadata(secrets):
    """A listing tells type, version and state, never values."""
    await secrets.create("api-keys/stripe", {"key": "k"}, type=gs.SecretType.API_KEY)
    await secrets.create("top", {"k": "v"})

    root = [entry async for entry in secrets.list()]
    keys = [entry async for entry in secrets.list("api-keys/")]

    assert [(entry.path, entry.kind) for entry in root] == [
        ("api-keys/", "folder"),
        ("top", "secret"),
    ]
    assert keys[0].metadata.type is gs.SecretType.API_KEY
    assert keys[0].metadata.current_version == 1


async def test_list_is_paged(secrets):
    """Pages follow each other without gap or overlap."""
    names = [f"s{number:02}" for number in range(7)]
    for name in names:
        await secrets.create(name, {"k": "v"})

    seen: list[str] = []
    after = None
    while True:
        page = await secrets.page(limit=3, after=after)
        seen += [entry.path for entry in page.items]
        if page.next is None:
            break
        after = page.next

    assert seen == names


async def test_long_list_runs_through_its_pages(secrets, vault_server, mount):
    """More secrets than a page holds are all listed."""
    await asyncio.gather(
        *(
            vault_server.request("POST", f"{mount}/data/greenlang/s{n:03}", {"data": {"k": "v"}})
            for n in range(120)
        )
    )

    assert len([entry async for entry in secrets.list()]) == 120


async def test_names_outside_the_grammar_are_shown_as_not_addressable(secrets, vault_server, mount):
    """What other tools wrote is not hidden, and is marked."""
    for name in ("with%20space", "x/versions", "ok", "sp%20ace/y"):
        await vault_server.request("POST", f"{mount}/data/greenlang/{name}", {"data": {"k": "v"}})

    root = {entry.path: entry.addressable async for entry in secrets.list()}
    below = {entry.path: entry.addressable async for entry in secrets.list("x/")}

    assert root == {"ok": True, "sp ace/": False, "with space": False, "x/": True}
    assert below == {"x/versions": False}


@pytest.mark.parametrize("limit", [0, 101])
async def test_page_of_a_wrong_size_is_refused(secrets, limit):
    """A page has 1 to 100 entries."""
    with pytest.raises(gs.InvalidRequest, match="1 to 100"):
        await secrets.page(limit=limit)


async def test_secret_that_vanishes_during_a_listing_is_left_out(secrets, vault_server, mount):
    """A name without metadata was purged in between; it is not shown as a secret."""
    from greenlang_secrets.listing import Listing

    await secrets.create("a", {"k": "v"})
    listing = Listing(secrets.client.kv(gs.PLATFORM), mount, gs.PLATFORM)

    assert await listing._entry("never-was") is None


# ---------------------------------------------------------------- authority


@pytest.mark.parametrize(
    ("permissions", "call"),
    [
        ([gs.Permission.WRITE, gs.Permission.ADMIN, gs.Permission.ROTATE], "get"),
        ([gs.Permission.WRITE, gs.Permission.ADMIN, gs.Permission.ROTATE], "page"),
        ([gs.Permission.LIST], "get"),
        ([gs.Permission.READ, gs.Permission.ADMIN], "create"),
        ([gs.Permission.READ, gs.Permission.ADMIN], "put"),
        ([gs.Permission.READ, gs.Permission.ADMIN], "patch"),
        ([gs.Permission.READ, gs.Permission.WRITE], "delete"),
        ([gs.Permission.READ, gs.Permission.WRITE], "undelete"),
        ([gs.Permission.READ, gs.Permission.WRITE], "destroy"),
        ([gs.Permission.WRITE], "versions"),
        ([], "get"),
    ],
)
async def test_missing_permission_is_denied_without_a_request(
    secrets, vault_server, permissions, call
):
    """What is not granted is denied before anything is sent, for a held value too."""
    await secrets.put("x", {"k": "v"})
    await secrets.get("x")
    view = secrets.scoped(gs.TenantContext(principal=caller(*permissions), scope=gs.PLATFORM))
    arguments = {
        "get": lambda: view.get("x"),
        "page": view.page,
        "create": lambda: view.create("x", {"k": "v"}),
        "put": lambda: view.put("x", {"k": "v"}),
        "patch": lambda: view.patch("x", {"k": "v"}),
        "delete": lambda: view.delete("x"),
        "undelete": lambda: view.undelete("x", [1]),
        "destroy": lambda: view.destroy("x", [1], reason="r"),
        "versions": lambda: view.versions("x"),
    }
    mark = await vault_server.audit_mark()

    with pytest.raises(gs.AccessDenied):
        await arguments[call]()

    assert await vault_server.audit_requests(mark) == []


async def test_read_under_way_is_nobodys_who_may_not_read(secrets):
    """Who may not read a secret is denied also while another reads it, in the very same turn."""
    await secrets.put("x", {"k": "v"})
    view = secrets.scoped(gs.TenantContext(principal=caller(gs.Permission.LIST), scope=gs.PLATFORM))

    allowed, joined, denied = await asyncio.gather(
        secrets.get("x"), secrets.get("x"), view.get("x"), return_exceptions=True
    )

    assert allowed is joined
    assert allowed["k"].reveal() == "v"
    assert isinstance(denied, gs.AccessDenied)


async def test_listing_is_enough_to_list(secrets):
    """`secrets:list` lists and does not read."""
    await secrets.put("x", {"k": "v"})
    view = secrets.scoped(gs.TenantContext(principal=caller(gs.Permission.LIST), scope=gs.PLATFORM))

    assert [entry.path async for entry in view.list()] == ["x"]


async def test_policy_of_vault_denies_too(denied):
    """Without a policy in Vault our permission does not help."""
    with pytest.raises(gs.AccessDenied):
        await denied.get("x")


# ---------------------------------------------------------------- what is told


async def test_operations_are_counted_by_type_and_result(secrets):
    """Reads from the cache, reads from Vault and failures are all counted."""
    await secrets.create("x", {"k": "v"}, type=gs.SecretType.API_KEY)
    for _ in range(3):
        await secrets.get("x")
    with pytest.raises(gs.SecretNotFound):
        await secrets.get("missing")

    totals = secrets.tally.totals()

    assert totals["create", "api_key", Result.OK] == 1
    assert totals["read", "api_key", Result.OK] == 3
    assert totals["read", "generic", Result.NOT_FOUND] == 1
    assert (secrets.cache.stats().hits, secrets.cache.stats().misses) == (2, 2)


async def test_pinned_version_is_read_once(secrets, vault_server):
    """A version that a caller pins is kept beside the newest, and its hits are counted as well."""
    await secrets.create("x", {"k": "one"})
    await secrets.put("x", {"k": "two"})
    first = await secrets.get("x", version=1)
    newest = await secrets.get("x")
    mark = await vault_server.audit_mark()

    assert await secrets.get("x", version=1) is first
    assert await secrets.get("x") is newest
    assert await vault_server.audit_requests(mark) == []
    assert secrets.cache.stats().hits == 2


async def test_view_that_is_kept_finds_what_was_emptied_and_filled_again(secrets, vault_server):
    """A view made before an invalidation reads from Vault once after it, and from the cache then."""
    await secrets.create("x", {"k": "one"})
    kept = secrets.scoped(gs.TenantContext(principal=caller(gs.Permission.READ), scope=gs.PLATFORM))
    await kept.get("x")
    await secrets.put("x", {"k": "two"})

    changed = await kept.get("x")
    mark = await vault_server.audit_mark()

    assert changed["k"].reveal() == "two"
    for view in (kept, secrets, secrets):  # the second looked the last time before it was there
        assert await view.get("x") is changed
    assert await vault_server.audit_requests(mark) == []
    assert secrets.cache.stats().hits == 3
    assert secrets.tally.fresh_reads["generic"] == [2]


async def test_unexpected_exception_is_counted_as_an_error(secrets, monkeypatch):
    """A bug is not invisible in the metrics."""

    def broken(_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(secrets.client, "kv", broken)
    with pytest.raises(ZeroDivisionError):
        await secrets.get("x")

    assert secrets.tally.totals()["read", "generic", Result.ERROR] == 1


async def test_health_of_a_vault_that_works(secrets):
    """A working Vault is ok: reachable, unsealed, and a real request succeeded."""
    health = await secrets.health()

    assert (health.status, health.reachable, health.sealed, health.canary) == (
        "ok",
        True,
        False,
        True,
    )
    assert abs(health.clock_skew) < 2


async def test_health_without_vault(secrets, config):
    """Without Vault and without a held value nothing works: down."""
    nowhere = replace(config, addresses=("http://127.0.0.1:9",), connect_timeout=0.2)
    async with gs.SecretsService.open(nowhere) as service:
        health = await service.health()

    assert (health.status, health.reachable) == ("down", False)


async def test_closed_service_answers_no_more(config):
    """After closing, a read is a plain error, and no task is left."""
    async with gs.SecretsService.open(config) as service:
        await service.create("x", {"k": "v"})
    before = len(asyncio.all_tasks())

    with pytest.raises(RuntimeError, match="closed"):
        await service.get("x")

    assert len(asyncio.all_tasks()) == before


async def test_secret_written_but_not_described_is_an_unknown_outcome(secrets, monkeypatch):
    """When Vault goes away between the data and its type, "nothing was done" would be a lie."""
    from greenlang_secrets.vault.kv import KvV2

    async def away(*_: object, **__: object) -> None:
        raise gs.VaultUnavailable("sealed")

    monkeypatch.setattr(KvV2, "patch_metadata", away)

    with pytest.raises(gs.OutcomeUnknown):
        await secrets.create("x", {"k": "v"}, type=gs.SecretType.API_KEY)

    assert (await secrets.get("x"))["k"].reveal() == "v"


async def test_version_that_deletes_itself_is_not_held_longer(secrets, vault_server, mount):
    """The cache does not outlive `delete_version_after`, and a read says when that is."""
    await vault_server.request(
        "POST", f"{mount}/metadata/greenlang/x", {"delete_version_after": "1s"}
    )
    await secrets.create("x", {"k": "v"})

    secret = await secrets.get("x")

    async def until_gone() -> None:
        while await secrets.get("x"):
            await asyncio.sleep(0.05)

    assert secret.expires_at is not None
    with pytest.raises(gs.SecretDeleted):
        await asyncio.wait_for(until_gone(), 5)


async def test_rotations_own_metadata_survives_its_owners(secrets, vault_server, mount):
    """Replacing the custom metadata leaves the keys that rotation keeps there."""
    await secrets.create("x", {"k": "v"}, custom_metadata={"owner": "a"})
    await vault_server.request(
        "POST",
        f"{mount}/metadata/greenlang/x",
        {"custom_metadata": {"owner": "a", "gls_op": "1", "type": "generic"}},
    )

    await secrets.put("x", {"k": "w"}, custom_metadata={"team": "b"})

    assert (await secrets.get("x")).custom_metadata == {"team": "b", "gls_op": "1"}
