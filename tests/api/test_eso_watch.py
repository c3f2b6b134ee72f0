"""ExternalSecrets counted from what the Kubernetes API tells, whatever happens to the watch."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest
from opentelemetry.metrics import Observation

from greenlang_secrets_api import eso_api
from greenlang_secrets_api.eso_api import Trouble
from greenlang_secrets_api.eso_config import EsoConfig, WatchPace
from greenlang_secrets_api.eso_watch import EsoWatch
from greenlang_secrets_api.metrics import Metrics
from support.certificates import self_signed
from support.kubernetes_api import EVERYTHING, KubernetesApi, kubernetes_api

PACE = WatchPace(first_wait=0.01, longest_wait=0.05, absent_wait=0.05, steady=0.0)

T0, T1, T2 = "2026-11-26T01:00:00Z", "2026-11-26T01:00:15Z", "2026-11-26T01:00:30Z"


@pytest.fixture
async def kubernetes() -> AsyncIterator[KubernetesApi]:
    async with kubernetes_api() as api:
        yield api


class Watching:
    """A watch that is open, and what a scrape of it shows."""

    def __init__(self, watch: EsoWatch, metrics: Metrics) -> None:
        self.watch = watch
        self.metrics = metrics

    async def shown(self) -> dict[str, float]:
        """The series of ESO as scraped, without those of errors that are 0."""
        text, _ = await self.metrics.render("")
        lines = (line.rpartition(" ") for line in text.decode().splitlines())
        found = {series: float(value) for series, _, value in lines if series.startswith("gl_eso")}
        return {k: v for k, v in found.items() if "watch_errors" not in k or v}

    def syncs(self, label: str) -> tuple[int, int] | None:
        """Successes and failures of one, or None if it is not there."""
        for each in self.watch.syncs.counted():
            if each.status.label == label:
                return each.success, each.failure
        return None

    def errors(self) -> dict[str, int]:
        """Troubles that were met."""
        return {reason.value: count for reason, count in self.watch.errors.items() if count}


@asynccontextmanager
async def watching(
    config: EsoConfig, *, chance: Callable[[], float] = random.random
) -> AsyncIterator[Watching]:
    """Open a watch with metrics of its own."""
    metrics = await asyncio.to_thread(Metrics)
    try:
        async with EsoWatch.open(config, metrics, chance=chance) as watch:
            assert watch is not None
            yield Watching(watch, metrics)
    finally:
        await metrics.close()


def config_for(kubernetes: KubernetesApi, **more: object) -> EsoConfig:
    return EsoConfig(enabled=True, api_url=kubernetes.url, pace=PACE, **more)


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
async def eso(kubernetes: KubernetesApi) -> AsyncIterator[Watching]:
    """A watch of all namespaces that stands, with ``a/db`` ready and synced."""
    kubernetes.succeed("a", "db", T0)
    async with watching(config_for(kubernetes)) as eso:
        await until(lambda: eso.watch.connected)
        yield eso


# ---------------------------------------------------------------- what is counted


async def test_a_sync_is_counted_and_shown(eso: Watching, kubernetes: KubernetesApi) -> None:
    """What is there at the start counts nothing; each later sync and failure counts one."""
    before = await eso.shown()

    kubernetes.succeed("a", "db", T1)
    kubernetes.apply("a", "db", refreshed=T1, ready="False", reason="SecretSyncedError", since=T2)
    await until(lambda: eso.syncs("a/db") == (1, 1))

    assert before == {
        'gl_eso_sync_total{secret="a/db",status="success"}': 0,
        'gl_eso_sync_total{secret="a/db",status="failure"}': 0,
        'gl_eso_ready{secret="a/db"}': 1,
        'gl_eso_refresh_interval_seconds{secret="a/db"}': 15,
        'gl_eso_last_sync_timestamp_seconds{secret="a/db"}': 1795654800,
        "gl_eso_watch_connected": 1,
    }
    assert await eso.shown() == {
        'gl_eso_sync_total{secret="a/db",status="success"}': 1,
        'gl_eso_sync_total{secret="a/db",status="failure"}': 1,
        'gl_eso_ready{secret="a/db"}': 0,
        'gl_eso_refresh_interval_seconds{secret="a/db"}': 15,
        'gl_eso_last_sync_timestamp_seconds{secret="a/db"}': 1795654815,
        "gl_eso_watch_connected": 1,
    }


async def test_a_failure_that_stays_counts_once(eso: Watching, kubernetes: KubernetesApi) -> None:
    """The same failure told again is one; another reason, or another transition, is another."""
    kubernetes.apply("a", "db", refreshed=T0, ready="False", reason="Denied", since=T1)
    kubernetes.apply("a", "db", refreshed=T0, ready="False", reason="Denied", since=T1)
    await until(lambda: eso.syncs("a/db") == (0, 1))
    kubernetes.apply("a", "db", refreshed=T0, ready="False", reason="NotFound", since=T1)
    await until(lambda: eso.syncs("a/db") == (0, 2))
    kubernetes.apply("a", "db", refreshed=T0, ready="False", reason="NotFound", since=T2)

    await until(lambda: eso.syncs("a/db") == (0, 3))


async def test_a_secret_that_was_made_a_moment_ago_counts_from_nothing(
    eso: Watching, kubernetes: KubernetesApi
) -> None:
    """A new object is not ready and has no time; its first sync is counted."""
    kubernetes.apply("a", "new")
    await until(lambda: eso.syncs("a/new") == (0, 0))
    before = await eso.shown()

    kubernetes.succeed("a", "new", T1)
    await until(lambda: eso.syncs("a/new") == (1, 0))

    assert before['gl_eso_ready{secret="a/new"}'] == 0
    assert 'gl_eso_last_sync_timestamp_seconds{secret="a/new"}' not in before


async def test_a_push_secret_of_the_same_name_is_another(
    eso: Watching, kubernetes: KubernetesApi
) -> None:
    """A PushSecret has ``push`` between namespace and name; neither counts for the other."""
    kubernetes.succeed("a", "db", T0, resource="pushsecrets")
    await until(lambda: eso.syncs("a/push/db"))

    kubernetes.succeed("a", "db", T1, resource="pushsecrets")
    await until(lambda: eso.syncs("a/push/db") == (1, 0))

    assert eso.syncs("a/db") == (0, 0)


async def test_a_deleted_secret_is_not_told_of(eso: Watching, kubernetes: KubernetesApi) -> None:
    """Its series go, and one made anew under its name begins with nothing counted."""
    kubernetes.succeed("a", "db", T1)
    await until(lambda: eso.syncs("a/db") == (1, 0))

    kubernetes.delete("a", "db")
    await until(lambda: eso.syncs("a/db") is None)
    without = await eso.shown()
    kubernetes.succeed("a", "db", T2)
    await until(lambda: eso.syncs("a/db") == (0, 0))

    assert without == {"gl_eso_watch_connected": 1}


async def test_secrets_that_come_and_go_do_not_use_up_the_metric(
    eso: Watching, kubernetes: KubernetesApi
) -> None:
    """After 1100 secrets that were there once, one that is there is shown."""
    for number in range(1100):
        kubernetes.succeed("a", f"passing-{number}", T0)
        kubernetes.delete("a", f"passing-{number}")
        if number % 100 == 0:
            await until(lambda number=number: eso.syncs(f"a/passing-{number}") is None)
            await eso.shown()
    kubernetes.succeed("a", "db", T1)
    await until(lambda: eso.syncs("a/db") == (1, 0))

    assert (await eso.shown())['gl_eso_sync_total{secret="a/db",status="success"}'] == 1


async def test_an_instrument_of_opentelemetry_would_be_used_up() -> None:
    """The control: its SDK keeps each set of labels, and after 2000 tells of an overflow alone."""
    metrics = await asyncio.to_thread(Metrics)
    there = ["a/db"]
    metrics.provider.get_meter("test").create_observable_counter(
        "eso", callbacks=[lambda _: [Observation(1, {"secret": name}) for name in there]]
    )
    for first in range(0, 2000, 100):
        there[:] = [f"a/passing-{number}" for number in range(first, first + 100)]
        await metrics.render("")
    there[:] = ["a/db"]

    text, _ = await metrics.render("")

    assert b'eso_total{secret="a/db"}' not in text
    assert b'otel_metric_overflow="true"' in text
    await metrics.close()


async def test_no_more_secrets_are_told_of_than_allowed(
    kubernetes: KubernetesApi, caplog: pytest.LogCaptureFixture
) -> None:
    """What is too much is left out, counted and told once; room that is made is used."""
    for name in ("one", "two", "zero"):
        kubernetes.succeed("a", name, T0)

    async with watching(config_for(kubernetes, max_secrets=2)) as eso:
        await until(lambda: eso.watch.connected)
        kubernetes.succeed("a", "zero", T1)
        await until(lambda: eso.errors() == {"too_many": 2})
        kubernetes.delete("a", "one")
        kubernetes.succeed("a", "zero", T2)
        await until(lambda: eso.syncs("a/zero"))

        assert eso.syncs("a/two") == (0, 0)
        assert eso.syncs("a/one") is None
    assert warnings(caplog) == [("too_many", "raise GREENLANG_SECRETS_ESO_MAX_SECRETS")]


def warnings(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    """Reason and advice of each warning of a watch."""
    return [
        (record.reason, getattr(record, "advice", None))  # type: ignore[attr-defined]
        for record in caplog.records
        if record.name == "greenlang_secrets_api.eso" and record.levelno == logging.WARNING
    ]


# ---------------------------------------------------------------- where it goes on


async def test_a_broken_stream_goes_on_where_it_was(
    eso: Watching, kubernetes: KubernetesApi
) -> None:
    """After a disconnect nothing is listed, and what happened meanwhile is counted, each sync."""
    lists = kubernetes.verbs().count("list")
    kubernetes.cut()
    for at in (T1, T2):
        kubernetes.succeed("a", "db", at)

    await until(lambda: eso.syncs("a/db") == (2, 0))
    await until(lambda: eso.watch.connected)

    assert kubernetes.verbs().count("list") == lists
    assert eso.errors() == {"disconnected": 2}


async def test_a_watch_whose_time_is_over_begins_again(
    eso: Watching, kubernetes: KubernetesApi
) -> None:
    """It is no trouble, nothing is listed, and the watch counts as standing."""
    kubernetes.end()
    await until(lambda: kubernetes.verbs() == ["list", "watch", "watch"])
    kubernetes.succeed("a", "db", T1)

    await until(lambda: eso.syncs("a/db") == (1, 0))

    assert eso.errors() == {}
    assert eso.watch.connected


@pytest.mark.parametrize("by_status", [False, True])
async def test_a_version_that_is_gone_has_everything_listed_anew(
    eso: Watching, kubernetes: KubernetesApi, caplog: pytest.LogCaptureFixture, *, by_status: bool
) -> None:
    """Whether 410 is the answer or an event in it: syncs in the gap count once, what was deleted
    goes, what was made anew begins anew.
    """
    kubernetes.gone_by_status = by_status
    for name in ("kept", "deleted", "anew"):
        kubernetes.succeed("a", name, T0)
        kubernetes.succeed("a", name, T1)
    await until(lambda: eso.syncs("a/anew") == (1, 0))

    kubernetes.cut()
    for at in (T1, T2):
        kubernetes.succeed("a", "db", at)
    kubernetes.delete("a", "deleted")
    kubernetes.delete("a", "anew")
    kubernetes.succeed("a", "anew", T2)
    kubernetes.compact()
    await until(lambda: eso.syncs("a/db") == (1, 0))

    assert eso.syncs("a/kept") == (1, 0)
    assert eso.syncs("a/deleted") is None
    assert eso.syncs("a/anew") == (0, 0)
    assert eso.errors()["gone"] >= 1
    assert warnings(caplog) == []


@pytest.mark.parametrize(("bookmarked", "gone"), [(True, 0), (False, 1)])
async def test_a_bookmark_saves_a_list(
    eso: Watching, kubernetes: KubernetesApi, *, bookmarked: bool, gone: int
) -> None:
    """A watch that nothing happens in keeps up by bookmarks; the control: without one it is gone."""
    kubernetes.succeed("a", "db", T1)
    kubernetes.say(b"\n", resource="pushsecrets")  # a blank line is nothing
    if bookmarked:
        kubernetes.bookmark()
    await until(lambda: known_up_to(eso, kubernetes) == [True, bookmarked])
    kubernetes.compact()

    kubernetes.cut()
    await until(lambda: eso.errors().get("disconnected") == 2)
    await until(lambda: eso.watch.connected and len(kubernetes.streams) == 2)

    assert eso.errors().get("gone", 0) == gone


def known_up_to(eso: Watching, kubernetes: KubernetesApi) -> list[bool]:
    """Whether each watch knows that it has seen everything."""
    return [place._from == str(kubernetes.version) for place in eso.watch._places]


async def test_a_list_that_is_gone_midway_begins_again(kubernetes: KubernetesApi) -> None:
    """A continue token that is too old has the list read from its first page."""
    for number in range(5):
        kubernetes.succeed("a", f"s{number}", T0)
    kubernetes.page_limit = 2
    kubernetes.compact()
    kubernetes.pages = [
        json.dumps(
            {"items": [], "metadata": {"resourceVersion": "1", "continue": '[1, "a/s1"]'}}
        ).encode()
    ]

    async with watching(config_for(kubernetes)) as eso:
        await until(lambda: eso.watch.connected)

        assert [eso.syncs(f"a/s{number}") for number in range(5)] == [(0, 0)] * 5
        assert eso.errors() == {"gone": 1}


async def test_a_list_comes_in_pages(kubernetes: KubernetesApi) -> None:
    """A hundred objects are asked for at a time, and the next page by its token."""
    for number in range(5):
        kubernetes.succeed("a", f"s{number}", T0)
    kubernetes.page_limit = 2

    async with watching(config_for(kubernetes)) as eso:
        await until(lambda: eso.watch.connected)

        assert [eso.syncs(f"a/s{number}") for number in range(5)] == [(0, 0)] * 5
    lists = [
        asked.query
        for asked in kubernetes.asked
        if asked.verb == "list" and asked.path.endswith("/externalsecrets")
    ]
    assert [query["limit"] for query in lists] == ["100"] * 3
    assert ["continue" in query for query in lists] == [False, True, True]


async def test_a_restarted_server_is_found_again(
    eso: Watching, kubernetes: KubernetesApi, caplog: pytest.LogCaptureFixture
) -> None:
    """While it is away the watch does not stand and says so once; then it goes on."""
    await kubernetes.stop()
    await until(lambda: eso.errors().get("unreachable", 0) >= 4)
    away = await eso.shown()
    kubernetes.succeed("a", "db", T1)

    await kubernetes.start()
    await until(lambda: eso.watch.connected and eso.syncs("a/db") == (1, 0))

    assert away["gl_eso_watch_connected"] == 0
    assert away['gl_eso_ready{secret="a/db"}'] == 1
    assert warnings(caplog) == [("unreachable", None)] * 2  # one for each kind


# ---------------------------------------------------------------- what comes in is not trusted


async def test_half_a_line_is_not_believed(eso: Watching, kubernetes: KubernetesApi) -> None:
    """A line that is cut off is asked for again; nothing of it counts."""
    kubernetes.say(b'{"type":"MODIFIED","object":{"metadata":{"name":"db","namesp')
    kubernetes.end()
    await until(lambda: eso.errors() == {"disconnected": 1})
    kubernetes.succeed("a", "db", T1)

    await until(lambda: eso.syncs("a/db") == (1, 0))


async def test_a_line_that_is_too_long_is_left_out(
    eso: Watching, kubernetes: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its octets are not kept, it counts as invalid, and the line after it is heard."""
    monkeypatch.setattr(eso_api, "MAX_LINE", 2000)
    for _ in range(3):
        kubernetes.say(b"x" * 1500)
    kubernetes.say(b"\n")
    kubernetes.say(b"y" * 2500 + b"\n")
    kubernetes.succeed("a", "db", T1)

    await until(lambda: eso.syncs("a/db") == (1, 0))

    assert eso.errors() == {"invalid": 2}
    assert kubernetes.verbs() == ["list", "watch"]


async def test_an_end_within_a_line_that_is_too_long_is_a_disconnect(
    eso: Watching, kubernetes: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut off like any other."""
    monkeypatch.setattr(eso_api, "MAX_LINE", 2000)
    kubernetes.say(b"x" * 2500)
    kubernetes.end()

    await until(lambda: eso.errors() == {"disconnected": 1})


@pytest.mark.parametrize(
    "line", [b"not json\n", b"[]\n", b'{"type":"ADDED"}\n', b'{"type":"ODD","object":{}}\n']
)
async def test_a_line_that_is_no_event_has_everything_listed_anew(
    eso: Watching, kubernetes: KubernetesApi, line: bytes
) -> None:
    """What came with it is not known; nothing that was counted is lost."""
    kubernetes.say(line)
    await until(lambda: eso.errors() == {"invalid": 1} and eso.watch.connected)
    kubernetes.succeed("a", "db", T1)

    await until(lambda: eso.syncs("a/db") == (1, 0))

    assert kubernetes.verbs() == ["list", "watch", "list", "watch"]


async def test_an_object_that_cannot_be_read_is_left_out(
    eso: Watching, kubernetes: KubernetesApi
) -> None:
    """In a watch and in a list: it counts as invalid, and the others are heard."""
    kubernetes.apply("a", "odd", status={"refreshTime": "yesterday"})
    kubernetes.succeed("a", "db", T1)
    await until(lambda: eso.syncs("a/db") == (1, 0))
    assert eso.errors() == {"invalid": 1}

    kubernetes.say(b"not json\n")
    await until(lambda: eso.errors() == {"invalid": 3} and eso.watch.connected)

    assert eso.syncs("a/odd") is None


@pytest.mark.parametrize("body", [b"not json", b"{}", b'{"items":[],"metadata":{}}', b" " * 5000])
async def test_a_list_that_is_none_is_asked_for_again(
    kubernetes: KubernetesApi, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No JSON, no list, one without a version, or one that is too large."""
    monkeypatch.setattr(eso_api, "MAX_PAGE", 4000)
    kubernetes.succeed("a", "db", T0)
    kubernetes.pages = [body]

    async with watching(config_for(kubernetes)) as eso:
        await until(lambda: eso.watch.connected)

        assert eso.errors() == {"invalid": 1}
        assert eso.syncs("a/db") == (0, 0)


async def test_a_list_that_breaks_off_is_asked_for_again(kubernetes: KubernetesApi) -> None:
    """Nothing of it counts, and it does not stand for the whole."""
    kubernetes.succeed("a", "db", T0)
    kubernetes.torn = 3

    async with watching(config_for(kubernetes)) as eso:
        await until(lambda: eso.watch.connected)

        assert eso.errors() == {"disconnected": 3}
        assert eso.syncs("a/db") == (0, 0)


async def test_a_list_without_an_end_is_left(
    kubernetes: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a thousand pages it is no list of secrets."""
    monkeypatch.setattr("greenlang_secrets_api.eso_watch.MAX_PAGES", 3)
    page = {"items": [], "metadata": {"resourceVersion": "1", "continue": '[1, ""]'}}
    kubernetes.pages = [json.dumps(page).encode()] * 3

    async with watching(config_for(kubernetes)) as eso:
        await until(lambda: eso.watch.connected)

        assert eso.errors() == {"invalid": 1}


async def test_an_error_that_the_stream_tells_is_waited_out(
    eso: Watching, kubernetes: KubernetesApi
) -> None:
    """Another one than 410 has the list read anew too."""
    kubernetes.say(b'{"type":"ERROR","object":{"kind":"Status","code":500}}\n')
    await until(lambda: eso.errors() == {"unavailable": 1} and eso.watch.connected)

    assert kubernetes.verbs() == ["list", "watch", "list", "watch"]


async def test_a_mistake_of_ours_does_not_end_the_watch(
    eso: Watching, kubernetes: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported by its class and place, counted, and the watch begins again."""
    monkeypatch.setattr("greenlang_secrets_api.eso_watch.parse_event", lambda *_: 1 / 0)
    kubernetes.succeed("a", "db", T1)
    await until(lambda: eso.errors().get("internal"))
    monkeypatch.undo()

    await until(lambda: eso.syncs("a/db") == (1, 0) and eso.watch.connected)


# ---------------------------------------------------------------- who may


async def test_a_denial_is_told_once_and_tried_again(
    kubernetes: KubernetesApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the role: counted each time, one warning with its cure; with it, all is well."""
    token = tmp_path / "token"
    token.write_text("ours\n")
    kubernetes.rights = {"ours": EVERYTHING - {("watch", "externalsecrets")}}
    kubernetes.succeed("a", "db", T0)

    async with watching(config_for(kubernetes, token_file=token)) as eso:
        await until(lambda: eso.errors().get("denied", 0) >= 3)
        denied = await eso.shown()
        kubernetes.rights["ours"] = EVERYTHING
        await until(lambda: eso.watch.connected)

    assert denied["gl_eso_watch_connected"] == 0
    assert denied['gl_eso_watch_errors_total{reason="denied"}'] >= 3
    assert warnings(caplog) == [("denied", "apply k8s/monitoring/eso-watch-rbac.yaml")]


async def test_a_denial_after_the_role_was_given_is_told_again(
    kubernetes: KubernetesApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The control: one warning is for one loss, and not for the life of the process."""
    token = tmp_path / "token"
    token.write_text("ours")
    kubernetes.rights = {"ours": EVERYTHING}

    async with watching(config_for(kubernetes, token_file=token)) as eso:
        for times in (1, 2):
            await until(lambda: eso.watch.connected)
            kubernetes.rights["ours"] = EVERYTHING - {
                ("watch", "externalsecrets"),
                ("list", "externalsecrets"),
            }
            kubernetes.cut()
            await until(lambda times=times: len(warnings(caplog)) == times)
            kubernetes.rights["ours"] = EVERYTHING

    assert [reason for reason, _ in warnings(caplog)] == ["denied", "denied"]


async def test_the_token_is_read_anew(kubernetes: KubernetesApi, tmp_path: Path) -> None:
    """A token that Kubernetes has replaced is used at the next request; the old one is refused."""
    token = tmp_path / "token"
    token.write_text("old")
    kubernetes.rights = {"old": EVERYTHING}

    async with watching(config_for(kubernetes, token_file=token)) as eso:
        await until(lambda: eso.watch.connected)
        kubernetes.rights = {"new": EVERYTHING}
        kubernetes.cut()
        await until(lambda: eso.errors().get("unauthenticated"))
        token.write_text("new")

        await until(lambda: eso.watch.connected)


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"\xff", b"x" * 300_000])
async def test_a_token_that_cannot_be_used_is_not_sent(
    kubernetes: KubernetesApi, tmp_path: Path, content: bytes | None
) -> None:
    """A file that is gone, empty, no token or far too long: nothing is asked, and it is read anew."""
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)

    async with watching(config_for(kubernetes, token_file=token)) as eso:
        await until(lambda: eso.errors().get("credentials"))
        assert kubernetes.asked == []
        token.write_text("good")

        await until(lambda: eso.watch.connected)


async def test_the_authority_is_the_one_given_and_read_anew(tmp_path: Path) -> None:
    """Over TLS: a server of another authority is not talked to; a file that changes is followed."""
    ours, other = (self_signed(tmp_path, name) for name in ("ours", "other"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(ours.cert, ours.key)
    authorities = tmp_path / "ca.crt"
    authorities.write_bytes(other.cert.read_bytes())
    async with (
        kubernetes_api(tls) as kubernetes,
        watching(config_for(kubernetes, ca_file=authorities)) as eso,
    ):
        await until(lambda: eso.errors().get("unreachable"))
        assert kubernetes.asked == []
        authorities.write_text("no certificate")
        await until(lambda: eso.errors().get("credentials"))
        authorities.write_bytes(ours.cert.read_bytes())

        await until(lambda: eso.watch.connected)


async def test_a_redirect_is_not_followed(kubernetes: KubernetesApi, tmp_path: Path) -> None:
    """Else the token would be sent to whoever is named."""
    token = tmp_path / "token"
    token.write_text("ours")
    async with kubernetes_api() as elsewhere:
        kubernetes.answers = [(307, {"Location": elsewhere.url + "/apis"})] * 2

        async with watching(config_for(kubernetes, token_file=token)) as eso:
            await until(lambda: eso.watch.connected)

            assert eso.errors() == {"unavailable": 2}
        assert elsewhere.asked == []


# ---------------------------------------------------------------- where


async def test_only_the_namespaces_named_are_watched(kubernetes: KubernetesApi) -> None:
    """Each is asked for by its own address, which needs a Role and no ClusterRole."""
    for namespace in ("a", "b", "c"):
        kubernetes.succeed(namespace, "db", T0)

    async with watching(config_for(kubernetes, namespaces=("a", "b"))) as eso:
        await until(lambda: eso.watch.connected)

        found = {label: eso.syncs(label) for label in ("a/db", "b/db", "c/db")}
    assert found == {"a/db": (0, 0), "b/db": (0, 0), "c/db": None}
    assert {asked.path for asked in kubernetes.asked} == {
        f"/apis/external-secrets.io/{version}/namespaces/{namespace}/{resource}"
        for version, resource in (("v1", "externalsecrets"), ("v1alpha1", "pushsecrets"))
        for namespace in ("a", "b")
    }


async def test_an_older_operator_is_understood(kubernetes: KubernetesApi) -> None:
    """Where v1 is not served, v1beta1 is."""
    kubernetes.served["externalsecrets"] = {"v1beta1"}
    kubernetes.succeed("a", "db", T0)

    async with watching(config_for(kubernetes)) as eso:
        await until(lambda: eso.watch.connected)

        assert eso.syncs("a/db") == (0, 0)
        assert eso.errors() == {}


async def test_a_cluster_without_push_secrets_is_watched_in_full(
    kubernetes: KubernetesApi, caplog: pytest.LogCaptureFixture
) -> None:
    """The watch stands without them, no warning is given, and they are found once they come."""
    kubernetes.served["pushsecrets"] = set()
    kubernetes.succeed("a", "db", T0, resource="pushsecrets")

    async with watching(config_for(kubernetes)) as eso:
        await until(lambda: eso.watch.connected and eso.errors().get("not_served"))
        assert warnings(caplog) == []
        kubernetes.served["pushsecrets"] = {"v1alpha1"}

        await until(lambda: eso.syncs("a/push/db"))


async def test_a_cluster_without_the_operator_is_told(
    eso: Watching, kubernetes: KubernetesApi, caplog: pytest.LogCaptureFixture
) -> None:
    """When the kinds go, so do the series; the watch does not stand, and one warning says why."""
    kubernetes.served = {}
    kubernetes.cut()

    await until(lambda: eso.errors().get("not_served", 0) >= 2 and eso.syncs("a/db") is None)
    await until(lambda: not eso.watch.connected)

    assert warnings(caplog) == [
        ("not_served", "install the External Secrets Operator with its CRDs")
    ]


# ---------------------------------------------------------------- how long


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, 0.01),
        ({"Retry-After": "0"}, 0.01),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "86400"}, 60.0),
        ({"Retry-After": "Thu, 26 Nov 2026 02:00:00 GMT"}, 0.01),
    ],
)
async def test_a_server_that_is_busy_gets_the_wait_it_asks_for(
    kubernetes: KubernetesApi, waits: list[float], headers: dict[str, str], wait: float
) -> None:
    """By Retry-After in seconds, a minute at most, and never less than without it."""
    kubernetes.answers = [(429, headers)]

    async with watching(config_for(kubernetes), chance=lambda: 1.0) as eso:
        await until(lambda: eso.watch.connected)

        assert eso.errors() == {"unavailable": 1}
    assert waits[0] == wait


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, of which none is waited but the long one, for ever."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)
        if seconds == LONG:
            await asyncio.Event().wait()

    # In this module alone: a service in another thread sleeps too.
    of_the_watch = SimpleNamespace(sleep=sleep, move_on_after=anyio.move_on_after)
    monkeypatch.setattr("greenlang_secrets_api.eso_watch.anyio", of_the_watch)
    return found


LONG = 1000.0


@pytest.mark.parametrize(
    ("steady", "expected"), [(60.0, [0.01, 0.02, 0.04, 0.05, 0.05]), (0.0, [])]
)
async def test_a_server_that_ends_each_watch_is_not_hammered(
    kubernetes: KubernetesApi, waits: list[float], steady: float, expected: list[float]
) -> None:
    """Waits grow while streams are short; the control: after one that lasted there is none."""
    kubernetes.served["pushsecrets"] = set()
    config = config_for(kubernetes)
    config = replace(config, pace=replace(config.pace, steady=steady, absent_wait=LONG))

    async with watching(config, chance=lambda: 1.0):
        for times in range(1, 7):
            await until(lambda times=times: kubernetes.verbs().count("watch") == times)
            await until(lambda: kubernetes.streams)
            kubernetes.end()

    assert [wait for wait in waits if wait != LONG][:5] == expected


async def test_a_server_that_says_nothing_is_left(kubernetes: KubernetesApi) -> None:
    """An answer that does not begin in time counts as no server."""
    kubernetes.mute = True
    config = config_for(kubernetes)
    config = replace(config, pace=replace(config.pace, open_within=0.2))

    async with watching(config) as eso:
        await until(lambda: eso.errors().get("unreachable", 0) >= 2)
        kubernetes.mute = False

        await until(lambda: eso.watch.connected)


async def test_a_stream_that_falls_silent_is_left(kubernetes: KubernetesApi) -> None:
    """A connection that nobody holds any more looks like a quiet one: it begins anew where it was."""
    kubernetes.succeed("a", "db", T0)
    config = config_for(kubernetes)
    config = replace(config, pace=replace(config.pace, silence=0.3))

    async with watching(config) as eso:
        await until(lambda: eso.errors().get("silent", 0) >= 2)
        kubernetes.succeed("a", "db", T1)
        await until(lambda: eso.syncs("a/db") == (1, 0))

        assert eso.errors().keys() == {"silent"}
    assert kubernetes.verbs().count("list") == 1


async def test_the_server_is_asked_to_end_a_watch(kubernetes: KubernetesApi) -> None:
    """After four minutes, up to a quarter less by chance, and never after none."""
    async with watching(config_for(kubernetes)) as eso:
        await until(lambda: eso.watch.connected)
    short = replace(config_for(kubernetes), pace=replace(PACE, watch_for=0.5))
    async with watching(short) as eso:
        await until(lambda: eso.watch.connected)

    asked = [each.query["timeoutSeconds"] for each in kubernetes.asked if each.verb == "watch"]
    assert all(180 <= int(seconds) <= 240 for seconds in asked[:2])
    assert asked[2:] == ["1", "1"]


async def test_a_watch_that_the_server_does_not_end_is_left(kubernetes: KubernetesApi) -> None:
    """A while after its time it begins anew where it was: so a right that is gone is noticed."""
    kubernetes.endless = True
    config = config_for(kubernetes)
    config = replace(config, pace=replace(config.pace, watch_for=1.0, open_within=1.0))

    async with watching(config) as eso:
        await until(lambda: kubernetes.verbs() == ["list", "watch", "watch"])

        assert eso.errors() == {}
        assert eso.watch.connected


# ---------------------------------------------------------------- its end


async def test_leaving_ends_every_stream_and_takes_the_series_back(
    kubernetes: KubernetesApi,
) -> None:
    """Nothing runs on, and the registry no longer has what nobody counts."""
    kubernetes.succeed("a", "db", T0)
    metrics = await asyncio.to_thread(Metrics)
    async with EsoWatch.open(config_for(kubernetes), metrics) as watch:
        assert watch is not None
        await until(lambda: watch.connected)
        running = {task.get_name() for task in asyncio.all_tasks()}

    await until(lambda: kubernetes.streams == [])

    text, _ = await metrics.render("")
    assert "eso watch" in running
    assert "eso watch" not in {task.get_name() for task in asyncio.all_tasks()}
    assert b"gl_eso_sync" not in text
    await metrics.close()


async def test_a_watch_that_is_off_asks_nothing(kubernetes: KubernetesApi) -> None:
    """By default there is no watch, and no metric of it."""
    metrics = await asyncio.to_thread(Metrics)
    async with EsoWatch.open(EsoConfig(api_url=kubernetes.url), metrics) as watch:
        text, _ = await metrics.render("")

    assert watch is None
    assert b"gl_eso" not in text
    assert kubernetes.asked == []
    await metrics.close()


def test_every_trouble_is_on_the_scrape_from_the_start() -> None:
    """A reason that was never met has 0, so that its first time is an increase."""
    watch = EsoWatch(EsoConfig(), None, chance=random.random)  # type: ignore[arg-type]  # asks nothing

    assert watch.errors == dict.fromkeys(Trouble, 0)
