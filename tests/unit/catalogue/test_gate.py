from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue.gate import Gate, Obstacle
from greenlang_secrets.errors import CatalogueUnavailable


class Look:
    """Gives what it was told to, the last of it for ever."""

    def __init__(self, *answers: Obstacle | Exception | None) -> None:
        self.answers: Sequence[Obstacle | Exception | None] = answers
        self.looks = 0

    async def __call__(self) -> Obstacle | None:
        answer = self.answers[min(self.looks, len(self.answers) - 1)]
        self.looks += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_gate_is_closed_until_it_was_looked_at() -> None:
    """Before the first look nothing passes; after a good one everything does."""
    gate = Gate(Look(None))
    with pytest.raises(CatalogueUnavailable, match="has not answered yet"):
        gate.pass_through()

    async with Supervisor() as supervisor:
        supervisor.spawn(gate.keep(), name="gate")
        await gate.looked()

        gate.pass_through()
        assert gate.advice is None


async def test_a_gate_opens_by_itself() -> None:
    """What was in the way is told as long as it is, and looked for again until it is gone."""
    look = Look("schema_behind", "schema_behind", "unreachable", None)
    gate = Gate(look)
    async with Supervisor() as supervisor:
        supervisor.spawn(gate.keep(), name="gate")
        await gate.looked()
        with pytest.raises(CatalogueUnavailable, match="greenlang-secrets migrate"):
            gate.pass_through()

        while gate.obstacle is not None:
            await asyncio.sleep(0.01)

    assert look.looks == 4


async def test_a_gate_that_is_closed_looks_anew(caplog: pytest.LogCaptureFixture) -> None:
    """Closing it has it looked at, once for all who close it; the log says why, and when it is
    over.
    """
    look = Look(None)
    gate = Gate(look)
    with caplog.at_level(logging.INFO, "greenlang_secrets"):
        async with Supervisor() as supervisor:
            supervisor.spawn(gate.keep(), name="gate")
            await gate.looked()

            for _ in range(5):
                gate.close("login_refused")
            assert gate.obstacle == "login_refused"
            while gate.obstacle is not None:
                await asyncio.sleep(0.01)

    assert look.looks == 2
    assert [record.message for record in caplog.records] == [
        "catalogue.usable",
        "catalogue.unusable",
        "catalogue.usable",
    ]


async def test_a_look_that_fails_does_not_end_the_looking() -> None:
    """An error that nobody foresaw is reported, and counts as no answer."""
    gate = Gate(Look(RuntimeError("odd"), None))
    async with Supervisor() as supervisor:
        supervisor.spawn(gate.keep(), name="gate")
        await gate.looked()
        assert gate.obstacle == "unreachable"

        while gate.obstacle is not None:
            await asyncio.sleep(0.01)
