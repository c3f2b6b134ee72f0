"""What looking for due rotations costs.

One process with 1,000 scheduled secrets of which none is due, in SQLite: the CPU time of a scan,
as a share of one core at the scan's interval.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta

from benchmarks.measuring import Finding, Outcome, Samples, Size
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue, CatalogueConfig
from greenlang_secrets.catalogue.schema import migrate
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, Scope
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.due import DueLoop
from greenlang_secrets.rotation.observing import RotationStats
from greenlang_secrets.rotation_model import RotationKind, RotationPolicy, RotationStanding

SCHEDULED = 1_000


async def _look(scope: Scope, digest: str) -> None:  # noqa: ARG001  # what a scan calls
    raise AssertionError("nothing is due")


async def run(size: Size) -> Outcome:
    """Measure scans of 1,000 scheduled secrets."""
    spent = await measure(size.of(SCHEDULED, least=10), size.of(40, least=3))
    share = tuple(seconds / RotationConfig().scan_every for seconds in spent)
    cpu = Samples(unit="ms CPU", values=tuple(seconds * 1e3 for seconds in spent))
    return Outcome(
        findings=(
            Finding(
                what=f"looking for due rotations among {SCHEDULED:,}",
                unit="of a core",
                values=share,
                detail=f"{cpu.median:.3g} ms CPU every {RotationConfig().scan_every:g} s",
            ),
        ),
        samples={"a scan": cpu},
    )


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
