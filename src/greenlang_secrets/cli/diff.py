"""The command that compares two environments: diff. By version and by the names of keys, and by
nothing else: whether two values are equal is not found out, as that alone would tell of a value.
"""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from greenlang_secrets.cli.env_file import environ_of
from greenlang_secrets.cli.output import json_option, show, table
from greenlang_secrets.errors import SecretUnavailable

if TYPE_CHECKING:
    from greenlang_secrets.model import SecretEntry
    from greenlang_secrets.view import SecretsView

__all__ = ["COMMANDS"]

_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A secret, as one environment has it; its values were never kept.

    Attributes:
        state: live, deleted or destroyed; none for settings without a version.
        keys: the names of its keys; empty if it is not live.
    """

    version: int
    state: str
    keys: frozenset[str]

    def __str__(self) -> str:
        return f"{self.version}, {self.state}"


@click.command()
@click.argument("left")
@click.argument("right")
@click.option("--prefix", default="", metavar="FOLDER", help="Only below it, such as database/.")
@click.option("--keys-only", is_flag=True, help="Do not compare versions, which seldom agree.")
@click.option("--tenant", metavar="ID", help="Compare this tenant's scope, not the platform's.")
@json_option
def diff(
    left: str, right: str, *, prefix: str, keys_only: bool, tenant: str | None, as_json: bool
) -> None:
    """Compare the secrets of two environments, by version and by the names of their keys.

    LEFT and RIGHT are files with a variable a line (VAULT_ADDR=...), addresses of a Vault where
    the present login works, or . for the present environment. Values are neither compared nor
    shown. Exit code 1 if something differs.
    """
    folder = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix
    sides = asyncio.run(_both(environ_of(left), environ_of(right), folder, tenant))
    rows = _differences(*sides, keys_only=keys_only)
    if as_json:
        show({"differences": rows}, "", as_json=True)
    else:
        columns = ("path", "difference", "left", "right")
        table(columns, [[str(row[column]) for column in columns] for row in rows])
        compared = len({*sides[0], *sides[1]})
        click.echo(f"{compared} secrets compared, {len(rows)} differences", err=True)
    raise click.exceptions.Exit(1 if rows else 0)


Found = dict[str, Side]


async def _both(
    left: Mapping[str, str], right: Mapping[str, str], folder: str, tenant: str | None
) -> tuple[Found, Found]:
    return await asyncio.gather(_found(left, folder, tenant), _found(right, folder, tenant))


async def _found(environ: Mapping[str, str], folder: str, tenant: str | None) -> Found:
    from greenlang_secrets.config import SecretsServiceConfig
    from greenlang_secrets.service import SecretsService

    async with SecretsService.open(SecretsServiceConfig.from_env(environ=environ)) as service:
        view = service if tenant is None else service.for_tenant(tenant)
        entries = [entry async for entry in _below(view, folder)]
        places = asyncio.Semaphore(_AT_ONCE)
        sides = await asyncio.gather(*(_side(view, entry, places) for entry in entries))
    return {entry.path: side for entry, side in zip(entries, sides, strict=True)}


async def _below(view: SecretsView, folder: str) -> AsyncIterator[SecretEntry]:
    async for entry in view.list(folder):
        if not entry.addressable:
            continue
        if entry.kind == "secret":
            yield entry
            continue
        async for below in _below(view, entry.path):
            yield below


async def _side(view: SecretsView, entry: SecretEntry, places: asyncio.Semaphore) -> Side:
    metadata = entry.metadata
    current = None if metadata is None else metadata.current
    if current is None:
        return Side(version=0, state="none", keys=frozenset())
    keys: frozenset[str] = frozenset()
    if current.state == "live":
        async with places:
            try:
                keys = frozenset((await view.get(entry.path, version=current.version)).data.keys())
            except SecretUnavailable:  # since it was listed
                return Side(version=current.version, state="deleted", keys=keys)
    return Side(version=current.version, state=current.state, keys=keys)


def _differences(left: Found, right: Found, *, keys_only: bool) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []

    def row(path: str, difference: str, one: object, other: object) -> None:
        rows.append({"path": path, "difference": difference, "left": one, "right": other})

    for path in sorted({*left, *right}):
        one, other = left.get(path), right.get(path)
        if one is None or other is None:
            row(path, "missing", _shown(one), _shown(other))
            continue
        if one.state != other.state:
            row(path, "state", one.state, other.state)
        if one.version != other.version and not keys_only:
            row(path, "version", one.version, other.version)
        if one.state == other.state == "live" and one.keys != other.keys:
            row(path, "keys", _listed(one.keys - other.keys), _listed(other.keys - one.keys))
    return rows


def _shown(side: Side | None) -> str:
    return "-" if side is None else str(side)


def _listed(keys: frozenset[str]) -> str:
    return ", ".join(sorted(keys)) or "-"


COMMANDS: Final[tuple[Any, ...]] = (diff,)
