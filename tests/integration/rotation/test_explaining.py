"""What `explain` says of a rotation, while a manager is open in the process."""

from __future__ import annotations

from greenlang_secrets.errors import CatalogueUnavailable, RotationFailed
from greenlang_secrets.rotation_model import RotationState


async def test_the_standing_of_a_rotation_is_explained(bench):
    """Before the first rotation it is the catalogue's, afterwards that of the record in Vault."""
    async with bench.open() as manager:
        idle = await bench.secrets.explain("database/main")
        run = await manager.rotate("database/main")
        await run.until(RotationState.IDLE, within=20)
        rotated = await bench.secrets.explain("database/main")
        never = await bench.secrets.explain("database/other")
    without = await bench.secrets.explain("database/main")

    assert idle.rotation is not None
    assert (idle.rotation.state, idle.rotation.version) == (RotationState.IDLE, None)
    assert rotated.rotation is not None
    assert (rotated.rotation.state, rotated.rotation.version) == (RotationState.IDLE, 2)
    assert rotated.last_error is None
    assert (never.rotation, without.rotation) == (None, None)


async def test_a_rotation_that_failed_is_the_last_error(bench):
    """Why the last attempt failed is told, if nothing else is wrong."""
    bench.handler.fails["prepare"] = [RotationFailed("incomplete", path="database/main")]
    async with bench.open() as manager:
        run = await manager.rotate("database/main")
        await run.until(RotationState.FAILED, within=20)
        explanation = await bench.secrets.explain("database/main")

    assert explanation.rotation is not None
    assert explanation.last_error == "incomplete"


async def test_a_catalogue_that_is_away_is_the_last_error(bench, monkeypatch):
    """Where nobody can say how it stands, that is told, and the rest as ever."""

    async def away(*_: object) -> None:
        raise CatalogueUnavailable

    async with bench.open():
        monkeypatch.setattr(bench.catalogue.rotations, "find", away)
        explanation = await bench.secrets.explain("database/other")

    assert (explanation.rotation, explanation.last_error) == (None, "catalogue_unavailable")
    assert explanation.state == "missing"
