"""The command explain, on a real server."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

import greenlang_secrets as gs
from greenlang_secrets.cli.group import cli
from greenlang_secrets.paths import PLATFORM
from greenlang_secrets.rotation.record import Record, Records
from greenlang_secrets.rotation_model import (
    RotationKind,
    RotationPolicy,
    RotationStanding,
    RotationState,
)
from support.canary import new_canary, shown_in

Run = Callable[..., Result]


@pytest.fixture
def environment(monkeypatch, vault_server, mount: str) -> pytest.MonkeyPatch:
    """The shared server, a mount of this test's own, and the root token."""
    for name in list(os.environ):
        if name.startswith(("VAULT_", "BAO_", "GREENLANG_SECRETS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("VAULT_ADDR", vault_server.addr)
    monkeypatch.setenv("VAULT_TOKEN", vault_server.root_token)
    monkeypatch.setenv("GREENLANG_SECRETS_KV_MOUNT", mount)
    monkeypatch.setenv("GREENLANG_SECRETS_TENANT_TOKEN_ROLE", "none")
    return monkeypatch


@pytest.fixture
def run(environment) -> Run:
    """Run a command, and return what it printed and how it ended."""

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(cli, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def test_a_secret_is_explained_without_its_value(run, vault_server, mount):
    """Scope, URL, capability and version; that the cache is empty is said; the value is not."""
    canary = new_canary()
    run("put", "a/b", f"k={canary}")

    plain, as_json = run("explain", "a/b"), run("explain", "a/b", "--json")

    url = f"{vault_server.addr}/v1/{mount}/data/greenlang/a/b"
    assert plain.exit_code == as_json.exit_code == 0
    assert dict(line.split("\t") for line in plain.stdout.splitlines()) == {
        "path": "a/b",
        "scope": "platform",
        "url": url,
        "needs": "read",
        "held": "root",
        "version": "1, live",
        "cache": "empty: each command has a cache of its own",
        "leases": "none: those of a running program are its own",
        "rotation": "never rotated",
        "last error": "none",
    }
    assert json.loads(as_json.stdout) == {
        "path": "a/b",
        "scope": "platform",
        "url": url,
        "capability": "read",
        "held": ["root"],
        "may_read": True,
        "version": 1,
        "state": "live",
        "cache": "absent",
        "cached_version": None,
        "leases": 0,
        "rotation": None,
        "last_error": None,
    }
    assert shown_in(plain.output + as_json.output, canary) is None


def test_a_secret_that_gives_no_value_ends_with_1(run):
    """Deleted, or not there, in the platform's scope or a tenant's: the state says why."""
    run("put", "a", "k=1")
    run("delete", "a")

    deleted, missing = run("explain", "a"), run("explain", "a", "--tenant", "acme")

    assert (deleted.exit_code, missing.exit_code) == (1, 1)
    assert "version\t1, deleted\n" in deleted.stdout
    assert "scope\ttenant acme\n" in missing.stdout
    assert "version\tnone, missing\n" in missing.stdout


def test_an_error_has_its_exit_code(run):
    """A path outside the grammar is refused as everywhere."""
    assert run("explain", "a//b").exit_code == 2


@pytest.fixture
async def without_rights(vault_server, environment) -> None:
    """The token in use opens nothing."""
    _, answer = await vault_server.request("POST", "auth/token/create", {"policies": ["default"]})
    environment.setenv("VAULT_TOKEN", answer["auth"]["client_token"])


def test_a_token_without_rights_is_explained(run, without_rights):
    """It holds `deny`, and so nobody says whether the secret is there."""
    result = run("explain", "a")

    assert result.exit_code == 1
    assert "held\tdeny\n" in result.stdout
    assert "version\tnone, Vault did not say\n" in result.stdout
    assert "rotation\tVault did not say\n" in result.stdout
    assert "last error\tpermission_denied\n" in result.stdout


@pytest.fixture
async def rotating(secrets: gs.SecretsService, mount: str, environment) -> str:
    """The path of a secret whose rotation has failed once, as its record in Vault says."""
    await secrets.put("database/main", {"password": "old"})
    record = Record(
        scope=PLATFORM,
        path=gs.SecretPath.parse("database/main"),
        policy=RotationPolicy(kind=RotationKind.MANUAL, interval=3600.0),
        secret_type=gs.SecretType.GENERIC,
        standing=RotationStanding(
            state=RotationState.FAILED,
            phase=RotationState.APPLIED,
            rotation_id="r1",
            fence=1,
            version=1,
            attempts=1,
            error_code="rotation_failed",
        ),
        candidate=gs.SecretMap({"password": "the candidate itself"}),
    )
    await Records(secrets.client, mount).claim(record)
    return "database/main"


def test_the_rotation_is_that_of_its_record(run, rotating):
    """State, phase and error come from Vault, without a database; the candidate is not shown."""
    plain, as_json = run("explain", rotating), run("explain", rotating, "--json")

    assert "rotation\tfailed in phase applied, version 1\n" in plain.stdout
    assert "last error\trotation_failed\n" in plain.stdout
    rotation = json.loads(as_json.stdout)["rotation"]
    assert (rotation["state"], rotation["phase"], rotation["attempts"]) == (
        "failed",
        "applied",
        1,
    )
    assert shown_in(plain.output + as_json.output, "the candidate itself") is None
