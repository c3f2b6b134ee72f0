from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from greenlang_secrets.invalidation.vault_audit import AuditReader, Change
from greenlang_secrets.paths import PLATFORM, SecretPath, Tenant, TenantId

ACME = Tenant(TenantId("acme"))


def entry(**changes: Any) -> dict[str, Any]:
    """An answered write as OpenBao 2.7.2 writes it, with what the reader does not look at left
    out; `changes` replaces members of the request.
    """
    return {
        "time": "2030-01-01T00:00:00.1Z",
        "type": "response",
        "auth": {"display_name": "root"},
        "request": {
            "operation": "update",
            "mount_point": "secret/",
            "namespace": {"id": "root"},
            "path": "secret/data/tenants/acme/a/b",
            "data": {"data": {"k": "hmac-sha256:00"}},
            **changes,
        },
        "response": {
            "data": {"created_time": "2030-01-01T00:00:00.123456789Z", "version": 3},
        },
    }


def line(entry: Any) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode()


@pytest.fixture
def reader() -> AuditReader:
    return AuditReader(kv_mount="secret", namespace=None)


def test_answered_write_is_a_change(reader):
    """Scope, path, version and time are read; the time to the microsecond, as from an answer."""
    assert reader.changes([line(entry())]) == (
        [
            Change(
                scope=ACME,
                path=SecretPath.parse("a/b"),
                written=(3, datetime(2030, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)),
            )
        ],
        "",
    )


@pytest.mark.parametrize("operation", ["create", "update", "patch", "delete"])
@pytest.mark.parametrize("endpoint", ["data", "metadata", "delete", "undelete", "destroy"])
def test_every_way_to_change_a_secret_is_one(reader, operation, endpoint):
    """All operations that write, on all endpoints, of the platform as of tenants."""
    answered = entry(operation=operation, path=f"secret/{endpoint}/greenlang/x")
    answered["response"] = None

    changes, gap = reader.changes([line(answered)])

    assert (changes, gap) == ([Change(scope=PLATFORM, path=SecretPath.parse("x"))], "")


@pytest.mark.parametrize(
    "other",
    [
        {**entry(), "type": "request"},
        {**entry(), "error": "1 error occurred"},
        entry(operation="read"),
        entry(operation="list", path="secret/metadata/tenants/acme/"),
        entry(path="other/data/tenants/acme/a/b", mount_point="other/"),
        entry(path="secret/config"),
        entry(path="secret/data/elsewhere/a"),
        entry(path="secret/data/tenants/acme/a b"),
        entry(path="sys/mounts/other"),
        entry(namespace={"id": "x", "path": "team/"}),
    ],
    ids=lambda each: str(each["request"]["path"]),
)
def test_everything_else_is_none(reader, other):
    """Requests, reads, refusals, other mounts, other namespaces, paths outside the grammar."""
    assert reader.changes([line(other)]) == ([], "")


def test_namespace_of_ours_is_the_configured_one():
    """With a namespace, its requests count and those without one do not."""
    reader = AuditReader(kv_mount="secret", namespace="/team/a/")
    inside = entry(namespace={"id": "x", "path": "team/a/"})
    broken = entry(namespace="team/a/")

    changes, gap = reader.changes([line(inside), line(entry()), line(broken)])

    assert (len(changes), gap) == (1, "")


@pytest.mark.parametrize(
    "path", ["sys/mounts/secret", "sys/remount", "sys/storage/raft/snapshot-force"]
)
def test_what_changes_the_whole_mount_is_a_gap(reader, path):
    """Unmounting, remounting and restoring change everything."""
    assert reader.changes([line(entry(operation="update", path=path))]) == ([], "mount")


@pytest.mark.parametrize(
    "torn",
    [
        b"@cee: not JSON at all",
        b"{}",
        b"{",
        b'{"time":"2030',
        b'{"time":"2030","type":"respon' + line(entry(operation="read")),
        line(entry())[:-1],
        line(entry())[1:],
        line({**entry(), "request": [{"operation": "update"}]}),
        line(entry(path=None)),
        b'{"time":"","type":"response","operation":"update","x":' + b"[" * 5000 + b"}",
    ],
)
def test_line_that_cannot_be_read_is_a_gap(reader, torn):
    """A torn line may have been a write; the lines around it count."""
    changes, gap = reader.changes([line(entry()), torn, line(entry())])

    assert (len(changes), gap) == (2, "unreadable")


def test_prefix_before_each_line_is_passed_over(reader):
    """The device's option `prefix` puts a text before the JSON."""
    changes, gap = reader.changes([b"vault: " + line(entry()), b"vault: " + line(entry())])

    assert (len(changes), gap) == (2, "")


def test_names_that_a_writer_chose_change_nothing(reader):
    """Names of fields stand in the clear: none of them hides a write, or makes a read one."""
    names = {'"operation":"read"': "hmac", '{"time":': "hmac", "type": {"time": "hmac"}}
    write = entry(data={"data": names})
    read = entry(operation="read", data={'"operation":"update"': "x", "operation": "update"})

    changes, gap = reader.changes([line(write), line(read)])

    assert (len(changes), gap) == (1, "")


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"version": "3"}, {"version": 3}, {"version": 3, "created_time": "yesterday"}],
)
def test_answer_without_a_version_is_a_change_all_the_same(reader, data):
    """What was written is told where it is known, and only there."""
    answered = entry()
    answered["response"] = {"data": data}

    changes, gap = reader.changes([line(answered)])

    assert ([change.written for change in changes], gap) == ([None], "")
