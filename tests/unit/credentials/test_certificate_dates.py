from __future__ import annotations

import ssl
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets.credentials.certificate_dates import not_after_of, serial_of

KEYS = {
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


def certificate(
    not_after: datetime, *, key: str = "ec", name: str = "a", serial: int | None = None
) -> str:
    own = KEYS[key]
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)] * 8)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(own.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(datetime(1960, 1, 1, tzinfo=UTC))
        .not_valid_after(not_after)
        .sign(own, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "moment",
    [
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 11, 25, 12, 30, 1, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
def test_end_is_read_from_the_certificate(moment: datetime, key: str) -> None:
    """Both forms of time are read, to the second, whatever the kind of key."""
    assert not_after_of(certificate(moment, key=key)) == moment


def test_long_names_are_passed_over() -> None:
    """A length of several octets is read as one."""
    moment = datetime(2030, 1, 1, tzinfo=UTC)

    assert not_after_of(certificate(moment, name="x" * 60)) == moment


def test_certificate_of_version_one_is_read() -> None:
    """The first version of certificates has no field for its version."""
    whole = ssl.PEM_cert_to_DER_cert(certificate(datetime(2030, 1, 1, tzinfo=UTC)))
    version = bytes.fromhex("a003020102")
    inner = whole[4:].replace(version, b"", 1)
    # Both lengths are of two octets, and shrink by the five that were taken out.
    inner = inner[:2] + (int.from_bytes(inner[2:4], "big") - 5).to_bytes(2, "big") + inner[4:]
    first = whole[:2] + (int.from_bytes(whole[2:4], "big") - 5).to_bytes(2, "big") + inner

    assert not_after_of(ssl.DER_cert_to_PEM_cert(first)) == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"\x02\x01\x00",
        bytes.fromhex("3003020100"),
        bytes.fromhex("30053003020100"),
        bytes.fromhex("30820fff"),
        # Down to the times, of which there is one of another kind, or of another length.
        bytes.fromhex("3014301202010030003000300930030201000202 0100".replace(" ", "")),
        bytes.fromhex("30113010020100300030003007170330303017002a"),
    ],
)
def test_octets_that_are_no_certificate_are_refused(octets: bytes) -> None:
    """What ends too early or is of another kind is a ValueError, and nothing worse."""
    with pytest.raises(ValueError):  # noqa: PT011  there is no text in it
        not_after_of(ssl.DER_cert_to_PEM_cert(octets))


def test_text_that_is_no_pem_is_refused() -> None:
    """So is what is no PEM at all."""
    with pytest.raises(ValueError, match="PEM"):
        not_after_of("certificate")


@given(st.data())
def test_damaged_certificate_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever octets change or are missing: a moment or a ValueError."""
    whole = bytearray(ssl.PEM_cert_to_DER_cert(DAMAGED))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    part = bytes(whole[: data.draw(st.integers(0, len(whole)))])

    try:
        moment = not_after_of(ssl.DER_cert_to_PEM_cert(part))
    except ValueError:
        return
    assert moment.tzinfo is UTC


DAMAGED = certificate(datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "01"), (0x7F, "7f"), (0x80, "80"), (0x1234, "12:34"), (0xFF00FF, "ff:00:ff")],
)
def test_serial_number_is_written_as_vault_writes_it(number: int, text: str) -> None:
    """Hex pairs joined by colons, without the octet that only says "not negative"."""
    pem = certificate(datetime(2030, 1, 1, tzinfo=UTC), serial=number)

    assert serial_of(pem) == text


def test_serial_number_of_no_certificate_is_refused() -> None:
    """What is no certificate has no number."""
    with pytest.raises(ValueError):  # noqa: PT011  # it says no more
        serial_of("no certificate")
