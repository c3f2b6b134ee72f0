from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime

from greenlang_secrets import PLATFORM, Tenant, TenantId
from greenlang_secrets.consumers import ConsumerRegistry
from greenlang_secrets.errors import VaultUnavailable
from greenlang_secrets.rotation_model import ConsumerKind, ConsumerReport, overdue_after

ACME = Tenant(TenantId("acme"))


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def registry(
    *rotated: tuple[str, str],
    watched: dict[tuple[Hashable, Hashable], int] | None = None,
    time: Time | None = None,
) -> ConsumerRegistry:
    known = watched or {}
    made = ConsumerRegistry(
        watched=lambda scope, path: known.get((scope, path)), clock=time or Time()
    )
    made.rotated = frozenset(rotated or {("", "a")})
    return made


def pool(consumers: ConsumerRegistry, version: int | None, *, name: str = "main", path: str = "a"):
    return consumers.add(
        PLATFORM,
        path,
        kind=ConsumerKind.POOL,
        name=name,
        principal="service",
        version=lambda: version,
    )


def test_instances_have_names_of_their_own():
    """Two registries, even of one process, are two consumers."""
    assert registry().instance != registry().instance


def test_a_pool_counts_until_it_is_closed():
    """One that registered is reported with the version it says, and after `close` no more."""
    consumers = registry()
    registered = pool(consumers, 7)

    reports = consumers.reports()
    registered.close()
    registered.close()

    assert reports == [
        ConsumerReport(
            scope=PLATFORM,
            path="a",
            consumer=f"pool:{consumers.instance}:main",
            kind=ConsumerKind.POOL,
            principal="service",
            instance=consumers.instance,
            version=7,
            lives_for=30.0,
        )
    ]
    assert consumers.reports() == []


def test_a_consumer_without_a_version_is_not_reported():
    """One that uses nothing now, or cannot tell because the secret is away, is left out."""
    consumers = registry()
    pool(consumers, None)

    def away() -> int | None:
        raise VaultUnavailable("timeout")

    consumers.add(
        PLATFORM, "a", kind=ConsumerKind.POOL, name="x", principal="service", version=away
    )

    assert consumers.reports() == []


def test_two_of_one_name_are_one_that_uses_the_older_version():
    """Whoever is counted once is counted with the version that would be missed."""
    consumers = registry()
    for version in (8, 7, 9):
        pool(consumers, version)

    assert [report.version for report in consumers.reports()] == [7]


def test_a_followed_path_is_one_watch():
    """All who follow a path here are one consumer, in the scope that the path is of."""
    consumers = registry(
        ("acme", "a"), ("", "b"), ("", "c"), watched={("acme", "a"): 3, ("", "b"): 4}
    )

    reports = {(report.scope, report.path): report for report in consumers.reports()}

    assert reports.keys() == {(ACME, "a"), (PLATFORM, "b")}
    assert reports[ACME, "a"].version == 3
    assert reports[ACME, "a"].kind is ConsumerKind.WATCH
    assert reports[ACME, "a"].consumer == f"watch:{consumers.instance}"


def test_a_reader_counts_for_as_long_as_it_may_keep_what_it_read():
    """A REST reader is reported with the time it has left, and is then forgotten."""
    time = Time()
    consumers = registry(time=time)
    consumers.readers_live_for = 100.0
    consumers.read(PLATFORM, "a", principal="bob", version=7)

    time.now += 60.0
    [report] = consumers.reports()
    time.now += 40.0

    assert (report.kind, report.principal, report.version) == (ConsumerKind.REST, "bob", 7)
    assert report.consumer == f"rest:{consumers.instance}:bob"
    assert report.lives_for == 40.0
    assert consumers.reports() == []


def test_a_reader_s_last_read_counts():
    """Another read begins the time anew, with the version that was read."""
    time = Time()
    consumers = registry(time=time)
    consumers.readers_live_for = 100.0
    consumers.read(PLATFORM, "a", principal="bob", version=7)
    time.now += 60.0

    consumers.read(PLATFORM, "a", principal="bob", version=8)

    [report] = consumers.reports()
    assert (report.version, report.lives_for) == (8, 100.0)


def test_what_is_not_rotated_is_not_counted():
    """Readers, pools and watches of a secret without a policy are left out, and those of one
    whose policy is removed leave.
    """
    consumers = registry(("", "a"), watched={("", "b"): 1, ("acme", "a"): 1})
    consumers.read(ACME, "a", principal="bob", version=1)
    consumers.read(PLATFORM, "a", principal="bob", version=1)
    pool(consumers, 1, path="b")
    assert [report.kind for report in consumers.reports()] == [ConsumerKind.REST]

    consumers.rotated = frozenset()

    assert consumers.reports() == []
    consumers.rotated = frozenset({("", "a")})
    assert consumers.reports() == []


def test_of_too_many_readers_the_first_are_forgotten():
    """Ten thousand readers are remembered: those who read last."""
    consumers = registry()
    for number in range(10_001):
        consumers.read(PLATFORM, "a", principal=f"p{number}", version=1)
        consumers.read(PLATFORM, "a", principal="p0", version=1)

    names = {report.principal for report in consumers.reports()}

    assert len(names) == 10_000
    assert {"p0", "p10000"} < names
    assert "p1" not in names


def test_what_is_due_is_overdue_after_a_tenth_of_its_interval():
    """A day's rotation is overdue after 2.4 hours, and none sooner than after 15 minutes."""
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)

    assert overdue_after(noon, 86_400.0) == datetime(2030, 1, 1, 14, 24, tzinfo=UTC)
    assert overdue_after(noon, 3600.0) == datetime(2030, 1, 1, 12, 15, tzinfo=UTC)
