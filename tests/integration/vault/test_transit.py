from __future__ import annotations

import hashlib

import pytest

from greenlang_secrets.errors import (
    AccessDenied,
    CiphertextRefused,
    CiphertextTooOld,
    InvalidRequest,
    ObjectExists,
    ObjectNotFound,
    VaultRefused,
)
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.transit import Transit
from greenlang_secrets.vault.transit_values import (
    AssociatedData,
    CiphertextItem,
    HmacItem,
    Plaintext,
    PlaintextItem,
    SignatureItem,
    SigningItem,
    bound_to,
)
from support.mounts import mounted, speaking, token_with

SECRET = Plaintext.of(b"octets \x00\xff")
ACME = bound_to("tenant", "acme")
GLOBEX = bound_to("tenant", "globex")


@pytest.fixture
async def mount(vault_server):
    async with mounted(vault_server, "transit") as name:
        yield name


@pytest.fixture
async def transit(vault_server, mount):
    async with speaking(vault_server, vault_server.root_token) as call:
        engine = Transit(call, mount=mount)
        await engine.keys.create("k")
        yield engine


@pytest.fixture
async def limited(vault_server, mount, transit):
    """The engine for a token that may use keys and not read them."""
    rules = [
        f'path "{mount}/{operation}/*" {{ capabilities = ["update"] }}'
        for operation in ("encrypt", "decrypt", "rewrap", "verify", "hmac")
    ]
    async with speaking(vault_server, await token_with(vault_server, *rules)) as call:
        yield Transit(call, mount=mount)


async def retire_first_version(transit: Transit, key: str = "k") -> None:
    await transit.keys.rotate(key)
    await transit.keys.configure(key, min_decryption_version=2)


# ---------------------------------------------------------------- one at a time


async def test_ciphertext_decrypts_to_the_same_octets(transit):
    """Any octets come back as they were, and the ciphertext names its key version."""
    encrypted = await transit.encrypt("k", SECRET)

    plaintext = await transit.decrypt("k", encrypted.ciphertext)

    assert plaintext.reveal() == b"octets \x00\xff"
    assert encrypted.key_version == 1
    assert encrypted.ciphertext.startswith("vault:v1:")


async def test_empty_plaintext_is_kept(transit):
    """No octets are a plaintext too."""
    encrypted = await transit.encrypt("k", Plaintext.of(b""))

    assert (await transit.decrypt("k", encrypted.ciphertext)).reveal() == b""


async def test_bound_ciphertext_decrypts_for_its_owner_only(transit):
    """What is bound to one tenant does not decrypt for another, nor for nobody."""
    bound = (await transit.encrypt("k", SECRET, associated_data=ACME)).ciphertext

    with pytest.raises(CiphertextRefused):
        await transit.decrypt("k", bound, associated_data=GLOBEX)
    with pytest.raises(CiphertextRefused):
        await transit.decrypt("k", bound)
    plaintext = await transit.decrypt("k", bound, associated_data=ACME)
    assert plaintext.reveal() == b"octets \x00\xff"


async def test_associated_data_that_are_no_base64_are_not_sent(transit):
    """Vault says 500 to them, which would look like an outage; here it is InvalidRequest."""
    with pytest.raises(InvalidRequest):
        await transit.encrypt("k", SECRET, associated_data=AssociatedData("tenant acme"))


async def test_derived_key_needs_the_same_context(transit):
    """With a derived key, another context is another key."""
    await transit.keys.create("derived", derived=True)
    encrypted = await transit.encrypt("derived", SECRET, context=b"acme")

    assert await transit.decrypt("derived", encrypted.ciphertext, context=b"acme")
    with pytest.raises(CiphertextRefused):
        await transit.decrypt("derived", encrypted.ciphertext, context=b"globex")
    with pytest.raises(VaultRefused):
        await transit.encrypt("derived", SECRET)


async def test_convergent_key_makes_equal_ciphertexts(transit):
    """Equal plaintexts under a convergent key are equal ciphertexts; under others never."""
    await transit.keys.create("same", derived=True, convergent_encryption=True)

    same = {(await transit.encrypt("same", SECRET, context=b"c")).ciphertext for _ in range(2)}
    other = {(await transit.encrypt("k", SECRET)).ciphertext for _ in range(2)}

    assert (len(same), len(other)) == (1, 2)


@pytest.mark.parametrize("ciphertext", ["vault:v9:AAAA", "vault:v1:AAAA", "nonsense", ""])
async def test_text_that_is_no_ciphertext_of_this_key_is_refused(transit, ciphertext):
    """A forged, future or shapeless ciphertext is CiphertextRefused and not a fault of ours."""
    with pytest.raises(CiphertextRefused) as caught:
        await transit.decrypt("k", ciphertext)
    assert caught.value.code == "ciphertext_refused"


async def test_retired_version_is_told_from_a_wrong_ciphertext(transit):
    """Below `min_decryption_version` a ciphertext is too old; lowered again, it decrypts."""
    old = (await transit.encrypt("k", SECRET)).ciphertext
    await retire_first_version(transit)

    with pytest.raises(CiphertextTooOld):
        await transit.decrypt("k", old)
    with pytest.raises(CiphertextTooOld):
        await transit.rewrap("k", old)
    await transit.keys.configure("k", min_decryption_version=1)
    assert (await transit.decrypt("k", old)).reveal() == b"octets \x00\xff"


async def test_rewrapped_ciphertext_is_of_the_latest_version(transit):
    """Rewrapping makes a ciphertext of the newest version with the same content."""
    old = await transit.encrypt("k", SECRET)
    await transit.keys.rotate("k")

    new = await transit.rewrap("k", old.ciphertext)

    assert (old.key_version, new.key_version) == (1, 2)
    assert (await transit.decrypt("k", new.ciphertext)).reveal() == b"octets \x00\xff"


async def test_server_does_not_rewrap_what_is_bound(transit, vault_server, mount):
    """OpenBao ignores associated data in a rewrap and fails, which is why we take none."""
    bound = (await transit.encrypt("k", SECRET, associated_data=ACME)).ciphertext

    status, _ = await vault_server.request(
        "POST", f"{mount}/rewrap/k", {"ciphertext": bound, "associated_data": ACME}
    )

    assert status == 400
    with pytest.raises(CiphertextRefused):
        await transit.rewrap("k", bound)
    with pytest.raises(InvalidRequest):
        await transit.rewrap_many("k", [CiphertextItem(bound, associated_data=ACME)])


async def test_version_to_encrypt_with_can_be_chosen(transit):
    """An older version encrypts where it is named; one that is not there is refused."""
    await transit.keys.rotate("k")

    assert (await transit.encrypt("k", SECRET, key_version=1)).key_version == 1
    with pytest.raises(VaultRefused):
        await transit.encrypt("k", SECRET, key_version=7)


async def test_unknown_key_is_named(transit):
    """Every operation with an unknown key is ObjectNotFound, once unknown ones are not made."""
    await transit.keys.configure_upsert(allowed=False)

    for attempt in (
        transit.encrypt("none", SECRET),
        transit.encrypt_many("none", [PlaintextItem(SECRET)]),
        transit.decrypt("none", "vault:v1:AAAA"),
        transit.decrypt_many("none", [CiphertextItem("vault:v1:AAAA")]),
        transit.rewrap("none", "vault:v1:AAAA"),
        transit.datakey("none"),
        transit.wrapped_datakey("none"),
        transit.sign("none", b"m"),
        transit.verify("none", b"m", "vault:v1:AAAA"),
        transit.hmac("none", b"m"),
        transit.verify_hmac("none", b"m", "vault:v1:AAAA"),
        transit.sign_many("none", [SigningItem(b"m")]),
        transit.verify_many("none", [SignatureItem(b"m", "vault:v1:AAAA")]),
        transit.hmac_many("none", [b"m"]),
        transit.verify_hmac_many("none", [HmacItem(b"m", "vault:v1:AAAA")]),
        transit.keys.read("none"),
        transit.keys.rotate("none"),
        transit.keys.configure("none", deletion_allowed=True),
        transit.keys.trim("none", min_available_version=1),
        transit.keys.delete("none"),
    ):
        with pytest.raises(ObjectNotFound) as caught:
            await attempt
        assert caught.value.kind == "key"


async def test_unknown_key_is_made_by_encrypting_unless_forbidden(transit):
    """Vault makes an unknown key while it encrypts; the mount can be told not to."""
    assert await transit.keys.upsert_allowed()
    await transit.encrypt("mistyped", SECRET)
    await transit.keys.configure_upsert(allowed=False)

    assert await transit.keys.list() == ("k", "mistyped")
    assert not await transit.keys.upsert_allowed()


async def test_token_that_may_not_read_keys_hears_less(transit, limited):
    """Without the right to read the key, a retired version is just refused."""
    old = (await limited.encrypt("k", SECRET)).ciphertext
    mac = (await limited.hmac("k", b"m")).text
    await retire_first_version(transit)

    with pytest.raises(CiphertextRefused) as caught:
        await limited.decrypt("k", old)
    assert not isinstance(caught.value, CiphertextTooOld)
    with pytest.raises(VaultRefused):
        await limited.verify_hmac("k", b"m", mac)


async def test_denied_operations_are_denied(limited):
    """What the policy forbids is AccessDenied, in batches too."""
    with pytest.raises(AccessDenied):
        await limited.sign("k", b"m")
    with pytest.raises(AccessDenied):
        await limited.sign_many("k", [SigningItem(b"m")])
    with pytest.raises(AccessDenied):
        await limited.random(16)
    with pytest.raises(AccessDenied):
        await limited.keys.list()
    with pytest.raises(AccessDenied):
        await limited.keys.rotate("k")


# ---------------------------------------------------------------- many at once


async def test_batch_keeps_the_order(transit):
    """Item by item, what was encrypted together decrypts together."""
    items = [PlaintextItem(Plaintext.of(bytes([n]))) for n in range(20)]

    encrypted = await transit.encrypt_many("k", items)
    decrypted = await transit.decrypt_many("k", [CiphertextItem(e.ciphertext) for e in encrypted])

    assert [plaintext.reveal() for plaintext in decrypted] == [bytes([n]) for n in range(20)]


async def test_bad_item_costs_no_other(transit):
    """Though Vault says 400 to the whole batch, the good items come back beside the bad."""
    bound, free = await transit.encrypt_many(
        "k", [PlaintextItem(SECRET, associated_data=ACME), PlaintextItem(SECRET)]
    )

    results = await transit.decrypt_many(
        "k",
        [
            CiphertextItem(bound.ciphertext, associated_data=GLOBEX),
            CiphertextItem(bound.ciphertext, associated_data=ACME),
            CiphertextItem("nonsense"),
            CiphertextItem(free.ciphertext),
        ],
    )

    kinds = [type(result).__name__ for result in results]
    assert kinds == ["CiphertextRefused", "Plaintext", "CiphertextRefused", "Plaintext"]


async def test_all_items_may_be_bad(transit):
    """A batch without one good item is a batch of errors."""
    results = await transit.decrypt_many("k", [CiphertextItem("a"), CiphertextItem("b")])

    assert all(isinstance(result, CiphertextRefused) for result in results)


async def test_bad_items_of_an_encryption_are_refused_alone(transit):
    """A plaintext that somebody made by hand, of no base64, costs no other item."""
    bad, good = await transit.encrypt_many(
        "k", [PlaintextItem(Plaintext(SecretValue("%%%"))), PlaintextItem(SECRET)]
    )

    assert isinstance(bad, VaultRefused)
    assert good.ciphertext.startswith("vault:v1:")


async def test_batch_without_a_needed_context_is_refused_as_a_whole(transit):
    """Where a derived key lacks one item's context, Vault looks at no item at all."""
    await transit.keys.create("derived", derived=True)

    with pytest.raises(VaultRefused):
        await transit.encrypt_many(
            "derived", [PlaintextItem(SECRET), PlaintextItem(SECRET, context=b"c")]
        )


async def test_rewrap_batch_says_200_and_still_names_the_bad_item(transit):
    """Retired, bound and good items are told apart in one rewrap."""
    bound = (await transit.encrypt("k", SECRET, associated_data=ACME)).ciphertext
    old = (await transit.encrypt("k", SECRET)).ciphertext
    await transit.keys.rotate("k")
    new = (await transit.encrypt("k", SECRET)).ciphertext

    first = await transit.rewrap_many("k", [CiphertextItem(c) for c in (bound, old)])
    await transit.keys.configure("k", min_decryption_version=2)
    second = await transit.rewrap_many("k", [CiphertextItem(c) for c in (old, new)])

    assert isinstance(first[0], CiphertextRefused)
    assert first[1].key_version == 2
    assert isinstance(second[0], CiphertextTooOld)
    assert second[1].key_version == 2


async def test_empty_batch_asks_nobody(transit):
    """Without items there is no request; Vault would refuse an empty batch."""
    assert await transit.encrypt_many("no key at all", []) == ()


# ---------------------------------------------------------------- data keys, random


async def test_data_key_comes_in_clear_and_encrypted(transit):
    """The encrypted form decrypts to the clear one, of the length asked for."""
    key = await transit.datakey("k", bits=512)

    again = await transit.decrypt("k", key.encrypted.ciphertext)

    assert len(key.plaintext.reveal()) == 64
    assert again.reveal() == key.plaintext.reveal()
    assert key.plaintext.encoded.reveal() not in repr(key)


async def test_wrapped_data_key_is_never_seen(transit):
    """A wrapped data key decrypts to 32 octets for whoever may decrypt."""
    wrapped = await transit.wrapped_datakey("k")

    assert len((await transit.decrypt("k", wrapped.ciphertext)).reveal()) == 32


async def test_random_octets_are_of_the_length_asked_for(transit):
    """As many octets as asked for, and others each time; none or too many are refused."""
    first, second = await transit.random(16), await transit.random(16)

    assert (len(first.reveal()), first.reveal() != second.reveal()) == (16, True)
    with pytest.raises(InvalidRequest):
        await transit.random(0)
    with pytest.raises(VaultRefused):
        await transit.random(10**9)


# ---------------------------------------------------------------- signatures, HMACs


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "rsa-2048"])
async def test_signature_is_for_one_message(transit, kind):
    """A signature verifies for its message and for no other."""
    await transit.keys.create("s", type=kind)
    signature = await transit.sign("s", b"message")

    assert await transit.verify("s", b"message", signature.text)
    assert not await transit.verify("s", b"another", signature.text)
    assert signature.key_version == 1


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "rsa-2048"])
@pytest.mark.parametrize("text", ["vault:v1:AAAA", "vault:v9:AAAA", "vault:v1:%%", "zz", ""])
async def test_text_that_is_no_signature_is_not_valid(transit, kind, text):
    """Vault says 400 to some of these and 200 to others; here each is just not valid."""
    await transit.keys.create("s", type=kind)

    assert not await transit.verify("s", b"message", text)


async def test_prehashed_message_has_the_same_signature(transit):
    """A hash made at home verifies as the message does, with the same padding."""
    await transit.keys.create("s", type="rsa-2048")
    digest = hashlib.sha512(b"message").digest()
    signature = await transit.sign(
        "s",
        digest,
        prehashed=True,
        hash_algorithm="sha2-512",
        signature_algorithm="pkcs1v15",
        key_version=1,
    )

    assert await transit.verify(
        "s",
        b"message",
        signature.text,
        hash_algorithm="sha2-512",
        signature_algorithm="pkcs1v15",
    )


async def test_key_that_cannot_sign_is_refused(transit):
    """Signing and verifying with an encryption key are mistakes, not invalid signatures."""
    with pytest.raises(VaultRefused):
        await transit.sign("k", b"m")
    with pytest.raises(VaultRefused):
        await transit.verify("k", b"m", "vault:v1:AAAA")


async def test_hmac_is_for_one_message(transit):
    """An HMAC verifies for its message and algorithm only."""
    mac = (await transit.hmac("k", b"message")).text

    assert await transit.verify_hmac("k", b"message", mac)
    assert not await transit.verify_hmac("k", b"another", mac)
    assert not await transit.verify_hmac("k", b"message", mac, algorithm="sha2-512")
    assert not await transit.verify_hmac("k", b"message", "nonsense")


async def test_hmac_of_a_retired_version_is_too_old(transit):
    """Below `min_decryption_version` an HMAC is not invalid, but too old; one to come is invalid."""
    mac = (await transit.hmac("k", b"message")).text
    await retire_first_version(transit)

    with pytest.raises(CiphertextTooOld):
        await transit.verify_hmac("k", b"message", mac)
    assert not await transit.verify_hmac("k", b"message", "vault:v9:AAAA")


async def test_derived_key_without_its_context_is_no_invalid_signature(
    transit, vault_server, mount
):
    """Who forgets the context hears of a mistake, and neither of a wrong signature nor of an
    outage, though OpenBao says 500 to it.
    """
    await transit.keys.create("derived", type="ed25519", derived=True)
    signature = (await transit.sign("derived", b"m", context=b"acme")).text

    assert await transit.verify("derived", b"m", signature, context=b"acme")
    assert not await transit.verify("derived", b"m", signature, context=b"globex")
    with pytest.raises(VaultRefused):
        await transit.verify("derived", b"m", signature)
    status, _ = await vault_server.request(
        "POST", f"{mount}/verify/derived", {"input": "bQ==", "signature": signature}
    )
    assert status == 500


# ---------------------------------------------------------------- many signatures, HMACs


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "rsa-2048"])
async def test_batch_of_signatures_keeps_the_order(transit, kind):
    """Item by item each signature is for its own message, and for no other of the batch."""
    await transit.keys.create("s", type=kind)
    messages = [bytes([n]) for n in range(5)]

    signatures = await transit.sign_many("s", [SigningItem(message) for message in messages])
    right = await transit.verify_many(
        "s", [SignatureItem(m, s.text) for m, s in zip(messages, signatures, strict=True)]
    )
    wrong = await transit.verify_many(
        "s", [SignatureItem(m, s.text) for m, s in zip(messages, signatures[::-1], strict=True)]
    )

    assert right == (True,) * 5
    assert wrong == (False, False, True, False, False)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "rsa-2048"])
async def test_bad_signature_costs_no_other(transit, kind):
    """Texts that are no signature stand beside a valid one, though Vault calls some an error."""
    await transit.keys.create("s", type=kind)
    signature = (await transit.sign("s", b"m")).text

    valid = await transit.verify_many(
        "s",
        [
            SignatureItem(b"m", text)
            for text in ("zz", "vault:v9:AAAA", signature, "vault:v1:AAAA", "vault:v1:%%")
        ],
    )

    assert valid == (False, False, True, False, False)


async def test_options_of_a_batch_count_for_every_item(transit):
    """Hash, padding, version and `prehashed` are said once for all items."""
    await transit.keys.create("s", type="rsa-2048")
    await transit.keys.rotate("s")
    how = {"hash_algorithm": "sha2-512", "signature_algorithm": "pkcs1v15"}
    digests = [hashlib.sha512(message).digest() for message in (b"a", b"b")]

    signatures = await transit.sign_many(
        "s", [SigningItem(digest) for digest in digests], prehashed=True, key_version=1, **how
    )
    items = [
        SignatureItem(message, signature.text)
        for message, signature in zip((b"a", b"b"), signatures, strict=True)
    ]

    assert [signature.key_version for signature in signatures] == [1, 1]
    assert await transit.verify_many("s", items, **how) == (True, True)
    assert await transit.verify_many("s", items) == (False, False)


async def test_item_without_a_needed_context_fails_alone(transit):
    """With a derived key one item's missing context is that item's error, in both directions."""
    await transit.keys.create("derived", type="ed25519", derived=True)

    good, bad = await transit.sign_many(
        "derived", [SigningItem(b"m", context=b"acme"), SigningItem(b"m")]
    )
    valid, other, missing = await transit.verify_many(
        "derived",
        [
            SignatureItem(b"m", good.text, context=b"acme"),
            SignatureItem(b"m", good.text, context=b"globex"),
            SignatureItem(b"m", good.text),
        ],
    )

    assert isinstance(bad, VaultRefused)
    assert (valid, other) == (True, False)
    assert isinstance(missing, VaultRefused)


async def test_retired_signature_is_told_from_an_invalid_one(transit):
    """In a batch too a signature of a retired version is too old, and not invalid."""
    await transit.keys.create("s", type="ed25519")
    old = (await transit.sign("s", b"m")).text
    await retire_first_version(transit, "s")
    new = (await transit.sign("s", b"m")).text

    too_old, valid = await transit.verify_many(
        "s", [SignatureItem(b"m", old), SignatureItem(b"m", new)]
    )

    assert isinstance(too_old, CiphertextTooOld)
    assert valid is True


async def test_batch_for_a_key_that_cannot_sign_is_refused_as_a_whole(transit):
    """Signing and verifying with an encryption key are mistakes that concern every item."""
    with pytest.raises(VaultRefused):
        await transit.sign_many("k", [SigningItem(b"m")])
    with pytest.raises(VaultRefused):
        await transit.verify_many("k", [SignatureItem(b"m", "vault:v1:AAAA")])


async def test_batch_of_hmacs_keeps_the_order(transit):
    """Each HMAC is that of its message, computed alone or together, by the algorithm named."""
    first, second = await transit.hmac_many("k", [b"a", b"b"])
    alone = await transit.hmac("k", b"a")
    other = await transit.hmac_many("k", [b"a"], algorithm="sha2-512")

    assert first == alone
    assert await transit.verify_hmac_many(
        "k", [HmacItem(b"a", first.text), HmacItem(b"b", second.text), HmacItem(b"a", second.text)]
    ) == (True, True, False)
    longer = [HmacItem(b"a", other[0].text)]
    assert await transit.verify_hmac_many("k", longer, algorithm="sha2-512") == (True,)
    assert await transit.verify_hmac_many("k", longer) == (False,)


async def test_bad_hmac_costs_no_other(transit):
    """What is no HMAC is not valid, what is of a retired version is too old, the rest is valid."""
    old = (await transit.hmac("k", b"m")).text
    await retire_first_version(transit)
    new = (await transit.hmac("k", b"m")).text

    answers = await transit.verify_hmac_many(
        "k", [HmacItem(b"m", text) for text in ("zz", old, new, "vault:v9:AAAA", "vault:v2:A")]
    )

    assert isinstance(answers[1], CiphertextTooOld)
    assert (answers[0], *answers[2:]) == (False, True, False, False)


async def test_token_that_may_not_read_keys_hears_less_of_a_batch(transit, limited):
    """Without the right to read the key, what Vault did not look at is refused, item by item."""
    mac = (await limited.hmac("k", b"m")).text

    valid, refused = await limited.verify_hmac_many(
        "k", [HmacItem(b"m", mac), HmacItem(b"m", "vault:v9:AAAA")]
    )

    assert valid is True
    assert isinstance(refused, VaultRefused)


async def test_batch_without_a_signature_asks_nobody(transit, vault_server):
    """Without items, or without one of a signature's form, no request is made."""
    mark = await vault_server.audit_mark()

    assert await transit.sign_many("s", []) == ()
    assert await transit.hmac_many("k", []) == ()
    assert await transit.verify_many("s", [SignatureItem(b"m", "zz")]) == (False,)
    assert await transit.verify_hmac_many("k", []) == ()
    assert await vault_server.audit_requests(mark) == []


# ---------------------------------------------------------------- keys


async def test_created_key_says_what_it_is(transit):
    """A new key has one version, is not exportable and may not be deleted."""
    key = await transit.keys.read("k")

    assert (key.type, key.latest_version, key.min_decryption_version) == ("aes256-gcm96", 1, 1)
    assert (key.exportable, key.deletion_allowed, key.derived) == (False, False, False)
    assert (key.supports_encryption, key.supports_signing) == (True, False)
    assert [(row.version, row.public_key) for row in key.versions] == [(1, None)]


async def test_signing_key_shows_its_public_half(transit):
    """A signing key's versions carry public keys."""
    key = await transit.keys.create("s", type="rsa-2048")

    assert key.versions[0].public_key.startswith("-----BEGIN PUBLIC KEY-----")


async def test_same_key_may_be_created_twice_and_another_kind_not(transit):
    """Vault answers 200 for a key of another kind and keeps the old; here that is a conflict."""
    await transit.encrypt("k", SECRET)

    assert (await transit.keys.create("k")).latest_version == 1
    with pytest.raises(ObjectExists):
        await transit.keys.create("k", type="ed25519")
    with pytest.raises(ObjectExists):
        await transit.keys.create("k", derived=True)


async def test_auto_rotation_is_configured(transit):
    """A key may rotate by itself, once an hour at most."""
    await transit.keys.create("auto", auto_rotate_period=30 * 24 * 3600.0)
    await transit.keys.configure("k", auto_rotate_period=3600.0)

    assert (await transit.keys.read("auto")).auto_rotate_period == 2_592_000.0
    assert (await transit.keys.read("k")).auto_rotate_period == 3600.0
    with pytest.raises(VaultRefused):
        await transit.keys.configure("k", auto_rotate_period=60.0)


async def test_trimmed_versions_are_gone_for_good(transit):
    """After a trim the old versions are not listed and cannot be let in again."""
    await retire_first_version(transit)
    with pytest.raises(VaultRefused):  # the least encryption version is not set yet
        await transit.keys.trim("k", min_available_version=2)
    await transit.keys.configure("k", min_encryption_version=2)
    await transit.keys.trim("k", min_available_version=2)

    key = await transit.keys.read("k")

    assert [row.version for row in key.versions] == [2]
    assert (key.min_available_version, key.min_encryption_version) == (2, 2)
    with pytest.raises(VaultRefused):
        await transit.keys.configure("k", min_decryption_version=1)


async def test_key_is_deleted_only_where_that_is_allowed(transit):
    """Deleting needs `deletion_allowed` first; then the key is gone."""
    with pytest.raises(VaultRefused):
        await transit.keys.delete("k")
    await transit.keys.configure("k", deletion_allowed=True)
    await transit.keys.delete("k")

    assert await transit.keys.list() == ()


async def test_hmac_key_of_another_tool_is_read(transit, vault_server, mount):
    """A key of a kind that lists no versions is read all the same."""
    await vault_server.request("POST", f"{mount}/keys/mac", {"type": "hmac", "key_size": 32})

    key = await transit.keys.read("mac")

    assert (key.type, key.versions) == ("hmac", ())
