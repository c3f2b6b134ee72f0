"""Commands of rotation: rotate, and rotation status, schedule, schedule set, schedule remove.

They work on Vault and the catalogue themselves, without the service: what a command leaves
undone, because it waits or because it was killed, a running service goes on with.
"""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from greenlang_secrets.access import SERVICE, TenantContext
from greenlang_secrets.cli.catalogue import installed
from greenlang_secrets.cli.output import json_option, show, table
from greenlang_secrets.cli.progress import stepping
from greenlang_secrets.cli.rotation_documents import (
    consumer_document,
    moment,
    policy_document,
    shown,
    standing_document,
)
from greenlang_secrets.cli.rotation_follow import follow
from greenlang_secrets.paths import PLATFORM, Scope, Tenant, TenantId
from greenlang_secrets.rotation_model import (
    ConsumerReport,
    RotationKind,
    RotationPolicy,
    RotationRow,
    RotationStanding,
    RotationState,
    RotationTrigger,
)

if TYPE_CHECKING:
    from greenlang_secrets.catalogue import Catalogue
    from greenlang_secrets.rotation.manager import RotationManager
    from greenlang_secrets.rotation.observing import OnStep

__all__ = ["COMMANDS", "opened"]

_STEPS: Final = ("claim", "prepare", "apply", "verify", "promote", "overlap")
_SETTLES: Final = 5.0  # seconds
_tenant = click.option(
    "--tenant", metavar="ID", help="Act in this tenant's scope, not in the platform's."
)


class Duration(click.ParamType[float]):
    """A number and a unit, such as ``90s``, ``15m``, ``12h`` or ``7d``."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        from greenlang_secrets.rotation.policy_file import seconds_of

        if isinstance(value, float):
            return value
        seconds = seconds_of(str(value))
        if seconds is None:
            self.fail("give a number and a unit, such as 90s, 15m, 12h or 7d", param, ctx)
        return seconds


@click.command()
@click.argument("path")
@_tenant
@click.option("--reason", metavar="TEXT", help="Why; kept in the history.")
@click.option("--force", is_flag=True, help="Cut off who uses the credential before; see below.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long at most for the new version.",
)
@json_option
def rotate(
    path: str, *, tenant: str | None, reason: str | None, force: bool, wait: float, as_json: bool
) -> None:
    """Rotate a secret that has a policy, and wait until the new version is there.

    The old credential stays valid until nobody can still use it; a running service retires it
    then, and goes on with what this command has begun should it be killed. --force needs a
    --reason: it retires the credential before at once.
    """
    if force and not reason:
        raise click.UsageError("Give a --reason with --force.")
    with installed(), _progress(quiet=as_json) as on_step:
        standing = asyncio.run(
            _rotate(path, _scope(tenant), reason=reason, force=force, wait=wait, on_step=on_step)
        )
    document = {
        "path": path,
        "rotation_id": standing.rotation_id,
        "state": standing.state.value,
        "base_version": standing.base_version,
        "version": standing.version,
        "old_valid_until": moment(standing.old_valid_until),
    }
    show(document, _told(path, standing), as_json=as_json)


async def _rotate(
    path: str,
    scope: Scope,
    *,
    reason: str | None,
    force: bool,
    wait: float,
    on_step: OnStep,
) -> RotationStanding:
    async with opened(on_step=on_step) as (manager, _):
        run = await manager.rotate(
            path,
            context=TenantContext(principal=SERVICE, scope=scope),
            trigger=RotationTrigger.FORCED if force else RotationTrigger.MANUAL,
            reason=reason,
            force=force,
        )
        standing = await run.promoted(within=wait)
        if standing.state is not RotationState.PROMOTED:
            return standing
        # The next step says until when the old credential is valid.
        return await run.until(RotationState.OVERLAP, RotationState.FAILED, within=_SETTLES)


def _told(path: str, standing: RotationStanding) -> str:
    if standing.version is None:
        return f"{path}: {standing.state.value}; a running service goes on with it"
    until = standing.old_valid_until
    old = "" if until is None else f"; the old one is valid until {moment(until)}"
    return f"{path} is now at version {standing.version}{old}"


@click.group()
def rotation() -> None:
    """How rotations stand, and what rotates when."""


rotation.add_command(follow)


@rotation.command("status")
@click.argument("path", required=False)
@click.option(
    "--state", type=click.Choice([state.value for state in RotationState]), help="Only these."
)
@_tenant
@json_option
def status(path: str | None, *, state: str | None, tenant: str | None, as_json: bool) -> None:
    """Show how each rotation stands; of one PATH also who uses an older version."""
    wanted = None if state is None else RotationState(state)
    with installed():
        rows, behind = asyncio.run(_status(path, _scope(tenant), wanted))
    items = [standing_document(row) for row in rows]
    if path is not None and items:
        items[0]["consumers_behind"] = [consumer_document(report) for report in behind]
    if as_json:
        show({"items": items}, "", as_json=True)
        return
    columns = ("path", "state", "version", "last_success", "next_due", "attempts", "last_error")
    table(columns, [[str(item.get(column) or "-") for column in columns] for item in items])
    for report in behind:
        click.echo(
            f"behind: {report.kind.value} {report.consumer} on {report.instance} "
            f"uses version {report.version}",
            err=True,
        )


async def _status(
    path: str | None, scope: Scope, state: RotationState | None
) -> tuple[list[RotationRow], list[ConsumerReport]]:
    from greenlang_secrets.rotation.applying import rows_of

    async with _catalogue() as catalogue:
        if path is None:
            rows = await rows_of(catalogue, scope)
            return [row for row in rows if state in {None, row.standing.state}], []
        row = await catalogue.rotations.find(scope, path)
        if row is None:
            from greenlang_secrets.errors import NotRotatable

            raise NotRotatable(path=path)
        version = row.standing.version
        if version is None:
            return [row], []
        return [row], await catalogue.rotations.behind(scope, path, version=version)


@rotation.group("schedule", invoke_without_command=True)
@_tenant
@json_option
@click.pass_context
def schedule(context: click.Context, *, tenant: str | None, as_json: bool) -> None:
    """Show what rotates when; or set and remove policies with the commands below."""
    if context.invoked_subcommand is not None:
        return
    with installed():
        rows = asyncio.run(_schedule(_scope(tenant)))
    items = [policy_document(row) for row in rows]
    if as_json:
        show({"items": items}, "", as_json=True)
        return
    columns = ("path", "type", "kind", "interval_seconds", "enabled", "next_due", "last_success")
    table(columns, [[shown(item.get(column)) for column in columns] for item in items])


async def _schedule(scope: Scope) -> list[RotationRow]:
    from greenlang_secrets.rotation.applying import rows_of

    async with _catalogue() as catalogue:
        rows = await rows_of(catalogue, scope)
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(rows, key=lambda row: (row.standing.next_due or never, row.path))


@schedule.command("set")
@click.argument("path")
@click.option(
    "--kind",
    required=True,
    type=click.Choice([kind.value for kind in RotationKind]),
    help="What is done.",
)
@click.option("--interval", type=Duration(), help="Such as 12h; the environment's without it.")
@click.option("--overlap", type=Duration(), help="For which the old credential stays valid.")
@click.option("--disabled", is_flag=True, help="Never by schedule; by hand all the same.")
@click.option(
    "--setting",
    "settings",
    multiple=True,
    metavar="K=V",
    help="What the kind needs to know; may be repeated.",
)
@_tenant
@json_option
def set_(
    path: str,
    *,
    kind: str,
    interval: float | None,
    overlap: float | None,
    disabled: bool,
    settings: Sequence[str],
    tenant: str | None,
    as_json: bool,
) -> None:
    """Have a secret rotate so from here on. That it can be is tried, and nothing is changed."""
    given = _pairs(settings)
    with installed():
        row = asyncio.run(
            _set(
                path,
                _scope(tenant),
                lambda usual: RotationPolicy(
                    kind=RotationKind(kind),
                    interval=usual if interval is None else interval,
                    enabled=not disabled,
                    overlap=overlap,
                    settings=given,
                ),
            )
        )
    due = moment(row.standing.next_due) or "never by schedule"
    show(policy_document(row), f"{path}: next rotation {due}", as_json=as_json)


async def _set(path: str, scope: Scope, policy: Callable[[float], RotationPolicy]) -> RotationRow:
    async with opened() as (manager, _):
        return await manager.set_policy(
            path,
            policy(manager.config.default_interval),
            context=TenantContext(principal=SERVICE, scope=scope),
        )


@schedule.command("remove")
@click.argument("path")
@_tenant
@json_option
def remove(path: str, *, tenant: str | None, as_json: bool) -> None:
    """Rotate a secret no more. The secret itself stays as it is."""

    async def run() -> None:
        async with opened() as (manager, _):
            context = TenantContext(principal=SERVICE, scope=_scope(tenant))
            await manager.remove_policy(path, context=context)

    with installed():
        asyncio.run(run())
    show({"path": path}, f"{path}: rotates no more", as_json=as_json)


# ---------------------------------------------------------------- parts


@asynccontextmanager
async def opened(
    on_step: OnStep | None = None,
) -> AsyncIterator[tuple[RotationManager, Catalogue]]:
    """Open a manager from the environment that does what it is told, and not what is due."""
    from greenlang_secrets.background import Supervisor
    from greenlang_secrets.catalogue import Catalogue, CatalogueConfig
    from greenlang_secrets.rotation.config import RotationConfig
    from greenlang_secrets.rotation.manager import RotationManager
    from greenlang_secrets.service import SecretsService

    config = replace(RotationConfig.from_env(), enabled=False)
    async with (
        Supervisor() as supervisor,
        Catalogue.open(CatalogueConfig.from_env(), supervisor) as catalogue,
        SecretsService.open() as service,
        RotationManager.open(
            service, catalogue, supervisor, config=config, on_step=on_step
        ) as manager,
    ):
        yield manager, catalogue


@asynccontextmanager
async def _catalogue() -> AsyncIterator[Catalogue]:
    from greenlang_secrets.background import Supervisor
    from greenlang_secrets.catalogue import Catalogue, CatalogueConfig

    config = CatalogueConfig.from_env()
    async with Supervisor() as supervisor, Catalogue.open(config, supervisor) as catalogue:
        yield catalogue


def _scope(tenant: str | None) -> Scope:
    return PLATFORM if tenant is None else Tenant(TenantId(tenant))


def _pairs(given: Sequence[str]) -> Mapping[str, str]:
    settings: dict[str, str] = {}
    for number, pair in enumerate(given, 1):
        key, separator, value = pair.partition("=")
        if not separator or not key or key in settings:
            raise click.UsageError(f"Setting {number} is not K=V, or is there twice.")
        settings[key] = value
    return settings


@contextmanager
def _progress(*, quiet: bool) -> Iterator[OnStep]:
    """Show the steps as they end, on a terminal only."""
    with stepping(_STEPS, quiet=quiet) as on_step:
        yield lambda step: on_step(step.step, step.when)


COMMANDS: Final[tuple[Any, ...]] = (rotate, rotation)
