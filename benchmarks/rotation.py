"""``python -m benchmarks.rotation``: what looking for due rotations costs.

One process with 1,000 scheduled secrets of which none is due, in SQLite: the CPU time of a scan,
as a share of one core at the scan's interval.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta

from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue, CatalogueConfig
from greenlang_secrets.catalogue.schema import migrate
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, Scope
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.due import DueLoop
from greenlang_secrets.rotation.observing import RotationStats
from greenlang_secrets.rotation_model import RotationKind, RotationPolicy, RotationStanding


async def _look(scope: Scope, digest: str) -> None:  # noqa: ARG001  # what a scan calls
    raise AssertionError("nothing is due")


async def measure(secrets: int, scans: int) -> list[float]:
    """Return the CPU seconds of each scan."""
    with tempfile.TemporaryDirectory() as folder:
        config = CatalogueConfig.of(f"sqlite:///{folder}/catalogue.sqlite3")
        await asyncio.to_thread(migrate, config)
        async with Supervisor() as supervisor, Catalogue.open(config, supervisor) as catalogue:
            policy = RotationPolicy(kind=RotationKind.MANUAL, interval=86400.0)
            due = datetime.now(UTC) + timedelta(days=1)
            for number in range(secrets):
                await catalogue.rotations.put(
                    PLATFORM,
                    f"database/{number}",
                    policy,
                    digest=f"{number:064x}",
                    secret_type=SecretType.DATABASE,
                    by="benchmark",
                    standing=RotationStanding(next_due=due, wake_at=due),
                )
            loop = DueLoop(
                catalogue,
                supervisor,
                look=_look,
                config=RotationConfig(),
                stats=RotationStats(),
                clock=lambda: datetime.now(UTC),
            )
            spent = []
            for _ in range(scans):
                begun = time.process_time()
                await loop.scan()
                spent.append(time.process_time() - begun)
            return spent


def main() -> None:
    """Measure, and print the share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--secrets", type=int, default=1000)
    parser.add_argument("--scans", type=int, default=200)
    options = parser.parse_args()
    spent = asyncio.run(measure(options.secrets, options.scans))
    median = statistics.median(spent)
    every = RotationConfig().scan_every
    print(  # noqa: T201  # a command's output
        json.dumps(
            {
                "secrets": options.secrets,
                "scan_cpu_ms": round(median * 1000, 3),
                "scan_every_s": every,
                "share_of_a_core": round(median / every, 6),
            }
        )
    )


if __name__ == "__main__":
    main()
