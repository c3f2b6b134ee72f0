"""What the Kubernetes API says of a secret, parsed: what is read, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenlang_secrets_api.eso_objects import (
    EXTERNAL_SECRETS,
    PUSH_SECRETS,
    Bookmark,
    MalformedError,
    Refused,
    Removed,
    Seen,
    SyncStatus,
    Unreadable,
    parse_event,
    parse_page,
)


def item(**changes: Any) -> dict[str, Any]:
    """An ExternalSecret as the operator leaves it."""
    metadata = {"namespace": "shop", "name": "db", "uid": "u", "resourceVersion": "7"}
    status = {
        "refreshTime": "2026-11-26T01:00:00Z",
        "conditions": [
            {"type": "Deleted", "status": "False"},
            {
                "type": "Ready",
                "status": "True",
                "reason": "SecretSynced",
                "lastTransitionTime": "2026-11-26T00:00:00Z",
            },
        ],
        "syncedResourceVersion": "1-abc",
    }
    return {
        "metadata": metadata | changes.pop("metadata", {}),
        "spec": {"refreshInterval": "15s"},
        "status": status | changes,
    }


def event(type_: str, object_: Any) -> bytes:
    return json.dumps({"type": type_, "object": object_}).encode()


def seen(**changes: Any) -> Any:
    return parse_event(event("MODIFIED", item(**changes)), EXTERNAL_SECRETS)


def test_a_secret_that_is_ready_is_read() -> None:
    """Its label, its last sync, and that it is ready."""
    assert seen() == Seen(
        resource_version="7",
        status=SyncStatus(
            label="shop/db",
            uid="u",
            refreshed_at=1795654800.0,
            ready=True,
            failure=None,
            refreshed_every=15.0,
        ),
    )


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({"refreshInterval": "15s"}, 15.0),
        ({"refreshInterval": "1h0m0s"}, 3600.0),
        ({"refreshInterval": "1.5m", "refreshPolicy": "Periodic"}, 90.0),
        ({}, 3600.0),
        (None, 3600.0),
        ({"refreshInterval": "0"}, None),
        ({"refreshInterval": "0s"}, None),
        ({"refreshInterval": "15s", "refreshPolicy": "CreatedOnce"}, None),
        ({"refreshInterval": "15s", "refreshPolicy": "OnChange"}, None),
        ({"refreshInterval": "soon"}, None),
        ({"refreshInterval": 15}, None),
        ({"refreshInterval": "1s" * 100}, None),
    ],
)
def test_how_often_it_should_sync_is_read(spec: Any, seconds: float | None) -> None:
    """Go's durations; nothing for what does not sync by itself, or cannot be read."""
    line = event("MODIFIED", item() | {"spec": spec})
    found = parse_event(line, EXTERNAL_SECRETS)

    assert isinstance(found, Seen)
    assert found.status.refreshed_every == seconds


def test_a_push_secret_has_its_kind_in_the_label() -> None:
    """A name has no slash, so the two kinds cannot meet."""
    found = parse_event(event("ADDED", item()), PUSH_SECRETS)

    assert isinstance(found, Seen)
    assert found.status.label == "shop/push/db"


@pytest.mark.parametrize(
    ("condition", "ready", "failure"),
    [
        ({"status": "True", "reason": "SecretSynced"}, True, None),
        ({"status": "Unknown", "reason": "Starting"}, False, None),
        (
            {"status": "False", "reason": "SecretSyncedError", "lastTransitionTime": "t"},
            False,
            ("SecretSyncedError", "t"),
        ),
        ({"status": "False"}, False, ("", "")),
        (
            {"status": "False", "reason": 5, "lastTransitionTime": "x" * 5000},
            False,
            ("", "x" * 1024),
        ),
    ],
)
def test_readiness_is_the_condition_ready(
    condition: dict[str, Any], *, ready: bool, failure: tuple[str, str] | None
) -> None:
    """Only a False is a failure; its reason and time tell one from the next."""
    status = seen(conditions=[{"type": "Ready", **condition}]).status

    assert (status.ready, status.failure) == (ready, failure)


@pytest.mark.parametrize("conditions", [None, [], [{"type": "Deleted", "status": "True"}], [{}]])
def test_without_the_condition_nothing_is_known(conditions: Any) -> None:
    """It is neither ready nor failed."""
    status = seen(conditions=conditions).status

    assert (status.ready, status.failure) == (False, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"refreshTime": "yesterday"},
        {"refreshTime": "2026-11-26T01:00:00"},
        {"refreshTime": 5},
        {"conditions": "none"},
        {"conditions": ["Ready"]},
        {"metadata": {"name": "a/b"}},
        {"metadata": {"name": ""}},
        {"metadata": {"name": "x" * 254}},
        {"metadata": {"namespace": 'a"b'}},
        {"metadata": {"uid": None}},
    ],
)
def test_an_object_of_another_shape_is_left_out(changed: dict[str, Any]) -> None:
    """A time without a zone, a name that Kubernetes does not allow: told, and passed over."""
    assert seen(**changed) == Unreadable(resource_version="7")


@pytest.mark.parametrize("status", [[], "ready", 1])
def test_a_status_of_another_shape_is_left_out(status: Any) -> None:
    """A status is an object, or is not there yet."""
    found = parse_event(event("ADDED", {**item(), "status": status or ["x"]}), EXTERNAL_SECRETS)

    assert found == Unreadable(resource_version="7")


def test_a_secret_that_the_operator_has_not_seen_is_read() -> None:
    """Without a status it has never synced."""
    new = {"metadata": item()["metadata"]}
    found = parse_event(event("ADDED", new), EXTERNAL_SECRETS)

    assert isinstance(found, Seen)
    assert found.status.refreshed_at is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (event("DELETED", item()), Removed(label="shop/db", resource_version="7")),
        (event("BOOKMARK", {"metadata": {"resourceVersion": "9"}}), Bookmark(resource_version="9")),
        (event("ERROR", {"kind": "Status", "code": 410}), Refused(code=410)),
        (event("ERROR", {"kind": "Status"}), Refused(code=500)),
    ],
)
def test_the_other_events_are_read(line: bytes, expected: Any) -> None:
    """A deletion, a bookmark and an error."""
    assert parse_event(line, EXTERNAL_SECRETS) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"type":"ADDED","object":5}',
        event("BOOKMARK", {}),
        event("BOOKMARK", {"metadata": {"resourceVersion": 9}}),
        event("BOOKMARK", {"metadata": {"resourceVersion": "9" * 2000}}),
        event("DELETED", item(metadata={"name": "A"})),
        event("MOVED", item()),
    ],
)
def test_what_is_no_event_is_refused(line: bytes) -> None:
    """What came with it cannot be known."""
    with pytest.raises(MalformedError):
        parse_event(line, EXTERNAL_SECRETS)


def test_a_page_is_read() -> None:
    """Its objects, those that cannot be read as a number, and the way to the next."""
    page = {
        "metadata": {"resourceVersion": "50", "continue": "t"},
        "items": [item(), 5, item(refreshTime=5)],
    }

    found = parse_page(json.dumps(page).encode(), EXTERNAL_SECRETS)

    assert [status.label for status in found.statuses] == ["shop/db"]
    assert (found.resource_version, found.next_page, found.unreadable) == ("50", "t", 2)


@pytest.mark.parametrize(
    "page",
    [
        {"items": []},
        {"items": [], "metadata": {}},
        {"items": None, "metadata": {"resourceVersion": "1"}},
        {"items": [], "metadata": {"resourceVersion": "1", "continue": 5}},
    ],
)
def test_what_is_no_list_is_refused(page: Any) -> None:
    """Without its version nobody knows from where to watch."""
    with pytest.raises(MalformedError):
        parse_page(json.dumps(page).encode(), EXTERNAL_SECRETS)
