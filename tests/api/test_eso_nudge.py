"""A change through the service has the ExternalSecrets that read it refreshed at once."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from api.conftest import service_config_for
from api.in_process import in_process
from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.paths import PLATFORM
from greenlang_secrets_api.eso_api import Trouble, TroubleError
from greenlang_secrets_api.eso_config import EsoConfig
from greenlang_secrets_api.eso_nudge import EsoNudge, place_of_key
from greenlang_secrets_api.eso_objects import SyncStatus
from greenlang_secrets_api.eso_syncs import EsoSyncs, Watched
from support.kubernetes_api import kubernetes_api

JSON = (b"content-type", b"application/json")


def reading(key):
    return {"data": [{"secretKey": "k", "remoteRef": {"key": key}}]}


@asynccontextmanager
async def watching(vault_server, mount, api_config, kubernetes, *, nudge=True):
    """The service, once it has seen what there is."""
    eso = EsoConfig(enabled=True, api_url=kubernetes.url, nudge=nudge)
    config = replace(api_config, eso=eso)
    async with in_process(service_config_for(vault_server, mount), config) as service:
        async with asyncio.timeout(10):
            while len(kubernetes.streams) < 2:
                await asyncio.sleep(0.01)
        yield service


async def write(service, issuer, path, value="1"):
    bearer = (b"authorization", b"Bearer " + issuer.tenant("acme").encode())
    body = json.dumps({"data": {"k": value}}).encode()
    method = "POST" if value == "1" else "PUT"
    return await service.ask(method, path, [bearer, JSON], body)


async def patched(kubernetes, count):
    async with asyncio.timeout(10):
        while len(kubernetes.patches()) < count:
            await asyncio.sleep(0.01)
    return kubernetes.patches()


async def test_each_that_reads_a_changed_path_is_nudged_and_no_other(
    vault_server, mount, api_config, issuer, path
):
    """What reads the path is annotated, and neither a suffix nor another tenant's is."""
    async with kubernetes_api() as kubernetes:
        kubernetes.apply("a", "one", spec=reading(f"tenants/acme/{path}"))
        kubernetes.apply(
            "b",
            "all",
            spec={"dataFrom": [{"extract": {"key": f"{mount}/data/tenants/acme/{path}"}}]},
        )
        kubernetes.apply("c", "suffix", spec=reading(path))
        kubernetes.apply("c", "platform", spec=reading(f"greenlang/{path}"))
        kubernetes.apply("c", "other", spec=reading(f"tenants/other/{path}"))
        kubernetes.apply("c", "last", spec=reading(f"tenants/acme/{path}-last"))
        async with watching(vault_server, mount, api_config, kubernetes) as service:
            for value in ("1", "2", "3"):
                assert (await write(service, issuer, path, value)).status < 300
            await patched(kubernetes, 2)
            # Whatever the burst has left is sent before what comes after it.
            assert (await write(service, issuer, f"{path}-last")).status == 201
            seen = await patched(kubernetes, 3)
        bodies = [each.body for each in kubernetes.asked if each.verb == "patch"]

    assert set(seen) == {"a/one", "b/all", "c/last"}
    assert list(json.loads(bodies[0])["metadata"]["annotations"]) == ["force-sync"]
    assert path.encode() not in bodies[0]


async def test_deletes_and_undeletes_nudge_and_a_missing_right_is_said(  # noqa: PLR0917  # fixtures
    vault_server, mount, api_config, issuer, path, caplog
):
    """Each is a change of what the Secret is made of; without `patch` nothing is retried, and the
    log says which right is missing.
    """
    bearer = (b"authorization", b"Bearer " + issuer.tenant("acme").encode())
    async with kubernetes_api() as kubernetes:
        kubernetes.apply("a", "one", spec=reading(f"tenants/acme/{path}"))
        async with watching(vault_server, mount, api_config, kubernetes) as service:
            assert (await write(service, issuer, path)).status == 201
            await patched(kubernetes, 1)
            assert (await service.ask("DELETE", path, [bearer])).status == 204
            await patched(kubernetes, 2)
            kubernetes.rights = {"": {("list", "externalsecrets"), ("watch", "externalsecrets")}}
            undelete = (f"{path}/undelete", [bearer, JSON], b'{"version": 1}')
            assert (await service.ask("POST", *undelete)).status == 200
            await patched(kubernetes, 3)
            async with asyncio.timeout(5):
                while not caplog.records:
                    await asyncio.sleep(0.01)

        assert kubernetes.patches() == ["a/one"] * 3
    advice = [each.advice for each in caplog.records if each.message == "eso_nudge.trouble"]
    assert advice == ["apply k8s/monitoring/eso-nudge-rbac.yaml"]


async def test_nothing_is_sent_unless_switched_on(vault_server, mount, api_config, issuer, path):
    """The control: a watch alone never patches, and nobody hears of changes for it."""
    async with kubernetes_api() as kubernetes:
        kubernetes.apply("a", "one", spec=reading(f"tenants/acme/{path}"))
        async with watching(vault_server, mount, api_config, kubernetes, nudge=False) as service:
            assert (await write(service, issuer, path)).status == 201
            told = service.state["service"].followers.told
            assert not any(isinstance(getattr(t, "__self__", None), EsoNudge) for t in told)

    assert kubernetes.patches() == []


@pytest.mark.parametrize(("status", "attempts"), [(403, 1), (404, 2), (409, 3), (422, 1), (500, 3)])
async def test_a_server_that_refuses_fails_no_write(  # noqa: PLR0917  # fixtures
    vault_server, mount, api_config, issuer, path, status, attempts
):
    """Writes go on, and each refusal is tried a few times at most (404: each version once)."""
    async with kubernetes_api() as kubernetes:
        kubernetes.apply("a", "one", spec=reading(f"tenants/acme/{path}"))
        kubernetes.served["externalsecrets"].add("v1beta1")
        kubernetes.patch_status = status
        kubernetes.apply("b", "last", spec=reading(f"tenants/acme/{path}-last"))
        async with watching(vault_server, mount, api_config, kubernetes) as service:
            assert (await write(service, issuer, path)).status == 201
            await patched(kubernetes, attempts)
            assert (await write(service, issuer, f"{path}-last")).status == 201
            seen = await patched(kubernetes, attempts + 1)

    assert seen[: attempts + 1] == ["a/one"] * attempts + ["b/last"]


async def test_a_mute_server_slows_no_write(vault_server, mount, api_config, issuer, path):
    """A write is answered while the nudge still waits for its answer."""
    async with kubernetes_api() as kubernetes:
        kubernetes.apply("a", "one", spec=reading(f"tenants/acme/{path}"))
        async with watching(vault_server, mount, api_config, kubernetes) as service:
            kubernetes.mute = True
            async with asyncio.timeout(4):  # less than the nudge's deadline
                assert (await write(service, issuer, path)).status == 201
                await patched(kubernetes, 1)
                assert (await write(service, issuer, path, "2")).status == 200


class Scripted:
    """An API server that hangs for one namespace, and refuses another as told."""

    def __init__(self, refusal=None):
        self.asked = []
        self._refusal = refusal

    async def force_sync(self, namespace, name, version, stamp, *, within):
        self.asked.append(f"{namespace}/{name}")
        if namespace == "hangs":
            await asyncio.Event().wait()
        if namespace == "refuses" and self._refusal is not None:
            raise self._refusal


def status(label, *, every=15.0):
    return SyncStatus(
        label=label,
        uid=label,
        refreshed_at=None,
        ready=True,
        failure=None,
        refreshed_every=every,
        reads=frozenset({"greenlang/a"}),
    )


@asynccontextmanager
async def nudging(api, *statuses, **more):
    """A nudge of these, whose changes are told at once."""
    syncs, watched = EsoSyncs(10), Watched()
    for each in statuses:
        syncs.see(each, watched)
    nudge = EsoNudge(api, syncs, mount="secret", coalesce=0.0, chance=lambda: 0.0, **more)
    async with Supervisor() as supervisor:
        supervisor.spawn(nudge.run(), name="nudge")
        yield nudge


async def asked(api, count):
    async with asyncio.timeout(5):
        while len(api.asked) < count:
            await asyncio.sleep(0.01)
    return api.asked


async def test_one_that_hangs_holds_up_no_other():
    """Others are nudged beside it, and a later change after the deadline of all."""
    api = Scripted()
    statuses = [status("hangs/one"), status("b/two"), status("c/three")]

    async with nudging(api, *statuses, all_within=0.2) as nudge:
        nudge.changed(PLATFORM.key, "a")
        assert sorted(await asked(api, 3)) == ["b/two", "c/three", "hangs/one"]
        nudge.changed(PLATFORM.key, "a")
        assert len(await asked(api, 6)) == 6


async def test_a_burst_is_one_nudge():
    """Changes of a moment are told once; the control is a change after it."""
    api = Scripted()

    async with nudging(api, status("b/one")) as nudge:
        for _ in range(3):
            nudge.changed(PLATFORM.key, "a")
        await asked(api, 1)
        nudge.changed(PLATFORM.key, "a")
        await asked(api, 2)

    assert api.asked == ["b/one"] * 2


async def test_what_never_syncs_by_itself_is_left_alone():
    """Interval 0, OnChange and CreatedOnce pin a Secret; the control is one with an interval."""
    api = Scripted()

    async with nudging(api, status("a/pinned", every=None), status("b/one")) as nudge:
        nudge.changed(PLATFORM.key, "a")
        await asked(api, 1)

    assert api.asked == ["b/one"]


async def test_a_denial_of_one_namespace_is_said_once(caplog):
    """However often another namespace lets us."""
    api = Scripted(TroubleError(Trouble.DENIED))

    async with nudging(api, status("refuses/one"), status("b/two")) as nudge:
        for count in (2, 4, 6):
            nudge.changed(PLATFORM.key, "a")
            await asked(api, count)

    assert [each.reason for each in caplog.records] == ["denied"]


async def test_the_server_s_wait_is_kept(monkeypatch):
    """After Retry-After, and not before, it is asked again."""
    waits = []

    async def noted(seconds):
        waits.append(seconds)

    api = Scripted(TroubleError(Trouble.UNAVAILABLE, retry_after=7.0))
    monkeypatch.setattr("greenlang_secrets_api.eso_nudge.anyio.sleep", noted)

    nudge = EsoNudge(api, EsoSyncs(1), mount="secret", chance=lambda: 0.0)
    await nudge._annotate("refuses", "one")

    assert waits == [7.0, 7.0]
    assert api.asked == ["refuses/one"] * 3


def test_a_full_queue_drops_the_oldest(caplog):
    """No more is held than allowed, a path is held once, and it is said once."""
    nudge = EsoNudge(None, EsoSyncs(1), mount="secret", most=2)

    for path in ("a", "b", "b", "c", "d"):
        nudge.changed(PLATFORM.key, path)

    assert nudge.waiting == ("greenlang/c", "greenlang/d")
    assert [each.message for each in caplog.records] == ["eso_nudge.trouble"]


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("greenlang/a", "greenlang/a"),
        ("secret/greenlang/a", "greenlang/a"),
        ("secret/data/greenlang/a", "greenlang/a"),
        ("data/greenlang/a", "data/greenlang/a"),
        ("secrets/greenlang/a", "secrets/greenlang/a"),
    ],
)
def test_a_key_is_read_as_the_operator_reads_it(key, place):
    """The mount is cut, and data/ after it and nowhere else."""
    assert place_of_key(key, "secret") == place


def test_a_nudge_needs_the_watch():
    """Without the watch nothing is known to nudge, so the setting is refused."""
    with pytest.raises(ConfigurationError, match="GREENLANG_SECRETS_ESO_WATCH to true"):
        EsoConfig.from_env(environ={"GREENLANG_SECRETS_ESO_NUDGE": "true"})
