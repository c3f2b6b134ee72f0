"""Where log lines go: those of one turn of the loop together, and nothing is kept back for long."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import Iterator

import pytest

from greenlang_secrets_api.logs import JsonFormatter, TurnHandler


class Written(io.StringIO):
    """A stream that tells how often it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)

    @property
    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.getvalue().splitlines()]


class Unprintable:
    """What has no text."""

    def __str__(self) -> str:
        raise ValueError


@pytest.fixture
def stream() -> Written:
    return Written()


@pytest.fixture
def logger(stream: Written) -> Iterator[logging.Logger]:
    handler = TurnHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("turns")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    yield logger
    logger.handlers.clear()
    handler.close()


async def test_lines_of_one_turn_are_one_write(logger: logging.Logger, stream: Written) -> None:
    """They wait for the end of the turn, and no longer."""
    for number in range(50):
        logger.info("line.%d", number)
    assert stream.writes == 0

    await asyncio.sleep(0)

    assert stream.writes == 1
    assert stream.events == [f"line.{number}" for number in range(50)]


async def test_a_warning_does_not_wait(logger: logging.Logger, stream: Written) -> None:
    """It is written at once, behind what was said before it."""
    logger.info("before")
    logger.warning("trouble")

    assert stream.events == ["before", "trouble"]

    logger.info("after")
    await asyncio.sleep(0)
    assert stream.events == ["before", "trouble", "after"]


def test_outside_of_a_loop_nothing_waits(logger: logging.Logger, stream: Written) -> None:
    """A thread without a loop has no end of a turn."""
    logger.info("line")

    assert stream.events == ["line"]


async def test_a_thread_takes_along_what_waits(logger: logging.Logger, stream: Written) -> None:
    """Lines stay in the order in which they were said, whoever said them."""
    logger.info("loop")
    await asyncio.to_thread(logger.info, "thread")

    assert stream.events == ["loop", "thread"]


def test_what_a_loop_left_is_written_by_the_next(logger: logging.Logger, stream: Written) -> None:
    """A loop that stops before the end of its turn keeps no line from being written after it."""

    async def say(event: str, *, stop: bool) -> None:
        logger.info(event)
        if stop:
            asyncio.get_running_loop().stop()
        await asyncio.sleep(0)

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    waits = say("left", stop=True)
    with contextlib.suppress(StopIteration):
        first.call_soon(waits.send, None)
        first.run_forever()
    waits.close()
    first.close()
    second.run_until_complete(say("next", stop=False))
    second.close()

    assert stream.events == ["left", "next"]


async def test_flush_leaves_nothing_behind(logger: logging.Logger, stream: Written) -> None:
    """What waits when the process exits is written: `logging.shutdown` flushes each handler."""
    logger.info("last words")

    logger.handlers[0].flush()

    assert stream.events == ["last words"]
    await asyncio.sleep(0)
    assert stream.writes == 1


async def test_a_stream_that_nobody_reads_ends_no_request(logger: logging.Logger) -> None:
    """Lines are lost then; whoever logs is not told, since there is nowhere to tell it."""
    stream = io.StringIO()
    handler = TurnHandler(stream)
    logger.handlers[:] = [handler]
    stream.close()

    logger.warning("lost")
    handler.flush()
    assert logger.handlers == [handler]


async def test_a_line_that_cannot_be_formatted_costs_itself_alone(
    logger: logging.Logger, stream: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lines around it are written, and `logging` tells of it in its own way."""
    logger.info("before")
    logger.info("between", extra={"field": Unprintable()})
    logger.info("after")
    await asyncio.sleep(0)

    assert stream.events == ["before", "after"]
    assert "between" in capsys.readouterr().err
