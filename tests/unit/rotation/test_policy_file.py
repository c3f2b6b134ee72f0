"""`rotation.yaml`, read strictly: what is taken, and what is said of the rest and where."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, Scope, Tenant, TenantId
from greenlang_secrets.rotation.policy_file import (
    FilePolicy,
    changes,
    parse_policies,
    read_policies,
    seconds_of,
)
from greenlang_secrets.rotation_model import (
    RotationKind,
    RotationPolicy,
    RotationRow,
    RotationStanding,
)

NOW = datetime(2026, 11, 25, tzinfo=UTC)

WHOLE = """
version: 1
policies:
  - path: database/postgresql
    kind: postgresql
    interval: 12h
    overlap: 30m
    consumers_wait: 90s
    enabled: false
    settings:
      users: app_a,app_b
      owner: app
      admin: database/admin
  - tenant: acme
    path: api-keys/stripe
    kind: manual
"""


def parsed(text: str) -> tuple[FilePolicy, ...]:
    return parse_policies(text, name="rotation.yaml", default_interval=604_800)


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parsed(text)
    assert caught.value.__cause__ is None
    return str(caught.value)


def one(*lines: str) -> str:
    """A file with one policy, which these lines complete."""
    return "\n  ".join(["version: 1\npolicies:", "- path: a/b", *(f"  {line}" for line in lines)])


def row(policy: RotationPolicy, scope: Scope = PLATFORM, path: str = "a/b") -> RotationRow:
    return RotationRow(
        scope=scope,
        path=path,
        secret_type=SecretType.DATABASE,
        policy=policy,
        standing=RotationStanding(),
        created_at=NOW,
        updated_at=NOW,
        updated_by="somebody",
    )


def test_everything_that_a_policy_can_say_is_read():
    """Times with units, settings as texts, a tenant; what is left out is the environment's."""
    first, second = parsed(WHOLE)

    assert (first.scope, first.path, first.place) == (
        PLATFORM,
        "database/postgresql",
        "rotation.yaml: policies[0]",
    )
    assert first.policy == RotationPolicy(
        kind=RotationKind.POSTGRESQL,
        interval=43_200,
        enabled=False,
        overlap=1800,
        consumers_wait=90,
        settings={"users": "app_a,app_b", "owner": "app", "admin": "database/admin"},
    )
    assert (second.scope, second.path) == (Tenant(TenantId("acme")), "api-keys/stripe")
    assert second.policy == RotationPolicy(kind=RotationKind.MANUAL, interval=604_800)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "rotation.yaml is no mapping."),
        ("[]", "rotation.yaml is no mapping."),
        ("version: 2\npolicies: []", "rotation.yaml: version is missing or another"),
        ("policies: []", "rotation.yaml: version is missing or another"),
        ("version: 1", "rotation.yaml: policies is no list"),
        ("version: 1\npolicies: []\ndefaults: {}", "rotation.yaml: defaults is unknown"),
        ("version: 1\npolicies: [a]", "rotation.yaml: policies[0] is no mapping."),
        (one("kind: odd"), "rotation.yaml: policies[0].kind is missing or none of postgresql"),
        (one("kind: [a]"), "rotation.yaml: policies[0].kind is missing or none of"),
        (one(), "rotation.yaml: policies[0].kind is missing or none of"),
        (one("kind: manual", "intervall: 1h"), "policies[0].intervall is unknown; there are"),
        (one("kind: manual", "'a b': 1h"), "policies[0].? is unknown"),
        (one("kind: manual", "1: 1h"), "policies[0].? is unknown"),
        (one("kind: manual", "interval: 3600"), "policies[0].interval is no time; write a number"),
        (one("kind: manual", "interval: 0h"), "policies[0].interval is no time"),
        (one("kind: manual", "interval: 5000d"), "policies[0].interval is no time"),
        (one("kind: manual", "overlap: 1 h"), "policies[0].overlap is no time"),
        (one("kind: manual", "overlap:"), "policies[0].overlap is no time"),
        (one("kind: manual", "consumers_wait: soon"), "policies[0].consumers_wait is no time"),
        (one("kind: manual", "enabled: 'yes'"), "policies[0].enabled is neither true nor false"),
        (one("kind: manual", "tenant: A"), "policies[0].tenant is no tenant's id"),
        (one("kind: manual", "tenant: 5"), "policies[0].tenant is missing, or no text"),
        (one("kind: manual", "settings: [a]"), "policies[0].settings is no mapping of names"),
        (one("kind: manual", "settings: {port: 5432}"), "policies[0].settings.port is missing, or"),
        (one("kind: manual", "settings: {1: a}"), "policies[0].settings is missing, or no text"),
        ("version: 1\npolicies: [{kind: manual}]", "policies[0].path is missing, or no text"),
        ("version: 1\npolicies: [{kind: manual, path: a//b}]", "policies[0].path is no path"),
        ("version: 1\nversion: 1", "rotation.yaml, line 1: has a key twice"),
        (one("kind: manual", "kind: redis"), "rotation.yaml, line 3: has a key twice"),
        ("a: 'b", "rotation.yaml, line 1: found unexpected end of stream"),
        ("a: !!python/object:os.system {}", "rotation.yaml, line 1: could not determine a"),
        ("[" * 5000, "rotation.yaml"),
        ("a: \x01", "rotation.yaml is no YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, said: str):
    """A typo, a wrong unit or a number for a text never means something else than was meant."""
    assert said in refusal(text)


def test_a_secret_has_one_policy():
    """The second one for the same path in the same scope is refused; in another it is another."""
    twice = one("kind: manual") + "\n  - path: a/b\n    kind: redis"
    elsewhere = one("kind: manual") + "\n  - path: a/b\n    kind: redis\n    tenant: acme"

    assert "policies[1].path is that of rotation.yaml: policies[0] too" in refusal(twice)
    assert len(parsed(elsewhere)) == 2


def test_what_the_file_quotes_is_not_repeated():
    """A password that was typed into the file by mistake is in no error."""
    assert "hunter2" not in refusal(one("kind: manual", "settings: {a: hunter2, b: 5}"))
    assert "hunter2" not in refusal(one("kind: manual", "password hunter2: 1"))
    assert "hunter2" not in refusal("a: !hunter2 b")


def test_only_what_differs_is_a_change():
    """Equal policies are none, others name the members that differ; rows beside do not matter."""
    wanted = parsed(one("kind: redis", "interval: 1h", "settings: {admin: a, tls: 'true'}"))
    policy = wanted[0].policy
    other = RotationPolicy(
        kind=RotationKind.REDIS, interval=7200, settings={"admin": "a", "ca": "x"}
    )
    beside = {("", "c"): row(policy, path="c")}
    here = (PLATFORM.key, "a/b")

    (new,) = changes(wanted, beside)
    (changed,) = changes(wanted, {here: row(other)})

    assert changes(wanted, {here: row(policy)}) == []
    assert (new.new, new.settings) == (True, ())
    assert (changed.new, changed.settings) == (False, ("interval", "settings.ca", "settings.tls"))
    assert str(new) == "create rotation policy of platform a/b"
    assert str(changed) == (
        "update rotation policy of platform a/b (interval, settings.ca, settings.tls)"
    )


def test_a_file_is_read_from_its_place(tmp_path: Path):
    """What cannot be read is said by name; what can be is read."""
    file = tmp_path / "rotation.yaml"
    file.write_text(WHOLE)
    odd, large = tmp_path / "odd", tmp_path / "large"
    odd.write_bytes(b"\xff")
    large.write_text(" " * (1024 * 1024 + 1))

    assert len(read_policies(file, default_interval=1.0)) == 2
    for wrong, said in ((tmp_path / "none", "cannot be read"), (odd, "UTF-8"), (large, "1 MiB")):
        with pytest.raises(ConfigurationError, match=said):
            read_policies(wrong, default_interval=1.0)


def test_without_pyyaml_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """The package is an extra's: one sentence says which."""
    monkeypatch.setitem(sys.modules, "yaml", None)

    assert "pip install 'greenlang-secrets[cli]'" in refusal(WHOLE)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("1", None), ("-1h", None)],
)
def test_times_are_a_number_and_a_unit(text: str, seconds: float | None):
    """A bare number is none: nobody could tell whether it is seconds or minutes."""
    assert seconds_of(text) == seconds
