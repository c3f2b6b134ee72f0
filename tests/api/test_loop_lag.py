"""The event loop's lag: a peak is seen, by everybody who scrapes, and then forgotten."""

from __future__ import annotations

import asyncio
import time

import pytest

from greenlang_secrets_api import loop_lag
from greenlang_secrets_api.loop_lag import LoopLag
from greenlang_secrets_api.metrics import Metrics
from support.scrapes import value


async def lag(metrics: Metrics) -> float:
    text = (await metrics.render(""))[0].decode()
    return value(text, "gl_event_loop_lag_seconds")


async def test_a_block_is_told_to_every_scraper_and_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two scrapes see the same peak; two windows later it is gone. An idle loop is the control."""
    monkeypatch.setattr(loop_lag, "EVERY", 0.01)
    monkeypatch.setattr(loop_lag, "WINDOW", 1.0)
    metrics = Metrics()
    watch = asyncio.ensure_future(metrics.loop_lag.watch())
    try:
        await asyncio.sleep(0.05)
        before = await lag(metrics)
        ends = time.monotonic() + 0.7
        while time.monotonic() < ends:
            pass

        await asyncio.sleep(0.05)
        first, second = await lag(metrics), await lag(metrics)
        async with asyncio.timeout(20):
            while await lag(metrics) >= 0.6:
                await asyncio.sleep(0.05)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await metrics.close()

    assert before < 0.6
    assert first >= 0.6
    assert second >= 0.6


def test_without_a_watch_there_is_no_lag() -> None:
    """Nothing is measured that was not looked at."""
    metrics = Metrics()

    [observation] = LoopLag(metrics.provider)._longest(None)  # type: ignore[arg-type]

    assert observation.value == 0.0
    metrics.provider.shutdown()
