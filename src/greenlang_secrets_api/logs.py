"""Log lines as JSON, one object each: time, level, logger, event and its fields.

An exception is reduced to its class: its text and its frames may quote what must not be
logged. The library logs through `logging` and leaves the format to whoever runs it; here
that is the service.

A line for each request is what a service writes most of, and a write wakes whoever reads it: that
cost more than the request. So what is said in one turn of the event loop is written at its end, at
once; what is a warning, or said outside the loop, does not wait.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, TextIO

__all__ = ["JsonFormatter", "TurnHandler", "configure_logging", "place_of"]

_encode: Final = json.JSONEncoder(default=str, ensure_ascii=False).encode

# What a LogRecord has without `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def place_of(error: BaseException) -> str:
    """Return the file and line that raised `error`: what may be logged of a traceback."""
    trace = error.__traceback__
    place = "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        second, rest = divmod(record.created, 1)
        line: dict[str, object] = {
            "time": f"{_second(int(second))}.{int(rest * 1000):03d}+00:00",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
        return _encode(line)


@lru_cache(maxsize=1)
def _second(since_epoch: int) -> str:
    return datetime.fromtimestamp(since_epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class TurnHandler(logging.Handler):
    """Writes lines to `stream`: those of one turn of the event loop in one write, at its end.

    From warnings on, and outside of a loop, a line is written at once, after those that wait.
    Nothing is lost when the process exits; when it is killed, the lines of that turn are.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._turn_of: asyncio.AbstractEventLoop | None = None  # whose turn's end is waited for

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; called with the handler's lock held."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  # as every handler of `logging`: a line is not worth more
            self.handleError(record)
            return
        self._lines.append(line)
        if record.levelno >= logging.WARNING:
            self.flush()
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # another thread, or no loop
            self.flush()
            return
        if self._turn_of is not loop:  # a loop that has ended leaves what it was to write
            self._turn_of = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what waits."""
        with self.lock:  # type: ignore[union-attr]  # it has one from the start
            self._turn_of = None
            if self._lines:
                lines, self._lines = self._lines, []
                try:
                    self._stream.write("\n".join([*lines, ""]))
                    self._stream.flush()
                except (OSError, ValueError):  # nobody reads it any more, and there is no other
                    return


def configure_logging(level: int = logging.INFO) -> None:
    """Send every log line of this process to stderr as JSON; uvicorn's from warnings on."""
    # Nobody asks a line which thread and process it is of, and each line would be told.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = TurnHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
