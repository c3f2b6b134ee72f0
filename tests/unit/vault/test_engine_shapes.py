"""Answers that no real server gives on demand, at each engine's door."""

from __future__ import annotations

import pytest

from greenlang_secrets.errors import AccessDenied, VaultProtocolError, VaultRefused
from greenlang_secrets.paths import FolderPath, SecretPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.database import Database
from greenlang_secrets.vault.kv1 import KvV1
from greenlang_secrets.vault.pki import Pki
from greenlang_secrets.vault.sys_capabilities import Capabilities
from greenlang_secrets.vault.sys_leases import Leases
from greenlang_secrets.vault.sys_mounts import Mounts
from greenlang_secrets.vault.sys_policies import Policies
from greenlang_secrets.vault.sys_wrapping import Wrapping
from greenlang_secrets.vault.token import Tokens
from greenlang_secrets.vault.transit import Transit
from greenlang_secrets.vault.transit_values import (
    CiphertextItem,
    Plaintext,
    SignatureItem,
    SigningItem,
)
from support.canary import new_canary, shown_in
from support.mounts import answering

TOKEN = SecretValue("s.token")

QUESTIONS = {
    "database.credentials": lambda call: Database(call).credentials("r"),
    "database.static_credentials": lambda call: Database(call).static_credentials("r"),
    "database.read_connection": lambda call: Database(call).setup.read_connection("c"),
    "database.read_role": lambda call: Database(call).setup.read_role("r"),
    "database.read_static_role": lambda call: Database(call).setup.read_static_role("r"),
    "database.list_roles": lambda call: Database(call).setup.list_roles(),
    "kv1.read": lambda call: KvV1(call, mount="kv").read(SecretPath.parse("a")),
    "kv1.list": lambda call: KvV1(call, mount="kv").list(FolderPath(())),
    "leases.lookup": lambda call: Leases(call).lookup("a/b"),
    "leases.renew": lambda call: Leases(call).renew("a/b"),
    "mounts.read": lambda call: Mounts(call).read("a"),
    "mounts.tuning": lambda call: Mounts(call).read_tuning("a"),
    "pki.issue": lambda call: Pki(call).issue("r", common_name="a"),
    "pki.ca": lambda call: Pki(call).ca(),
    "pki.read": lambda call: Pki(call).read("aa:bb"),
    "pki.revoke": lambda call: Pki(call).revoke("aa:bb"),
    "pki.read_role": lambda call: Pki(call).roles.read("r"),
    "policies.read": lambda call: Policies(call).read("p"),
    "capabilities": lambda call: Capabilities(call).of_self(["a"]),
    "tokens.create": lambda call: Tokens(call).create(),
    "tokens.lookup": lambda call: Tokens(call).lookup(TOKEN),
    "tokens.renew": lambda call: Tokens(call).renew(TOKEN),
    "tokens.read_role": lambda call: Tokens(call).roles.read("r"),
    "transit.encrypt": lambda call: Transit(call).encrypt("k", Plaintext.of(b"")),
    "transit.decrypt": lambda call: Transit(call).decrypt("k", "vault:v1:AA=="),
    "transit.decrypt_many": lambda call: Transit(call).decrypt_many("k", [CiphertextItem("c")]),
    "transit.datakey": lambda call: Transit(call).datakey("k"),
    "transit.random": lambda call: Transit(call).random(1),
    "transit.sign": lambda call: Transit(call).sign("k", b""),
    "transit.verify": lambda call: Transit(call).verify("k", b"", "vault:v1:AA=="),
    "transit.sign_many": lambda call: Transit(call).sign_many("k", [SigningItem(b"")]),
    "transit.hmac_many": lambda call: Transit(call).hmac_many("k", [b""]),
    "transit.read_key": lambda call: Transit(call).keys.read("k"),
    "wrapping.lookup": lambda call: Wrapping(call).lookup(TOKEN),
    "wrapping.wrap": lambda call: Wrapping(call).wrap({"k": "v"}, ttl=60),
}


@pytest.mark.parametrize("body", ['{"data": {"x": "CANARY"}, "auth": ["CANARY"]}', "{}"])
@pytest.mark.parametrize("question", QUESTIONS)
async def test_unknown_shape_is_a_protocol_error_without_its_content(question, body):
    """A good status with a strange body is VaultProtocolError, and shows nothing of the body."""
    canary = new_canary()
    text = body.replace("CANARY", canary.replace("\\", "").replace('"', ""))
    async with answering((200, text.encode())) as call:
        with pytest.raises(VaultProtocolError) as caught:
            await QUESTIONS[question](call)

    error = caught.value
    assert shown_in(f"{error!r} {error.facts} {error.__context__!r}", canary) is None


async def test_batch_of_another_length_is_a_protocol_error():
    """Fewer results than items could give one tenant another's plaintext; none is handed on."""
    body = b'{"data": {"batch_results": [{"plaintext": "eA=="}]}}'
    async with answering((200, body)) as call:
        with pytest.raises(VaultProtocolError):
            await Transit(call).decrypt_many("k", [CiphertextItem("a"), CiphertextItem("b")])


async def test_batch_of_signatures_of_another_length_is_a_protocol_error():
    """An answer that could belong to another item is no answer."""
    body = b'{"data": {"batch_results": [{"valid": true}]}}'
    items = [SignatureItem(b"a", "vault:v1:AAAA"), SignatureItem(b"b", "vault:v1:AAAA")]
    async with answering((200, body)) as call:
        with pytest.raises(VaultProtocolError):
            await Transit(call).verify_many("k", items)


async def test_hmac_that_vault_does_not_make_is_refused_alone():
    """What no octets of ours can bring about: an error of one item, which keeps to that item."""
    body = b'{"data": {"batch_results": [{"hmac": "vault:v1:AAAA"}, {"error": "no"}]}}'
    async with answering((400, body)) as call:
        made, refused = await Transit(call).hmac_many("k", [b"a", b"b"])

    assert made.text == "vault:v1:AAAA"
    assert isinstance(refused, VaultRefused)


async def test_certificate_without_a_chain_has_its_issuer_as_chain():
    """Some versions leave `ca_chain` out for a root; the chain is never empty."""
    body = (
        b'{"lease_id": "", "lease_duration": 0, "renewable": false, "warnings": null, "data": '
        b'{"certificate": "C", "issuing_ca": "I", "serial_number": "aa:bb", '
        b'"expiration": 4102444800}}'
    )
    async with answering((200, body)) as call:
        signed = await Pki(call).sign("r", csr="R", common_name="a")

    assert (signed.chain, signed.capped, signed.lease) == (("I",), False, None)


async def test_server_that_cannot_read_one_mount_is_asked_for_all():
    """A server without that request (Vault before 1.10) says 405; the listing decides then."""
    there = b'{"data": {"a/": {"type": "kv", "accessor": "kv_1", "local": false}}}'
    async with answering((400, b"{}"), (405, b"{}"), (200, there)) as call:
        with pytest.raises(VaultRefused):  # it is there, so the tuning was wrong
            await Mounts(call).tune("a", max_lease_ttl=60.0)


async def test_token_that_is_refused_with_403_although_all_is_well_is_denied():
    """A 403 to a renewal that policy allows, of a token that lives, stays AccessDenied."""
    capable = b'{"data": {"auth/token/renew": ["update"]}}'
    alive = (
        b'{"data": {"accessor": "a", "display_name": "d", "policies": [], "ttl": 1, '
        b'"creation_time": 1, "orphan": true, "type": "service", "num_uses": 0, "path": "p"}}'
    )
    async with answering((403, b"{}"), (200, capable), (200, alive)) as call:
        with pytest.raises(AccessDenied):
            await Tokens(call).renew(TOKEN)


async def test_lookup_of_a_strange_status_is_refused():
    """A status that is neither good nor about the token is VaultRefused."""
    async with answering((412, b"{}")) as call:
        with pytest.raises(VaultRefused):
            await Tokens(call).lookup(TOKEN)


async def test_lease_that_lives_and_is_not_renewed_all_the_same_is_refused():
    """A 400 to the renewal of a renewable, living lease stays VaultRefused."""
    lease = (
        b'{"data": {"id": "a/b", "ttl": 1, "renewable": true, "last_renewal": null, '
        b'"issue_time": "2026-01-01T00:00:00Z", "expire_time": "2026-01-01T00:01:00Z"}}'
    )
    async with answering((400, b"{}"), (200, lease)) as call:
        with pytest.raises(VaultRefused):
            await Leases(call).renew("a/b")
