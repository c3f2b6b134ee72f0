"""`RotationManager` against a real OpenBao and a target with a fence."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from support.rotation_rows import Rotations

from greenlang_secrets.background import Supervisor
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.manager import RotationManager
from greenlang_secrets.rotation_model import RotationKind, RotationPolicy, RotationState
from support.kv_pair import PairHandler, Target

FAST = RotationConfig(
    scan_every=0.05,
    step_within=2.0,
    lease_for=3.0,
    skew=0.1,
    eso_refresh=0,
    margin=0.0,
    least_gap=0.5,
    first_backoff=0.2,
    longest_backoff=0.4,
)


@pytest.fixture
def config(config):
    return replace(config, cache=replace(config.cache, fresh_for=0.1, stale_for=0.2))


async def test_thin(secrets):
    """A secret is rotated from claim to finish, and a login works with what it holds."""
    catalogue = SimpleNamespace(rotations=Rotations())
    target = Target(secrets)
    await target.alter("app_a", "first")
    await secrets.create("db/main", {"username": "app_a", "password": "first"})
    steps = []
    async with (
        Supervisor() as supervisor,
        RotationManager.open(
            secrets,
            catalogue,
            supervisor,
            config=FAST,
            handlers=[PairHandler(target)],
            on_step=steps.append,
        ) as manager,
    ):
        await manager.set_policy("db/main", RotationPolicy(kind=RotationKind.MANUAL, interval=1e6))
        run = await manager.rotate("db/main")
        standing = await run.promoted(within=10)
        assert standing.version == 2
        assert await target.takes((await secrets.get("db/main")).data)
        standing = await run.until(RotationState.IDLE, within=10)
        print(standing)
        for s in steps:
            print(s)
        print(catalogue.rotations.rows, catalogue.rotations.runs)
        assert standing.state is RotationState.IDLE
        assert standing.last_success
        print((await secrets.get("db/main", fresh=True)).custom_metadata)
