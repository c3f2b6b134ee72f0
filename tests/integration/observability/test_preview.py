"""The preview, drawn from a real Prometheus, and the workload on a real development stack."""

from __future__ import annotations

import asyncio
import os
import struct
import time

import aiohttp
import pytest

from observability.preview.__main__ import missing, preview
from observability.preview.asking import AskError, Span
from observability.preview.stack import development_stack, scraping
from observability.servers import Prometheus
from observability.workload import work


def span() -> Span:
    """Return the last minute."""
    now = time.time()
    return Span(start=now - 60, end=now, rate_interval="10s")


def size(path) -> tuple[int, int]:
    """Return the width and height that a PNG says it has."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return struct.unpack(">II", head[16:24])


async def health(session: aiohttp.ClientSession, vault_addr: str) -> int:
    """Return what a Vault says of its health."""
    async with session.get(f"{vault_addr}/v1/sys/health") as answer:
        return answer.status


async def test_every_panel_is_drawn_and_what_is_empty_is_named(tmp_path):
    """With a Prometheus that has nothing all panels are drawn, and those without data are told."""
    async with Prometheus({}) as prometheus:
        answers = await preview(prometheus.url, tmp_path / "preview.png", span())

    without = {(panel.title, letter) for panel, letter in missing(answers)}
    width, height = size(tmp_path / "preview.png")
    assert width == 1728
    assert height > width
    assert len(answers) >= 24
    assert ("Memory", "A") in without
    assert ("Operator's own view", "A") not in without


async def test_a_prometheus_that_is_not_there_is_said(tmp_path):
    """Nothing is drawn, and the error says who did not answer."""
    async with Prometheus({}) as prometheus:
        gone = prometheus.url

    with pytest.raises(AskError, match="does not answer"):
        await preview(gone, tmp_path / "preview.png", span())
    assert not (tmp_path / "preview.png").exists()


@pytest.mark.timeout(400)  # a whole stack, and a real seal, on a machine that does other things
async def test_the_workload_meets_what_callers_meet(tmp_path):
    """Values, refusals, limits and a sealed Vault are in its answers, Vault serves after it, and
    what both servers export is drawn.
    """
    async with development_stack(os.environ) as stack, scraping(stack) as prometheus:
        answers = await work(stack, seconds=16)
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while await health(session, stack.vault_addr) != 200:  # unsealed, and then elected
                await asyncio.sleep(0.1)
        drawn = await preview(prometheus.url, tmp_path / "preview.png", span())

    statuses = {answer.split(" ")[1] for answer in answers}
    without = {panel.title for panel, _ in missing(drawn)}
    assert {"200", "201", "204", "401", "403", "404", "429", "503"} <= statuses
    assert without.isdisjoint({"Memory", "Results", "Failure ratio", "Hit ratio", "Raft"})
