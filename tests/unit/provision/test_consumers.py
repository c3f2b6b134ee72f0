"""Files of consumers are read strictly: what is wrong is said with its place, and no value."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.provision.consumers import AuditDevice, Consumers, read_consumers

ROLES = """\
version: 1
kubernetes:
  mount: kubernetes
  host: https://kubernetes.default.svc:443
  ca_cert: |
    -----BEGIN CERTIFICATE-----
  roles:
    app: {namespace: greenlang, service_account: app-account, audience: vault, policies: [zeta, app],
      ttl: 15m, max_ttl: 1h}
pki_roles:
  mtls: {allowed_domains: [a.internal], server: true, client: false, ttl: 1d, max_ttl: 3d}
database_roles:
  reader: {access: read, ttl: 90s, max_ttl: 2h}
  writer: {access: write, ttl: 90s, max_ttl: 2h}
audit: {device: file, file_path: /vault/audit/audit.log}
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "policies").mkdir()
    for name in ("app", "zeta"):
        (tmp_path / "policies" / f"{name}.hcl").write_text(f"# {name}")
    (tmp_path / "policies" / "README.md").write_text("no policy")
    (tmp_path / "roles.yaml").write_text(ROLES)
    return tmp_path


def read(folder: Path) -> Consumers:
    return read_consumers(folder / "policies", folder / "roles.yaml")


def test_files_are_read_as_vault_gives_settings_back(folder):
    """Times are seconds, policies are sorted, and a role of the database has its statements."""
    found = read(folder)

    assert found.policies == {"app": "# app", "zeta": "# zeta"}
    assert found.kubernetes is not None
    assert found.kubernetes.ca_cert == "-----BEGIN CERTIFICATE-----"
    assert found.kubernetes.roles == {
        "app": {
            "bound_service_account_names": ["app-account"],
            "bound_service_account_namespaces": ["greenlang"],
            "audience": "vault",
            "token_policies": ["app", "zeta"],
            "token_ttl": 900,
            "token_max_ttl": 3600,
            "token_period": 0,
            "token_explicit_max_ttl": 0,
            "token_no_default_policy": False,
            "token_num_uses": 0,
            "token_type": "default",
            "token_bound_cidrs": [],
        }
    }
    mtls = found.pki_roles["mtls"]
    assert (mtls["allowed_domains"], mtls["client_flag"], mtls["ttl"]) == (
        ["a.internal"],
        False,
        86400,
    )
    reader, writer = found.database_roles["reader"], found.database_roles["writer"]
    assert (reader["default_ttl"], reader["max_ttl"]) == (90, 7200)
    assert len(writer["creation_statements"]) > len(reader["creation_statements"])
    assert found.audit == AuditDevice(name="file", file_path="/vault/audit/audit.log")


def test_nothing_given_is_nothing_wanted(folder):
    """Without files there are no consumers; a file with a version alone leaves all else alone."""
    (folder / "roles.yaml").write_text("version: 1\n")

    assert read_consumers(None, None) == Consumers()
    assert read_consumers(None, folder / "roles.yaml") == Consumers()


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("version: 1", "version: 2", "roles.yaml: version"),
        ("version: 1", "versoin: 1", "roles.yaml: versoin is unknown"),
        ("version: 1\n", "version: 1\n'hunter2 x': 1\n", "roles.yaml: ? is unknown"),
        ("audience: vault", "audeince: vault", "kubernetes.roles.app.audeince is unknown"),
        ("audience: vault, ", "", "kubernetes.roles.app.audience is missing"),
        ("policies: [zeta, app]", "policies: [zeta, gone]", "names 'gone', which no file has"),
        ("policies: [zeta, app]", "policies: app", "kubernetes.roles.app.policies"),
        ("namespace: greenlang", "namespace: '*'", "kubernetes.roles.app.namespace is no name"),
        ("ttl: 15m", "ttl: 900", "kubernetes.roles.app.ttl is missing, or no text"),
        ("ttl: 15m", "ttl: soon", "kubernetes.roles.app.ttl is no time"),
        ("ttl: 15m", "ttl: 2h", "kubernetes.roles.app.ttl is longer than max_ttl"),
        ("https://k", "http://k", "kubernetes.host is no https:// URL"),
        ("  mount: kubernetes", "  mount: A", "kubernetes.mount is no name"),
        ("access: read", "access: all", "database_roles.reader.access"),
        ("server: true", "server: 1", "pki_roles.mtls.server is neither"),
        ("  reader:", "  Reader:", "database_roles has a name"),
        ("file_path: /v", "file_path: v", "audit.file_path does not begin"),
        ("audit: {device: file, file_path: /vault/audit/audit.log}", "audit: x", "is no mapping"),
        ("  roles:\n    app:", "  roles: x\nx:\n    app:", "roles.yaml: x is unknown"),
        ("pki_roles:\n  mtls: ", "pki_roles: 1\ndatabase_role: ", "database_role is unknown"),
        ("pki_roles:\n  mtls: {", "pki_roles:\n  mtls: 7\n  x: {", "pki_roles.mtls is no mapping"),
        ("version: 1", "version: 1\nversion: 1", "line 1: has a key twice"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(folder, old, new, place):
    """Each mistake is refused before Vault is asked anything, and what was written is not shown."""
    text = ROLES.replace(old, new, 1)
    assert text != ROLES
    (folder / "roles.yaml").write_text(text)

    with pytest.raises(ConfigurationError) as caught:
        read(folder)

    assert place in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_roles_that_are_no_mapping_are_refused(folder):
    """A list where names belong is refused with its place."""
    (folder / "roles.yaml").write_text("version: 1\npki_roles: [a]\n")

    with pytest.raises(ConfigurationError, match="pki_roles is no mapping of names"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("tenant.hcl", "is built in"), ("Upper.hcl", "is not named for a policy")],
)
def test_policy_with_an_unfit_name_is_refused(folder, name, complaint):
    """A file may not take a built-in policy's place, nor have a name that Vault changes."""
    (folder / "policies" / name).write_text("# x")

    with pytest.raises(ConfigurationError, match=complaint):
        read(folder)


def test_what_cannot_be_read_is_refused(folder):
    """A folder without policies and a file that is not there are named."""
    with pytest.raises(ConfigurationError, match="has no policy"):
        read_consumers(folder, None)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_consumers(None, folder / "absent.yaml")


def test_policies_texts_are_not_shown(folder):
    """The representation has no policy's text."""
    assert "# zeta" not in repr(read(folder))
