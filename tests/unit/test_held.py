from __future__ import annotations

import asyncio
import logging

import pytest

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.held import Changes, Held


def held(changes: Changes[int], supervisor: Supervisor) -> Held[int]:
    async def release() -> None:
        changes.close()

    return Held(
        look=lambda: changes.newest, changes=changes, supervisor=supervisor, release=release
    )


async def settle() -> None:
    for _ in range(10):  # the loop's own next steps, not time
        await asyncio.sleep(0)


async def test_current_is_the_newest_without_waiting():
    """The value is read synchronously, and is the one published last."""
    changes = Changes(1)
    async with Supervisor() as supervisor:
        handle = held(changes, supervisor)
        changes.publish(2)

        assert handle.current == 2


async def test_slow_follower_gets_the_newest_and_no_queue():
    """What was replaced while a follower was busy is never seen by it."""
    changes = Changes(1)
    async with Supervisor() as supervisor:
        follower = held(changes, supervisor).changes()

        first = await anext(follower)
        for value in (2, 3, 4):
            changes.publish(value)
        second = await anext(follower)
        changes.close()

        assert (first, second) == (1, 4)
        assert [value async for value in follower] == []


async def test_every_follower_is_told():
    """Several followers of one thing each get its values."""
    changes = Changes(1)

    async def collect() -> list[int]:
        return [value async for value in changes.follow()]

    tasks = [asyncio.create_task(collect()) for _ in range(3)]
    await settle()
    changes.publish(2)
    await settle()
    changes.close()

    assert await asyncio.gather(*tasks) == [[1, 2]] * 3


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_callback_gets_old_and_new(kind):
    """A callback, plain or a coroutine function, is called with both values."""
    told: list[tuple[int, int]] = []

    async def later(old: int, new: int) -> None:
        told.append((old, new))

    def now(old: int, new: int) -> None:
        told.append((old, new))

    changes = Changes(1)
    async with Supervisor() as supervisor:
        held(changes, supervisor).on_change(now if kind == "plain" else later)
        await settle()
        changes.publish(2)
        await settle()

        assert told == [(1, 2)]


async def test_change_between_registration_and_first_run_is_told():
    """A value published before the callback's task began is told, with what was held before it."""
    told: list[tuple[int, int]] = []
    changes = Changes(1)
    async with Supervisor() as supervisor:
        held(changes, supervisor).on_change(lambda old, new: told.append((old, new)))
        changes.publish(2)
        await settle()

        assert told == [(1, 2)]


async def test_failing_callback_is_logged_without_its_text_and_called_again(caplog):
    """An exception of a callback is reported by class and place, and ends nothing."""
    told: list[int] = []

    def fails_first(_: int, new: int) -> None:
        told.append(new)
        if new == 2:
            raise ValueError("CANARY")

    changes = Changes(1)
    async with Supervisor() as supervisor:
        held(changes, supervisor).on_change(fails_first)
        with caplog.at_level(logging.ERROR, logger="greenlang_secrets"):
            for value in (2, 3):
                changes.publish(value)
                await settle()

    [record] = caplog.records
    assert told == [2, 3]
    assert (record.message, record.error) == ("background.failed", "ValueError")
    assert record.place.startswith("test_held.py:")
    assert "CANARY" not in str(record.__dict__)


async def test_stopped_callback_is_not_called():
    """What `on_change` returned stops it."""
    told: list[int] = []
    changes = Changes(1)
    async with Supervisor() as supervisor:
        stop = held(changes, supervisor).on_change(lambda _, new: told.append(new))
        stop()
        await settle()
        changes.publish(2)
        await settle()

        assert told == []


async def test_released_handle_refuses_and_its_followers_end():
    """After release there is no value and no further change, and releasing twice is once."""
    changes = Changes(1)
    released = 0

    async def release() -> None:
        nonlocal released
        released += 1
        changes.publish(9)  # another holder goes on

    async with Supervisor() as supervisor:
        handle = Held(
            look=lambda: changes.newest, changes=changes, supervisor=supervisor, release=release
        )
        async with handle as same:
            follower = handle.changes()
            await anext(follower)
        await handle.release()

        assert same is handle
        assert released == 1
        assert [value async for value in follower] == []
        with pytest.raises(RuntimeError, match="released"):
            _ = handle.current


async def test_released_handle_ends_those_who_wait():
    """Release ends its own iterations and callbacks where they wait, and nobody else's."""
    changes = Changes(1)

    async def release() -> None:
        pass  # another holder goes on

    async def collect(follower) -> list[int]:
        return [value async for value in follower]

    async with Supervisor() as supervisor:
        handle = Held(
            look=lambda: changes.newest, changes=changes, supervisor=supervisor, release=release
        )
        told: list[int] = []
        handle.on_change(lambda _, new: told.append(new))
        mine = asyncio.create_task(collect(handle.changes()))
        other = asyncio.create_task(collect(changes.follow()))
        await settle()

        await handle.release()
        await settle()
        running = supervisor.running
        changes.publish(2)
        changes.close()

        assert (running, told) == (0, [])
        assert await mine == [1]
        assert await other == [1, 2]
        assert await collect(handle.changes()) == []


async def test_cancelled_step_takes_nothing():
    """A step that is cancelled while it waits loses no change, and leaves nothing behind."""
    changes = Changes(1)
    follower = changes.follow(newest=False)
    step = asyncio.create_task(anext(follower))
    await settle()
    step.cancel()
    await settle()
    changes.publish(2)

    assert step.cancelled()
    assert changes._waiting == set()
    assert await anext(follower) == 2


async def test_replacement_is_the_newest_and_not_told():
    """What means the same becomes the newest, and nobody is told."""
    changes = Changes(1)
    follower = changes.follow(newest=False)
    changes.replace(2)
    newest = changes.newest
    changes.close()

    assert newest == 2
    assert [value async for value in follower] == []


async def test_call_under_way_goes_on_when_stopped():
    """A callback that stops itself comes to its end, and is not called again."""
    told: list[str] = []
    changes = Changes(1)
    async with Supervisor() as supervisor:

        async def once(_: int, new: int) -> None:
            stop()
            await asyncio.sleep(0)
            told.append(f"{new} done")

        stop = held(changes, supervisor).on_change(once)
        changes.publish(2)
        await settle()
        changes.publish(3)
        await settle()

        assert told == ["2 done"]
        assert supervisor.running == 0


async def test_reported_gives_the_result():
    """What does not raise is returned."""
    assert await reported(asyncio.sleep(0, 7), name="x") == 7


async def test_what_was_given_is_told_by_the_slowest():
    """The mark of the oldest value that somebody was given last is told: one who has been given
    nothing, has stopped, or is gone does not count.
    """
    changes = Changes(1, mark=lambda value: value)
    assert changes.given == 1
    slow, quick, new = changes.follow(), changes.follow(), changes.follow()
    later = changes.follow(newest=False)
    await anext(slow)
    await anext(quick)

    changes.publish(2)
    assert await anext(quick) == 2
    assert changes.given == 1
    assert await anext(slow) == 2
    assert changes.given == 1  # `later` knows the value it began with

    later.stop()
    assert changes.given == 2
    changes.publish(3)
    assert changes.given == 2
    del slow, quick, new
    assert changes.given == 3


async def test_a_value_that_means_the_same_is_given_to_all():
    """What replaces a value without being told is what everybody has who had that value."""
    changes = Changes(1, mark=lambda value: value)
    follower = changes.follow()
    await anext(follower)

    changes.replace(2)

    assert changes.given == 2
    assert not follower.is_behind
