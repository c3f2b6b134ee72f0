"""How long a write on one replica stays unseen on another.

Measured is the time from the answer to a write on replica A to the moment replica B gives the new
value, with B asked every half a millisecond. The arms take turns, write by write, on one server:
told by ``LISTEN/NOTIFY``, seen in Vault's audit file, and with both off, where a fresh time of
`CONTROL` seconds is waited for (the default is 30). Beside it the CPU time that both cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import asyncpg

import greenlang_secrets as gs
from benchmarks.measuring import Finding, Outcome, Samples, Size
from greenlang_secrets.invalidation import Invalidation, InvalidationConfig
from greenlang_secrets.invalidation.notices import Connect
from greenlang_secrets.invalidation.vault_audit import AuditReader
from greenlang_secrets.testing import OpenBaoServer, PostgresServer

CONTROL = 1.0


@dataclass
class Arm:
    """A pair of replicas and the delays measured between them."""

    name: str
    folder: str
    writer: gs.SecretsService
    reader: gs.SecretsService
    delays: list[float]


@contextlib.asynccontextmanager
async def replica(
    config: gs.SecretsServiceConfig, hears: InvalidationConfig, connect: Connect | None
) -> AsyncIterator[gs.SecretsService]:
    """Open a service and what it hears with."""
    async with (
        gs.SecretsService.open(config) as service,
        Invalidation.open(service.followers, config, hears=hears, connect=connect) as heard,
    ):
        while heard.feed is not None and not heard.feed.listening:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
        yield service


async def one_write(arm: Arm, path: str, number: int) -> None:
    """Have the reader hold the old value, write a new one, and wait until it is given."""
    await arm.reader.get(path)
    # A new phase of whatever is polled.
    await asyncio.sleep(random.uniform(0.15, 0.25))  # noqa: S311  # chance, no secret
    await arm.reader.get(path)
    await arm.writer.put(path, {"k": str(number)})
    begun = time.perf_counter()
    while (await arm.reader.get(path))["k"].reveal() != str(number):  # noqa: ASYNC110  # asked as a caller would
        await asyncio.sleep(0.0005)
    arm.delays.append(time.perf_counter() - begun)


async def measure(arms: list[Arm], writes: int) -> None:
    """Let the arms take turns; a few paths at once, so that it does not take all day."""
    for arm in arms:
        for lane in range(4):
            await arm.writer.put(f"{arm.folder}/{lane}", {"k": "-"})

    async def lane(lane: int) -> None:
        for number in range(writes // 4):
            for arm in random.sample(arms, len(arms)):
                await one_write(arm, f"{arm.folder}/{lane}", number)

    await asyncio.gather(*(lane(number) for number in range(4)))


def delays_of(arms: list[Arm]) -> tuple[list[Finding], dict[str, Samples]]:
    """What the delays say: a figure for each arm, in milliseconds."""
    samples = {
        f"a write seen by {arm.name}": Samples(
            unit="ms", values=tuple(delay * 1e3 for delay in arm.delays)
        )
        for arm in arms
    }
    findings = [
        Finding(
            what=name,
            unit="ms",
            values=found.values,
            detail=f"{len(found.values)} writes, at most {max(found.values):.3g} ms",
        )
        for name, found in samples.items()
    ]
    return findings, samples


def spent(times: int, what: object) -> float:
    """Microseconds of CPU of one call."""
    begun = time.process_time()
    for _ in range(times):
        what()  # type: ignore[operator]
    return (time.process_time() - begun) / times * 1e6


async def run(size: Size) -> Outcome:
    """Start the servers, and measure."""
    writes = size.of(32, least=4)
    async with OpenBaoServer() as server, PostgresServer() as postgres:
        await server.request(
            "POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}
        )

        async def connect() -> asyncpg.Connection:
            return await asyncpg.connect(postgres.url, ssl=False)

        config = gs.SecretsServiceConfig(
            addresses=(server.addr,),
            auth=gs.AuthConfig(token=gs.SecretValue(server.root_token)),
            cache=gs.CacheConfig(fresh_for=3600, stale_for=3600),
            tenant_token_role=None,
        )
        short = replace(config, cache=gs.CacheConfig(fresh_for=CONTROL))
        off, tail = (
            InvalidationConfig(),
            InvalidationConfig(vault_audit_logs=(server.audit_file,)),
        )
        async with (
            replica(config, off, connect) as told_writer,
            replica(config, off, connect) as told,
            replica(config, off, None) as writer,
            replica(config, tail, None) as seen,
            replica(short, off, None) as deaf,
        ):
            arms = [
                Arm("LISTEN/NOTIFY", "told", told_writer, told, []),
                Arm("audit file", "seen", writer, seen, []),
                Arm(f"fresh time {CONTROL:g} s", "deaf", writer, deaf, []),
            ]
            await measure(arms, writes)
            paths = [f"p/{number % 1000}" for number in range(20_000)]
            alone, fed = (iter(paths) for _ in range(2))
            costs = {
                "changed": spent(20_000, lambda: writer.followers.changed("", next(alone))),
                "changed, told": spent(20_000, lambda: told.followers.changed("", next(fed))),
            }
        reader = AuditReader(kv_mount="secret", namespace=None)
        lines = (await asyncio.to_thread(server.audit_file.read_bytes)).splitlines()
        reads = [line for line in lines if b'"operation":"read"' in line][:5000]
        written = [
            line
            for line in lines
            if b'"operation":"update"' in line and b'"type":"response"' in line
        ][:500]
        costs["audit line, read"] = spent(5, lambda: reader.changes(reads)) / len(reads)
        costs["audit line, write"] = spent(5, lambda: reader.changes(written)) / len(written)
    findings, samples = delays_of(arms)
    for name, microseconds in costs.items():
        samples[f"{name}, CPU"] = Samples(unit="us CPU", values=(microseconds,))
        findings.append(Finding(what=f"{name}, CPU", unit="us CPU", values=(microseconds,)))
    return Outcome(findings=tuple(findings), samples=samples)
