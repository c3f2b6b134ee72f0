from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from greenlang_secrets.catalogue.tls import is_encrypted, tls_context
from greenlang_secrets.errors import ConfigurationError
from support.certificates import self_signed

PG = "postgresql://app@db.internal/x"


@pytest.mark.parametrize(
    ("url", "encrypted", "context"),
    [
        (PG, True, True),
        (f"{PG}?sslmode=disable", False, False),
        ("postgresql://app@localhost/x", True, False),
        ("postgresql://app@127.0.0.1/x", True, False),
        ("postgresql://app@127.0.0.1/x?sslmode=require", True, True),
    ],
)
def test_tls_is_used_unless_the_server_is_on_this_machine(url: str, encrypted, context) -> None:
    """Without a word the network is crossed over TLS, and this machine is not."""
    assert is_encrypted(make_url(url)) is encrypted
    assert isinstance(tls_context(make_url(url)), ssl.SSLContext) is context


def test_what_is_verified_is_what_the_mode_says(tmp_path: Path) -> None:
    """`require` verifies nothing, unless it is given an authority; `verify-ca` the certificate;
    `verify-full` the name too.
    """
    authority = self_signed(tmp_path, "ca").cert

    seen = {}
    for mode, file in (
        ("require", None),
        ("require", authority),
        ("verify-ca", authority),
        ("verify-full", authority),
    ):
        more = f"&sslrootcert={file}" if file else ""
        context = tls_context(make_url(f"{PG}?sslmode={mode}{more}"))
        assert isinstance(context, ssl.SSLContext)
        seen[mode, file is not None] = (context.verify_mode, context.check_hostname)

    assert seen == {
        ("require", False): (ssl.CERT_NONE, False),
        ("require", True): (ssl.CERT_REQUIRED, False),
        ("verify-ca", True): (ssl.CERT_REQUIRED, False),
        ("verify-full", True): (ssl.CERT_REQUIRED, True),
    }


@pytest.mark.parametrize("option", ["sslrootcert", "sslcert"])
def test_a_file_that_cannot_be_used_is_told(option: str, tmp_path: Path) -> None:
    """A certificate or authority that is missing, or is none, is a mistake in the setting."""
    (tmp_path / "odd.pem").write_text("odd")

    for file in ("missing.pem", "odd.pem"):
        with pytest.raises(ConfigurationError, match="cannot be used"):
            tls_context(make_url(f"{PG}?sslmode=require&{option}={tmp_path / file}"))
