"""The command that follows a rotation to its end: rotation follow, for those with a long sweep.

It reads the record in Vault, and needs no database. Who works on the rotation is a service.
"""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import anyio
import click

from greenlang_secrets.cli.output import json_option, show
from greenlang_secrets.cli.progress import counting
from greenlang_secrets.cli.rotation_documents import moment
from greenlang_secrets.errors import NotRotatable
from greenlang_secrets.paths import PLATFORM, Scope, SecretPath, Tenant, TenantId
from greenlang_secrets.rotation_model import RotationState

if TYPE_CHECKING:
    from greenlang_secrets.rotation_model import RotationStanding

__all__ = ["follow"]

_EVERY: Final = 1.0  # seconds between two looks at the record


@click.command()
@click.argument("path")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86400),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="So long at most.",
)
@click.option("--tenant", metavar="ID", help="Act in this tenant's scope, not in the platform's.")
@json_option
def follow(path: str, *, timeout: float, tenant: str | None, as_json: bool) -> None:
    """Wait for the end of a rotation; on a terminal, show how far its sweep is.

    What a service does is shown, such as ciphertexts that were rewrapped. Exit code 1 if the
    rotation has not ended well within the time.
    """
    scope: Scope = PLATFORM if tenant is None else Tenant(TenantId(tenant))
    with counting(quiet=as_json) as on_progress:
        standing = asyncio.run(
            _followed(SecretPath.parse(path), scope, within=timeout, on_progress=on_progress)
        )
    document = {
        "path": path,
        "state": standing.state.value,
        "phase": standing.phase.value,
        "version": standing.version,
        "progress": dict(standing.progress),
        "attempts": standing.attempts,
        "error_code": standing.error_code,
        "last_success": moment(standing.last_success),
    }
    numbers = "".join(f", {name} {count}" for name, count in sorted(standing.progress.items()))
    error = "" if standing.error_code is None else f", last error {standing.error_code}"
    show(document, f"{path}: {standing.state}{numbers}{error}", as_json=as_json)
    raise click.exceptions.Exit(0 if _well(standing) else 1)


async def _followed(
    path: SecretPath, scope: Scope, *, within: float, on_progress: Callable[[str, int], None]
) -> RotationStanding:
    from greenlang_secrets.rotation.record import Records
    from greenlang_secrets.service import SecretsService

    until = time.monotonic() + within
    async with SecretsService.open() as service:
        records = Records(service.client, service.config.kv_mount)
        while True:
            record = await records.read(scope, path)
            if record is None:
                raise NotRotatable("This secret was never rotated.", path=path)
            standing = record.standing
            for name, count in standing.progress.items():
                on_progress(name, count)
            left = until - time.monotonic()
            if standing.state is RotationState.IDLE or left <= 0:
                return standing
            await anyio.sleep(min(_EVERY, left))


def _well(standing: RotationStanding) -> bool:
    return standing.state is RotationState.IDLE and standing.error_code is None
