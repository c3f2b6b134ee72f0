"""The command that says what is wrong: doctor. It reads no secret, and prints no value."""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

import click

from greenlang_secrets.cli.output import json_option, show, table
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.paths import PLATFORM, Scope, SecretPath, Tenant, TenantId

if TYPE_CHECKING:
    from pathlib import Path

    from greenlang_secrets.doctor import Diagnosis, Finding

__all__ = ["COMMANDS"]

_NAMING_THE_LOG: Final = ("GREENLANG_SECRETS_AUDIT_LOG", "GREENLANG_SECRETS_STATE_DIR")


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--write", is_flag=True, help="Also ask whether these may be changed.")
@click.option("--service", is_flag=True, help="Also ask for what the API needs for itself.")
@click.option("--tenant", metavar="ID", help="The paths are in this tenant's scope.")
@json_option
def doctor(
    paths: tuple[str, ...], *, write: bool, service: bool, tenant: str | None, as_json: bool
) -> None:
    """Find out what is wrong between this machine and its Vault, and what to do.

    Each address is tried, then TLS, the seal, the clocks, the login, the mount, whether the
    token may list the scope and read each PATH, and both audit logs. Nothing is changed, and no
    secret is read. Exit code 1 if there is a fault; warnings do not count.
    """
    scope: Scope = PLATFORM if tenant is None else Tenant(TenantId(tenant))
    for path in paths:
        SecretPath.parse(path)
    diagnosis = _diagnosis(scope, paths, write=write, service=service)
    _print(diagnosis, as_json=as_json)
    raise click.exceptions.Exit(0 if diagnosis.good else 1)


def _diagnosis(scope: Scope, paths: tuple[str, ...], *, write: bool, service: bool) -> Diagnosis:
    from greenlang_secrets.config import SecretsServiceConfig
    from greenlang_secrets.doctor import Diagnosis, examine

    try:
        config = SecretsServiceConfig.from_env()
        log = _audit_log()
    except ConfigurationError as error:
        return Diagnosis(findings=(_misconfigured(error),))
    return asyncio.run(
        examine(
            config,
            scope=scope,
            paths=paths,
            write=write,
            service=service,
            audit_log=log,
            audit_log_wanted=service or any(map(os.environ.get, _NAMING_THE_LOG)),
        )
    )


def _audit_log() -> Path:
    from greenlang_secrets.audit.config import AuditConfig

    return AuditConfig.from_env().log


def _misconfigured(error: ConfigurationError) -> Finding:
    from greenlang_secrets.doctor import Cause, Finding, Level

    return Finding(
        check="configuration",
        subject="environment",
        level=Level.FAULT,
        what=str(error),
        cause=Cause.CONFIGURATION,
        fix="Correct the variable that is named; nothing else could be looked at.",
    )


def _print(diagnosis: Diagnosis, *, as_json: bool) -> None:
    if as_json:
        findings = [
            {
                "check": found.check,
                "subject": found.subject,
                "level": found.level.value,
                "cause": None if found.cause is None else found.cause.value,
                "what": found.what,
                "fix": found.fix,
            }
            for found in diagnosis.findings
        ]
        show({"good": diagnosis.good, "findings": findings}, "", as_json=True)
        return
    table(
        ("", "check", "subject", "what", "what to do"),
        [
            (found.level.value, found.check, found.subject, _named(found), found.fix or "-")
            for found in diagnosis.findings
        ],
    )
    click.echo(_sum(diagnosis), err=True)


def _sum(diagnosis: Diagnosis) -> str:
    faults = len(diagnosis.faults)
    warnings = sum(found.level.value == "warning" for found in diagnosis.findings)
    told = [(faults, "fault"), (warnings, "warning")]
    said = [f"{count} {what}{'s' * (count > 1)}" for count, what in told if count]
    return ", ".join(said) or "nothing is wrong"


def _named(found: Finding) -> str:
    return found.what if found.cause is None else f"{found.cause}: {found.what}"


COMMANDS: Final[tuple[Any, ...]] = (doctor,)
