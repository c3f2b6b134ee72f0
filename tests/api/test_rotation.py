"""Rotation over HTTP: the real application before a real OpenBao and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.conftest import service_config_for
from api.in_process import InProcess, in_process
from api.issuer import Issuer
from api.live import BASE, MEMORY, Reply
from greenlang_secrets.audit import AuditConfig
from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, Tenant, TenantId
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.handler import Rotation
from greenlang_secrets.rotation.postgresql import PostgresqlRotation
from greenlang_secrets.rotation_model import (
    ConsumerKind,
    ConsumerReport,
    RotationKind,
    RotationPolicy,
    RotationStanding,
)
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets_api.rate_policies import RatePolicies
from greenlang_secrets_api.rotation_gauges import RotationGauges
from support.openapi_replies import described
from support.pairs import ADMIN, FIRST, UserPair, user_pair

JSON = (b"content-type", b"application/json")
BY_HAND = RotationConfig(enabled=False)
"""Nothing happens by itself in these tests."""


@dataclass(frozen=True)
class Asking:
    """The service, asked as somebody; every answer must be one that the document describes."""

    app: InProcess
    token: str

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        sent = [(b"authorization", b"Bearer " + self.token.encode())]
        sent += [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        octets = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
        if body is not None and not isinstance(body, bytes):
            sent.append(JSON)
        octets = octets.encode() if isinstance(octets, str) else octets
        reply = await self.app.ask(method, path, sent, octets)
        target = path if path.startswith("/") else f"{BASE}/{path}"
        faults = described().faults(method, target, reply.status, reply.headers, reply.body)
        assert faults == [], reply
        return reply


@dataclass(frozen=True)
class Stage:
    """The service, and a secret in it that can be rotated.

    Attributes:
        path: the secret's.
        policy: one that fits it.
    """

    app: InProcess
    issuer: Issuer
    pair: UserPair
    path: str
    audit_file: Path

    @property
    def policy(self) -> dict[str, Any]:
        settings = {
            "users": self.pair.users,
            "owner": self.pair.owner,
            "admin": f"{self.path}-admin",
        }
        return {"kind": "postgresql", "settings": settings}

    def as_(self, *permissions: str, **changes: Any) -> Asking:
        """A platform principal, by default with every permission."""
        return Asking(self.app, self.issuer.platform(*permissions, **changes))

    async def data(self) -> SecretMap:
        """What the secret holds now."""
        return (await self.app.state["service"].get(self.path, fresh=True)).data

    async def standing(self, ask: Asking) -> Any:
        """How its rotation stands, by the status."""
        (item,) = (await ask("GET", f"rotation/status?path={self.path}")).json["items"]
        return item

    async def until(self, ask: Asking, state: str) -> Any:
        """Wait until it stands there."""
        for _ in range(400):
            item = await self.standing(ask)
            if item["state"] == state:
                return item
            await asyncio.sleep(0.02)
        raise AssertionError(item)

    def recorded(self) -> list[dict[str, Any]]:
        """The audit records of the secret."""
        lines = self.audit_file.read_text().splitlines()
        return [each for each in map(json.loads, lines) if each.get("path") == self.path]


@pytest.fixture
async def pair(postgres_server: Any) -> AsyncIterator[UserPair]:
    async with user_pair(postgres_server) as pair:
        yield pair


@pytest.fixture
def service_config(vault_server: Any, mount: str) -> SecretsServiceConfig:
    return service_config_for(vault_server, mount)


@pytest.fixture
async def stage(
    service_config: SecretsServiceConfig,
    api_config: Any,
    issuer: Issuer,
    pair: UserPair,
    path: str,
) -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        audit_file = Path(folder) / "audit.jsonl"
        config = replace(api_config, rotation=BY_HAND, audit=AuditConfig(log=audit_file))
        async with in_process(service_config, config) as app:
            yield await _staged(Stage(app, issuer, pair, path, audit_file))


async def _staged(stage: Stage) -> Stage:
    secrets, path, pair = stage.app.state["service"], stage.path, stage.pair
    await secrets.create(path, pair.data(pair.a, FIRST), type=SecretType.DATABASE)
    admin = pair.data(pair.admin, ADMIN)
    await secrets.create(f"{path}-admin", admin, type=SecretType.DATABASE)
    return stage


@pytest.fixture
async def scheduled(stage: Stage) -> Stage:
    """A stage whose secret has its policy."""
    reply = await stage.as_()("PUT", f"rotation/schedule/{stage.path}", stage.policy)
    assert reply.status == 200
    return stage


class Held(PostgresqlRotation):
    """PostgreSQL's handler, which waits before it tries the new login."""

    def __init__(self, stage: Stage) -> None:
        service = stage.app.state["service"]
        super().__init__(service.client, kv_mount=service.config.kv_mount)
        self.let_go = asyncio.Event()

    async def verify(self, rotation: Rotation) -> None:
        await self.let_go.wait()
        await super().verify(rotation)


@asynccontextmanager
async def held(stage: Stage) -> AsyncIterator[Held]:
    """Have rotations stop in the middle, until the end."""
    handler = Held(stage)
    stage.app.state["rotation"].register(handler)
    try:
        yield handler
    finally:
        handler.let_go.set()


# ---------------------------------------------------------------- rotate


async def test_a_rotation_is_begun_and_seen_to_its_promotion(scheduled: Stage) -> None:
    """202 with a place to look at; then the secret holds another login, and both let in."""
    ask = scheduled.as_()
    before = await scheduled.data()

    begun = await ask("POST", f"rotate/{scheduled.path}")

    assert begun.status == 202
    assert begun.json["base_version"] == 1
    location = begun.headers["Location"]
    assert location == f"{BASE}/rotation/status?id={begun.json['rotation_id']}"
    item = await scheduled.until(ask, "overlap")
    assert (item["version"], item["consumers_behind"], item["consumers"]) == (2, 0, [])
    (same,) = (await ask("GET", location)).json["items"]
    assert same["rotation_id"] == begun.json["rotation_id"]
    after = await scheduled.data()
    assert after["username"].reveal() == scheduled.pair.b
    assert await scheduled.pair.works(before)
    assert await scheduled.pair.works(after)
    answered = json.dumps([begun.json, item])
    assert after["password"].reveal() not in answered


async def test_a_caller_may_wait_for_the_promotion(scheduled: Stage) -> None:
    """200 with the new version, and the header says that the preference was followed."""
    reply = await scheduled.as_()("POST", f"rotate/{scheduled.path}", {}, prefer="wait=20")

    assert reply.status == 200
    assert reply.headers["Preference-Applied"] == "wait=20"
    assert "Location" not in reply.headers
    assert (reply.json["base_version"], reply.json["version"]) == (1, 2)
    assert reply.json["state"] == "overlap"
    assert reply.json["old_valid_until"].endswith("Z")


async def test_a_wait_that_is_over_is_202(scheduled: Stage) -> None:
    """What takes longer than the caller waits goes on; the wait is told to be followed."""
    async with held(scheduled):
        reply = await scheduled.as_()("POST", f"rotate/{scheduled.path}", prefer="wait=1")

        assert (reply.status, reply.headers["Preference-Applied"]) == (202, "wait=1")
        assert reply.json["state"] == "applied"
    await scheduled.until(scheduled.as_(), "overlap")


async def test_a_long_wait_is_cut(scheduled: Stage) -> None:
    """A wait of ten minutes is one of thirty seconds, and what is no number is none."""
    reply = await scheduled.as_()("POST", f"rotate/{scheduled.path}", prefer="wait=600")

    assert reply.headers["Preference-Applied"] == "wait=30"


async def test_a_failure_is_told_to_who_waits(scheduled: Stage) -> None:
    """The wait ends with the first failed step: it is tried again by itself, so 202 with why."""
    async with scheduled.pair.connection() as connection:
        await connection.execute(f"ALTER ROLE {scheduled.pair.admin} PASSWORD 'another'")

        reply = await scheduled.as_()("POST", f"rotate/{scheduled.path}", prefer="wait=20")

        assert (reply.status, reply.json["state"]) == (202, "failed")
        assert reply.json["last_error"]["code"] == "target_denied"
        await scheduled.until(scheduled.as_(), "failed")
        listed = await scheduled.as_()("GET", "rotation/status?state=failed")
        assert [item["path"] for item in listed.json["items"]] == [scheduled.path]
        assert listed.json["summary"]["failed"] == 1


async def test_one_rotation_at_a_time(scheduled: Stage) -> None:
    """A second one is told which is under way, and so is who would take the policy away."""
    ask = scheduled.as_()
    async with held(scheduled):
        first = await ask("POST", f"rotate/{scheduled.path}")

        second = await ask("POST", f"rotate/{scheduled.path}")
        removal = await ask("DELETE", f"rotation/schedule/{scheduled.path}")

        assert (second.status, second.code) == (409, "rotation_in_progress")
        assert second.json["rotation_id"] == first.json["rotation_id"]
        assert (removal.status, removal.code) == (409, "rotation_in_progress")
    await scheduled.until(ask, "overlap")


async def test_an_overlap_is_not_cut_short_unless_forced(scheduled: Stage) -> None:
    """The next one is told until when; force needs a reason and the administrator's permission, and
    then the old credential is dead.
    """
    ask, path = scheduled.as_(), f"rotate/{scheduled.path}"
    old = await scheduled.data()
    await ask("POST", path, prefer="wait=20")
    middle = await scheduled.data()

    early = await ask("POST", path)
    without_reason = await ask("POST", path, {"force": True})
    forced = {"force": True, "reason": "leaked in ticket 42"}
    without_right = await scheduled.as_("secrets:rotate")("POST", path, forced)
    done = await ask("POST", path, forced, prefer="wait=20")

    assert (early.status, early.code) == (409, "overlap_in_progress")
    assert early.json["until"].endswith("Z")
    assert (without_reason.status, without_reason.json["errors"]) == (
        422,
        [{"pointer": "#/reason", "code": "missing"}],
    )
    assert (without_right.status, without_right.code) == (403, "permission_denied")
    assert (done.status, done.json["version"]) == (200, 3)
    assert not await scheduled.pair.works(old)
    assert await scheduled.pair.works(await scheduled.data())
    assert (await scheduled.data())["username"] == old["username"] != middle["username"]
    reasons = {each.get("reason") for each in scheduled.recorded() if each.get("status") == 200}
    assert "leaked in ticket 42" in reasons


async def test_the_same_request_again_is_the_same_rotation(scheduled: Stage) -> None:
    """With an Idempotency-Key the second answer is the first one's; with another body it is
    refused.
    """
    ask, path = scheduled.as_(), f"rotate/{scheduled.path}"

    first = await ask("POST", path, {"reason": "a"}, idempotency_key="k-1", prefer="wait=20")
    again = await ask("POST", path, {"reason": "a"}, idempotency_key="k-1", prefer="wait=20")
    other = await ask("POST", path, {"reason": "b"}, idempotency_key="k-1")

    assert (first.status, again.status) == (200, 200)
    assert again.json == first.json
    assert again.headers["Idempotent-Replay"] == "true"
    assert (other.status, other.code) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"x", 415, "unsupported_media_type"),
        ([], 422, "invalid_body"),
        ({"forced": True}, 422, "invalid_body"),
        ({"force": "yes"}, 422, "invalid_body"),
        ({"reason": 5}, 422, "invalid_body"),
        ({"reason": None}, 422, "invalid_body"),
        ({"reason": " "}, 422, "invalid_body"),
        ({"reason": "a\nb"}, 422, "invalid_body"),
        ({"reason": "x" * 513}, 422, "invalid_body"),
    ],
)
async def test_a_body_is_read_strictly(stage: Stage, body: Any, status: int, code: str) -> None:
    """A typo in `force` must not rotate without it; no body at all is well."""
    reply = await stage.as_()("POST", f"rotate/{stage.path}", body)

    assert (reply.status, reply.code) == (status, code)


async def test_each_step_that_changes_something_is_recorded(scheduled: Stage) -> None:
    """The caller's intent and outcome, then those of each step under the rotation's id."""
    reply = await scheduled.as_(sub="ada")(
        "POST", f"rotate/{scheduled.path}", {"reason": "why"}, prefer="wait=20"
    )

    rotation = reply.json["rotation_id"]
    steps = [
        (each["action"], each["phase"], each["result"], each["principal"])
        for each in scheduled.recorded()
        if each["request_id"] == rotation
    ]
    assert steps == [
        (f"rotate.{step}", phase, result, "service")
        for step in ("apply", "promote")
        for phase, result in (("intent", "pending"), ("outcome", "ok"))
    ]
    mine = [each for each in scheduled.recorded() if each["action"] == "rotate"]
    assert [(each["phase"], each["principal"], each.get("reason")) for each in mine] == [
        ("intent", "ada", "why"),
        ("outcome", "ada", "why"),
    ]
    while scheduled.app.state["indexing"].waiting:
        await asyncio.sleep(0.01)
    catalogue = scheduled.app.state["catalogue"]
    await catalogue.updates.written()
    page = await catalogue.index.page(PLATFORM, prefix=scheduled.path, limit=1)
    assert [(row.path, row.version) for row in page.items] == [(scheduled.path, 2)]


# ---------------------------------------------------------------- schedule


async def test_a_policy_is_set_shown_and_removed(stage: Stage) -> None:
    """PUT answers what GET lists; after DELETE there is none to rotate by."""
    ask, path = stage.as_(sub="ada"), f"rotation/schedule/{stage.path}"

    put = await ask("PUT", path, {**stage.policy, "interval_seconds": 43_200})
    listed = await ask("GET", "rotation/schedule?limit=100")
    removed = await ask("DELETE", path)
    again = await ask("DELETE", path)
    rotated = await ask("POST", f"rotate/{stage.path}")

    assert put.status == 200
    assert (put.json["interval_seconds"], put.json["updated_by"]) == (43_200, "ada")
    assert put.json["next_due"].endswith("Z")
    assert put.json in listed.json["items"]
    assert (removed.status, again.status, again.code) == (204, 422, "not_rotatable")
    assert (rotated.status, rotated.code) == (422, "not_rotatable")
    actions = {each["action"] for each in stage.recorded()}
    assert "schedule" in actions


async def test_without_an_interval_it_is_the_environments(stage: Stage) -> None:
    """Development's seven days."""
    put = await stage.as_()("PUT", f"rotation/schedule/{stage.path}", stage.policy)

    assert put.json["interval_seconds"] == 604_800


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"interval_seconds": 899}, "not_rotatable"),
        ({"overlap_seconds": 1}, "not_rotatable"),
        ({"kind": "redis"}, "not_rotatable"),
        ({"settings": {}}, "not_rotatable"),
        ({"kind": "none"}, "invalid_body"),
        ({"kind": None}, "invalid_body"),
        ({"interval_seconds": 0}, "invalid_body"),
        ({"interval_seconds": 1.5}, "invalid_body"),
        ({"interval_seconds": True}, "invalid_body"),
        ({"interval_seconds": 10**12}, "invalid_body"),
        ({"enabled": "yes"}, "invalid_body"),
        ({"settings": None}, "invalid_body"),
        ({"settings": {"port": 5432}}, "invalid_body"),
        ({"settings": {str(number): "x" for number in range(33)}}, "invalid_body"),
        ({"settings": {"a": "x" * 20_000}}, "invalid_body"),
        ({"interval": 3600}, "invalid_body"),
    ],
)
async def test_a_policy_that_does_not_fit_is_refused(
    stage: Stage, change: dict[str, Any], code: str
) -> None:
    """Below the promotion gap, of another type, without its settings, or not a policy at all."""
    reply = await stage.as_()("PUT", f"rotation/schedule/{stage.path}", {**stage.policy, **change})

    assert (reply.status, reply.code) == (422, code)


async def test_there_is_nothing_to_schedule_where_no_secret_is(stage: Stage) -> None:
    """404, as for every path without a secret."""
    reply = await stage.as_()("PUT", f"rotation/schedule/{stage.path}/none", stage.policy)

    assert (reply.status, reply.code) == (404, "secret_not_found")


async def test_pages_follow_each_other(scheduled: Stage) -> None:
    """Each policy once, by when it is due and by path; a cursor fits its own question only."""
    ask = Asking(scheduled.app, scheduled.issuer.tenant("pages"))
    for number, name in enumerate(("a", "b", "c")):
        await scheduled.app.state["catalogue"].rotations.put(
            Tenant(TenantId("pages")),
            name,
            RotationPolicy(kind=RotationKind.MANUAL, interval=3600),
            digest=f"{name * 32}",
            secret_type=SecretType.GENERIC,
            by="somebody",
            standing=RotationStanding(next_due=datetime(2026, 11, 25 - number, tzinfo=UTC)),
        )

    found: dict[str, list[str]] = {}
    for listing in ("rotation/schedule", "rotation/status"):
        page = await ask("GET", f"{listing}?limit=1")
        found[listing] = [page.json["items"][0]["path"]]
        while page.json["next"] is not None:
            assert f"after={page.json['next']}" in page.headers["Link"]
            cursor = page.json["next"]
            page = await ask("GET", f"{listing}?limit=1&after={cursor}")
            found[listing].append(page.json["items"][0]["path"])
    elsewhere = await ask("GET", f"rotation/schedule?after={cursor}")

    assert found["rotation/status"] == ["a", "b", "c"]
    assert found["rotation/schedule"] == ["c", "b", "a"]
    assert (elsewhere.status, elsewhere.code) == (400, "invalid_cursor")


# ---------------------------------------------------------------- status


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("id=x", "invalid_request"),
        ("state=odd", "invalid_request"),
        ("limit=0", "invalid_request"),
        ("path=a//b", "invalid_path"),
        ("path=health", "reserved_name"),
        ("after=x", "invalid_cursor"),
        ("kind=redis", "invalid_request"),
    ],
)
async def test_a_question_is_taken_literally(stage: Stage, query: str, code: str) -> None:
    """A typo must not show more, or less, than was asked for."""
    reply = await stage.as_()("GET", f"rotation/status?{query}")

    assert (reply.status, reply.code) == (400, code)


async def test_who_is_behind_is_named(scheduled: Stage) -> None:
    """Of one secret by name, in a list by number; who has moved is not behind."""
    ask = scheduled.as_()
    done = await ask("POST", f"rotate/{scheduled.path}", prefer="wait=20")
    reports = [
        ConsumerReport(
            scope=PLATFORM,
            path=scheduled.path,
            consumer=f"pool:{name}",
            kind=ConsumerKind.POOL,
            principal="service",
            instance=name,
            version=version,
            lives_for=30.0,
        )
        for name, version in (("old", 1), ("new", 2))
    ]
    await scheduled.app.state["catalogue"].rotations.report(reports)

    item = await scheduled.standing(ask)
    (listed,) = (await ask("GET", "rotation/status?state=overlap")).json["items"]

    assert item["consumers_behind"] == 1
    (consumer,) = item["consumers"]
    assert (consumer["consumer"], consumer["kind"], consumer["instance"], consumer["version"]) == (
        "pool:old",
        "pool",
        "old",
        1,
    )
    assert (listed["rotation_id"], listed["consumers_behind"]) == (done.json["rotation_id"], 1)
    assert "consumers" not in listed


async def test_who_has_read_over_http_counts(scheduled: Stage) -> None:
    """A principal that has the version before is behind until it reads again."""
    ask, reader = scheduled.as_(), scheduled.as_("secrets:read", sub="reader")
    registry = scheduled.app.state["service"].consumers
    registry.rotated = frozenset({(PLATFORM.key, scheduled.path)})
    await reader("GET", scheduled.path)
    await reader("GET", f"{scheduled.path}?version=1")
    await ask("POST", f"rotate/{scheduled.path}", prefer="wait=20")

    (before,) = registry.reports()
    await reader("GET", scheduled.path)
    (after,) = registry.reports()

    assert (before.kind, before.principal, before.version) == (ConsumerKind.REST, "reader", 1)
    assert after.version == 2


async def test_another_tenant_sees_nothing_of_it(scheduled: Stage) -> None:
    """A tenant's paths are its own: no policy, no standing; named, another's scope is a 403."""
    acme = Asking(scheduled.app, scheduled.issuer.tenant("acme"))

    for path in ("rotation/status", "rotation/schedule", f"rotation/status?path={scheduled.path}"):
        assert (await acme("GET", path)).json["items"] == []
        named = path + ("&" if "?" in path else "?") + "tenant=globex"
        assert (await acme("GET", named)).status == 403
    rotated = await acme("POST", f"rotate/{scheduled.path}")
    missing = await acme("POST", f"rotate/{scheduled.path}/none")
    policy = await acme("PUT", f"rotation/schedule/{scheduled.path}", scheduled.policy)

    assert (rotated.status, rotated.code) == (missing.status, missing.code)
    assert rotated.code == "not_rotatable"
    assert (policy.status, policy.code) == (404, "secret_not_found")


async def test_a_tenants_secret_may_not_be_rotated_anywhere(stage: Stage) -> None:
    """Where the service connects to is the operator's to say, and not a tenant's."""
    secrets = stage.app.state["service"].for_tenant("acme")
    pair = stage.pair
    await secrets.create(stage.path, pair.data(pair.a, FIRST), type=SecretType.DATABASE)
    await secrets.create(
        f"{stage.path}-admin", pair.data(pair.admin, ADMIN), type=SecretType.DATABASE
    )
    acme = Asking(stage.app, stage.issuer.tenant("acme"))

    reply = await acme("PUT", f"rotation/schedule/{stage.path}", stage.policy)

    assert (reply.status, reply.code) == (422, "not_rotatable")


async def test_health_and_status_tell_of_the_scheduler(stage: Stage) -> None:
    """To the administrator alone."""
    ask = stage.as_()

    health = (await ask("GET", "health")).json
    status = (await ask("GET", "status")).json
    bare = (await stage.as_("secrets:read")("GET", "health")).json

    assert health["rotation"] == {"running": False, "last_tick": None}
    assert status["rotation"]["enabled"] is False
    assert status["rotation"]["promotion_gap"] == 900
    assert "rotation" not in bare


async def test_gauges_tell_what_is_due(scheduled: Stage) -> None:
    """Read from the catalogue in the background, and never at a scrape."""
    ask = scheduled.as_()
    due = (await scheduled.standing(ask))["next_due"]
    metrics = scheduled.app.state["metrics"]
    gauges = RotationGauges(scheduled.app.state["catalogue"], metrics.provider)

    before = await metrics.render("")
    await gauges.refresh()
    found = [row async for row in _rows(gauges)]

    assert b"gl_secrets_rotation_due_timestamp_seconds{" not in before[0]
    assert found == [("database", due)]


async def _rows(gauges: RotationGauges) -> AsyncIterator[tuple[str, str]]:
    for observation in gauges._due(None):  # type: ignore[arg-type]
        at = datetime.fromtimestamp(observation.value, UTC)
        assert observation.attributes is not None
        yield str(observation.attributes["secret_type"]), at.isoformat().replace("+00:00", "Z")


async def test_without_the_catalogue_it_is_said(
    service_config: SecretsServiceConfig, api_config: Any, issuer: Issuer, path: str
) -> None:
    """503 with when to come back; secrets are read as ever."""
    away = replace(CatalogueConfig.of("postgresql://nobody:x@127.0.0.1:1/none"), timeout=0.5)
    config = replace(api_config, rotation=BY_HAND, catalogue=away)
    async with in_process(service_config, config) as app:
        ask = Asking(app, issuer.platform())
        await ask("POST", path, {"data": {"k": "v"}})

        replies = [
            await ask("POST", f"rotate/{path}"),
            await ask("GET", "rotation/status"),
            await ask("GET", "rotation/schedule"),
            await ask("PUT", f"rotation/schedule/{path}", {"kind": "manual"}),
            await ask("DELETE", f"rotation/schedule/{path}"),
        ]
        read = await ask("GET", path)

    assert {(reply.status, reply.code) for reply in replies} == {(503, "catalogue_unavailable")}
    assert all(int(reply.headers["Retry-After"]) >= 1 for reply in replies)
    assert read.status == 200


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"interval_seconds": 899}, "The interval is less than the promotion gap of 900 s"),
        ({"kind": "redis"}, "redis rotates cache"),
        ({"settings": {}}, "'users'"),
        ({"settings": {"colour": "red"}}, "'colour'"),
    ],
)
async def test_a_policy_that_does_not_fit_is_told_what_to_change(
    stage: Stage, change: dict[str, Any], advice: str
) -> None:
    """Whoever has no shell learns over HTTP too which setting is wrong."""
    reply = await stage.as_()("PUT", f"rotation/schedule/{stage.path}", {**stage.policy, **change})

    assert advice in reply.json["advice"]


async def test_who_may_not_rotate_does_not_use_up_a_secret_s_minute(
    service_config: SecretsServiceConfig, api_config: Any, issuer: Issuer, path: str, tmp_path: Path
) -> None:
    """A reader who asks all the time does not keep those who may from rotating; the control: one
    who may does.
    """
    config = replace(
        api_config,
        rotation=BY_HAND,
        rate_limits=RatePolicies(),
        audit=AuditConfig(log=tmp_path / "audit.jsonl"),
    )
    async with in_process(service_config, config) as app:
        reader, rotator = (
            Asking(app, issuer.platform(permission, sub=permission.partition(":")[2]))
            for permission in ("secrets:read", "secrets:rotate")
        )

        denied = [await reader("POST", f"rotate/{path}") for _ in range(3)]
        first, second = [await rotator("POST", f"rotate/{path}") for _ in range(2)]

    assert [reply.status for reply in denied] == [403] * 3
    assert (first.status, first.code) == (422, "not_rotatable")  # no policy, but no limit either
    assert (second.status, second.code) == (429, "rate_limited")
