"""Commands on the audit log: audit verify, audit tail. They read it, and print no value."""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from greenlang_secrets.cli.input import read_file
from greenlang_secrets.cli.output import json_option, show
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue

if TYPE_CHECKING:
    from greenlang_secrets.audit.event import AuditEvent
    from greenlang_secrets.audit.verify import AuditReport, UnknownOutcome

__all__ = ["COMMANDS"]

_file = click.Path(path_type=Path, dir_okay=False)


@click.group()
def audit() -> None:
    """Who did what with which secret: check the audit log, look at its end."""


@audit.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=_file)
@click.option(
    "--key-file",
    metavar="FILE",
    help="The keys, one a line as VERSION BASE64, - is stdin; from Vault without it.",
)
@click.option("--unknown", is_flag=True, help="List the changes that have no outcome.")
@json_option
def verify(files: tuple[Path, ...], *, key_file: str | None, unknown: bool, as_json: bool) -> None:
    """Find lines that were edited, cut out, moved, copied or put in.

    Give rotated files before the one in use, the oldest first; without FILE it is
    GREENLANG_SECRETS_AUDIT_LOG alone. Exit code 1 if anything is wrong.
    """
    from greenlang_secrets.audit.verify import verify as run

    paths = files or (_default(),)
    keys = asyncio.run(_keys_in_vault()) if key_file is None else _keys_in(read_file(key_file))
    try:
        report = run(paths, keys)
    except OSError as error:
        raise _unreadable(error, paths[-1]) from None
    show(_document(report, unknown=unknown), _text(report, unknown=unknown), as_json=as_json)
    if not report.good:
        raise click.exceptions.Exit(1)


@audit.command()
@click.argument("file", required=False, type=_file)
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=10, show_default=True, help="How many."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until Ctrl-C.")
@click.option("--tenant", metavar="ID", help="Only what was done in this tenant's scope.")
@click.option("--action", metavar="ACTION", help="Only this, such as read or authenticate.")
@json_option
def tail(
    file: Path | None,
    *,
    lines: int,
    follow: bool,
    tenant: str | None,
    action: str | None,
    as_json: bool,
) -> None:
    """Show the last events of the audit log. Needs no Vault, and verifies nothing.

    Without FILE it is GREENLANG_SECRETS_AUDIT_LOG. --json prints the records as they are, one
    a line.
    """
    from greenlang_secrets.audit.tail import Tail

    def wanted(event: AuditEvent) -> bool:
        return (tenant is None or event.tenant == tenant) and action in {None, event.action}

    path = file or _default()
    try:
        with Tail(path) as opened:
            _print(opened.last(lines, wanted), as_json=as_json)
            if follow:
                _print(opened.follow(wanted), as_json=as_json)
    except OSError as error:
        raise _unreadable(error, path) from None
    except KeyboardInterrupt:
        return


def _default() -> Path:
    from greenlang_secrets.audit.config import AuditConfig

    return AuditConfig.from_env().log


def _unreadable(error: OSError, path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"The audit log {str(error.filename or path)!r} cannot be read ({error.strerror}); give "
        "FILE, or set GREENLANG_SECRETS_AUDIT_LOG to it."
    )


# ---------------------------------------------------------------- keys


async def _keys_in_vault() -> dict[int, SecretValue]:
    from greenlang_secrets.background import Supervisor
    from greenlang_secrets.config import SecretsServiceConfig
    from greenlang_secrets.service_keys import load_audit_keys
    from greenlang_secrets.vault import VaultClient

    config = SecretsServiceConfig.from_env()
    async with Supervisor() as supervisor, VaultClient.open(config, supervisor) as client:
        keys = await load_audit_keys(client, kv_mount=config.kv_mount)
    if not keys:
        raise ConfigurationError(
            f"The KV mount {config.kv_mount!r} has no audit key: no service has made one there."
        )
    return keys


def _keys_in(text: str) -> dict[int, SecretValue]:
    keys = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        version, _, key = line.strip().partition(" ")
        if not version.isdecimal() or not key:
            raise click.UsageError(f"Line {number} of the key file is not VERSION BASE64.")
        keys[int(version)] = SecretValue(key.strip())
    return keys


# ---------------------------------------------------------------- what verify prints


def _document(report: AuditReport, *, unknown: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "good": report.good,
        "records": report.records,
        "first": report.first,
        "last": report.last,
        "flaws": report.flaws,
        "findings": [
            {
                "file": str(found.place.file),
                "line": found.place.line,
                "flaw": found.flaw.value,
                "text": found.text,
            }
            for found in report.findings
        ],
        "notices": list(report.notices),
        "unknown_outcomes": len(report.unknown),
    }
    if unknown:
        document["unknown"] = [
            {
                "file": str(change.place.file),
                "line": change.place.line,
                "at": change.at.isoformat(),
                "operation_id": change.operation_id,
                "action": change.action,
                "tenant": change.tenant,
                "path": change.path,
            }
            for change in report.unknown
        ]
    return document


def _text(report: AuditReport, *, unknown: bool) -> str:
    lines = [
        f"{found.place.file}:{found.place.line}: {found.flaw}: {found.text}"
        for found in report.findings
    ]
    if report.flaws > len(report.findings):
        lines.append(f"and {report.flaws - len(report.findings)} more")
    lines += [f"note: {notice}" for notice in report.notices]
    if unknown:
        lines += map(_change, report.unknown)
    span = "" if report.first is None else f" ({report.first} to {report.last})"
    lines.append(
        f"{report.records} records{span}, {report.flaws} flaws, "
        f"{len(report.unknown)} changes without an outcome"
    )
    return "\n".join(lines)


def _change(change: UnknownOutcome) -> str:
    where = _shown(change.tenant or "platform")
    return (
        f"{change.place.file}:{change.place.line}: outcome unknown: {_shown(change.action)} of "
        f"{_shown(change.path or '-')} in {where} at {change.at.isoformat()}, operation "
        f"{_shown(change.operation_id)}"
    )


# ---------------------------------------------------------------- what tail prints


def _print(lines: Iterable[bytes], *, as_json: bool) -> None:
    from greenlang_secrets.audit.records import parse

    for line in lines:
        click.echo(line.decode("ascii"), nl=False) if as_json else _print_event(parse(line).event)


def _print_event(event: AuditEvent) -> None:
    cells: tuple[str | int | None, ...] = (
        event.at.isoformat(timespec="milliseconds"),
        event.principal,
        event.tenant or "platform",
        event.action,
        event.path,
        event.version,
        event.phase,
        event.result,
        event.code,
        event.source_address,
        event.request_id,
    )
    click.echo("\t".join("-" if cell is None else _shown(str(cell)) for cell in cells))


def _shown(text: str) -> str:
    """A text as a terminal may have it: what callers put into a path must not move the cursor."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


COMMANDS: Final[tuple[Any, ...]] = (audit,)
