"""Watching, holding and being called back, on the real server, which counts the requests."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.access import Principal

Write = Callable[..., Awaitable[None]]

SLOW = 60.0
"""Seconds of fresh time in tests of what does not wait for it."""

QUICK = 0.3
"""Seconds of fresh time in tests that wait for the next read."""


@pytest.fixture
def write(vault_server, mount: str) -> Write:
    """Write behind the service's back, as another program does."""

    async def write(value: str, path: str = "greenlang/x") -> None:
        status, _ = await vault_server.request(
            "POST", f"{mount}/data/{path}", {"data": {"k": value}}
        )
        assert status == 200

    return write


@pytest.fixture
async def slow(config) -> AsyncIterator[gs.SecretsService]:
    async with opened(config, SLOW) as service:
        yield service


@pytest.fixture
async def quick(config) -> AsyncIterator[gs.SecretsService]:
    async with opened(config, QUICK) as service:
        yield service


def opened(
    config: gs.SecretsServiceConfig, fresh_for: float
) -> contextlib.AbstractAsyncContextManager[gs.SecretsService]:
    return gs.SecretsService.open(replace(config, cache=replace(config.cache, fresh_for=fresh_for)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


def value(secret: gs.Secret) -> str:
    return secret["k"].reveal()


def running(service: gs.SecretsService) -> int:
    tasks = service.followers.supervisor._tasks
    return sum(
        not task.done() and not task.get_name().startswith("vault.") for task in tasks
    )  # which every service has


def collecting(watch: gs.Watch, into: list[str]) -> asyncio.Task[None]:
    async def collect() -> None:
        async for secret in watch:
            into.append(value(secret))  # noqa: PERF401  # as it goes

    return asyncio.create_task(collect())


# ---------------------------------------------------------------- watch


async def test_a_change_of_the_same_service_is_seen_at_once(slow):
    """A watcher has the current version first, and each new one when it is written."""
    await slow.create("x", {"k": "one"})
    seen: list[str] = []
    task = collecting(slow.watch("x"), seen)
    await until(lambda: seen == ["one"])

    await slow.put("x", {"k": "two"})
    await until(lambda: seen == ["one", "two"])
    await slow.patch("x", {"k": "three"})
    await until(lambda: seen == ["one", "two", "three"])

    task.cancel()


async def test_a_change_of_another_service_is_seen_within_the_fresh_time(quick, config):
    """Another process's write is read when the value stops being fresh."""
    async with opened(config, SLOW) as other:
        await other.create("x", {"k": "one"})
        seen: list[str] = []
        task = collecting(quick.watch("x"), seen)
        await until(lambda: seen == ["one"])

        await other.put("x", {"k": "two"})
        await until(lambda: seen == ["one", "two"])

        task.cancel()


async def test_a_change_of_another_program_is_seen_within_the_fresh_time(quick, write):
    """So is the write of Vault's own tools."""
    await write("one")
    seen: list[str] = []
    task = collecting(quick.watch("x"), seen)
    await until(lambda: seen == ["one"])

    await write("two")
    await until(lambda: seen == ["one", "two"])

    task.cancel()


async def test_a_read_that_finds_a_new_version_is_news(slow, write):
    """What `get` happens to learn, watchers and handles learn, without waiting their time."""
    await write("one")
    seen: list[str] = []
    task = collecting(slow.watch("x"), seen)
    handle = await slow.hold("x")
    await until(lambda: seen == ["one"])
    await write("two")

    await slow.get("x", fresh=True)

    assert value(handle.current) == "two"
    await until(lambda: seen == ["one", "two"])
    task.cancel()


async def test_a_slow_consumer_gets_the_newest_only(slow):
    """What was replaced while the consumer was busy is never given to it."""
    await slow.create("x", {"k": "0"})
    seen: list[str] = []
    async for secret in slow.watch("x"):
        seen.append(value(secret))
        if len(seen) == 2:
            break
        for number in range(1, 6):
            await slow.put("x", {"k": str(number)})

    assert seen == ["0", "5"]


async def test_equal_data_is_not_told_and_other_data_is(slow, write):
    """A version that repeats the data is silent, but current; the next one that differs is told."""
    await slow.create("x", {"k": "one"})
    seen: list[str] = []
    task = collecting(slow.watch("x"), seen)
    handle = await slow.hold("x")
    await until(lambda: seen == ["one"])

    await slow.put("x", {"k": "one"})
    version = handle.current.version
    await slow.put("x", {"k": "two"})
    await until(lambda: len(seen) > 1)

    assert version == 2
    assert seen == ["one", "two"]
    task.cancel()


async def test_a_deleted_secret_that_is_written_again_is_told(slow):
    """Deletion ends no iteration; `current` raises at once, and the new version is told."""
    await slow.create("x", {"k": "one"})
    seen: list[str] = []
    task = collecting(slow.watch("x"), seen)
    handle = await slow.hold("x")
    await until(lambda: seen == ["one"])

    await slow.delete("x")
    with pytest.raises(gs.SecretDeleted):
        _ = handle.current
    await slow.create("x", {"k": "two"})

    assert value(handle.current) == "two"
    await until(lambda: seen == ["one", "two"])
    task.cancel()


async def test_an_undeleted_secret_is_told_though_it_is_the_same(slow):
    """Who stopped at the deletion hears that the secret is back."""
    await slow.create("x", {"k": "one"})
    seen: list[str] = []
    task = collecting(slow.watch("x"), seen)
    await until(lambda: seen == ["one"])

    await slow.delete("x")
    await slow.undelete("x", 1)
    await until(lambda: seen == ["one", "one"])

    task.cancel()


async def test_a_secret_removed_by_another_program_is_gone_within_the_fresh_time(
    quick, write, vault_server, mount
):
    """Its whole metadata removed and made anew: gone, and told again, though its number is 1."""
    await write("one")
    seen: list[str] = []
    task = collecting(quick.watch("x"), seen)
    handle = await quick.hold("x")
    await until(lambda: seen == ["one"])

    def gone() -> bool:
        try:
            return not handle.current
        except gs.SecretNotFound:
            return True

    await vault_server.request("DELETE", f"{mount}/metadata/greenlang/x")
    await until(gone)
    await write("anew")
    await until(lambda: seen == ["one", "anew"])

    assert handle.current.version == 1
    task.cancel()


async def test_a_thousand_watchers_of_a_path_are_one_loop_and_one_request_each_time(
    quick, write, vault_server, mount
):
    """Counted by the server: each change costs its reads of one path, whoever watches."""
    await write("0")
    await quick.get("x")
    counts = [0] * 1000

    async def consume(number: int) -> None:
        async for _ in quick.watch("x"):
            counts[number] += 1

    tasks = [asyncio.create_task(consume(number)) for number in range(1000)]
    await until(lambda: set(counts) == {1})
    loop = asyncio.get_running_loop()
    mark, begun = await vault_server.audit_mark(), loop.time()
    loops = running(quick)

    for number in range(1, 4):
        await write(str(number))
        await until(lambda number=number: set(counts) == {number + 1})
    spent = loop.time() - begun
    reads = [
        path
        for operation, path in await vault_server.audit_requests(mark)
        if (operation, path) == ("read", f"{mount}/data/greenlang/x")
    ]

    assert loops == 1
    assert 3 <= len(reads) <= spent / (0.81 * QUICK) + 1
    for task in tasks:
        task.cancel()
    await until(lambda: running(quick) == 0)


async def test_break_leaves_nothing_behind(slow):
    """An `async for` that is left by `break` gives up its place without being told to."""
    await slow.create("x", {"k": "one"})

    async for _ in slow.watch("x"):
        during = running(slow)
        break

    assert during == 1
    await until(lambda: running(slow) == 0)


async def test_cancellation_leaves_nothing_behind(slow):
    """A cancelled consumer gives up its place."""
    await slow.create("x", {"k": "one"})
    seen: list[str] = []
    task = collecting(slow.watch("x"), seen)
    await until(lambda: seen == ["one"])

    task.cancel()

    await until(lambda: running(slow) == 0)


async def test_a_closed_watch_is_given_up_at_once_and_has_ended(slow):
    """`aclosing` works as with a generator."""
    await slow.create("x", {"k": "one"})
    async with contextlib.aclosing(slow.watch("x")) as watch:
        await anext(watch)

    assert [secret async for secret in watch] == []
    await until(lambda: running(slow) == 0)


async def test_closing_ends_a_step_that_waits(slow):
    """A watch may be closed by somebody else than who waits for it, and only that watch ends."""
    await slow.create("x", {"k": "one"})
    seen: list[str] = []
    mine = slow.watch("x")
    task, other = collecting(mine, []), collecting(slow.watch("x"), seen)
    await until(lambda: seen == ["one"])

    await mine.aclose()
    async with asyncio.timeout(5):
        await task
    await slow.put("x", {"k": "two"})
    await until(lambda: seen == ["one", "two"])

    other.cancel()


async def test_a_step_that_was_given_up_goes_on_where_it_was(slow):
    """With a time limit for a step, nothing is given twice, and no change is lost."""
    await slow.create("x", {"k": "one"})
    watch = slow.watch("x")
    first = await anext(watch)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(watch), 0.02)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(watch), 0.02)
    await slow.put("x", {"k": "two"})

    second = await asyncio.wait_for(anext(watch), 5)

    assert (value(first), value(second)) == ("one", "two")
    await watch.aclose()


async def test_watchers_end_when_the_service_closes(config):
    """The end of the service is the end of the iteration, and no error."""
    async with opened(config, SLOW) as service:
        await service.create("x", {"k": "one"})
        seen: list[str] = []
        watch = service.watch("x")
        task = collecting(watch, seen)
        handle = await service.hold("x")
        await until(lambda: seen == ["one"])

    async with asyncio.timeout(5):
        await task
    assert running(service) == 0
    assert [secret async for secret in watch] == []
    with pytest.raises(RuntimeError, match="closed"):
        _ = handle.current
    await handle.release()


async def test_the_beginning_raises_what_get_raises(slow, denied, vault_server):
    """Missing, denied or outside the grammar: told at the beginning, and nothing stays behind."""
    for service, path, error in (
        (slow, "missing", gs.SecretNotFound),
        (slow, "a//b", gs.InvalidPath),
        (denied, "x", gs.AccessDenied),
    ):
        with pytest.raises(error):
            await anext(service.watch(path))
        with pytest.raises(error):
            await service.hold(path)
        assert running(service) == 0


async def test_an_unreachable_vault_is_told_at_the_beginning(config):
    """Without Vault and without a value there is nothing to begin with."""
    nowhere = replace(config, addresses=("http://127.0.0.1:9",), connect_timeout=0.2)
    async with gs.SecretsService.open(nowhere) as service:
        with pytest.raises(gs.VaultUnavailable):
            await service.hold("x")
        with pytest.raises(gs.VaultUnavailable):
            await anext(service.watch("x"))


# ---------------------------------------------------------------- authority and tenants


async def test_following_without_permission_is_denied_and_nothing_is_sent(slow, vault_server):
    """A tenant's principal that may not read may not follow, though others follow the path."""
    tenant = slow.for_tenant("acme")
    await tenant.create("x", {"k": "one"})
    async with await tenant.hold("x"):
        principal = Principal(
            subject="ada",
            tenant=gs.TenantId("acme"),
            permissions=frozenset(gs.Permission) - {gs.Permission.READ},
        )
        view = slow.for_tenant("acme", principal=principal)
        mark = await vault_server.audit_mark()

        with pytest.raises(gs.AccessDenied):
            await anext(view.watch("x"))
        with pytest.raises(gs.AccessDenied):
            await view.hold("x")
        with pytest.raises(gs.AccessDenied):
            view.on_change("x")

        assert await vault_server.audit_requests(mark) == []


async def test_tenants_of_one_relative_path_hear_of_their_own(slow):
    """The same path of two tenants and of the platform is three loops with three values."""
    views = {name: slow.for_tenant(name) for name in ("acme", "globex")} | {"platform": slow}
    seen: dict[str, list[str]] = {}
    tasks = []
    for name, view in views.items():
        await view.create("x", {"k": name})
        tasks.append(collecting(view.watch("x"), seen.setdefault(name, [])))
    await until(lambda: all(seen.values()))
    loops = running(slow)

    await views["acme"].put("x", {"k": "acme 2"})
    await until(lambda: len(seen["acme"]) == 2)

    assert loops == 3
    assert seen == {"acme": ["acme", "acme 2"], "globex": ["globex"], "platform": ["platform"]}
    for task in tasks:
        task.cancel()


# ---------------------------------------------------------------- hold


async def test_current_is_what_was_written_once_the_write_has_returned(slow):
    """Read your writes, without an await in between."""
    await slow.create("x", {"k": "0"})
    async with await slow.hold("x") as handle:
        for number in range(1, 20):
            await slow.put("x", {"k": str(number)})
            assert value(handle.current) == str(number)


async def test_current_is_fresh_while_another_program_writes(quick, write):
    """A handle is never older than the fresh time, nobody reading meanwhile."""
    await write("one")
    async with await quick.hold("x") as handle:
        await write("two")
        await until(lambda: value(handle.current) == "two")

        assert not handle.current.stale
        assert handle.current.age <= QUICK + 0.2


async def test_a_handle_iterates_and_calls_back(slow):
    """What `watch` and `on_change` do, a handle does as well, until it is released."""
    await slow.create("x", {"k": "one"})
    handle = await slow.hold("x")
    told: list[tuple[str, str]] = []
    handle.on_change(lambda old, new: told.append((value(old), value(new))))
    changes = handle.changes()
    first = await anext(changes)

    await slow.put("x", {"k": "two"})
    second = await anext(changes)
    await until(lambda: bool(told))
    await handle.release()

    assert (value(first), value(second)) == ("one", "two")
    assert told == [("one", "two")]
    await until(lambda: running(slow) == 0)


async def test_a_handle_that_is_dropped_is_released(slow):
    """Forgetting to release keeps no loop for ever; another holder's goes on."""
    await slow.create("x", {"k": "one"})
    kept = await slow.hold("x")
    dropped = await slow.hold("x")
    gone = weakref.ref(dropped)

    del dropped
    gc.collect()
    await asyncio.sleep(0)
    loops = running(slow)
    await kept.release()

    assert gone() is None
    assert loops == 1
    await until(lambda: running(slow) == 0)


async def test_a_dropped_handle_with_callbacks_is_kept(slow):
    """A callback keeps what it is called for, though nobody has the handle any more."""
    await slow.create("x", {"k": "one"})
    told: list[str] = []
    (await slow.hold("x")).on_change(lambda _, new: told.append(value(new)))
    gc.collect()

    await slow.put("x", {"k": "two"})

    await until(lambda: told == ["two"])


async def test_what_is_dropped_after_the_loops_end_is_no_error(config):
    """A handle and a watch may outlive the service and its loop."""
    kept: list[object] = []

    def run() -> None:
        async def main() -> None:
            async with opened(config, SLOW) as service:
                await service.put("x", {"k": "one"})
                watch = service.watch("x")
                await anext(watch)
                kept.extend([watch, await service.hold("x")])

        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(main())

    await asyncio.to_thread(run)

    kept.clear()
    gc.collect()


async def test_a_version_that_deletes_itself_ends_current(slow, vault_server, mount):
    """A value's own end is kept to the moment, though the fresh time is long."""
    await vault_server.request(
        "POST", f"{mount}/metadata/greenlang/x", {"delete_version_after": "1s"}
    )
    await slow.create("x", {"k": "v"})
    handle = await slow.hold("x")

    def gone() -> bool:
        try:
            return not handle.current
        except gs.SecretDeleted:
            return True

    alive = not gone()
    await until(gone)

    assert alive


# ---------------------------------------------------------------- on_change


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_callback_is_called_with_old_and_new(slow, kind):
    """The decorated function is the function itself, and is called for each change."""
    await slow.create("x", {"k": "one"})
    await slow.get("x")
    told: list[tuple[str, str]] = []

    def plain(old: gs.Secret, new: gs.Secret) -> None:
        told.append((value(old), value(new)))

    async def coroutine(old: gs.Secret, new: gs.Secret) -> None:
        told.append((value(old), value(new)))

    function = plain if kind == "plain" else coroutine
    decorated = slow.on_change("x")(function)
    await slow.put("x", {"k": "two"})
    await until(lambda: len(told) == 1)
    await slow.put("x", {"k": "three"})
    await until(lambda: len(told) == 2)

    assert decorated is function
    assert told == [("one", "two"), ("two", "three")]


async def test_a_value_that_was_read_before_is_what_changes_differ_from(slow, write):
    """A change between the read and the first step of the following is told."""
    await write("one")
    await slow.get("x")
    told: list[tuple[str, str]] = []
    slow.on_change("x")(lambda old, new: told.append((value(old), value(new))))
    await write("two")

    slow.followers.changed("", "x")
    await until(lambda: bool(told))

    assert told == [("one", "two")]


async def test_a_callback_waits_for_a_secret_that_is_missing(quick, write, caplog):
    """The first appearance is no change; the one after it is."""
    told: list[tuple[str, str]] = []
    with caplog.at_level(logging.WARNING, logger="greenlang_secrets"):
        quick.on_change("x")(lambda old, new: told.append((value(old), value(new))))
        await until(lambda: bool(caplog.records))
    await write("one")
    handle = None
    while handle is None:
        with contextlib.suppress(gs.SecretNotFound):
            handle = await quick.hold("x")
        await asyncio.sleep(0.01)
    await write("two")
    await until(lambda: bool(told))

    assert told == [("one", "two")]
    assert [record.code for record in caplog.records] == ["secret_not_found"]


async def test_a_crashing_callback_is_logged_by_class_and_called_again(slow, caplog):
    """Its exception ends nothing, and its text, which may hold a value, is not logged."""
    await slow.create("x", {"k": "one"})
    await slow.get("x")
    told: list[str] = []

    @slow.on_change("x")
    async def reload(_: gs.Secret, new: gs.Secret) -> None:
        told.append(value(new))
        raise ValueError(value(new))

    with caplog.at_level(logging.ERROR, logger="greenlang_secrets"):
        for text in ("CANARY-2", "CANARY-3"):
            await slow.put("x", {"k": text})
            await until(lambda text=text: told[-1:] == [text])
        await until(lambda: len(caplog.records) == 2)

    assert {record.error for record in caplog.records} == {"ValueError"}
    assert "CANARY" not in str([record.__dict__ for record in caplog.records])


async def test_a_slow_callback_is_told_the_newest_only(slow):
    """Calls come one at a time; what changed during one is told in one further call."""
    await slow.create("x", {"k": "0"})
    await slow.get("x")
    told: list[tuple[str, str]] = []
    proceed = asyncio.Event()

    @slow.on_change("x")
    async def reload(old: gs.Secret, new: gs.Secret) -> None:
        told.append((value(old), value(new)))
        await proceed.wait()

    for number in range(1, 5):
        await slow.put("x", {"k": str(number)})
        await until(lambda: bool(told))
    proceed.set()
    await until(lambda: len(told) == 2)

    assert told == [("0", "1"), ("1", "4")]


async def test_stopped_callbacks_are_not_called_and_leave_nothing(slow):
    """One decorator may have several functions; its `stop` ends them all, before or after their
    first value.
    """
    await slow.create("x", {"k": "one"})
    told: list[str] = []
    known = slow.on_change("x")
    known(lambda _, new: told.append(value(new)))
    known(lambda _, new: told.append(value(new)))
    unknown = slow.on_change("missing")
    unknown(lambda _, new: told.append(value(new)))
    early = slow.on_change("x")
    early(lambda _, new: told.append(value(new)))
    early.stop()
    await slow.get("x")
    await slow.put("x", {"k": "two"})
    await until(lambda: len(told) == 2)

    known.stop()
    unknown.stop()
    await slow.put("x", {"k": "three"})

    await until(lambda: running(slow) == 0)
    assert told == ["two", "two"]


async def test_callbacks_end_with_the_service(config):
    """Closing waits for no change, and a closed service takes no callback."""
    async with opened(config, SLOW) as service:
        await service.create("x", {"k": "one"})
        follow = service.on_change("x")
        follow(lambda _, __: None)

    assert running(service) == 0
    with pytest.raises(RuntimeError, match="closed"):
        follow(lambda _, __: None)


async def test_a_path_outside_the_grammar_is_refused_where_it_is_written(slow):
    """A callback that could never be called fails at its decoration."""
    with pytest.raises(gs.InvalidPath):
        slow.on_change("../x")
