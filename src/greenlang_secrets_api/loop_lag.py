"""How late the event loop is: what blocks it holds up every request, whatever each of them does.

Told is the longest lag of the last 15 to 30 s and not "since the last scrape": with two who
scrape, each would take the other's peak away. A peak is seen by every scraper that comes at
least every 15 s, by some of them twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import anyio
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

__all__ = ["LoopLag"]

EVERY: Final = 0.1
"""Seconds between two looks. One costs some 30 microseconds; a block that is shorter than this
falls between two looks now and then."""

WINDOW: Final = 15.0
"""Seconds: the scrape interval. The maxima of the current window and of the one before are kept."""


class LoopLag:
    """Measures the lag while `watch` runs, and gives a meter provider the gauge."""

    def __init__(self, provider: MeterProvider) -> None:
        self._current = 0.0
        self._before = 0.0
        provider.get_meter("greenlang_secrets").create_observable_gauge(
            "gl_event_loop_lag",
            callbacks=[self._longest],
            unit="s",
            description="How late the event loop was at most, in the last 15 to 30 s.",
        )

    async def watch(self) -> None:
        """Measure, for ever."""
        ends_at = anyio.current_time() + WINDOW
        while True:
            due = anyio.current_time() + EVERY
            await anyio.sleep(EVERY)
            now = anyio.current_time()
            self._current = max(self._current, now - due)
            if now >= ends_at:
                # After a block of more than a window it is the one before that was so late.
                self._before, self._current = self._current, 0.0
                ends_at = now + WINDOW

    def _longest(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(max(self._current, self._before))]
