"""When a certificate ends, and its serial number, read from the certificate itself.

The standard library shows a certificate's fields of a connection only, and a dependency for two
of them is too much. So this walks the few fields of DER before it (RFC 5280, 4.1) and no others.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Final

__all__ = ["not_after_of", "serial_of"]

_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_VERSION: Final = 0xA0
_TIMES: Final = {0x17: 13, 0x18: 15}
"""UTCTime and GeneralizedTime, and their octets: ``YYMMDDHHMMSSZ``, ``YYYYMMDDHHMMSSZ``."""


def not_after_of(pem: str) -> datetime:
    """Return the last moment at which a certificate is valid, in UTC.

    Raises:
        ValueError: it is no certificate.
    """
    fields = _from_serial_on(pem)
    for _ in range(3):  # serial number, algorithm, issuer
        _, fields = _element(fields)
    validity, _ = _element(fields, _SEQUENCE)
    _, after = _element(validity)
    return _time(after)


def serial_of(pem: str) -> str:
    """Return a certificate's serial number as Vault writes it: hex pairs joined by ``:``.

    Raises:
        ValueError: it is no certificate.
    """
    number, _ = _element(_from_serial_on(pem), _INTEGER)
    # A zero octet in front only says that the number is not negative.
    return (number.lstrip(b"\0") or b"\0").hex(":")


def _from_serial_on(pem: str) -> bytes:
    """The fields of TBSCertificate, without the version."""
    certificate, _ = _element(ssl.PEM_cert_to_DER_cert(pem.strip() + "\n"), _SEQUENCE)
    fields, _ = _element(certificate, _SEQUENCE)
    if fields[:1] == bytes([_VERSION]):
        _, fields = _element(fields, _VERSION)
    return fields


def _element(octets: bytes, tag: int | None = None) -> tuple[bytes, bytes]:
    """The content of the first element, and what follows it."""
    if len(octets) < 2 or (tag is not None and octets[0] != tag):
        raise ValueError
    begin, length = 2, octets[1]
    if length & 0x80:  # the next octets are the length
        begin += length & 0x7F
        length = int.from_bytes(octets[2:begin], "big")
    end = begin + length
    if end > len(octets):
        raise ValueError
    return octets[begin:end], octets[end:]


def _time(octets: bytes) -> datetime:
    tag = octets[0] if octets else 0
    content, _ = _element(octets)
    if len(content) != _TIMES.get(tag):
        raise ValueError
    text = content.decode("ascii")
    if tag == 0x17:  # two digits of the year: 50 and above are the last century's
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
