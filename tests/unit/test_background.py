from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from collections.abc import Awaitable, Callable

import pytest

from greenlang_secrets.background import Supervisor

Reports = list[dict[str, object]]


@pytest.fixture
def reports() -> Reports:
    """What the loop's exception handler was told: exceptions that nobody took."""
    return []


@pytest.fixture
def watching(reports: Reports) -> Callable[[], None]:
    """Make the running loop report into `reports`."""

    def watch() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reports.append(dict(context))
        )

    return watch


async def for_ever() -> None:
    await asyncio.Event().wait()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # waits for the loop's own next steps, not for time
        await asyncio.sleep(0)


# ---------------------------------------------------------------- running


async def test_work_runs_as_a_named_task():
    """A spawned coroutine runs by itself, under the given name, and gives its result."""
    async with Supervisor() as supervisor:
        task = supervisor.spawn(asyncio.sleep(0, "done"), name="refresh a/b")

        assert task.get_name() == "refresh a/b"
        assert await task == "done"


async def test_running_counts_the_tasks_there_are():
    """The supervisor knows how many of its tasks run, and forgets those that ended."""
    gate = asyncio.Event()
    async with Supervisor() as supervisor:
        assert supervisor.running == 0

        first = supervisor.spawn(gate.wait(), name="first")
        second = supervisor.spawn(for_ever(), name="second")
        assert supervisor.running == 2

        gate.set()
        await first
        await until(lambda: supervisor.running == 1)
        assert not second.done()


async def test_task_is_kept_alive_without_another_reference():
    """The loop holds tasks weakly; the supervisor keeps them from being collected."""
    done = asyncio.Event()
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()
        done.set()

    async with Supervisor() as supervisor:
        supervisor.spawn(work(), name="work")
        await asyncio.sleep(0)
        gc.collect()
        gate.set()

        await asyncio.wait_for(done.wait(), 5)


async def test_cancelled_waiter_leaves_a_shielded_task_running():
    """A caller that goes away does not take the work of others with it."""
    gate = asyncio.Event()

    async def work() -> str:
        await gate.wait()
        return "done"

    async with Supervisor() as supervisor:
        task = supervisor.spawn(work(), name="work")
        waiter = asyncio.ensure_future(asyncio.shield(task))
        await asyncio.sleep(0)

        waiter.cancel()
        await asyncio.wait([waiter])
        gate.set()

        assert await task == "done"


# ---------------------------------------------------------------- closing


async def test_close_cancels_what_runs():
    """Closing cancels every task."""
    supervisor = Supervisor()
    tasks = [supervisor.spawn(for_ever(), name=f"task {number}") for number in range(3)]

    await supervisor.close()

    assert [task.cancelled() for task in tasks] == [True, True, True]
    assert supervisor.running == 0


async def test_close_waits_for_the_cleaning_up():
    """Closing returns when the last task has ended, its clean-up included."""
    steps: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            steps.append("cleaned up")

    supervisor = Supervisor()
    supervisor.spawn(work(), name="work")
    await asyncio.sleep(0)

    await supervisor.close()
    steps.append("closed")

    assert steps == ["cleaned up", "closed"]


async def test_close_lets_a_task_finish_that_takes_no_cancellation():
    """A task that has something to finish finishes it before the service is gone."""

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "finished"

    supervisor = Supervisor()
    task = supervisor.spawn(work(), name="work")
    await asyncio.sleep(0)

    await supervisor.close()

    assert task.result() == "finished"


async def test_leaving_the_context_closes(reports, watching):
    """`async with` closes at its end, after an error of the body too, and passes that on."""
    watching()
    held: list[asyncio.Task[None]] = []

    async def use() -> None:
        async with Supervisor() as supervisor:
            held.append(supervisor.spawn(for_ever(), name="work"))
            raise LookupError("the body's own")

    with pytest.raises(LookupError, match="the body's own"):
        await use()

    assert held[0].cancelled()
    assert reports == []


async def test_closing_twice_does_nothing_more():
    """A second close is allowed, at once or later."""
    supervisor = Supervisor()
    task = supervisor.spawn(for_ever(), name="work")

    await asyncio.gather(supervisor.close(), supervisor.close())
    await supervisor.close()

    assert task.cancelled()


async def test_close_survives_a_task_that_fails_while_cancelled(reports, watching):
    """A task that fails in its clean-up neither breaks the closing nor reports itself."""
    watching()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("in the clean-up")

    supervisor = Supervisor()
    supervisor.spawn(work(), name="work")
    await asyncio.sleep(0)

    await supervisor.close()
    gc.collect()

    assert supervisor.running == 0
    assert reports == []


# ---------------------------------------------------------------- after closing


async def test_spawning_after_close_is_refused_without_a_warning():
    """A closed supervisor runs nothing; the coroutine is closed, so Python does not warn of it."""
    ran: list[str] = []

    async def work() -> None:
        ran.append("work")

    supervisor = Supervisor()
    await supervisor.close()
    late = work()

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(RuntimeError, match="the service is closed; open it anew"):
            supervisor.spawn(late, name="late")
        del late
        gc.collect()

    assert seen == []
    assert ran == []
    assert supervisor.running == 0


async def test_coroutine_that_is_dropped_does_warn():
    """Control: Python does warn of a coroutine that is neither run nor closed."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for_ever()
        gc.collect()

    assert [str(one.message) for one in seen] == ["coroutine 'for_ever' was never awaited"]


async def test_task_cannot_outlive_the_closing_by_spawning(reports, watching):
    """A task that, cancelled, spawns another is refused like everybody else."""
    watching()
    refusals: list[str] = []
    supervisor = Supervisor()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                supervisor.spawn(for_ever(), name="another")
            except RuntimeError as error:
                refusals.append(str(error))

    supervisor.spawn(work(), name="work")
    await asyncio.sleep(0)

    await supervisor.close()

    assert refusals == ["the service is closed; open it anew"]
    assert supervisor.running == 0
    assert reports == []


# ---------------------------------------------------------------- exceptions


async def fail() -> None:
    raise OSError("the work's own")


async def test_exception_reaches_who_awaits_the_task():
    """A failure is given to the task's waiter."""
    async with Supervisor() as supervisor:
        task = supervisor.spawn(fail(), name="work")

        with pytest.raises(OSError, match="the work's own"):
            await task


async def test_failing_task_leaves_the_others_alone():
    """One task's failure cancels nothing else: the supervisor is no task group."""
    async with Supervisor() as supervisor:
        other = supervisor.spawn(for_ever(), name="other")
        failing = supervisor.spawn(fail(), name="failing")

        await asyncio.wait([failing])
        await until(lambda: supervisor.running == 1)

        assert not other.done()


async def ended(make: Callable[[], Awaitable[object]]) -> None:
    """Let a failing task end unwatched, and be collected."""
    await make()
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()


async def test_exception_that_nobody_awaits_is_not_reported(reports, watching, caplog):
    """Asyncio does not log a failure of a supervised task with its traceback and text."""
    watching()
    caplog.set_level(logging.DEBUG, logger="asyncio")

    async with Supervisor() as supervisor:

        async def make() -> None:
            await asyncio.wait([supervisor.spawn(fail(), name="work")])

        await ended(make)

    assert reports == []
    assert "never retrieved" not in caplog.text


async def test_exception_of_a_bare_task_is_reported(reports, watching):
    """Control: asyncio does report the same failure of a task of nobody's."""
    watching()

    async def make() -> None:
        await asyncio.wait([asyncio.get_running_loop().create_task(fail())])

    await ended(make)

    assert [report["message"] for report in reports] == ["Task exception was never retrieved"]


async def test_given_task_is_owned_by_the_successor():
    """A task that was given away outlives its first owner, and ends with the second."""
    first, second = Supervisor(), Supervisor()
    task = first.spawn(for_ever(), name="moved")
    first.give(task, second)
    await first.close()
    running = not task.done()
    await second.close()

    assert running
    assert task.cancelled()
    assert (first.running, second.running) == (0, 0)


async def test_ended_task_is_not_given():
    """One that has ended stays ended: the successor waits for nothing."""
    async with Supervisor() as first, Supervisor() as second:
        task = first.spawn(asyncio.sleep(0), name="short")
        await task
        await until(lambda: first.running == 0)
        first.give(task, second)

        assert second.running == 0
