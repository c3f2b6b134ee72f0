"""What the file audit device writes, as far as it is read for changes."""

from __future__ import annotations

import pytest

from greenlang_secrets.testing import OpenBaoServer

MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
def server(vault_server) -> OpenBaoServer:
    if not isinstance(vault_server, OpenBaoServer):
        pytest.skip("the audit file of a server that somebody else runs is elsewhere")
    return vault_server


async def answers(server: OpenBaoServer, since: int) -> list[dict]:
    entries = await server.audit_entries(since=since)
    return [entry for entry in entries if entry["type"] == "response"]


async def test_paths_stand_in_clear_and_values_do_not(server, mount):
    """An answer has operation, path, version and time as they are, and each value as an HMAC."""
    since = await server.audit_mark()
    data = {"data": {"name-of-a-key": "a value nobody may see"}}

    _, body = await server.request("POST", f"{mount}/data/tenants/acme/a", data)

    [entry] = await answers(server, since)
    assert entry["request"]["path"] == f"{mount}/data/tenants/acme/a"
    assert entry["request"]["operation"] == "create"
    assert entry["request"]["mount_point"] == f"{mount}/"
    assert entry["response"]["data"]["version"] == 1
    assert entry["response"]["data"]["created_time"] == body["data"]["created_time"]
    assert entry["request"]["data"]["data"]["name-of-a-key"].startswith("hmac-sha256:")
    assert "a value nobody may see" not in server.audit_file.read_text()


async def test_each_way_to_change_a_secret_has_its_operation(server, mount):
    """PATCH is `patch`, DELETE `delete`, and every POST or PUT `create` or `update`."""
    since = await server.audit_mark()
    place = "greenlang/x"

    for method, endpoint, body in (
        ("POST", "data", {"data": {"k": "1"}}),
        ("PUT", "data", {"data": {"k": "2"}}),
        ("PATCH", "data", {"data": {"k": "3"}}),
        ("DELETE", "data", None),
        ("POST", "undelete", {"versions": [3]}),
        ("PUT", "delete", {"versions": [3]}),
        ("POST", "destroy", {"versions": [3]}),
        ("POST", "metadata", {"max_versions": 5}),
        ("PATCH", "metadata", {"max_versions": 6}),
        ("DELETE", "metadata", None),
    ):
        headers = MERGE if method == "PATCH" else {}
        status, _ = await server.request(
            method, f"{mount}/{endpoint}/{place}", body, headers=headers
        )
        assert status in {200, 204}

    seen = [
        (entry["request"]["operation"], entry["request"]["path"].split("/")[1])
        for entry in await answers(server, since)
        if entry["request"]["path"].endswith(place)
    ]
    assert seen == [
        ("create", "data"),
        ("update", "data"),
        ("patch", "data"),
        ("delete", "data"),
        ("update", "undelete"),
        ("update", "delete"),
        ("update", "destroy"),
        ("update", "metadata"),
        ("patch", "metadata"),
        ("delete", "metadata"),
    ]


async def test_answer_to_a_refused_write_has_an_error(server, mount):
    """A CAS mismatch and a denial stand there as answers too, with `error`."""
    _, made = await server.request("POST", "auth/token/create", {"policies": ["default"]})
    since = await server.audit_mark()
    place = f"{mount}/data/greenlang/x"

    await server.request("POST", place, {"data": {"k": "1"}, "options": {"cas": 7}})
    await server.request("POST", place, {"data": {"k": "1"}}, made["auth"]["client_token"])

    entries = [each for each in await answers(server, since) if each["request"]["path"] == place]
    assert [bool(entry.get("error")) for entry in entries] == [True, True]


async def test_namespace_stands_beside_the_path(server):
    """The path is that within the namespace, whichever way that was named in the request."""
    await server.request("POST", "sys/namespaces/audited")
    since = await server.audit_mark()

    await server.request("POST", "audited/sys/mounts/kv", {"type": "kv"})
    await server.request("GET", "sys/mounts/kv", headers={"X-Vault-Namespace": "audited"})

    requests = [entry["request"] for entry in await answers(server, since)]
    assert {(each["path"], each["namespace"]["path"]) for each in requests} == {
        ("sys/mounts/kv", "audited/")
    }
    await server.request("DELETE", "audited/sys/mounts/kv")
    await server.request("DELETE", "sys/namespaces/audited")
