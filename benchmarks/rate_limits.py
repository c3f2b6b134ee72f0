"""``python -m benchmarks.rate_limits``: counting a request, beside a cached read over HTTP.

The read is that of the real service in a process of its own, with its limits off, and what
counts is that process' CPU time. The limiters run in this process, and each hit gives the loop
a turn as a request does, because the library's memory makes a task for each; an empty turn is
taken off. Rounds and ratios are as in `benchmarks.__main__`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from benchmarks.__main__ import rows
from greenlang_secrets.access import Permission
from greenlang_secrets.development.issuer import AUDIENCE, ISSUER, DevelopmentIssuer
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.testing import OpenBaoServer, ValkeyServer
from greenlang_secrets_api.rate_limit import RateLimiter
from greenlang_secrets_api.rate_policies import RateClass, RatePolicies, RatePolicy

Hit = Callable[[], Awaitable[object]]
OTHERS = 1000
READ = RateLimitItemPerSecond(400, 2)
POLICIES = RatePolicies(read=RatePolicy(name="read", quota=400, window=2))
SERVE = """
import sys
from greenlang_secrets_api.server import serve
sys.exit(serve(port=0, on_ready=lambda url: print(url, flush=True)))
"""


def own_cpu() -> float:
    """CPU seconds of this process."""
    return time.process_time()


def cpu_of(pid: int) -> Callable[[], float]:
    """CPU seconds of another process, in the kernel's ticks of 10 ms."""
    ticks = os.sysconf("SC_CLK_TCK")

    def read() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    return read


@asynccontextmanager
async def service(vault: OpenBaoServer, folder: Path) -> AsyncIterator[tuple[int, int, str]]:
    """Run the service, and give its process id, its port and a bearer."""
    issuer = await asyncio.to_thread(DevelopmentIssuer.make, folder)
    bearer = issuer.issue("bench", tenant="acme", permissions=[Permission.READ]).reveal()
    environment = {
        **os.environ,
        "VAULT_ADDR": vault.addr,
        "VAULT_TOKEN": vault.root_token,
        "GREENLANG_SECRETS_TENANT_TOKEN_ROLE": "none",
        "GREENLANG_SECRETS_JWT_ISSUER": ISSUER,
        "GREENLANG_SECRETS_JWT_AUDIENCE": AUDIENCE,
        "GREENLANG_SECRETS_JWT_JWKS_FILE": str(issuer.jwks_file),
        "GREENLANG_SECRETS_CACHE_FRESH_SECONDS": "3600",
        "GREENLANG_SECRETS_CACHE_STALE_SECONDS": "3600",
        "GREENLANG_SECRETS_RATE_LIMIT_READ": "off",
        "GREENLANG_SECRETS_STATE_DIR": str(folder),
    }
    with (folder / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, env=environment, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    try:
        assert child.stdout is not None  # noqa: S101  a pipe was asked for
        url = (await child.stdout.readline()).decode().strip()
        yield child.pid, int(url.rpartition(":")[2]), bearer
    finally:
        child.terminate()
        await child.wait()


async def read_over_http(port: int, bearer: str, reads: int) -> None:
    """Read one cached secret `reads` times over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = (
        f"GET /api/v1/secrets/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\r\n"
    ).encode()
    for _ in range(reads):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode())
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
    writer.close()


async def in_turn(hit: Hit, times: int) -> None:
    """Make hits, each with a turn of the loop."""
    for _ in range(times):
        await hit()
        await asyncio.sleep(0)


def of_library(strategy: SlidingWindowCounterRateLimiter, names: Callable[[], str]) -> Hit:
    """The library alone: a hit, and what is left for the headers."""

    async def hit() -> None:
        name = names()
        await strategy.hit(READ, name)
        await strategy.get_window_stats(READ, name)

    return hit


def of_ours(limiter: RateLimiter, names: Callable[[], str]) -> Hit:
    """Ours, with the headers made."""

    async def hit() -> None:
        await limiter.hit("acme", names(), RateClass.READ)

    return hit


def busy(turns: int) -> Callable[[], str]:
    """A principal that asks `turns` times, then the next: all within their limits."""
    numbers = itertools.count()
    run = secrets.token_hex(4)
    return lambda: f"{run}-{next(numbers) // turns}"


async def run(rounds: int, scale: float) -> list[dict[str, object]]:
    """Start everything, measure in turn, and return the rows."""
    folder = Path(tempfile.mkdtemp())
    async with (
        OpenBaoServer(audit=False) as vault,
        ValkeyServer() as valkey,
        RateLimiter.open(SecretValue(valkey.url), POLICIES) as shared,
    ):
        await vault.request(
            "POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}
        )
        await vault.request("POST", "secret/data/tenants/acme/a", {"data": {"key": "x" * 40}})
        memory = RateLimiter(POLICIES)
        library = SlidingWindowCounterRateLimiter(MemoryStorage())
        remote = SlidingWindowCounterRateLimiter(
            RedisStorage(f"async+{valkey.url}", implementation="redispy")
        )
        hits: dict[str, tuple[Hit, int]] = {
            "an empty turn": (lambda: asyncio.sleep(0), 20_000),
            "ours, memory": (of_ours(memory, busy(300)), 20_000),
            "limits, memory": (of_library(library, busy(300)), 2_000),
            f"ours, memory, {OTHERS} others": (of_ours(RateLimiter(POLICIES), busy(1)), 20_000),
            f"limits, memory, {OTHERS} others": (
                of_library(SlidingWindowCounterRateLimiter(MemoryStorage()), busy(1)),
                OTHERS,
            ),
            "ours, Valkey, busy": (of_ours(shared, busy(300)), 3_000),
            "ours, Valkey, quiet": (of_ours(shared, busy(10)), 3_000),
            "limits, Valkey": (of_library(remote, busy(300)), 500),
        }
        async with service(vault, folder) as (pid, port, bearer):
            read = "cached read over HTTP"
            spent: dict[str, list[float]] = {read: [], **{name: [] for name in hits}}
            await read_over_http(port, bearer, 300)
            for _ in range(rounds):
                order = [read, *hits]
                random.shuffle(order)
                for name in order:
                    if name == read:
                        clock, times = cpu_of(pid), max(100, int(3_000 * scale))
                        begun = clock()
                        await read_over_http(port, bearer, times)
                    else:
                        hit, most = hits[name]
                        clock, times = own_cpu, max(100, int(most * scale))
                        begun = clock()
                        await in_turn(hit, times)
                    spent[name].append((clock() - begun) / times * 1e6)
        turns = spent.pop("an empty turn")
        for name in hits:
            if name in spent:
                spent[name] = [
                    max(0.0, value - turn) for value, turn in zip(spent[name], turns, strict=True)
                ]
    return rows(read, spent)


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="hits per round, as a factor")
    arguments = parser.parse_args()
    table = uvloop.run(run(arguments.rounds, arguments.scale))
    print(f"{'what':28} {'CPU us':>9} {'ratio':>7}  spread")  # noqa: T201  # output
    for row in table:
        print(  # noqa: T201  # a command's output
            f"{row['what']:28} {row['cpu_us']:>9} {row['ratio']:>7}  "
            f"{row['ratio_min']} to {row['ratio_max']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
