from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from greenlang_secrets.errors import (
    AccessDenied,
    InvalidRequest,
    ObjectNotFound,
    VaultRefused,
    VaultUnavailable,
)
from greenlang_secrets.vault.pki import Pki
from greenlang_secrets.vault.pki_roles import PkiRole
from support.mounts import mounted, speaking, token_with

WEB = PkiRole(
    allowed_domains=("example.com",), allow_subdomains=True, allow_ip_sans=True, max_ttl=86400.0
)


@pytest.fixture
async def mount(vault_server):
    async with mounted(vault_server, "pki", config={"max_lease_ttl": "8760h"}) as name:
        yield name


@pytest.fixture
async def empty(vault_server, mount):
    """An engine without a CA."""
    async with speaking(vault_server, vault_server.root_token) as call:
        yield Pki(call, mount=mount)


@pytest.fixture
async def pki(vault_server, mount, empty):
    """An engine with a CA that lives 1,000 hours, and the role ``web``."""
    status, _ = await vault_server.request(
        "POST",
        f"{mount}/root/generate/internal",
        {"common_name": "root", "ttl": "1000h", "key_type": "ec"},
    )
    assert status == 200
    await empty.roles.write("web", WEB)
    return empty


def parsed(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def request_for(name: str) -> tuple[ec.EllipticCurvePrivateKey, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return key, csr.public_bytes(serialization.Encoding.PEM).decode()


# ---------------------------------------------------------------- issue, sign


async def test_issued_certificate_fits_its_key_and_its_ca(pki):
    """The private key is the certificate's, and the CA has signed it."""
    issued = await pki.issue("web", common_name="a.example.com", ttl=3600.0)

    certificate = parsed(issued.certificate)
    key = serialization.load_pem_private_key(issued.private_key.reveal().encode(), None)
    assert key.public_key() == certificate.public_key()
    certificate.verify_directly_issued_by(parsed(issued.issuing_ca))
    assert issued.private_key_type == "ec"
    assert issued.lease is None


async def test_end_and_serial_are_those_of_the_certificate(pki):
    """What the result says of life and serial number is what the certificate says."""
    issued = await pki.issue("web", common_name="a.example.com", ttl=3600.0)

    certificate = parsed(issued.certificate)
    assert issued.not_after == certificate.not_valid_after_utc
    assert int(issued.serial_number.replace(":", ""), 16) == certificate.serial_number
    assert 3590 < issued.lifetime <= 3600
    assert (issued.capped, issued.warnings) == (False, ())


async def test_silently_capped_certificate_says_so(pki):
    """Vault cuts 30 hours to the role's 24 with a mere warning; the result has both."""
    issued = await pki.issue("web", common_name="a.example.com", ttl=30 * 3600.0)

    assert issued.capped
    assert issued.lifetime <= 86400
    assert len(issued.warnings) == 1
    assert issued.warnings[0] not in repr(issued)


async def test_private_key_is_masked(pki):
    """The repr of an issued certificate shows no private key."""
    issued = await pki.issue("web", common_name="a.example.com")

    assert "PRIVATE" not in repr(issued)


async def test_all_names_are_in_the_certificate(pki):
    """Names, addresses and URIs become alternative names; the common name may stay out."""
    await pki.roles.write("web", replace(WEB, allowed_uri_sans=("spiffe://greenlang/*",)))

    issued = await pki.issue(
        "web",
        common_name="a.example.com",
        alt_names=("b.example.com", "c.example.com"),
        ip_sans=("127.0.0.1",),
        uri_sans=("spiffe://greenlang/web",),
        exclude_cn_from_sans=True,
    )

    names = (
        parsed(issued.certificate)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    assert names.get_values_for_type(x509.DNSName) == ["b.example.com", "c.example.com"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://greenlang/web"]


async def test_signed_certificate_is_for_the_requests_own_key(pki):
    """A request is signed for the key that made it; Vault never has that key."""
    key, csr = request_for("a.example.com")

    signed = await pki.sign("web", csr=csr, common_name="a.example.com", ttl=3600.0)

    assert parsed(signed.certificate).public_key() == key.public_key()
    assert signed.chain == (signed.issuing_ca,)


async def test_what_a_role_does_not_allow_is_refused(pki):
    """A foreign name, a life beyond the CA's and a text that is no request are VaultRefused."""
    await pki.roles.write("long", PkiRole(allow_any_name=True, max_ttl=8000 * 3600.0))

    for attempt in (
        pki.issue("web", common_name="a.elsewhere.org"),
        pki.issue("long", common_name="a.example.com", ttl=7000 * 3600.0),
        pki.sign("web", csr="nonsense", common_name="a.example.com"),
    ):
        with pytest.raises(VaultRefused) as caught:
            await attempt
        assert "elsewhere" not in str(caught.value)


async def test_unknown_role_is_named(pki):
    """Vault's 400 to an unknown role is ObjectNotFound."""
    with pytest.raises(ObjectNotFound) as caught:
        await pki.issue("none", common_name="a.example.com")
    assert caught.value.kind == "role"


async def test_role_with_leases_gives_one(pki):
    """With `generate_lease` the result has a lease, which cannot be renewed."""
    await pki.roles.write("leased", replace(WEB, generate_lease=True))

    issued = await pki.issue("leased", common_name="a.example.com", ttl=3600.0)

    assert issued.lease is not None
    assert (issued.lease.renewable, issued.lease.id != "") == (False, True)


# ---------------------------------------------------------------- revoke, read


async def test_revoked_certificate_is_on_the_list(pki):
    """A revoked certificate says since when, and stands on the CRL; revoking twice is once."""
    issued = await pki.issue("web", common_name="a.example.com")
    before = await pki.read(issued.serial_number)

    first = await pki.revoke(issued.serial_number)
    second = await pki.revoke(issued.serial_number.replace(":", "-"))

    assert (before.revoked_at, before.certificate.strip()) == (None, issued.certificate.strip())
    assert first == second == (await pki.read(issued.serial_number)).revoked_at
    assert datetime.now(UTC) - first < timedelta(minutes=1)
    crl = x509.load_pem_x509_crl((await pki.crl()).encode())
    number = parsed(issued.certificate).serial_number
    assert crl.get_revoked_certificate_by_serial_number(number) is not None


async def test_unknown_certificate_is_named(pki):
    """Revoking or reading an unknown serial number is ObjectNotFound."""
    for attempt in (pki.revoke("aa:bb"), pki.read("aa:bb")):
        with pytest.raises(ObjectNotFound) as caught:
            await attempt
        assert caught.value.kind == "certificate"


@pytest.mark.parametrize("text", ["ca", "crl", "", "zz", "aa:", "aa/bb", "aa:bb\n"])
async def test_text_that_is_no_serial_number_is_not_sent(pki, text):
    """Only hex pairs name a certificate: "ca" would be another request."""
    with pytest.raises(InvalidRequest):
        await pki.read(text)
    with pytest.raises(InvalidRequest):
        await pki.revoke(text)


async def test_ca_and_chain_are_given(pki):
    """The CA's certificate is the one that signs, and a root's chain is itself."""
    issued = await pki.issue("web", common_name="a.example.com")

    assert parsed(await pki.ca()) == parsed(issued.issuing_ca)
    assert parsed(await pki.ca_chain()) == parsed(issued.issuing_ca)


async def test_mount_without_a_ca_gives_none(empty):
    """Before there is an issuer, Vault refuses its certificate and fails at its CRL."""
    with pytest.raises(VaultRefused):
        await empty.ca()
    with pytest.raises(VaultRefused):
        await empty.ca_chain()
    with pytest.raises(VaultUnavailable):
        await empty.crl()


async def test_stored_certificates_are_listed(pki):
    """A listing has the serial numbers of all stored certificates."""
    issued = await pki.issue("web", common_name="a.example.com")

    assert issued.serial_number in await pki.list()


async def test_tidy_removes_what_has_ended(pki):
    """Tidying is started and not waited for; an ended certificate is gone after it."""
    issued = await pki.issue("web", common_name="a.example.com", ttl=1.0)
    await pki.tidy(safety_buffer=1.0)

    async with asyncio.timeout(20):
        while issued.serial_number in await pki.list():
            await pki.tidy(safety_buffer=1.0)
            await asyncio.sleep(0.05)


# ---------------------------------------------------------------- roles, policies


async def test_role_is_read_back_as_written(pki):
    """Reading a role gives what was written."""
    assert await pki.roles.read("web") == WEB
    assert await pki.roles.list() == ("web",)


async def test_default_role_allows_nothing(pki):
    """A role of defaults issues for no name at all."""
    await pki.roles.write("closed", PkiRole())

    for name in ("localhost", "example.com", "a"):
        with pytest.raises(VaultRefused):
            await pki.issue("closed", common_name=name)


async def test_deleted_role_is_gone(pki):
    """A role can be deleted, twice too; reading it then says so."""
    await pki.roles.delete("web")
    await pki.roles.delete("web")

    assert await pki.roles.list() == ()
    with pytest.raises(ObjectNotFound):
        await pki.roles.read("web")


async def test_denied_is_denied(vault_server, mount, pki):
    """A token without a policy may issue, revoke and list nothing."""
    async with speaking(vault_server, await token_with(vault_server)) as call:
        denied = Pki(call, mount=mount)
        for attempt in (
            denied.issue("web", common_name="a.example.com"),
            denied.revoke("aa:bb"),
            denied.list(),
            denied.tidy(),
            denied.roles.read("web"),
        ):
            with pytest.raises(AccessDenied):
                await attempt
