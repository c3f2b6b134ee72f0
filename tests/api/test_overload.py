"""How much work is taken on, and for how long."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import anyio
import pytest

import greenlang_secrets as gs
from greenlang_secrets_api.draining import Draining, draining_of
from greenlang_secrets_api.overload import WorkLimit, deadline, within_deadline
from greenlang_secrets_api.problems import ProblemError, problem_answer


def test_one_too_many_is_refused_at_once() -> None:
    """The limit is exact; what is done makes room, failures too."""
    limit = WorkLimit(2)

    with limit.work(), limit.work():
        with pytest.raises(ProblemError) as caught, limit.work():
            pytest.fail("it was let in")
        assert limit.working == 2
    with pytest.raises(ZeroDivisionError), limit.work():
        raise ZeroDivisionError

    assert limit.working == 0
    answer = problem_answer(caught.value, "x")
    assert answer.status == 503
    assert (b"retry-after", b"5") in answer.headers


async def test_who_waits_is_no_work_and_comes_back_in_any_case() -> None:
    """A long poll makes room for another while it waits; then nobody new is let in."""
    limit = WorkLimit(1)

    with limit.work():
        with limit.stepped_out() as may_wait:
            assert may_wait
            assert (limit.working, limit.waiting) == (0, 1)
            other = limit.work()
            other.__enter__()
        assert (limit.working, limit.waiting) == (2, 0)
        with pytest.raises(ProblemError), limit.work():
            pytest.fail("it was let in")
        other.__exit__(None, None, None)

    assert limit.working == 0


async def test_too_many_long_polls_are_answered_at_once() -> None:
    """Beyond the bound there is no room to wait, and the request stays counted."""
    limit = WorkLimit(4, most_waiting=1)

    with limit.work(), limit.stepped_out(), limit.work(), limit.stepped_out() as may_wait:
        assert not may_wait
        assert (limit.working, limit.waiting) == (1, 1)

    assert (limit.working, limit.waiting) == (0, 0)


async def test_long_polls_end_when_the_server_drains() -> None:
    """The wait is left quietly, and no new one begins."""
    limit, draining = WorkLimit(4), Draining()
    changed: list[str] = []

    async def poll() -> str:
        with limit.work(), limit.stepped_out(draining) as may_wait:
            if may_wait:
                await anyio.sleep_forever()
                changed.append("never")
        return "304"

    polls = [asyncio.ensure_future(poll()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting = limit.waiting
    draining.begin()
    late = await poll()

    assert (waiting, await asyncio.gather(*polls), late) == (3, ["304"] * 3, "304")
    assert (limit.working, limit.waiting, changed) == (0, 0, [])


async def test_a_wait_that_begins_too_late_ends_at_once() -> None:
    """Whoever looked before it began is not left waiting."""
    draining = Draining()
    draining.begin()

    with draining.wait():
        await anyio.sleep_forever()

    assert draining.begun


def test_under_a_foreign_server_it_never_begins() -> None:
    """A state that was told nothing has one of its own."""
    state: dict[str, object] = {}
    assert not draining_of(state).begun

    draining = Draining()
    draining.tell(state)

    assert draining_of(state) is draining


async def test_a_read_past_the_deadline_changed_nothing() -> None:
    """It is cancelled, and its answer is 503 with the reason."""
    with pytest.raises(gs.VaultUnavailable) as caught, deadline(0.01, changes=False):
        await anyio.sleep_forever()

    assert caught.value.reason == "timeout"


async def test_a_change_past_the_deadline_may_have_happened() -> None:
    """It is cancelled, and nobody says that nothing was done."""
    with pytest.raises(gs.OutcomeUnknown), deadline(0.01, changes=True):
        await anyio.sleep_forever()


async def test_what_ends_in_time_ends_as_it_does() -> None:
    """An answer, an error, and the cancellation of the task itself pass."""
    with deadline(5, changes=True):
        answer = await asyncio.sleep(0, "answer")
    with pytest.raises(gs.SecretNotFound), deadline(5, changes=True):
        raise gs.SecretNotFound

    async def forever() -> None:
        with deadline(5, changes=True):
            await anyio.sleep_forever()

    task = asyncio.ensure_future(forever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answer == "answer"


async def test_the_outcome_is_written_all_the_same() -> None:
    """What stands after the block runs after the deadline, and after the task was cancelled."""
    written: list[str] = []

    async def request(seconds: float) -> None:
        outcome = "cancelled"
        try:
            with deadline(seconds, changes=True):
                await anyio.sleep_forever()
        except gs.SecretsError as error:
            outcome = error.code
            raise
        finally:
            with anyio.move_on_after(1.0, shield=True):
                await asyncio.sleep(0.01)
                written.append(outcome)

    with pytest.raises(gs.OutcomeUnknown):
        await request(0.01)
    task = asyncio.ensure_future(request(60.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert written == ["outcome_unknown", "cancelled"]


def test_the_library_speaks_before_the_deadline() -> None:
    """Its time limits are cut to end first; shorter ones stay."""
    config = gs.SecretsServiceConfig(auth=gs.AuthConfig(token=gs.SecretValue("t")))

    cut = within_deadline(config)
    short = within_deadline(replace(config, request_timeout=0.5, write_timeout=2.0))

    assert (cut.request_timeout, cut.write_timeout) == (5.0, 9.0)
    assert (short.request_timeout, short.write_timeout) == (0.5, 2.0)
