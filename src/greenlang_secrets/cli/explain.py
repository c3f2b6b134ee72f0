"""The command that says why a read of one secret goes as it goes: explain. It prints no value."""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from greenlang_secrets.cli.output import json_option, pairs, show
from greenlang_secrets.cli.rotation_documents import moment
from greenlang_secrets.errors import SecretsError
from greenlang_secrets.paths import SecretPath

if TYPE_CHECKING:
    from greenlang_secrets.service import SecretsService
    from greenlang_secrets.view import Explanation, SecretsView

__all__ = ["COMMANDS"]

_EMPTY: Final = "empty: each command has a cache of its own"


@click.command()
@click.argument("path")
@click.option("--tenant", metavar="ID", help="Act in this tenant's scope, not in the platform's.")
@json_option
def explain(path: str, *, tenant: str | None, as_json: bool) -> None:
    """Say what is known of a secret: scope, URL, capability, version, rotation, last error.

    Its value is not read. What a running program has in its cache, and holds under a lease, only
    that program knows: there it is `await secrets.explain(path)`. Exit code 1 if a read would
    give no value.
    """
    explanation, told = asyncio.run(_explain(path, tenant))
    show(_document(explanation), "", as_json=as_json)
    if not as_json:
        pairs(_text(explanation, told=told))
    raise click.exceptions.Exit(0 if explanation.may_read and explanation.state == "live" else 1)


async def _explain(path: str, tenant: str | None) -> tuple[Explanation, bool]:
    from greenlang_secrets.service import SecretsService

    async with SecretsService.open() as service:
        view = service if tenant is None else service.for_tenant(tenant)
        return await _with_rotation(service, view, await view.explain(path))


async def _with_rotation(
    service: SecretsService, view: SecretsView, explanation: Explanation
) -> tuple[Explanation, bool]:
    """Add what the rotation's record in Vault says: a command has no rotation manager.

    The second part is whether Vault said anything: a refusal is no "never rotated".
    """
    from greenlang_secrets.rotation.record import Records

    records = Records(service.client, service.config.kv_mount)
    try:
        record = await records.read(view.context.scope, SecretPath.parse(explanation.path))
    except SecretsError as refused:
        return replace(explanation, last_error=explanation.last_error or refused.code), False
    if record is None:
        return explanation, True
    error = explanation.last_error or record.standing.error_code
    return replace(explanation, rotation=record.standing, last_error=error), True


def _document(explanation: Explanation) -> dict[str, object]:
    rotation = explanation.rotation
    return {
        "path": explanation.path,
        "scope": str(explanation.scope),
        "url": explanation.url,
        "capability": explanation.capability,
        "held": None if explanation.held is None else sorted(explanation.held),
        "may_read": explanation.may_read,
        "version": explanation.version,
        "state": explanation.state,
        "cache": explanation.cache,
        "cached_version": explanation.cached_version,
        "leases": explanation.leases,
        "rotation": None
        if rotation is None
        else {
            "state": rotation.state.value,
            "phase": rotation.phase.value,
            "version": rotation.version,
            "old_valid_until": moment(rotation.old_valid_until),
            "next_due": moment(rotation.next_due),
            "attempts": rotation.attempts,
            "error_code": rotation.error_code,
        },
        "last_error": explanation.last_error,
    }


def _text(explanation: Explanation, *, told: bool) -> dict[str, str]:
    held = explanation.held
    version = "none" if explanation.version is None else str(explanation.version)
    return {
        "path": explanation.path,
        "scope": str(explanation.scope),
        "url": explanation.url,
        "needs": explanation.capability,
        "held": "Vault did not say" if held is None else ", ".join(sorted(held)),
        "version": f"{version}, {explanation.state or 'Vault did not say'}",
        "cache": _EMPTY,
        "leases": "none: those of a running program are its own",
        "rotation": _rotation(explanation) if told else "Vault did not say",
        "last error": explanation.last_error or "none",
    }


def _rotation(explanation: Explanation) -> str:
    rotation = explanation.rotation
    if rotation is None:
        return "never rotated"
    phase = "" if rotation.phase is rotation.state else f" in phase {rotation.phase}"
    until = rotation.old_valid_until
    old = "" if until is None else f", the old one is valid until {moment(until)}"
    return f"{rotation.state}{phase}, version {rotation.version or '-'}{old}"


COMMANDS: Final[tuple[Any, ...]] = (explain,)
