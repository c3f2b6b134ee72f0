"""Certificates of a real PKI engine, rotated and tried in real handshakes."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import NotRotatable, RotationFailed, SecretIncomplete
from greenlang_secrets.paths import Tenant, TenantId
from greenlang_secrets.rotation.certificate import CertificateRotation, check_handshake
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap
from support.mounts import mounted, token_with
from support.rotations import DAY, HOUR, Played, subject_of

NAME = "api.greenlang.internal"


@pytest.fixture
async def pki(vault_server) -> AsyncIterator[str]:
    """A CA, and a role for servers below one domain."""
    async with mounted(vault_server, "pki") as mount:
        for path, body in (
            ("root/generate/internal", {"common_name": "Test CA", "key_type": "ec", "ttl": "30d"}),
            ("roles/servers", {"key_type": "ec", **DOMAINS, "max_ttl": "20d"}),
            ("roles/clients", {"key_type": "ec", **DOMAINS, "server_flag": False}),
            ("roles/unkept", {"key_type": "ec", **DOMAINS, "no_store": True}),
        ):
            status, answer = await vault_server.request("POST", f"{mount}/{path}", body)
            assert status in {200, 204}, answer
        yield mount


DOMAINS = {
    "allowed_domains": "greenlang.internal",
    "allow_subdomains": True,
    "allow_wildcard_certificates": True,
    "allow_ip_sans": True,
}


@pytest.fixture
def handler(client, mount) -> CertificateRotation:
    return CertificateRotation(client, kv_mount=mount)


@pytest.fixture
def settings(pki) -> dict[str, str]:
    return {"role": "servers", "common_name": NAME, "ttl": "72h", "mount": pki}


@pytest.fixture
def played(handler, settings) -> Played:
    return Played(handler, {"owner": "team"}, **settings)


async def test_candidate_is_whole_and_shakes_hands(played):
    """Certificate, key and chain come in one candidate, and a handshake with it succeeds."""
    before = datetime.now(UTC)

    await played.prepare()
    await played.apply()
    await played.verify()
    await played.retire()

    assert set(played.candidate) == {"certificate", "private_key", "ca_chain", "owner"}
    assert abs(played.not_after - before - timedelta(hours=72)) < timedelta(minutes=1)


async def test_every_name_is_tried(handler, settings):
    """Further names, wildcards and addresses are in the certificate, and each shakes hands."""
    names = "b.greenlang.internal, *.c.greenlang.internal,127.0.0.1,"
    played = Played(handler, {}, alt_names=names, **settings)

    await played.prepare()
    await played.verify()


async def test_repeated_preparation_makes_another(played):
    """An owner that died before its candidate was kept leaves a certificate nobody uses."""
    await played.prepare(lost=True)
    second = played.taken_over()
    await second.prepare()
    await second.apply()
    third = second.taken_over()
    await third.verify()
    await third.retire(lost=True)
    await third.taken_over().retire()

    assert third.candidate == second.candidate


async def issued(played: Played) -> dict[str, str]:
    await played.prepare()
    return played.candidate


def wrong_key(mine: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    return {**mine, "private_key": other["private_key"]}


def no_key(mine: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in mine.items() if name != "private_key"}


def no_chain(mine: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    return {**mine, "ca_chain": ""}


def wrong_chain(mine: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    return {**mine, "ca_chain": other["certificate"]}


def no_certificate(mine: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    return {**mine, "certificate": "none"}


def another_name(mine: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    return other


@pytest.mark.parametrize(
    "damage", [wrong_key, no_key, no_chain, wrong_chain, no_certificate, another_name]
)
async def test_what_would_not_serve_is_not_promoted(handler, settings, damage):
    """A candidate that no client would take fails its test, whatever is wrong with it."""
    other = await issued(Played(handler, {}, **{**settings, "common_name": f"other.{NAME}"}))
    played = Played(handler, {}, **settings)
    mine = await issued(played)
    await played.verify()  # the control: undamaged it passes
    played.rotation = replace(played.rotation, candidate=SecretMap(damage(mine, other)))

    with pytest.raises(RotationFailed) as caught:
        await played.verify()

    assert caught.value.reason == "verify_failed"


async def test_certificate_of_clients_is_not_promoted(handler, settings):
    """A role without server certificates makes none that a server could present."""
    played = Played(handler, {}, **{**settings, "role": "clients"})
    await played.prepare()

    with pytest.raises(RotationFailed):
        await played.verify()


async def test_certificate_that_was_cut_short_is_refused(handler, settings):
    """The engine shortens a certificate without an error; we do not take it."""
    played = Played(handler, {}, **{**settings, "ttl": "25d"})

    with pytest.raises(RotationFailed) as caught:
        await played.prepare()

    assert caught.value.reason == "target_refused"


async def revoked(vault_server, pki: str, pem: str) -> bool:
    """Whether the engine says so of a certificate that it made."""
    _, listed = await vault_server.request("LIST", f"{pki}/certs")
    for serial in listed["data"]["keys"]:
        _, found = await vault_server.request("GET", f"{pki}/cert/{serial}")
        if found["data"]["certificate"].strip() == pem.strip():
            return found["data"]["revocation_time"] > 0
    raise AssertionError("no such certificate")


@pytest.mark.parametrize("revoke", ["true", "false"])
async def test_old_certificate_is_revoked_only_if_asked(
    handler, settings, vault_server, pki, revoke
):
    """It stays valid to its own end, unless the policy wants it revoked; then once is enough."""
    old = await issued(Played(handler, {}, **settings))
    with_text = {**old, "certificate": f"subject=x\n{old['certificate']}\n{old['ca_chain']}"}
    played = Played(handler, with_text, revoke=revoke, **settings)
    await played.prepare()
    await played.verify()
    await played.retire(lost=True)
    await played.taken_over().retire()

    assert await revoked(vault_server, pki, old["certificate"]) is (revoke == "true")
    assert not await revoked(vault_server, pki, played.candidate["certificate"])


async def test_certificate_that_nobody_can_revoke_holds_nothing_up(handler, settings):
    """One of a role that stores none is unknown to the engine, which is noted."""
    old = await issued(Played(handler, {}, **{**settings, "role": "unkept"}))
    played = Played(handler, old, revoke="true", **settings)
    await played.prepare()

    await played.retire()

    assert played.rotation.notes["revoked"] == "unknown"


@pytest.mark.parametrize(
    "text", ["", "none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
async def test_secret_that_held_no_certificate_has_nothing_revoked(handler, settings, text):
    """The first certificate replaces whatever stood there."""
    played = Played(handler, {"certificate": text}, revoke="true", **settings)
    await played.prepare()
    await played.retire()

    assert played.rotation.notes == {"old_serial": ""}


async def test_rotation_whose_parts_are_gone_fails(handler, settings):
    """Without the version it began from, or a candidate, a step says so."""
    played = Played(handler, None, **settings)

    for step in (played.prepare, played.verify):
        with pytest.raises(RotationFailed) as caught:
            await step()
        assert caught.value.reason == "incomplete"


async def test_certificate_without_chain_is_trusted_by_nobody(handler, settings):
    """The handshake has no authorities of its own to fall back on."""
    played = Played(handler, {}, **settings)
    mine = await issued(played)
    certificate = gs.TlsCertificate(
        certificate=mine["certificate"],
        private_key=gs.SecretValue(mine["private_key"]),
        not_after=datetime.now(UTC),
    )

    with pytest.raises(SecretIncomplete):
        check_handshake(certificate, [NAME])


async def test_handshake_without_end_is_given_up(handler, settings, monkeypatch):
    """A side that always waits for more ends in an error and no loop."""
    played = Played(handler, {}, **settings)
    await played.prepare()

    def waits(_: object) -> None:
        raise ssl.SSLWantReadError

    monkeypatch.setattr(ssl.SSLObject, "do_handshake", waits)

    with pytest.raises(RotationFailed):
        await played.verify()


def subject(settings, **changes):
    options = {
        name: changes.pop(name) for name in ("interval", "overlap", "scope") if name in changes
    }
    return subject_of(
        RotationKind.CERTIFICATE, gs.SecretType.CERTIFICATE, {}, **options, **settings, **changes
    )


async def test_what_fits_is_accepted(handler, settings):
    """An interval of two thirds of the life, and an overlap within the rest, will do."""
    await handler.check(subject(settings, interval=48 * HOUR, overlap=HOUR))
    await handler.check(subject(settings, revoke="true"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"interval": 48 * HOUR + 1}, "two thirds"),
        ({"interval": 2 * DAY, "overlap": DAY}, "within the overlap"),
        ({"scope": Tenant(TenantId("acme"))}, "for the platform's own secrets"),
        ({"role": ""}, "Set 'role'"),
        ({"common_name": ""}, "Set 'common_name'"),
        ({"ttl": "three days"}, "'ttl' is a duration"),
        ({"ttl": ""}, "Set 'ttl'"),
        ({"revoke": "yes"}, "true or false"),
        ({"role": "../x"}, "names of a PKI mount"),
        ({"key": "x"}, "no setting 'key'; it knows alt_names, common_name, mount"),
    ],
)
async def test_what_does_not_fit_is_told(handler, settings, changes, text):
    """Each refusal says what to change."""
    with pytest.raises(NotRotatable, match=text):
        await handler.check(
            subject(
                {**settings, **{k: v for k, v in changes.items() if k in settings}},
                **{k: v for k, v in changes.items() if k not in settings},
            )
        )


async def test_what_vaults_policy_forbids_is_told_before_it_is_tried(
    config, mount, settings, vault_server, pki
):
    """A service that may issue and not revoke is told which path its policy lacks."""
    token = await token_with(
        vault_server, f'path "{pki}/issue/servers" {{ capabilities = ["update"] }}'
    )
    auth = gs.AuthConfig(token=gs.SecretValue(token))
    async with (
        Supervisor() as supervisor,
        gs.VaultClient.open(replace(config, auth=auth), supervisor) as client,
    ):
        handler = CertificateRotation(client, kv_mount=mount)

        await handler.check(subject(settings))
        with pytest.raises(NotRotatable, match=f"does not allow '{pki}/revoke'"):
            await handler.check(subject(settings, revoke="true"))


async def test_certificate_that_is_in_use_again_is_not_revoked(
    handler, settings, secrets, vault_server, pki
):
    """Who goes back to the old certificate by hand keeps it valid."""
    old = await issued(Played(handler, {}, **settings))
    played = Played(handler, old, revoke="true", **settings)
    await played.prepare()
    await secrets.create("some/path", old)

    await played.retire()

    assert not await revoked(vault_server, pki, old["certificate"])
    assert played.rotation.notes["revoked"] == "in_use"
