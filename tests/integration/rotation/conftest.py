from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.manager import RotationManager
from greenlang_secrets.rotation.record import Record, Records
from greenlang_secrets.rotation_model import RotationKind, RotationPolicy
from support.catalogues import of_file
from support.kv_pair import PairHandler, Target

PATH = "database/main"

FAST = RotationConfig(
    scan_every=0.05,
    step_within=2.0,
    lease_for=2.5,
    skew=0.1,
    eso_refresh=0,
    margin=0,
    least_gap=0.4,
    first_backoff=0.2,
    longest_backoff=0.4,
)

POLICY = RotationPolicy(kind=RotationKind.MANUAL, interval=1e6)


@dataclass
class Bench:
    """A secret with a target that takes it, and the way to open managers beside each other."""

    secrets: gs.SecretsService
    catalogue: Catalogue
    target: Target
    handler: PairHandler
    open: Callable[..., AbstractAsyncContextManager[RotationManager]]

    async def record(self, path: str = PATH, scope: Any = gs.PLATFORM) -> Record:
        records = Records(self.secrets.client, self.secrets.config.kv_mount)
        record = await records.read(scope, gs.SecretPath.parse(path))
        assert record is not None
        return record

    async def works(self) -> bool:
        """Whether what the secret holds now logs in."""
        return await self.target.takes((await self.secrets.get(PATH, fresh=True)).data)


@pytest.fixture
async def bench(secrets: gs.SecretsService, tmp_path: Path) -> AsyncIterator[Bench]:
    """One secret, under a policy that nothing is due by."""
    place = of_file(tmp_path)
    await place.migrate()
    quick = replace(secrets.config.cache, fresh_for=0.1, stale_for=0.2)
    object.__setattr__(secrets.config, "cache", quick)  # the gap is made of it
    target = Target(secrets)
    handler = PairHandler(target)
    await target.alter("app_a", "first")
    await secrets.create(PATH, {"username": "app_a", "password": "first"})
    async with Supervisor() as supervisor, Catalogue.open(place.config, supervisor) as catalogue:

        @asynccontextmanager
        async def open_(
            *, within: Supervisor = supervisor, config: RotationConfig = FAST, **options: Any
        ) -> AsyncIterator[RotationManager]:
            async with RotationManager.open(
                secrets,
                catalogue,
                within,
                config=config,
                **{"handlers": [handler], **options},
            ) as manager:
                yield manager

        bench = Bench(secrets, catalogue, target, handler, open_)
        async with bench.open(config=replace(FAST, enabled=False)) as manager:
            await manager.set_policy(PATH, POLICY)
        yield bench
