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


async def test_reported_gives_the_result():
    """What does not raise is returned."""
    assert await reported(asyncio.sleep(0, 7), name="x") == 7
