"""No answer without its record: what is recorded around each endpoint, and what if it cannot be."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from api.issuer import Issuer
from api.live import Api
from api.processes import process, started

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Log:
    """The service's audit log, read for one path."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def of(self, path: str) -> list[dict[str, Any]]:
        """Return the records of a path, oldest first."""
        return [record for record in self.all() if record.get("path") == path]

    def all(self) -> list[dict[str, Any]]:
        """Return every record."""
        return [json.loads(line) for line in self._file.read_text().splitlines()]


@pytest.fixture
def log(audit_file: Path) -> Log:
    return Log(audit_file)


def told(record: dict[str, Any]) -> tuple[Any, ...]:
    """What came of a request, as its record tells it."""
    return tuple(
        record.get(name) for name in ("action", "phase", "result", "status", "code", "version")
    )


async def test_a_change_is_recorded_before_and_after(api, issuer, log, path):
    """Intent and outcome share an operation; who, where, when and which version stand there."""
    token = issuer.tenant("acme", sub="ada")
    sent = {"X-Request-ID": "r-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}

    reply = await api.ask("POST", path, token, json={"data": {"k": "v"}}, headers=sent)

    assert reply.status == 201
    intent, outcome = log.of(path)
    assert told(intent) == ("create", "intent", "pending", None, None, None)
    assert told(outcome) == ("create", "outcome", "ok", 201, None, 1)
    assert intent["operation_id"] == outcome["operation_id"]
    assert intent["id"] != outcome["id"]
    for record in (intent, outcome):
        assert (record["principal"], record["principal_tenant"]) == ("ada", "acme")
        assert (record["tenant"], record["source_address"]) == ("acme", "127.0.0.1")
        assert (record["request_id"], record["trace_id"]) == ("r-1", TRACE)


async def test_every_way_to_change_a_secret_is_recorded(api, issuer, log, path):
    """Each is recorded as what it is, with its reason where it has one."""
    token = issuer.tenant("acme")
    data = {"data": {"k": "v"}}
    patch = {"Content-Type": "application/merge-patch+json"}
    steps = [
        await api.ask("PUT", path, token, json=data, headers={"If-None-Match": "*"}),
        await api.ask("PUT", path, token, json={"data": {"k": "w"}}),
        await api.ask("PATCH", path, token, body=b'{"data":{"l":"x"}}', headers=patch),
        await api.ask("DELETE", path, token),
        await api.ask("POST", f"{path}/undelete", token, json={"version": 3}),
        await api.ask(
            "DELETE",
            f"{path}?destroy=true&versions=1",
            token,
            headers={"Audit-Reason": "ticket 7"},
        ),
    ]

    assert [reply.status for reply in steps] == [201, 200, 200, 204, 200, 204]
    outcomes = [record for record in log.of(path) if record["phase"] == "outcome"]
    assert [told(record)[0] for record in outcomes] == [
        "create",
        "update",
        "update",
        "delete",
        "undelete",
        "destroy",
    ]
    assert len([record for record in log.of(path) if record["phase"] == "intent"]) == 6
    assert outcomes[-1]["reason"] == "ticket 7"


async def test_reads_are_recorded_with_where_the_value_came_from(api, issuer, log, path):
    """A miss, a hit, a 304, a history, a missing one, and a listing by its prefix."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "v"}})

    await api.ask("GET", path, token)
    await api.ask("GET", path, token)
    await api.ask("GET", path, token, headers={"If-None-Match": '"1"'})
    await api.ask("HEAD", path, token)
    await api.ask("GET", f"{path}/versions", token)
    await api.ask("GET", f"{path}?version=9", token)
    await api.ask("GET", f"?prefix={path}/", token)

    reads = [record for record in log.of(path) if record["action"] in {"read", "versions"}]
    assert [(*told(record), record.get("cache")) for record in reads] == [
        ("read", "outcome", "ok", 200, None, 1, "miss"),
        ("read", "outcome", "ok", 200, None, 1, "hit"),
        ("read", "outcome", "not_modified", 304, None, 1, "hit"),
        ("read", "outcome", "ok", 200, None, 1, None),
        ("versions", "outcome", "ok", 200, None, None, None),
        ("read", "outcome", "refused", 404, "version_not_found", None, None),
    ]
    assert [told(record)[:4] for record in log.of(f"{path}/")] == [("list", "outcome", "ok", 200)]


async def test_refusals_are_recorded_and_nothing_else_is_begun(api, issuer, log, path):
    """Without permission, in another's scope, and with a wrong body: no intent, one outcome."""
    reader, platform = issuer.tenant("acme", "secrets:read"), issuer.platform("secrets:read")

    await api.ask("PUT", path, reader, json={"data": {"k": "v"}})
    await api.ask("GET", f"{path}?tenant=globex", reader)
    await api.ask("POST", path, issuer.tenant("acme"), json={"data": {"k": 1}})
    await api.ask("GET", f"{path}?tenant=globex", platform)

    assert [(*told(record), record.get("tenant")) for record in log.of(path)] == [
        ("update", "outcome", "denied", 403, "permission_denied", None, "acme"),
        ("read", "outcome", "denied", 403, "permission_denied", None, "acme"),
        ("create", "outcome", "refused", 422, "invalid_body", None, "acme"),
        ("read", "outcome", "refused", 404, "secret_not_found", None, "globex"),
    ]


async def test_a_replay_is_recorded_as_one(api, issuer, log, path):
    """A request that was answered before has no intent: nothing is about to change."""
    token, key = issuer.tenant("acme"), {"Idempotency-Key": path.replace("/", "-")}
    for _ in range(2):
        reply = await api.ask("POST", path, token, json={"data": {"k": "v"}}, headers=key)
        assert reply.status == 201

    assert [told(record)[:5] for record in log.of(path)] == [
        ("create", "intent", "pending", None, None),
        ("create", "outcome", "ok", 201, None),
        ("create", "outcome", "ok", 201, "idempotent_replay"),
    ]


async def test_a_refused_bearer_is_recorded_without_a_name(api, issuer, log):
    """Who was not let in has no name; the address and the request id stand there."""
    await api.ask("GET", "a", headers={"X-Request-ID": "who-is-it"})

    found = [record for record in log.all() if record.get("request_id") == "who-is-it"]
    assert [told(record) for record in found] == [
        ("authenticate", "outcome", "denied", 401, "invalid_token", None)
    ]
    assert "principal" not in found[0]


async def test_no_value_is_ever_recorded(api, issuer, audit_file, path):
    """Neither what was written nor what was read; the control is the path, which is."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"key-name": "canary-4f1c"}})
    assert (await api.ask("GET", path, token)).json["data"] == {"key-name": "canary-4f1c"}

    text = audit_file.read_text()

    assert "canary-4f1c" not in text
    assert path in text


async def test_without_a_record_nothing_leaves_and_nothing_changes(
    environment: dict[str, str], issuer: Issuer, vault_server: Any, mount: str, path: str
) -> None:
    """With a log that cannot grow every answer is a 503; once it can again, all is as before.

    The limit of the process's file size is what a full disk is to it: the write fails.
    """
    file = Path(environment["GREENLANG_SECRETS_STATE_DIR"]) / "audit.jsonl"
    token = issuer.tenant("acme")
    async with process(environment) as child:
        api: Api = await started(child)
        assert (await api.ask("POST", path, token, json={"data": {"k": "one"}})).status == 201
        assert (await api.ask("GET", path, token)).status == 200
        before = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
        full = file.stat().st_size + 5
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (full, before[1]))

        broken = [
            await api.ask("GET", path, token),
            await api.ask("PUT", path, token, json={"data": {"k": "two"}}),
            await api.ask("DELETE", path, token),
            await api.ask("GET", f"{path}?tenant=globex", token),
            await api.ask("GET", "nothing-here", token),
        ]
        mark = await vault_server.request("GET", f"{mount}/data/tenants/acme/{path}")
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, before)
        after = await api.ask("GET", path, token)

        assert [(reply.status, reply.code) for reply in broken] == [
            (503, "audit_unavailable")
        ] * len(broken)
        assert all(b"one" not in reply.body for reply in broken)
        assert all("Retry-After" in reply.headers for reply in broken)
        assert mark[1]["data"]["data"] == {"k": "one"}
        assert (after.status, after.json["version"]) == (200, 1)
    lines = file.read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines if '"read"' in line] == [200, 200]
