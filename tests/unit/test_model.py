from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from greenlang_secrets import model
from greenlang_secrets.errors import SecretDeleted
from greenlang_secrets.model import (
    Health,
    Lease,
    Secret,
    SecretEntry,
    SecretMetadata,
    SecretType,
    SecretVersion,
    SecretWritten,
    Undeleted,
)
from greenlang_secrets.sensitive import SecretMap

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def secret(**changes: object) -> Secret:
    fields: dict[str, object] = {
        "path": "database/postgresql",
        "version": 3,
        "data": SecretMap({"username": "gl", "password": "pw"}),
        "type": SecretType.DATABASE,
        "created_at": NOW,
        "custom_metadata": {"owner": "payments"},
    }
    return Secret(**{**fields, **changes})  # type: ignore[arg-type]


def metadata(*rows: SecretVersion, current_version: int) -> SecretMetadata:
    return SecretMetadata(
        path="database/postgresql",
        type=SecretType.DATABASE,
        current_version=current_version,
        oldest_version=0,
        max_versions=0,
        cas_required=False,
        created_at=NOW,
        updated_at=NOW,
        custom_metadata={},
        versions=rows,
    )


LIVE = SecretVersion(version=3, state="live", created_at=NOW)
DELETED = SecretVersion(version=3, state="deleted", created_at=NOW, deleted_at=NOW)
DESTROYED = SecretVersion(version=3, state="destroyed", created_at=NOW)
OLDER = SecretVersion(version=2, state="live", created_at=NOW)


# ---------------------------------------------------------------- types


def test_secret_types_are_a_closed_set():
    """The ten kinds a secret can be declared as; a label and the API rely on their spelling."""
    assert [kind.value for kind in SecretType] == [
        "database",
        "cache",
        "api_key",
        "certificate",
        "encryption_key",
        "service_token",
        "oauth_client",
        "ssh_key",
        "signing_key",
        "generic",
    ]


@pytest.mark.parametrize(
    ("custom_metadata", "expected"),
    [
        ({}, SecretType.GENERIC),
        ({"owner": "payments"}, SecretType.GENERIC),
        ({"type": "database"}, SecretType.DATABASE),
        ({"type": "service_token", "owner": "payments"}, SecretType.SERVICE_TOKEN),
        ({"type": "Database"}, SecretType.GENERIC),
        ({"type": ""}, SecretType.GENERIC),
        ({"type": "spaceship"}, SecretType.GENERIC),
    ],
)
def test_type_is_what_was_declared(custom_metadata, expected):
    """The type is declared in the custom metadata; none, or an unknown one, is generic."""
    assert SecretType.declared(custom_metadata) is expected


# ---------------------------------------------------------------- Secret


def test_value_is_reached_by_its_key():
    """`secret["password"]` gives the guarded value."""
    assert secret()["password"].reveal() == "pw"


def test_missing_key_names_the_keys_there_are():
    """A typing error in a key is answered with the names, never with a value."""
    with pytest.raises(KeyError) as caught:
        secret()["pasword"]

    assert caught.value.args == ("no key 'pasword' in this secret; it has: password, username",)


def test_secret_is_not_iterable():
    """Iteration does not fall back to `secret[0]`, `secret[1]`, ..."""
    with pytest.raises(TypeError, match="not iterable"):
        iter(secret())


def test_age_is_counted_from_the_fetch(monkeypatch):
    """The age is the time since Vault was asked."""
    monkeypatch.setattr(model, "time", SimpleNamespace(monotonic=lambda: 130.0))

    assert secret(fetched_at=100.0).age == 30.0


def test_age_is_never_negative(monkeypatch):
    """A fetch that seems to be in the future is of age 0."""
    monkeypatch.setattr(model, "time", SimpleNamespace(monotonic=lambda: 99.0))

    assert secret(fetched_at=100.0).age == 0.0


def test_fetch_time_is_now_by_default():
    """A secret made without a fetch time was fetched now."""
    before = time.monotonic()

    fetched_at = secret().fetched_at

    assert before <= fetched_at <= time.monotonic()


def test_secret_is_fresh_and_without_end_by_default():
    """Staleness and an end of life are said, never assumed."""
    read = secret()

    assert read.stale is False
    assert read.expires_at is None


def test_two_reads_are_not_compared_by_value():
    """Secrets are compared by identity: equality would be an oracle for values."""
    data = SecretMap({"password": "pw"})

    assert secret(data=data, fetched_at=1.0) != secret(data=data, fetched_at=1.0)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (secret(), "version"),
        (LIVE, "version"),
        (metadata(LIVE, current_version=3), "current_version"),
        (SecretWritten(path="a", version=1, created_at=NOW), "version"),
        (Undeleted(path="a", restored=(1,), already_live=(), current_version=1), "path"),
        (SecretEntry(path="a", kind="secret"), "path"),
        (Lease(id="", duration=1.0, renewable=False), "duration"),
        (Health(status="down", reachable=False), "status"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_value_cannot_be_changed(value, field):
    """What is shared between callers is immutable."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, getattr(value, field))


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("row", "text", "facts"),
    [
        (
            DELETED,
            "This version is deleted; undelete brings it back. (path 'a/b')",
            {"version": 3, "deleted_at": "2026-03-01T12:00:00+00:00"},
        ),
        (DESTROYED, "This version was destroyed for good. (path 'a/b')", {"version": 3}),
    ],
    ids=["deleted", "destroyed"],
)
def test_version_that_is_gone_says_how(row, text, facts):
    """A row of the history gives the error of a read of that version."""
    error = row.gone("a/b")

    assert isinstance(error, SecretDeleted)
    assert str(error) == text
    assert error.facts == facts
    assert error.path == "a/b"


# ---------------------------------------------------------------- metadata


def test_version_is_found_by_its_number():
    """`find` gives the row of a version."""
    assert metadata(LIVE, OLDER, current_version=3).find(2) is OLDER


def test_unknown_version_is_not_found():
    """A version that never was, or was pruned, has no row."""
    assert metadata(LIVE, OLDER, current_version=3).find(1) is None


def test_current_is_the_row_of_the_current_version():
    """The current row is that of the current version, whatever its state."""
    assert metadata(DELETED, OLDER, current_version=3).current is DELETED


def test_secret_with_settings_only_has_no_current_version():
    """Before the first write there are settings, but no version."""
    described = metadata(current_version=0)

    assert described.current is None
    assert described.live is False


@pytest.mark.parametrize(("row", "expected"), [(LIVE, True), (DELETED, False), (DESTROYED, False)])
def test_secret_is_live_if_its_current_version_is(row, expected):
    """A plain read gives a value only if the current version is live; older ones do not count."""
    assert metadata(row, OLDER, current_version=3).live is expected


# ---------------------------------------------------------------- defaults


def test_write_is_a_new_version_unless_said_otherwise():
    """A write that made no new version says so."""
    assert SecretWritten(path="a", version=1, created_at=NOW).unchanged is False


def test_listed_name_can_be_read_unless_said_otherwise():
    """A name outside the grammar is marked; others are addressable."""
    entry = SecretEntry(path="a/", kind="folder")

    assert entry.addressable is True
    assert entry.metadata is None


def test_unreachable_vault_claims_nothing():
    """Of a Vault that does not answer nothing is known, and no canary came back."""
    assert dataclasses.asdict(Health(status="down", reachable=False)) == {
        "status": "down",
        "reachable": False,
        "initialized": None,
        "sealed": None,
        "standby": None,
        "version": None,
        "clock_skew": None,
        "canary": False,
    }
