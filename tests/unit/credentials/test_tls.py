from __future__ import annotations

import os
import ssl
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from greenlang_secrets.credentials import TlsCertificate
from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.model import SecretType
from greenlang_secrets.sensitive import SecretValue
from support.certificates import self_signed
from support.secrets import secret_of


@pytest.fixture
def files(tmp_path: Path):
    return self_signed(tmp_path, "own")


@pytest.fixture
def data(files) -> dict[str, str]:
    certificate = files.cert.read_text()
    return {
        "certificate": certificate,
        "private_key": files.key.read_text(),
        "ca_chain": f"# who signed it\n{certificate}\n{certificate}",
    }


def read(data: dict[str, str]) -> TlsCertificate:
    return TlsCertificate.of(secret_of(SecretType.CERTIFICATE, **data))


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, str]:
    """Join two contexts in memory; return the client's end, and whom the server has seen."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
    return ends[0], str(ends[1].getpeercert())


def test_secret_is_read_by_its_fields(data) -> None:
    """Certificate, key, chain and end arrive, beside where the secret was read from."""
    credentials = read(data)

    assert credentials.certificate == data["certificate"].strip()
    assert credentials.private_key.reveal() == data["private_key"]
    assert credentials.chain == (data["certificate"].strip(),) * 2
    assert credentials.not_after > datetime.now(UTC)
    assert (credentials.path, credentials.version, credentials.stale) == ("some/path", 3, False)


def test_only_certificates_are_taken_for_certificates(data) -> None:
    """A bundle with the key in the wrong field shows no key; its further ones begin the chain."""
    certificate = data["certificate"].strip()
    data["certificate"] = f"# all in one\n{data['private_key']}{certificate}\n{certificate}\n"

    credentials = read(data)

    assert credentials.certificate == certificate
    assert credentials.chain == (certificate,) * 3
    assert "BEGIN" not in repr(credentials)
    assert credentials.ssl_context() is not None


def test_chain_may_be_missing(data) -> None:
    """A certificate alone will do for a server whose clients know its issuer."""
    del data["ca_chain"]

    assert read(data).chain == ()


@pytest.mark.parametrize("missing", ["certificate", "private_key"])
def test_field_that_is_needed_is_named(data, missing: str) -> None:
    """A certificate without its key is of no use, nor the other way round."""
    del data[missing]

    with pytest.raises(SecretIncomplete) as caught:
        read(data)

    assert caught.value.field == missing


def test_text_that_is_no_certificate_is_named_and_not_shown(data) -> None:
    """Whatever was written there by mistake, perhaps the key, does not come out."""
    data["certificate"] = data["private_key"]

    with pytest.raises(SecretIncomplete, match="'certificate' is not a certificate") as caught:
        read(data)

    assert caught.value.__context__ is None


def test_both_ends_prove_who_they_are(data) -> None:
    """With the chain as authority, a server that demands a certificate gets the client's."""
    credentials = read(data)

    server = credentials.ssl_context(verify_client=True)
    client = credentials.ssl_context(ssl.Purpose.SERVER_AUTH)
    end, seen_by_server = handshake(server, client)

    assert end.version() == "TLSv1.3"
    assert "own" in seen_by_server


def test_server_demands_no_certificate_unless_told(data) -> None:
    """The control: the same server, not told to verify, takes a client without certificate."""
    client = ssl.create_default_context(cadata=data["certificate"])

    _, seen = handshake(read(data).ssl_context(), client)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(read(data).ssl_context(verify_client=True), client)

    assert seen in {"None", "{}"}


def test_client_refuses_who_is_signed_by_another(data, tmp_path: Path) -> None:
    """A client verifies by the chain and by nothing else."""
    other = self_signed(tmp_path, "other")
    stranger = read(
        {
            "certificate": other.cert.read_text(),
            "private_key": other.key.read_text(),
            "ca_chain": other.cert.read_text(),
        }
    )

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(stranger.ssl_context(), read(data).ssl_context(ssl.Purpose.SERVER_AUTH))


def test_client_without_a_chain_asks_the_systems_authorities(data) -> None:
    """Where the secret names none, a client trusts whom the system trusts: not this one."""
    client = read({**data, "ca_chain": ""}).ssl_context(ssl.Purpose.SERVER_AUTH)

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(read(data).ssl_context(), client)


@pytest.mark.parametrize("in_memory", [True, False])
def test_key_is_left_nowhere(data, monkeypatch, tmp_path: Path, in_memory) -> None:
    """Afterwards no file is there and no descriptor open; a file that had to be was 0600."""
    seen: list[tuple[str, int]] = []
    load = ssl.SSLContext.load_cert_chain

    def watched(context: ssl.SSLContext, file: str, **options: object) -> None:
        seen.append((file, Path(file).stat().st_mode & 0o777))
        load(context, file, **options)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create")
    descriptors = set(Path("/proc/self/fd").iterdir())

    read(data).ssl_context()

    [(file, mode)] = seen
    assert file.startswith("/proc/self/fd/" if in_memory else str(tmp_path))
    assert in_memory or mode == 0o600
    assert list((tmp_path / "tmp").iterdir()) == []
    assert set(Path("/proc/self/fd").iterdir()) == descriptors


def encrypted() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    ).decode()


def of_another() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.mark.parametrize("key", [encrypted, of_another, lambda: "no key"])
def test_key_that_does_not_fit_is_an_error_about_its_field(data, key) -> None:
    """A key with a passphrase, of another certificate, or none: nobody is asked at a terminal."""
    data["private_key"] = key()

    with pytest.raises(SecretIncomplete, match="'private_key' is not the certificate's key"):
        read(data).ssl_context()


def test_chain_that_is_none_is_an_error_about_its_field(data) -> None:
    """PEM around something else is found when the context is made."""
    data["ca_chain"] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"

    with pytest.raises(SecretIncomplete, match="'ca_chain' is not certificates"):
        read(data).ssl_context()


def test_repr_shows_no_key(data) -> None:
    """The private key is masked."""
    text = repr(TlsCertificate(certificate="C", private_key=SecretValue("K1"), not_after=DAY))

    assert "K1" not in text
    assert "not_after=" in text


DAY = datetime(2030, 1, 1, tzinfo=UTC)
