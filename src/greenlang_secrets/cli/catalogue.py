"""Commands on the catalogue: migrate, catalogue rebuild, catalogue status."""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from greenlang_secrets.cli.input import read_file
from greenlang_secrets.cli.output import json_option, pairs, show, table
from greenlang_secrets.cli.progress import counting
from greenlang_secrets.config import Environment
from greenlang_secrets.errors import CatalogueUnavailable, ConfigurationError
from greenlang_secrets.paths import PLATFORM, Scope, Tenant, TenantId
from greenlang_secrets.settings import Settings

if TYPE_CHECKING:
    from greenlang_secrets.catalogue import Catalogue, CatalogueConfig, CatalogueHealth
    from greenlang_secrets.catalogue_scan import Rebuilt

__all__ = ["COMMANDS", "installed"]


@click.command()
@click.option("--to", "revision", metavar="REV", help="This revision, up or down; base: none.")
@click.option("--down", type=click.IntRange(min=1), metavar="N", help="Undo N revisions.")
@click.option("--plan", is_flag=True, help="Show what would be done; change nothing.")
@click.option("--sql", is_flag=True, help="Print the statements of all revisions; change nothing.")
@click.option(
    "--url-file",
    metavar="FILE",
    help="A file with the URL of the tables' owner, postgresql://user:password@host:port/database.",
)
@click.option(
    "--app-role", metavar="NAME", help="PostgreSQL's role of the service; it gets its rights."
)
@json_option
def migrate(
    *,
    revision: str | None,
    down: int | None,
    plan: bool,
    sql: bool,
    url_file: str | None,
    app_role: str | None,
    as_json: bool,
) -> None:
    """Bring the catalogue's tables to the newest revision.

    What is right already is left alone, so that it may run at every deployment, before the
    service is replaced. It is one transaction. A SQLite catalogue migrates itself when the
    service opens it.
    """
    if revision is not None and down is not None:
        raise click.UsageError("Give --to or --down, not both.")
    with installed():
        from greenlang_secrets.catalogue import schema

        config = _config(url_file)
        if sql:
            script = schema.migration_sql(config, app_role=app_role)
            show({"sql": script}, script, as_json=as_json)
            return
        done = schema.migrate(config, to=revision, down=down, app_role=app_role, plan=plan)
    document = {
        "plan": plan,
        "before": done.before,
        "after": done.after,
        "steps": list(done.steps),
    }
    what = "apply" if done.steps[-1:] == (done.after,) else "undo"
    lines = [f"{what} {step}" for step in done.steps]
    where = f"at revision {done.after}" if not plan else f"from {done.before} to {done.after}"
    show(document, "\n".join([*lines, where]), as_json=as_json)


@click.group("catalogue")
def catalogue_group() -> None:
    """What the service keeps beside Vault, in a database."""


@catalogue_group.command()
@click.option(
    "--tenant", "tenants", metavar="ID", multiple=True, help="This tenant's; may be repeated."
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="The platform's and every tenant's; the token must be allowed to list tenants/.",
)
@json_option
def rebuild(*, tenants: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Rebuild the index of secrets from Vault.

    The platform's by default. Lists and metadata are read, never a value. Writes may go on
    meanwhile, and are not lost.
    """
    if tenants and everything:
        raise click.UsageError("Give --tenant or --all, not both.")
    named = [Tenant(TenantId(tenant)) for tenant in tenants]
    with installed(), counting(quiet=as_json) as on_progress:
        done = asyncio.run(_rebuild(named, everything=everything, on_progress=on_progress))
    items = [
        {
            "scope": str(each.scope),
            "indexed": each.indexed,
            "removed": each.removed,
            "passed_over": each.passed_over,
        }
        for each in done
    ]
    if as_json:
        show({"scopes": items}, "", as_json=True)
        return
    columns = ("scope", "indexed", "removed", "passed_over")
    table(columns, [[str(item[column]) for column in columns] for item in items])


async def _rebuild(
    named: list[Tenant], *, everything: bool, on_progress: Callable[[str, int], None]
) -> list[Rebuilt]:
    from greenlang_secrets import catalogue_scan
    from greenlang_secrets.service import SecretsService

    done = []
    async with _opened() as catalogue, SecretsService.open() as service:
        wanted: list[Scope] = [*named] or [PLATFORM]
        if everything:
            wanted = [scope async for scope in catalogue_scan.scopes(service)]
        for scope in wanted:
            name = str(scope)
            rebuilt = await catalogue_scan.rebuild(
                service,
                catalogue.index,
                scope,
                on_progress=lambda count, name=name: on_progress(name, count),  # type: ignore[misc]  # mypy reads the default as another type
            )
            done.append(rebuilt)
    return done


@catalogue_group.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show whether the catalogue can be used, and what its index lacks."""
    with installed():
        health = asyncio.run(_health())
    document = {
        "usable": health.usable,
        "obstacle": health.obstacle,
        "advice": health.advice,
        "kind": health.kind,
        "revision": health.revision,
        "expected": health.expected,
        "gaps": None if health.gaps is None else list(health.gaps),
    }
    if as_json:
        show(document, "", as_json=True)
    else:
        pairs({name: _shown(value) for name, value in document.items() if value is not None})
    if not health.usable:
        raise CatalogueUnavailable(health.advice)


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value)


async def _health() -> CatalogueHealth:
    async with _opened() as catalogue:
        return await catalogue.health()


@asynccontextmanager
async def _opened() -> AsyncIterator[Catalogue]:
    from greenlang_secrets.background import Supervisor
    from greenlang_secrets.catalogue import Catalogue, CatalogueConfig

    config = CatalogueConfig.from_env()
    async with Supervisor() as supervisor, Catalogue.open(config, supervisor) as catalogue:
        yield catalogue


def _config(url_file: str | None) -> CatalogueConfig:
    from greenlang_secrets.catalogue import CatalogueConfig

    if url_file is None:
        return CatalogueConfig.from_env()
    where = Environment.parse(Settings(os.environ).text("ENVIRONMENT") or "development")
    return CatalogueConfig.of(read_file(url_file).strip(), environment=where, from_file=True)


@contextmanager
def installed() -> Iterator[None]:
    """Say in one sentence that the extra is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in {"alembic", "aiosqlite", "sqlalchemy", "greenlet"}:
            raise
        raise ConfigurationError(
            f"The package {error.name} is not installed; pip install 'greenlang-secrets[catalogue]'"
        ) from None


COMMANDS: Final[tuple[Any, ...]] = (migrate, catalogue_group)
