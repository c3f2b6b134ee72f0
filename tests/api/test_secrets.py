"""Reading and writing secrets over HTTP, on a real OpenBao."""

from __future__ import annotations

from typing import Any

from api.issuer import Issuer
from api.live import BASE, Api


async def test_a_secret_is_created_and_read_back(api: Api, issuer: Issuer, path: str) -> None:
    """POST answers 201 with where it lies and its version, never the value; GET gives it."""
    token = issuer.tenant("acme")

    created = await api.ask(
        "POST",
        path,
        token,
        json={"data": {"key": "sk_1"}, "type": "api_key", "custom_metadata": {"owner": "billing"}},
    )
    read = await api.ask("GET", path, token)

    assert created.status == 201
    assert created.headers["Location"] == f"{BASE}/{path}"
    assert created.headers["ETag"] == '"1"'
    assert created.json.keys() == {"path", "version", "created_at"}
    assert (created.json["path"], created.json["version"]) == (path, 1)
    assert b"sk_1" not in created.body
    assert read.status == 200
    assert read.headers["ETag"] == '"1"'
    assert read.headers["Age"] == "0"
    assert "X-Secret-Stale" not in read.headers
    assert read.json == {
        "path": path,
        "version": 1,
        "type": "api_key",
        "data": {"key": "sk_1"},
        "created_at": created.json["created_at"],
        "custom_metadata": {"owner": "billing"},
        "expires_at": None,
    }
    assert created.json["created_at"].endswith("Z")


async def test_a_second_create_is_refused(api: Api, issuer: Issuer, path: str) -> None:
    """POST is create only: 409 with the version that is there."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "v"}})

    again = await api.ask("POST", path, token, json={"data": {"k": "w"}})

    assert (again.status, again.code) == (409, "secret_exists")
    assert again.json["current_version"] == 1


async def test_an_update_needs_a_live_secret(api: Api, issuer: Issuer, path: str) -> None:
    """PUT answers 404 where nothing is live, and 200 with the next version where it is."""
    token = issuer.tenant("acme")

    missing = await api.ask("PUT", path, token, json={"data": {"k": "v"}})
    await api.ask("POST", path, token, json={"data": {"k": "v"}})
    updated = await api.ask("PUT", path, token, json={"data": {"k": "w"}})

    assert (missing.status, missing.code) == (404, "secret_not_found")
    assert updated.status == 200
    assert updated.headers["ETag"] == '"2"'
    assert updated.json.keys() == {"path", "version", "created_at", "unchanged"}
    assert (updated.json["version"], updated.json["unchanged"]) == (2, False)
    assert (await api.ask("GET", path, token)).json["data"] == {"k": "w"}


async def test_if_match_holds_or_answers_412(api: Api, issuer: Issuer, path: str) -> None:
    """`If-Match` is CAS: the current version passes, any other gives 412 and the current one."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "1"}})

    async def put(value: str, tags: str) -> tuple[int, object]:
        reply = await api.ask(
            "PUT", path, token, json={"data": {"k": value}}, headers={"If-Match": tags}
        )
        return reply.status, reply.json.get("version", reply.json.get("current_version"))

    assert await put("2", '"1"') == (200, 2)
    assert await put("3", '"1"') == (412, 2)
    assert await put("3", 'W/"2"') == (412, 2)
    assert await put("3", '"abc"') == (412, 2)
    assert await put("3", '"9", "2"') == (200, 3)
    assert await put("4", '"3", "1"') == (200, 4)
    assert await put("5", "*") == (200, 5)
    assert await put("6", "5") == (400, None)


async def test_an_equal_update_makes_no_version(api: Api, issuer: Issuer, path: str) -> None:
    """Equal data under a condition that holds: `unchanged`, and the version stays."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "1"}})

    reply = await api.ask(
        "PUT", path, token, json={"data": {"k": "1"}}, headers={"If-Match": '"1"'}
    )

    assert (reply.status, reply.json["unchanged"], reply.json["version"]) == (200, True, 1)


async def test_put_may_create_only(api: Api, issuer: Issuer, path: str) -> None:
    """``If-None-Match: *`` creates (201), and is a condition that fails (412) otherwise."""
    token = issuer.tenant("acme")
    only_new = {"If-None-Match": "*"}

    first = await api.ask("PUT", path, token, json={"data": {"k": "1"}}, headers=only_new)
    second = await api.ask("PUT", path, token, json={"data": {"k": "2"}}, headers=only_new)
    other = await api.ask(
        "PUT", path, token, json={"data": {"k": "2"}}, headers={"If-None-Match": '"1"'}
    )

    assert (first.status, first.headers["ETag"]) == (201, '"1"')
    assert (second.status, second.code) == (412, "version_conflict")
    assert second.json["current_version"] == 1
    assert (other.status, other.code) == (400, "invalid_request")


async def test_not_modified(api: Api, issuer: Issuer, path: str) -> None:
    """A version the caller has comes back as 304 without a body; weak tags match as well."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "v"}})

    for tags in ('"1"', 'W/"1"', '"7", "1"', "*"):
        reply = await api.ask("GET", path, token, headers={"If-None-Match": tags})
        assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", '"1"')
    other = await api.ask("GET", path, token, headers={"If-None-Match": '"2"'})

    assert other.status == 200


async def test_a_pinned_version_is_read(api: Api, issuer: Issuer, path: str) -> None:
    """`version` pins, with that version's entity tag; one that never was is 404."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "1"}})
    await api.ask("PUT", path, token, json={"data": {"k": "2"}})

    pinned = await api.ask("GET", f"{path}?version=1", token)
    unknown = await api.ask("GET", f"{path}?version=9", token)

    assert (pinned.json["data"], pinned.headers["ETag"]) == ({"k": "1"}, '"1"')
    assert (unknown.status, unknown.code) == (404, "version_not_found")
    for wrong in ("0", "-1", "1.0", "", "x", "%31%00"):
        reply = await api.ask("GET", f"{path}?version={wrong}", token)
        assert (reply.status, reply.code) == (400, "invalid_version")


async def test_only_the_named_fields_leave(api: Api, issuer: Issuer, path: str) -> None:
    """`fields` is least disclosure; a key that is not there is named."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"user": "u", "password": "hunter2"}})

    some = await api.ask("GET", f"{path}?fields=user", token)
    wrong = await api.ask("GET", f"{path}?fields=user,a/b", token)

    assert some.json["data"] == {"user": "u"}
    assert b"hunter2" not in some.body
    assert (wrong.status, wrong.code) == (422, "invalid_body")
    assert wrong.json["errors"] == [{"pointer": "#/data/a~1b", "code": "unknown_key"}]


async def test_head_tells_the_version_without_reading_the_value(
    api: Api, issuer: Issuer, path: str, vault_server: Any
) -> None:
    """HEAD has GET's headers, from metadata: Vault is not asked for data."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "v"}})
    mark = await vault_server.audit_mark()

    found = await api.ask("HEAD", path, token)
    cached = await api.ask("HEAD", path, token, headers={"If-None-Match": '"1"'})
    missing = await api.ask("HEAD", f"{path}x", token)

    assert (found.status, found.headers["ETag"], found.body) == (200, '"1"', b"")
    assert found.headers["Content-Type"] == "application/json"
    assert (cached.status, missing.status) == (304, 404)
    asked = await vault_server.audit_requests(mark)
    assert {where.split("/")[1] for _, where in asked if where.startswith("kv-")} == {"metadata"}


async def test_deletion_and_return(api: Api, issuer: Issuer, path: str) -> None:
    """DELETE 204, then 404 with what is gone; undelete brings it back; twice is 404."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "v"}})

    deleted = await api.ask("DELETE", path, token)
    gone = await api.ask("GET", path, token)
    head = await api.ask("HEAD", path, token)
    twice = await api.ask("DELETE", path, token)
    undeleted = await api.ask("POST", f"{path}/undelete", token, json={"version": 1})
    again = await api.ask("POST", f"{path}/undelete", token, json={"versions": [1]})

    assert (deleted.status, deleted.body) == (204, b"")
    assert (gone.status, gone.code, gone.json["version"]) == (404, "secret_deleted", 1)
    assert gone.json["deleted_at"].endswith("Z")
    assert (head.status, twice.status) == (404, 404)
    assert undeleted.json == {
        "path": path,
        "restored": [1],
        "already_live": [],
        "current_version": 1,
    }
    assert again.json["already_live"] == [1]
    assert (await api.ask("GET", path, token)).json["data"] == {"k": "v"}


async def test_a_secret_is_created_anew_after_deletion(api: Api, issuer: Issuer, path: str) -> None:
    """POST on a deleted secret is 201 with the next version."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "v"}})
    await api.ask("DELETE", path, token)

    anew = await api.ask("POST", path, token, json={"data": {"k": "w"}})

    assert (anew.status, anew.json["version"], anew.headers["ETag"]) == (201, 2, '"2"')


async def test_destruction_needs_a_reason(api: Api, issuer: Issuer, path: str) -> None:
    """`destroy` needs the versions and an Audit-Reason; then the data is gone for good."""
    token = issuer.tenant("acme")
    reason = {"Audit-Reason": "leaked in a ticket"}
    await api.ask("POST", path, token, json={"data": {"k": "v"}})

    without_reason = await api.ask("DELETE", f"{path}?destroy=true&versions=1", token)
    without_versions = await api.ask("DELETE", f"{path}?destroy=true", token, headers=reason)
    destroyed = await api.ask("DELETE", f"{path}?destroy=true&versions=1", token, headers=reason)
    gone = await api.ask("GET", path, token)
    back = await api.ask("POST", f"{path}/undelete", token, json={"version": 1})

    assert without_reason.json["errors"][0]["header"] == "Audit-Reason"
    assert without_versions.json["errors"] == [{"parameter": "versions", "code": "missing"}]
    assert destroyed.status == 204
    assert (gone.status, gone.code, gone.json["version"]) == (404, "secret_destroyed", 1)
    assert (back.status, back.code) == (409, "version_destroyed")


async def test_delete_with_a_condition(api: Api, issuer: Issuer, path: str) -> None:
    """`If-Match` on DELETE: another version than the current is 412, and nothing goes."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "1"}})
    await api.ask("PUT", path, token, json={"data": {"k": "2"}})

    refused = await api.ask("DELETE", path, token, headers={"If-Match": '"1"'})
    old = await api.ask("DELETE", f"{path}?versions=1", token, headers={"If-Match": '"2"'})

    assert (refused.status, refused.code) == (412, "version_conflict")
    assert old.status == 204
    assert (await api.ask("GET", path, token)).json["version"] == 2
    assert (await api.ask("GET", f"{path}?version=1", token)).code == "secret_deleted"


async def test_the_history_is_newest_first(api: Api, issuer: Issuer, path: str) -> None:
    """Each version with its state; pages by cursor."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "1"}})
    await api.ask("PUT", path, token, json={"data": {"k": "2"}})
    await api.ask("PUT", path, token, json={"data": {"k": "3"}})
    await api.ask("DELETE", f"{path}?versions=2", token)
    await api.ask("DELETE", f"{path}?destroy=true&versions=1", token, headers={"Audit-Reason": "x"})

    history = (await api.ask("GET", f"{path}/versions", token)).json
    page = await api.ask("GET", f"{path}/versions?limit=2", token)
    first = page.json
    last = await api.ask("GET", f"{path}/versions?limit=2&after={first['next']}", token)
    rest = last.json

    assert (history["path"], history["current_version"], history["oldest_version"]) == (path, 3, 1)
    assert [(row["version"], row["state"]) for row in history["versions"]] == [
        (3, "live"),
        (2, "deleted"),
        (1, "destroyed"),
    ]
    assert history["versions"][1]["deleted_at"].endswith("Z")
    assert history["next"] is None
    assert [row["version"] for row in first["versions"]] == [3, 2]
    assert page.headers["Link"] == (
        f'<{BASE}/{path}/versions?limit=2&after={first["next"]}>; rel="next"'
    )
    assert [row["version"] for row in rest["versions"]] == [1]
    assert "Link" not in last.headers


async def test_listing_pages_through_a_folder(api: Api, issuer: Issuer, path: str) -> None:
    """Secrets with what is known of them, folders by name, page by page, and no values."""
    token = issuer.tenant("acme")
    for name in ("a", "b", "c/d"):
        body = {"data": {"k": "hunter2"}, "type": "api_key", "custom_metadata": {"owner": "x"}}
        await api.ask("POST", f"{path}/{name}", token, json=body)
    prefix = f"{path}/"

    whole = await api.ask("GET", f"?prefix={prefix}", token)
    first = await api.ask("GET", f"?prefix={prefix}&limit=2", token)
    rest = await api.ask("GET", f"?prefix={prefix}&limit=2&after={first.json['next']}", token)
    slash = await api.ask("GET", f"{BASE}/?prefix={prefix}", token)

    items = whole.json["items"]
    assert [(item["path"], item["kind"]) for item in items] == [
        (f"{path}/a", "secret"),
        (f"{path}/b", "secret"),
        (f"{path}/c/", "folder"),
    ]
    assert items[0]["state"] == "live"
    assert (items[0]["version"], items[0]["type"]) == (1, "api_key")
    assert items[0]["custom_metadata"] == {"owner": "x"}
    assert items[0]["addressable"] is True
    assert whole.json["next"] is None
    assert b"hunter2" not in whole.body
    assert [item["path"] for item in first.json["items"]] == [f"{path}/a", f"{path}/b"]
    assert 'rel="next"' in first.headers["Link"]
    assert [item["path"] for item in rest.json["items"]] == [f"{path}/c/"]
    assert slash.json == whole.json


async def test_deleted_secrets_are_listed_on_request(api: Api, issuer: Issuer, path: str) -> None:
    """`deleted=true` shows them with their state; by default they are left out."""
    token = issuer.tenant("acme")
    await api.ask("POST", f"{path}/a", token, json={"data": {"k": "v"}})
    await api.ask("DELETE", f"{path}/a", token)

    default = await api.ask("GET", f"?prefix={path}/", token)
    asked = await api.ask("GET", f"?prefix={path}/&deleted=true", token)

    assert default.json["items"] == []
    assert [item["state"] for item in asked.json["items"]] == ["deleted"]


async def test_an_unknown_prefix_has_no_items(api: Api, issuer: Issuer, path: str) -> None:
    """Vault's 404 to a list means empty; a prefix without its slash is refused."""
    token = issuer.tenant("acme")

    empty = await api.ask("GET", f"?prefix={path}/", token)
    wrong = await api.ask("GET", f"?prefix={path}", token)

    assert (empty.status, empty.json) == (200, {"items": [], "next": None})
    assert (wrong.status, wrong.code) == (400, "invalid_path")


async def test_a_cursor_of_another_listing_is_refused(api: Api, issuer: Issuer, path: str) -> None:
    """A cursor belongs to its tenant and prefix, and is refused when altered."""
    acme, globex = issuer.tenant("acme"), issuer.tenant("globex")
    for name in ("a", "b"):
        await api.ask("POST", f"{path}/{name}", acme, json={"data": {"k": "v"}})
    prefix = f"?prefix={path}/&limit=1"
    cursor = (await api.ask("GET", prefix, acme)).json["next"]

    assert (await api.ask("GET", f"{prefix}&after={cursor}", acme)).status == 200
    for query, token in (
        (f"{prefix}&after={cursor}", globex),
        (f"?prefix=t/&limit=1&after={cursor}", acme),
        (f"{prefix}&after={cursor}x", acme),
        (f"{prefix}&after=", acme),
        (f"{prefix}&after=W10", acme),
    ):
        reply = await api.ask("GET", query, token)
        assert (reply.status, reply.code) == (400, "invalid_cursor")


async def test_a_secret_is_never_also_a_folder(api: Api, issuer: Issuer, path: str) -> None:
    """409 on either side of it."""
    token = issuer.tenant("acme")
    await api.ask("POST", f"{path}/a/b", token, json={"data": {"k": "v"}})

    above = await api.ask("POST", f"{path}/a", token, json={"data": {"k": "v"}})
    below = await api.ask("POST", f"{path}/a/b/c", token, json={"data": {"k": "v"}})

    assert (above.status, above.code) == (409, "path_is_folder")
    assert (below.status, below.code) == (409, "ancestor_is_secret")


async def test_tenants_do_not_see_each_other(api: Api, issuer: Issuer, path: str) -> None:
    """The same path is another secret in each scope; a foreign one is like a missing one."""
    body = {"data": {"k": "acme's"}}
    await api.ask("POST", path, issuer.tenant("acme"), json=body)

    foreign = await api.ask("GET", path, issuer.tenant("globex"))
    platform = await api.ask("GET", path, issuer.platform())
    named = await api.ask("GET", f"{path}?tenant=acme", issuer.platform())

    assert (foreign.status, foreign.code) == (404, "secret_not_found")
    assert platform.status == 404
    assert named.json["data"] == {"k": "acme's"}


async def test_only_the_platform_names_a_tenant(api: Api, issuer: Issuer, path: str) -> None:
    """`tenant` from a tenant's principal is 403, its own too; a bad id is 400."""
    acme = issuer.tenant("acme")

    for tenant in ("globex", "acme", "*"):
        refused = await api.ask("GET", f"{path}?tenant={tenant}", acme)
        assert (refused.status, refused.code) == (403, "permission_denied")
    wrong = await api.ask("GET", f"{path}?tenant=..", issuer.platform())
    created = await api.ask(
        "POST", f"{path}?tenant=acme", issuer.platform(), json={"data": {"k": "v"}}
    )

    assert (wrong.status, wrong.code) == (400, "invalid_tenant")
    assert created.headers["Location"] == f"{BASE}/{path}?tenant=acme"
    assert (await api.ask("GET", path, acme)).status == 200


async def test_identity_headers_are_not_looked_at(api: Api, issuer: Issuer, path: str) -> None:
    """Who calls is said by the bearer alone."""
    await api.ask("POST", path, issuer.tenant("acme"), json={"data": {"k": "v"}})
    forged = {"X-Tenant-ID": "acme", "X-User-Id": "admin", "X-Forwarded-For": "127.0.0.1"}

    reply = await api.ask("GET", path, issuer.tenant("globex"), headers=forged)

    assert reply.status == 404


async def test_text_comes_back_as_it_was(api: Api, issuer: Issuer, path: str) -> None:
    """Any Unicode, line ends and quotes among it, unchanged."""
    token = issuer.tenant("acme")
    data = {"pem": '-----BEGIN\n\u00e9\U0001f511\u2028"\\\x00-----', "empty": ""}
    await api.ask("POST", path, token, json={"data": data})

    assert (await api.ask("GET", path, token)).json["data"] == data
