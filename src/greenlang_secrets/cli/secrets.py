"""Commands on secrets: get, put, list, versions, delete, undelete.

Values are printed by ``get --field`` and ``get --reveal``, and nowhere else.
"""

# ruff: noqa: PLC0415  the library is imported when a command runs, so that --help is quick

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from greenlang_secrets.cli.fields import field_of
from greenlang_secrets.cli.input import VersionList, parse_data
from greenlang_secrets.cli.output import json_option, pairs, show, table
from greenlang_secrets.cli.waiting import awaited
from greenlang_secrets.model import Secret, SecretEntry, SecretType

if TYPE_CHECKING:
    from greenlang_secrets.view import SecretsView

__all__ = ["COMMANDS", "with_view"]

T = TypeVar("T")
_tenant = click.option(
    "--tenant", metavar="ID", help="Act in this tenant's scope, not in the platform's."
)


def with_view(tenant: str | None, work: Callable[[SecretsView], Awaitable[T]]) -> T:
    """Run `work` on the scope's view, opened from the environment."""
    from greenlang_secrets.service import SecretsService

    async def run() -> T:
        async with SecretsService.open() as service:
            return await work(service if tenant is None else service.for_tenant(tenant))

    return asyncio.run(run())


_WAITS: Final = 60.0  # seconds


@click.command()
@click.argument("path")
@click.option("--field", metavar="KEY", help="Print the value of this key, and nothing else.")
@click.option("--reveal", is_flag=True, help="Print all values.")
@click.option("--version", "number", type=int, help="This version, not the current one.")
@click.option("--wait", is_flag=True, help="Wait until it exists.")
@click.option(
    "--newer-than", type=click.IntRange(0), metavar="VERSION", help="With --wait: and is newer."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    help=f"With --wait: so long at most, {_WAITS:g} by default.",
)
@_tenant
@json_option
def get(
    path: str,
    *,
    field: str | None,
    reveal: bool,
    number: int | None,
    wait: bool,
    newer_than: int | None,
    timeout: float | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Read a secret. Without --field or --reveal its values stay masked.

    With --wait a secret that is not there yet, a version that is not newer, and a Vault that is
    away are waited for; a denial is not.
    """
    if field is not None and reveal:
        raise click.UsageError("Give --field or --reveal, not both.")
    if wait and number is not None:
        raise click.UsageError("Give --wait or --version, not both.")
    if not wait and (newer_than is not None or timeout is not None):
        raise click.UsageError("Give --wait with --newer-than and --timeout.")
    secret = with_view(
        tenant,
        lambda view: (
            awaited(
                view,
                path,
                newer_than=newer_than or 0,
                within=_WAITS if timeout is None else timeout,
            )
            if wait
            else view.get(path, version=number)
        ),
    )
    if field is not None:
        _show_field(secret, field, as_json=as_json)
        return
    document = {
        "path": secret.path,
        "version": secret.version,
        "type": secret.type.value,
        "created_at": secret.created_at.isoformat(),
        "custom_metadata": dict(secret.custom_metadata),
        "keys": sorted(secret.data.keys()),
    }
    if as_json:
        show(document | ({"data": secret.data.reveal()} if reveal else {}), "", as_json=True)
        return
    shown = {
        key: secret.data[key].reveal() if reveal else str(secret.data[key])
        for key in sorted(secret.data.keys())
    }
    click.echo(f"{secret.path}  version {secret.version}  {secret.type.value}", err=True)
    pairs(shown)


def _show_field(secret: Secret, field: str, *, as_json: bool) -> None:
    value = field_of(secret, field)
    if as_json:
        document = {"path": secret.path, "version": secret.version, "data": {field: value.reveal()}}
        show(document, "", as_json=True)
        return
    # As Vault's own tool: a pipe gets the value to the octet.
    click.echo(value.reveal(), nl=sys.stdout.isatty())


@click.command()
@click.argument("path")
@click.argument("given", nargs=-1, metavar="[K=V | K=@FILE | K=@-]...")
@click.option("--data-file", metavar="FILE", help="A JSON object of strings; - is stdin.")
@click.option("--expected-version", type=int, help="Write only over this version (CAS).")
@click.option("--create", is_flag=True, help="Write only where no secret is live.")
@click.option(
    "--type", "kind", type=click.Choice([kind.value for kind in SecretType]), help="What it is."
)
@_tenant
@json_option
def put(
    path: str,
    given: tuple[str, ...],
    *,
    data_file: str | None,
    expected_version: int | None,
    create: bool,
    kind: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Write a version of a secret; it replaces all keys.

    Other users of this machine can read a command line, and a shell remembers it: take
    values from files or stdin (K=@FILE, K=@-, --data-file) where that matters.
    """
    if create and expected_version is not None:
        raise click.UsageError("Give --create or --expected-version, not both.")
    data = parse_data(given, data_file)
    type_ = None if kind is None else SecretType(kind)
    written = with_view(
        tenant,
        lambda view: (
            view.create(path, data, type=type_ or SecretType.GENERIC)
            if create
            else view.put(path, data, expected_version=expected_version, type=type_)
        ),
    )
    document = {
        "path": written.path,
        "version": written.version,
        "created_at": written.created_at.isoformat(),
        "unchanged": written.unchanged,
    }
    what = "is unchanged at" if written.unchanged else "is now at"
    show(document, f"{written.path} {what} version {written.version}", as_json=as_json)


@click.command("list")
@click.argument("prefix", default="")
@_tenant
@json_option
def list_(prefix: str, *, tenant: str | None, as_json: bool) -> None:
    """List secrets and folders, such as database/."""
    folder = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix

    async def entries(view: SecretsView) -> list[SecretEntry]:
        return [entry async for entry in view.list(folder)]

    items = [_entry(entry) for entry in with_view(tenant, entries)]
    if as_json:
        show({"items": items}, "", as_json=True)
        return
    columns = ("path", "type", "version", "state", "updated_at")
    table(columns, [[str(item.get(column) or "-") for column in columns] for item in items])


def _entry(entry: SecretEntry) -> dict[str, object]:
    metadata = entry.metadata
    if metadata is None:
        return {"path": entry.path, "kind": entry.kind}
    return {
        "path": entry.path,
        "kind": entry.kind,
        "version": metadata.current_version,
        "type": metadata.type.value,
        "state": None if metadata.current is None else metadata.current.state,
        "created_at": metadata.created_at.isoformat(),
        "updated_at": metadata.updated_at.isoformat(),
        "custom_metadata": dict(metadata.custom_metadata),
    }


@click.command()
@click.argument("path")
@_tenant
@json_option
def versions(path: str, *, tenant: str | None, as_json: bool) -> None:
    """Show a secret's versions, without values."""
    metadata = with_view(tenant, lambda view: view.metadata(path))
    rows = [
        {
            "version": row.version,
            "state": row.state,
            "created_at": row.created_at.isoformat(),
            "deleted_at": None if row.deleted_at is None else row.deleted_at.isoformat(),
        }
        for row in metadata.versions
    ]
    if as_json:
        document = {
            "path": metadata.path,
            "current_version": metadata.current_version,
            "versions": rows,
        }
        show(document, "", as_json=True)
        return
    columns = ("version", "state", "created_at", "deleted_at")
    table(columns, [[str(row[column] or "-") for column in columns] for row in rows])


@click.command()
@click.argument("path")
@click.option("--versions", "numbers", type=VersionList(), help="These, not the current one.")
@_tenant
@json_option
def delete(path: str, *, numbers: list[int] | None, tenant: str | None, as_json: bool) -> None:
    """Delete a secret's current version.

    Or these ones, with --versions. `undelete` brings them back.
    """
    with_view(tenant, lambda view: view.delete(path, numbers))
    what = "its current version" if numbers is None else _named(numbers)
    show({"path": path, "versions": numbers}, f"{path}: deleted {what}", as_json=as_json)


@click.command()
@click.argument("path")
@click.option("--versions", "numbers", type=VersionList(), required=True, help="Which ones.")
@_tenant
@json_option
def undelete(path: str, *, numbers: list[int], tenant: str | None, as_json: bool) -> None:
    """Bring deleted versions back."""
    undone = with_view(tenant, lambda view: view.undelete(path, numbers))
    document = {
        "path": undone.path,
        "restored": list(undone.restored),
        "already_live": list(undone.already_live),
        "current_version": undone.current_version,
    }
    show(document, f"{path}: {_named(numbers)} live", as_json=as_json)


def _named(numbers: list[int]) -> str:
    return f"version{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


COMMANDS: Final[tuple[Any, ...]] = (get, put, list_, versions, delete, undelete)
