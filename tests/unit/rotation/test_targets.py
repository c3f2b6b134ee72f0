"""Who may go where, and how settings are read."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from greenlang_secrets.errors import ConfigurationError, NotRotatable, RotationFailed
from greenlang_secrets.paths import PLATFORM, SecretPath, Tenant, TenantId
from greenlang_secrets.rotation.targets import (
    AllowedTargets,
    admin_path,
    authority_of,
    needed_setting,
    tls_context,
    tls_mode,
)
from support.certificates import self_signed

ACME = Tenant(TenantId("acme"))
PATH = SecretPath.parse("database/app")


@pytest.mark.parametrize(
    ("pattern", "host", "port", "admitted"),
    [
        ("db.example.com", "db.example.com", 5432, True),
        ("db.example.com", "DB.Example.Com", 1, True),
        (" DB.example.com ", "db.example.com", 5432, True),
        ("db.example.com", "db.example.com.", 5432, False),
        ("db.example.com", "evil-db.example.com", 5432, False),
        ("db.example.com", "db.example.com.evil.org", 5432, False),
        ("db.example.com", "user@db.example.com", 5432, False),
        ("db.example.com:5432", "db.example.com", 5432, True),
        ("db.example.com:5432", "db.example.com", 22, False),
        ("*.example.com", "a.example.com", 5432, True),
        ("*.example.com", "a.b.example.com", 5432, True),
        ("*.example.com", "example.com", 5432, False),
        ("*.example.com", ".example.com", 5432, False),
        ("*.example.com", "evil-example.com", 5432, False),
        ("*.example.com:5432", "a.example.com", 5433, False),
        ("*.example.com", "127.0.0.1#.example.com", 5432, False),
        ("*.example.com", "127.0.0.1,a.example.com", 5432, False),
        ("*.example.com", "/tmp/a.example.com", 5432, False),
        ("10.0.0.1", "10.0.0.1", 5432, True),
        ("10.0.0.1", "167772161", 5432, False),  # the same address, another text
        ("10.0.0.1", "10.0.1", 5432, False),
        ("[::1]:5432", "::1", 5432, True),
        ("[::1]", "0:0:0:0:0:0:0:1", 5432, False),
        ("localhost", "127.0.0.1", 5432, False),
    ],
)
def test_address_of_a_tenant(pattern: str, host: str, port: int, *, admitted: bool) -> None:
    """A tenant's address is admitted if it is that text, without case, and never otherwise."""
    targets = AllowedTargets([pattern])

    assert targets.admits(ACME, host, port) is admitted


def test_platform_goes_anywhere_and_tenants_nowhere_without_a_list() -> None:
    """What is not on the list is refused, and without a list that is everything."""
    targets = AllowedTargets([])

    targets.need(PLATFORM, "/run/postgresql", 5432, path=PATH)
    targets.check(PLATFORM, "db", 5432, path=PATH)
    with pytest.raises(RotationFailed) as caught:
        targets.need(ACME, "db", 5432, path=PATH)
    assert caught.value.reason == "target_not_allowed"
    with pytest.raises(NotRotatable, match="ask the operator"):
        targets.check(ACME, "db", 5432, path=PATH)


@pytest.mark.parametrize(
    "pattern", ["", "*", "*example.com", "a.*.com", "db:0", "db:x", "http://db", "::1", "*.", "a b"]
)
def test_pattern_that_is_none_is_an_error(pattern: str) -> None:
    """A list with a slip in it does not open more, or less, than was meant: nothing starts."""
    with pytest.raises(ConfigurationError, match="ROTATION_TENANT_TARGETS"):
        AllowedTargets(["db", pattern])


def test_needed_setting() -> None:
    """A setting's text without spaces around it; missing or empty, its name is told."""
    assert needed_setting({"users": " a,b "}, "users", path=PATH) == "a,b"
    with pytest.raises(NotRotatable, match="needs the setting 'owner'"):
        needed_setting({"owner": " "}, "owner", path=PATH)


def test_admin_is_another_secret() -> None:
    """The path of the administrator's secret, relative to the same scope."""
    assert admin_path({"admin": "database/admin"}, path=PATH) == SecretPath.parse("database/admin")
    with pytest.raises(NotRotatable, match="names the secret itself"):
        admin_path({"admin": "database/app"}, path=PATH)


@pytest.mark.parametrize(
    ("settings", "host", "mode"),
    [
        ({}, "db.example.com", "require"),
        ({}, "127.0.0.1", "disable"),
        ({}, "localhost", "disable"),
        ({}, "127.0.0.1.example.com", "require"),
        ({"tls": "verify"}, "localhost", "verify"),
        ({"tls": "disable"}, "db.example.com", "disable"),
    ],
)
def test_tls_mode(settings: dict[str, str], host: str, mode: str) -> None:
    """TLS is spoken to other machines, unless the policy says otherwise."""
    assert tls_mode(settings, host, path=PATH) == mode


def test_tls_contexts() -> None:
    """`verify` looks whose certificate it is, and `require` does not."""
    require, verify = (tls_context(mode, None) for mode in ("require", "verify"))

    assert isinstance(require, ssl.SSLContext)
    assert isinstance(verify, ssl.SSLContext)
    assert (require.check_hostname, require.verify_mode) == (False, ssl.CERT_NONE)
    assert (verify.check_hostname, verify.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert verify.minimum_version is ssl.TLSVersion.TLSv1_2
    assert tls_context("disable", "not looked at") is False


def test_authority_is_a_pem(tmp_path: Path) -> None:
    """The setting is a certificate, or missing; another text is refused, an empty one too."""
    pem = self_signed(tmp_path, "authority").cert.read_text()

    assert authority_of({"ca": pem}, path=PATH) == pem
    assert authority_of({}, path=PATH) is None
    for text in ("", "no PEM", "ünlesbar"):
        with pytest.raises(NotRotatable, match="'ca' is no PEM"):
            authority_of({"ca": text}, path=PATH)
