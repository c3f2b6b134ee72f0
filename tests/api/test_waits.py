"""Waiting requests are bounded in time, and end with the service."""

from __future__ import annotations

import asyncio

import anyio

from greenlang_secrets_api.waits import Waits


async def _wait(waits: Waits, seconds: float) -> str:
    with waits.up_to(seconds):
        await anyio.sleep_forever()
    return "went on"


async def test_a_wait_ends_with_its_time():
    """After the body's time the code after it goes on."""
    assert await _wait(Waits(), 0.01) == "went on"


async def test_nobody_waits_once_the_service_ends():
    """Those who wait go on, and later ones do not begin to."""
    waits = Waits()
    waiting = [asyncio.ensure_future(_wait(waits, 30)) for _ in range(3)]
    while waits.waiting < 3:
        await asyncio.sleep(0)

    waits.end()

    assert await asyncio.gather(*waiting) == ["went on"] * 3
    assert await _wait(waits, 30) == "went on"
    assert waits.waiting == 0
