"""Three tenants of colliding names and the platform, over HTTP, in any order of anything they may
do: every answer is the model's, and OpenBao's audit file testifies who asked for what.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import greenlang_secrets as gs
from api.bearers import DEFECTS
from api.conftest import UNLIMITED
from api.issuer import AUDIENCE, ISSUER, Issuer
from api.live import BASE, running
from greenlang_secrets.background import Supervisor
from greenlang_secrets.provision import provision
from greenlang_secrets.testing import OpenBaoServer
from greenlang_secrets_api.config import ApiConfig
from support.own_requests import no_canary_on_its_own

EXAMPLES = int(os.environ.get("GREENLANG_SECRETS_TEST_EXAMPLES", "30"))
STEPS = 40
KEPT = 10
"""Versions that KV v2 keeps of a secret."""

TENANTS = ("a", "ab", "a-b")
PLATFORM = "platform"
PREFIXES = {PLATFORM: ["greenlang"], **{tenant: ["tenants", tenant] for tenant in TENANTS}}

SCOPES = st.sampled_from((*TENANTS, PLATFORM))
# Names that collide among each other and with what lies around them in the mount.
PATHS = st.sampled_from(
    ("a", "ab", "a-b", "a/b", "a/b/c", "a/b/c/d", "ab/c", "a-b/c", "tenants/ab/a", "greenlang/a")
)
VERSIONS = st.integers(1, 4)
SOME = st.lists(VERSIONS, min_size=1, max_size=3, unique=True)


# Mostly secrets that are there: of forty places most are empty.
PLACES = st.one_of(
    st.runner().flatmap(lambda machine: st.sampled_from(machine.taken())),
    st.runner().flatmap(lambda machine: st.sampled_from(machine.taken())),
    st.runner().flatmap(lambda machine: st.sampled_from(machine.taken())),
    st.tuples(SCOPES, PATHS),
)


@dataclass
class Version:
    """One version in the model."""

    data: dict[str, str]
    state: str = "live"


@dataclass
class Kept:
    """One secret in the model, live or not."""

    versions: dict[int, Version] = field(default_factory=dict)
    type: str = "generic"
    custom: dict[str, str] = field(default_factory=dict)

    @property
    def current(self) -> int:
        return max(self.versions)

    @property
    def live(self) -> bool:
        return self.versions[self.current].state == "live"

    def write(self, data: dict[str, str]) -> int:
        number = max(self.versions, default=0) + 1
        self.versions[number] = Version(data)
        self.versions.pop(number - KEPT, None)
        return number


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    document: Any
    body: bytes
    asked: list[tuple[str, str]]

    @property
    def code(self) -> str | None:
        return self.document["code"] if self.status >= 400 else None


@dataclass
class World:
    """A provisioned server, the service in front of it, and its callers' bearers."""

    server: OpenBaoServer
    url: str
    issuer: Issuer
    runs: Iterator[int] = field(default_factory=itertools.count)
    late: dict[str, str] = field(default_factory=dict)
    """What the index of secrets may ask for after an answer, and in whose name: what is left of a
    secret of which versions were deleted, restored or destroyed.
    """

    def bearer(self, scope: str, *permissions: str) -> str:
        if scope == PLATFORM:
            return self.issuer.platform(*permissions)
        return self.issuer.tenant(scope, *permissions)


class Witness:
    """Reads what OpenBao wrote down, from where it read last."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._at = file.stat().st_size
        self.entities: dict[str, str] = {}

    def asked(self) -> list[tuple[str, str]]:
        """The path and the entity of each request since, but for the service's own token's."""
        with self._file.open("rb") as file:
            file.seek(self._at)
            lines = file.read()
            self._at = file.tell()
        requests = [json.loads(line) for line in lines.splitlines()]
        return [
            (entry["request"]["path"], entry.get("auth", {}).get("entity_id", ""))
            for entry in requests
            if entry["type"] == "request" and not entry["request"]["path"].startswith("auth/")
        ]

    def foreign(self, scope: str, asked: list[tuple[str, str]]) -> list[str]:
        """What of this lies outside the scope's prefix, or came with the token of another one."""
        found = []
        for path, entity in asked:
            if path.split("/")[2:][: len(PREFIXES[scope])] != PREFIXES[scope]:
                found.append(path)
            elif self.entities.setdefault(scope, entity) != entity:
                found.append(f"{path} with another scope's token")
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The whole as in production: an AppRole, and a token for each tenant."""
    folder = tmp_path_factory.mktemp("model")
    issuer, server = Issuer(), OpenBaoServer()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        try:
            auth = runner.run(provisioned(server, folder))
            service = gs.SecretsServiceConfig(
                addresses=(server.addr,),
                auth=auth,
                cache=gs.CacheConfig(missing_for=0, denied_for=0),
            )
            api = ApiConfig(
                jwt_issuer=ISSUER,
                jwt_audience=AUDIENCE,
                jwks_file=issuer.write(folder / "jwks.json"),
                rate_limits=UNLIMITED,
            )
            with no_canary_on_its_own(), running(service, api) as running_api:
                yield World(server, running_api.url, issuer)
        finally:
            runner.run(server.stop(grace=0))


async def provisioned(server: OpenBaoServer, folder: Path) -> gs.AuthConfig:
    await server.start()
    admin = gs.SecretsServiceConfig(
        addresses=(server.addr,), auth=gs.AuthConfig(token=gs.SecretValue(server.root_token))
    )
    async with Supervisor() as supervisor, gs.VaultClient.open(admin, supervisor) as client:
        await provision(client)
    _, role = await server.request("GET", "auth/approle/role/greenlang-secrets/role-id")
    _, secret = await server.request("POST", "auth/approle/role/greenlang-secrets/secret-id")
    file = folder / "secret-id"
    file.write_text(secret["data"]["secret_id"])
    return gs.AuthConfig(method="approle", role=role["data"]["role_id"], secret_id_file=file)


class Tenants(RuleBasedStateMachine):
    """What callers do, and what must come of it."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.folder = f"run-{next(self.world.runs)}"
        self.model: dict[str, dict[str, Kept]] = {scope: {} for scope in PREFIXES}
        self.bearers = {scope: self.world.bearer(scope) for scope in PREFIXES}
        self.connection = http.client.HTTPConnection(urlsplit(self.world.url).netloc, timeout=20)
        self.witness = Witness(self.world.server.audit_file)
        self.numbers = itertools.count()

    def teardown(self) -> None:
        self.connection.close()

    # ------------------------------------------------------------ asking

    def ask(
        self,
        scope: str,
        method: str,
        target: str,
        *,
        document: object = None,
        headers: dict[str, str] | None = None,
        bearer: str | None = None,
        acting: str | None = None,
    ) -> Answer:
        """Ask as somebody of `scope`, who acts in `acting` where that is another one; look at once
        who was told of whose values, and what Vault was asked.
        """
        acting = acting or scope
        if acting != scope:
            target += ("&" if "?" in target else "?") + f"tenant={acting}"
        sent = {"Authorization": f"Bearer {bearer or self.bearers[scope]}", **(headers or {})}
        body = None
        if document is not None:
            sent["Content-Type"] = "application/json"
            body = json.dumps(document)
        self.connection.request(method, f"{BASE}/{target}", body=body, headers=sent)
        response = self.connection.getresponse()
        content = response.read()
        for other in PREFIXES:
            if other != acting:
                assert f"of({other})".encode() not in content, "a value of another scope"
        asked = self._asked_now()
        assert self.witness.foreign(acting, asked) == []
        parsed = json.loads(content) if content else None
        return Answer(response.status, response.headers, parsed, content, asked)

    def _asked_now(self) -> list[tuple[str, str]]:
        """What Vault was asked for by this step; what is late is looked at by itself."""
        now = []
        for path, entity in self.witness.asked():
            if path in self.world.late:
                assert self.witness.foreign(self.world.late[path], [(path, entity)]) == []
            else:
                now.append((path, entity))
        return now

    def left_something(self, scope: str, path: str) -> None:
        """Say that the index may ask what is left of a secret."""
        where = "/".join(PREFIXES[scope])
        self.world.late[f"secret/metadata/{where}/{self.at(path)}"] = scope

    def taken(self) -> list[tuple[str, str]]:
        """Where the model has a secret, live or not."""
        there = [(scope, path) for scope, kept in self.model.items() for path in kept]
        return there or [("a", "a")]

    def at(self, path: str) -> str:
        return f"{self.folder}/{path}"

    def new_data(self, scope: str) -> dict[str, str]:
        return {"of": f"of({scope})", "n": f"{next(self.numbers)} of({scope})"}

    # ------------------------------------------------------------ writing

    def _create(self, acting: str, path: str, data: dict[str, str], custom: dict[str, str]) -> Any:
        """What POST is answered; the model is changed as it says."""
        here = self.model[acting]
        kept = here.get(path)
        if kept is not None and kept.live:
            return 409, "secret_exists", {"current_version": kept.current}
        if kept is None:
            if any(other.startswith(f"{path}/") for other in here):
                return 409, "path_is_folder", {}
            if any(path.startswith(f"{other}/") for other in here):
                return 409, "ancestor_is_secret", {}
            kept = here[path] = Kept()
        version = kept.write(data)
        kept.custom, kept.type = custom, "generic"
        return 201, None, {"version": version}

    @rule(scope=SCOPES, path=PATHS, custom=st.sampled_from(({}, {"owner": "x"})), tenant=SCOPES)
    def create(self, scope: str, path: str, custom: dict[str, str], tenant: str) -> None:
        acting = tenant if scope == PLATFORM else scope
        document: dict[str, Any] = {"data": self.new_data(acting)}
        if custom:
            document["custom_metadata"] = custom

        answer = self.ask(scope, "POST", self.at(path), document=document, acting=acting)

        status, code, facts = self._create(acting, path, document["data"], custom)
        assert (answer.status, answer.code) == (status, code)
        assert facts.items() <= answer.document.items()
        if status == 201:
            assert answer.document["path"] == self.at(path)
            assert answer.headers["ETag"] == f'"{facts["version"]}"'

    @rule(
        place=PLACES,
        match=st.sampled_from(("none", "*", "current", "other", "both")),
        same=st.booleans(),
    )
    def update(self, place: tuple[str, str], match: str, same: bool) -> None:  # noqa: FBT001
        scope, path = place
        kept = self.model[scope].get(path)
        current = kept.current if kept else 1
        data = self.new_data(scope)
        if same and kept and kept.versions[current].state == "live":
            data = dict(kept.versions[current].data)
        tags = {
            "none": None,
            "*": "*",
            "current": f'"{current}"',
            "other": f'"{current + 1}"',
            "both": f'"{current + 1}", "{current}"',
        }
        headers = {} if tags[match] is None else {"If-Match": str(tags[match])}

        answer = self.ask(scope, "PUT", self.at(path), document={"data": data}, headers=headers)

        if kept is None:
            assert (answer.status, answer.code) == (404, "secret_not_found")
        elif not kept.live:
            gone = kept.versions[current].state
            assert (answer.status, answer.code) == (404, f"secret_{gone}")
            assert answer.document["version"] == current
        elif match == "other":
            assert (answer.status, answer.code) == (412, "version_conflict")
            assert answer.document["current_version"] == current
        else:
            unchanged = match in {"current", "both"} and data == kept.versions[current].data
            version = current if unchanged else kept.write(data)
            assert answer.status == 200
            assert answer.document["version"] == version
            assert answer.document["unchanged"] is unchanged

    # ------------------------------------------------------------ reading

    @rule(
        place=PLACES,
        version=st.none() | VERSIONS,
        fields=st.sampled_from(("", "n", "n,of", "none")),
        method=st.sampled_from(("GET", "GET", "HEAD")),
    )
    def read(self, place: tuple[str, str], version: int | None, fields: str, method: str) -> None:
        scope, path = place
        query = [] if version is None else [f"version={version}"]
        if fields and method == "GET":
            query.append(f"fields={fields}")
        target = self.at(path) + ("?" + "&".join(query) if query else "")

        if method == "HEAD":
            answer = self.ask(scope, "HEAD", target)
            expected = self._expected_read(scope, path, version, "")
            assert answer.status == expected[0]
            assert answer.body == b""
            if answer.status == 200:
                assert answer.headers["ETag"] == f'"{expected[2]["version"]}"'
            return
        answer = self.ask(scope, "GET", target)
        status, code, facts = self._expected_read(scope, path, version, fields)
        assert (answer.status, answer.code) == (status, code)
        assert facts.items() <= answer.document.items()

    def _expected_read(self, scope: str, path: str, version: int | None, fields: str) -> Any:
        kept = self.model[scope].get(path)
        if kept is None:
            return 404, "secret_not_found", {}
        number = version or kept.current
        row = kept.versions.get(number)
        if row is None:
            return 404, "version_not_found", {"version": number}
        if row.state != "live":
            return 404, f"secret_{row.state}", {"version": number}
        names = fields.split(",") if fields else list(row.data)
        if not set(names) <= set(row.data):
            return 422, "invalid_body", {}
        return (
            200,
            None,
            {
                "path": self.at(path),
                "version": number,
                "type": kept.type,
                "data": {name: row.data[name] for name in names},
                "custom_metadata": kept.custom,
            },
        )

    @rule(place=PLACES, limit=st.sampled_from((1, 2, 100)))
    def versions(self, place: tuple[str, str], limit: int) -> None:
        scope, path = place
        kept = self.model[scope].get(path)
        rows: list[dict[str, Any]] = []
        after = ""
        while True:
            answer = self.ask(scope, "GET", self.at(path) + f"/versions?limit={limit}{after}")
            if kept is None:
                assert (answer.status, answer.code) == (404, "secret_not_found")
                return
            assert answer.status == 200
            assert answer.document["current_version"] == kept.current
            assert len(answer.document["versions"]) <= limit
            rows += answer.document["versions"]
            if answer.document["next"] is None:
                break
            after = f"&after={answer.document['next']}"

        assert [(row["version"], row["state"]) for row in rows] == [
            (number, row.state) for number, row in sorted(kept.versions.items(), reverse=True)
        ]

    @rule(
        scope=SCOPES,
        below=st.sampled_from(("", "a/", "a/b/", "ab/", "none/")),
        limit=st.sampled_from((1, 2, 100)),
        deleted=st.booleans(),
        tenant=SCOPES,
    )
    def list_(self, scope: str, below: str, limit: int, deleted: bool, tenant: str) -> None:  # noqa: FBT001
        acting = tenant if scope == PLATFORM else scope
        prefix = f"{self.folder}/{below}"
        found: list[tuple[str, Any]] = []
        after = ""
        while True:
            query = f"?prefix={prefix}&limit={limit}&deleted={str(deleted).lower()}{after}"
            answer = self.ask(scope, "GET", query, acting=acting)
            assert answer.status == 200
            items = answer.document["items"]
            assert len(items) <= limit
            found += [(item["path"], item.get("state")) for item in items]
            if answer.document["next"] is None:
                break
            after = f"&after={answer.document['next']}"

        assert len(found) == len(set(found))
        assert dict(found) == self._expected_list(acting, prefix, deleted=deleted)

    def _expected_list(self, scope: str, prefix: str, *, deleted: bool) -> dict[str, str | None]:
        expected: dict[str, str | None] = {}
        for path, kept in self.model[scope].items():
            if not self.at(path).startswith(prefix):
                continue
            name, folder, _ = self.at(path).removeprefix(prefix).partition("/")
            if folder:
                expected[f"{prefix}{name}/"] = None
            elif deleted or kept.live:
                expected[prefix + name] = kept.versions[kept.current].state
        return expected

    # ------------------------------------------------------------ taking away, bringing back

    @rule(
        place=PLACES,
        versions=st.none() | SOME,
        destroy=st.booleans(),
        match=st.sampled_from(("none", "current", "other")),
    )
    def delete(
        self,
        place: tuple[str, str],
        versions: list[int] | None,
        destroy: bool,  # noqa: FBT001  # drawn by name
        match: str,
    ) -> None:
        scope, path = place
        kept = self.model[scope].get(path)
        destroy = destroy and versions is not None
        query = f"?destroy={str(destroy).lower()}"
        if versions is not None:
            query += "&versions=" + ",".join(map(str, versions))
        headers = {"Audit-Reason": "a test"}
        current = kept.current if kept else 1
        if match != "none":
            headers["If-Match"] = f'"{current + (match == "other")}"'

        self.left_something(scope, path)
        answer = self.ask(scope, "DELETE", self.at(path) + query, headers=headers)

        if kept is None:
            assert (answer.status, answer.code) == (404, "secret_not_found")
        elif match == "other":
            assert (answer.status, answer.code) == (412, "version_conflict")
        else:
            status, code = self._expected_delete(kept, versions or [kept.current], destroy=destroy)
            assert (answer.status, answer.code) == (status, code)

    def _expected_delete(self, kept: Kept, versions: list[int], *, destroy: bool) -> Any:
        rows = [kept.versions.get(number) for number in versions]
        if None in rows:
            return 404, "version_not_found"
        if destroy:
            for row in rows:
                row.state = "destroyed"
            return 204, None
        if not any(row.state == "live" for row in rows):
            return 404, f"secret_{rows[0].state}"
        for row in rows:
            if row.state == "live":
                row.state = "deleted"
        return 204, None

    @rule(place=PLACES, versions=SOME)
    def undelete(self, place: tuple[str, str], versions: list[int]) -> None:
        scope, path = place
        kept = self.model[scope].get(path)

        self.left_something(scope, path)
        answer = self.ask(
            scope, "POST", self.at(path) + "/undelete", document={"versions": versions}
        )

        if kept is None:
            assert (answer.status, answer.code) == (404, "secret_not_found")
            return
        rows = {number: kept.versions.get(number) for number in versions}
        if None in rows.values():
            assert (answer.status, answer.code) == (404, "version_not_found")
        elif any(row.state == "destroyed" for row in rows.values()):
            assert (answer.status, answer.code) == (409, "version_destroyed")
        else:
            assert answer.status == 200
            assert answer.document["restored"] == [n for n in rows if rows[n].state == "deleted"]
            assert answer.document["already_live"] == [n for n in rows if rows[n].state == "live"]
            assert answer.document["current_version"] == kept.current
            for row in rows.values():
                row.state = "live"

    # ------------------------------------------------------------ who may not

    @rule(
        scope=st.sampled_from(TENANTS),
        other=st.sampled_from(TENANTS),
        path=PATHS,
        request=st.sampled_from(
            (
                ("GET", ""),
                ("HEAD", ""),
                ("POST", ""),
                ("PUT", ""),
                ("DELETE", ""),
                ("GET", "/versions"),
                ("POST", "/undelete"),
            )
        ),
    )
    def reach_for_another(
        self, scope: str, other: str, path: str, request: tuple[str, str]
    ) -> None:
        """A tenant's principal may name no tenant, and Vault hears nothing of it."""
        method, rest = request

        answer = self.ask(scope, method, f"{self.at(path)}{rest}?tenant={other}", document={})

        assert answer.status == 403
        assert answer.asked == []

    @rule(
        place=PLACES,
        method=st.sampled_from(("GET", "POST", "PUT", "DELETE")),
        defect=st.sampled_from(("expired", "altered claims", "wrong audience", "alg none")),
    )
    def come_with_a_wrong_bearer(self, place: tuple[str, str], method: str, defect: str) -> None:
        scope, path = place
        issuer = self.world.issuer
        own = {"platform": True, "tenant_id": None} if scope == PLATFORM else {"tenant_id": scope}

        answer = self.ask(
            scope,
            method,
            self.at(path),
            document={},
            bearer=DEFECTS[defect](issuer, issuer.claims(**own)),
        )

        assert answer.status == 401
        assert answer.asked == []

    @rule(
        place=PLACES,
        denied=st.sampled_from(
            (
                ("GET", "secrets:write"),
                ("PUT", "secrets:read"),
                ("DELETE", "secrets:write"),
                ("POST", "secrets:admin"),
            )
        ),
    )
    def come_without_the_permission(self, place: tuple[str, str], denied: tuple[str, str]) -> None:
        scope, path = place
        method, permission = denied

        answer = self.ask(
            scope,
            method,
            self.at(path),
            document={},
            bearer=self.world.bearer(scope, permission),
        )

        assert (answer.status, answer.code) == (403, "permission_denied")
        assert answer.asked == []

    @invariant()
    def the_tokens_of_scopes_differ(self) -> None:
        """Each scope's requests came with an identity of its own."""
        entities = list(self.witness.entities.values())
        assert len(entities) == len(set(entities))


SMALL = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(60 + 10 * EXAMPLES)
def test_whatever_tenants_do_each_has_its_own(world: World) -> None:
    """Create, update, read, list, delete, undelete and destroy, rightly and wrongly, in any order:
    each answer is the model's, no value and no request crosses a border.
    """
    machine = type("Tenants", (Tenants,), {"world": world})

    run_state_machine_as_test(machine, settings=SMALL)


async def test_the_witness_finds_a_foreign_request(world: World) -> None:
    """The control: one request for another prefix, and one in the own prefix with another token,
    are told; a request of one's own is not.
    """
    server = world.server
    witness = Witness(server.audit_file)
    await server.request("GET", "secret/data/tenants/a/x")

    own = witness.foreign("a", witness.asked())
    await server.request("GET", "secret/data/tenants/ab/x")
    other = witness.foreign("a", witness.asked())
    witness.entities["a"] = "somebody"
    await server.request("GET", "secret/data/tenants/a/x")
    anothers_token = witness.foreign("a", witness.asked())

    assert own == []
    assert other == ["secret/data/tenants/ab/x"]
    assert anothers_token == ["secret/data/tenants/a/x with another scope's token"]


def test_a_model_that_differs_is_found(world: World) -> None:
    """The control: a model in which tenants a and ab are one fails."""

    class Wrong(Tenants):
        def __init__(self) -> None:
            super().__init__()
            self.model["ab"] = self.model["a"]

    machine = type("Wrong", (Wrong,), {"world": world})

    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine,
            settings=settings(SMALL, max_examples=200, database=None, phases=[Phase.generate]),
        )
