from __future__ import annotations

import pytest

import greenlang_secrets as gs
from greenlang_secrets.access import Principal
from greenlang_secrets.vault.transit_values import CiphertextItem, bound_to
from support.mounts import mounted


@pytest.fixture
async def transit(vault_server):
    """A transit mount of the test's own, with the key ``pii``."""
    async with mounted(vault_server, "transit") as name:
        status, _ = await vault_server.request("POST", f"{name}/keys/pii", {})
        assert status == 200
        yield name


@pytest.fixture
def platform(secrets, transit):
    return secrets.encryption_key("pii", mount=transit)


@pytest.fixture
def acme(secrets, transit):
    return secrets.for_tenant("acme").encryption_key("pii", mount=transit)


@pytest.fixture
def globex(secrets, transit):
    return secrets.for_tenant("globex").encryption_key("pii", mount=transit)


@pytest.mark.parametrize(
    ("clear", "octets"),
    [
        (b"octets \x00\xff", b"octets \x00\xff"),
        ("ünïcode", "ünïcode".encode()),
        (gs.SecretValue("masked"), b"masked"),
        (gs.Plaintext.of(b"plain"), b"plain"),
        ("", b""),
    ],
)
async def test_what_is_encrypted_comes_back(platform, acme, clear, octets):
    """Octets and texts, masked or not, decrypt to what they were."""
    for key in (platform, acme):
        encrypted = await key.encrypt(clear)

        assert (await key.decrypt(encrypted)).reveal() == octets
        assert (await key.decrypt(encrypted.ciphertext)).reveal() == octets


async def test_bound_ciphertext_needs_the_same_parts(platform, acme):
    """Another part, another order, a part less or more, or none: refused."""
    for key in (platform, acme):
        encrypted = await key.encrypt("x", bound_to=("users", "email"))

        assert (await key.decrypt(encrypted, bound_to=["users", "email"])).reveal() == b"x"
        for parts in (("users", "name"), ("email", "users"), ("users",), ("usersemail",), ()):
            with pytest.raises(gs.CiphertextRefused):
                await key.decrypt(encrypted, bound_to=parts)


@pytest.mark.parametrize("parts", [(), ("users.email",)])
async def test_tenants_ciphertext_is_of_no_use_to_anybody_else(platform, acme, globex, parts):
    """It decrypts for neither another tenant nor the platform, not even if that names the tenant."""
    encrypted = await acme.encrypt("x", bound_to=parts)

    for key, stranger_parts in (
        (globex, parts),
        (globex, ("acme", *parts)),
        (platform, parts),
        (platform, ("acme", *parts)),
    ):
        with pytest.raises(gs.CiphertextRefused):
            await key.decrypt(encrypted, bound_to=stranger_parts)
    assert (await acme.decrypt(encrypted, bound_to=parts)).reveal() == b"x"


async def test_without_binding_it_would_be(secrets, transit, platform, acme):
    """The control: the same key opens a ciphertext for everybody whom nothing binds it to."""
    unbound = await secrets.client.transit(mount=transit).encrypt("pii", gs.Plaintext.of(b"x"))

    assert (await platform.decrypt(unbound)).reveal() == b"x"
    with pytest.raises(gs.CiphertextRefused):  # a tenant's key is never without
        await acme.decrypt(unbound)


@pytest.mark.parametrize("parts", [(), ("acme",), ("users.email",)])
async def test_platforms_ciphertext_is_of_no_use_to_a_tenant(platform, acme, parts):
    """Whatever the platform binds to, a tenant's name among it, no tenant can name it."""
    encrypted = await platform.encrypt("x", bound_to=parts)

    for own in ((), parts, parts[1:]):
        with pytest.raises(gs.CiphertextRefused):
            await acme.decrypt(encrypted, bound_to=own)


async def test_binding_begins_with_the_tenant(secrets, transit, acme):
    """What a tenant's ciphertext is bound to can be had with the engine alone, too."""
    encrypted = await acme.encrypt("x", bound_to=("users.email",))

    plaintext = await secrets.client.transit(mount=transit).decrypt(
        "pii", encrypted.ciphertext, associated_data=bound_to("acme", "users.email")
    )

    assert plaintext.reveal() == b"x"


async def test_one_text_is_not_taken_for_its_characters(platform, acme):
    """A text is a sequence of texts as well; bound to it by mistake, nothing is encrypted."""
    for attempt in (
        platform.encrypt("x", bound_to="users"),
        acme.decrypt("vault:v1:AAAA", bound_to="users"),
        acme.encrypt_many(["x"], bound_to="users"),
        acme.encrypt_many([gs.Bound("x", "users")]),
    ):
        with pytest.raises(gs.InvalidRequest, match="sequence of texts"):
            await attempt


async def test_many_are_one_request_and_fail_alone(acme, globex, vault_server, transit):
    """A batch keeps its order, and an item that is not the tenant's costs no other."""
    mark = await vault_server.audit_mark()
    encrypted = await acme.encrypt_many(["a", b"b", "c"], bound_to=("users.email",))
    foreign = await globex.encrypt("x", bound_to=("users.email",))

    decrypted = await acme.decrypt_many(
        [encrypted[0], foreign, encrypted[1].ciphertext, "nonsense", encrypted[2]],
        bound_to=("users.email",),
    )

    kinds = [type(item).__name__ for item in decrypted]
    assert kinds == ["Plaintext", *("CiphertextRefused", "Plaintext") * 2]
    assert [item.reveal() for item in decrypted[::2]] == [b"a", b"b", b"c"]
    sent = [path for _, path in await vault_server.audit_requests(mark)]
    assert sent.count(f"{transit}/encrypt/pii") == 2
    assert sent.count(f"{transit}/decrypt/pii") == 1
    assert await acme.encrypt_many([]) == ()


async def test_each_of_many_may_be_bound_to_its_own(acme):
    """An item's own parts follow those of the batch, so one row's value is of no use in another."""
    first, second = await acme.encrypt_many(
        [gs.Bound("a", ("1",)), gs.Bound("b", ("2",))], bound_to=("users.email",)
    )

    right, swapped = await acme.decrypt_many(
        [gs.Bound(first, ("1",)), gs.Bound(second, ("1",))], bound_to=("users.email",)
    )

    assert right.reveal() == b"a"
    assert isinstance(swapped, gs.CiphertextRefused)
    assert (await acme.decrypt(second, bound_to=("users.email", "2"))).reveal() == b"b"


async def test_rewrapped_ciphertext_is_of_the_latest_version(platform, acme, vault_server, transit):
    """Bound or not, the same plaintext is encrypted anew, and stays bound to the same."""
    plain, bound = await platform.encrypt("x"), await acme.encrypt("y", bound_to=("users.email",))
    await vault_server.request("POST", f"{transit}/keys/pii/rotate")
    mark = await vault_server.audit_mark()

    again = await platform.rewrap(plain)
    bound_again = await acme.rewrap(bound.ciphertext, bound_to=("users.email",))

    assert (plain.key_version, again.key_version, bound_again.key_version) == (1, 2, 2)
    assert (await platform.decrypt(again)).reveal() == b"x"
    assert (await acme.decrypt(bound_again, bound_to=("users.email",))).reveal() == b"y"
    with pytest.raises(gs.CiphertextRefused):
        await acme.decrypt(bound_again)
    sent = [path for _, path in await vault_server.audit_requests(mark)]
    assert sent[:3] == [
        f"{transit}/{operation}/pii" for operation in ("rewrap", "decrypt", "encrypt")
    ]


async def test_rewrap_of_a_foreign_ciphertext_is_refused(acme, globex):
    """Nor is rewrapping a way to another tenant's plaintext."""
    foreign = await globex.encrypt("x")

    with pytest.raises(gs.CiphertextRefused):
        await acme.rewrap(foreign)


async def test_key_needs_the_permission_to_read(secrets, transit, vault_server):
    """Who may not read gets no key, and nothing is sent."""
    nobody = Principal(
        subject="ada",
        tenant=gs.TenantId("acme"),
        permissions=frozenset(gs.Permission) - {gs.Permission.READ},
    )
    mark = await vault_server.audit_mark()

    with pytest.raises(gs.AccessDenied):
        secrets.for_tenant("acme", principal=nobody).encryption_key("pii", mount=transit)

    assert await vault_server.audit_requests(mark) == []


async def test_secret_of_the_type_refers_to_a_key(secrets, transit):
    """The secret names key and mount; the key it stands for is used in Vault."""
    await secrets.create(
        "keys/pii", {"transit_key": "pii", "mount": transit}, type=gs.SecretType.ENCRYPTION_KEY
    )

    key = await secrets.get_typed("keys/pii", gs.EncryptionKey)

    assert (key.name, key.mount, key.path, key.version) == ("pii", transit, "keys/pii", 1)
    assert (await key.decrypt(await key.encrypt("x"))).reveal() == b"x"


async def test_secret_of_a_tenant_refers_to_a_key_bound_to_it(secrets, vault_server):
    """What a tenant's own secret names is bound to that tenant all the same."""
    status, _ = await vault_server.request("POST", "sys/mounts/transit", {"type": "transit"})
    try:
        await vault_server.request("POST", "transit/keys/pii", {})
        view = secrets.for_tenant("acme")
        await view.create("key", {"transit_key": "pii"}, type=gs.SecretType.ENCRYPTION_KEY)

        encrypted = await (await view.get_typed("key", gs.EncryptionKey)).encrypt("x")
        engine = secrets.client.transit()

        [unbound] = await engine.decrypt_many("pii", [CiphertextItem(encrypted.ciphertext)])
        assert isinstance(unbound, gs.CiphertextRefused)
        bound = await engine.decrypt("pii", encrypted.ciphertext, associated_data=bound_to("acme"))
        assert bound.reveal() == b"x"
    finally:
        if status in {200, 204}:
            await vault_server.request("DELETE", "sys/mounts/transit")
