"""The group of all commands, and the one place where an error becomes an exit code."""

from __future__ import annotations

import logging
from typing import Any, Final

import click

from greenlang_secrets.cli import (
    audit,
    catalogue,
    check,
    diff,
    doctor,
    explain,
    needs,
    operations,
    rotation,
    run,
    secrets,
)
from greenlang_secrets.errors import (
    AccessDenied,
    AuthenticationLost,
    CatalogueUnavailable,
    ConfigurationError,
    Conflict,
    InvalidRequest,
    PreconditionRequired,
    SecretsError,
    SecretUnavailable,
    VaultUnavailable,
)
from greenlang_secrets.version import __version__

__all__ = ["EXIT_CODES", "cli"]

EXIT_CODES: Final[dict[int, tuple[type[SecretsError], ...]]] = {
    2: (ConfigurationError, InvalidRequest),
    3: (SecretUnavailable,),
    4: (AccessDenied, AuthenticationLost),
    5: (Conflict, PreconditionRequired),
    6: (VaultUnavailable, CatalogueUnavailable),
}
"""Exit code to errors; every other one is 1."""

_EPILOG: Final = """\
\b
Exit codes:
  0  done
  1  any other error, such as a write of unknown outcome
  2  usage, configuration or invalid input
  3  there is no such secret, version or field, or it is deleted
  4  denied, by permission, policy or login
  5  conflict: it exists already, or its version is another
  6  Vault, or the catalogue's database, is unavailable

doctor, explain, diff, check and audit verify end with 1 if they have found something; run ends
with the code of its command.

An error is one line on stderr: "error: <text> [<code>]". Vault's address and token come
from VAULT_ADDR and VAULT_TOKEN or VAULT_TOKEN_FILE, as for Vault's own tools.
"""


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SecretsError as error:
            click.echo(f"error: {error} [{error.code}]", err=True)
            ctx.exit(_exit_code(error))


def _exit_code(error: SecretsError) -> int:
    return next((code for code, kinds in EXIT_CODES.items() if isinstance(error, kinds)), 1)


@click.group(
    cls=_Group,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="%(version)s")
def cli() -> None:
    """Secrets on HashiCorp Vault and OpenBao: read and write them, run the service."""
    # Without a handler Python prints warnings bare, and an error is one line; `serve` has its own.
    logging.getLogger("greenlang_secrets").addHandler(logging.NullHandler())


for command in (
    *secrets.COMMANDS,
    *rotation.COMMANDS,
    *operations.COMMANDS,
    *catalogue.COMMANDS,
    *audit.COMMANDS,
    *check.COMMANDS,
    *diff.COMMANDS,
    *doctor.COMMANDS,
    *explain.COMMANDS,
    *run.COMMANDS,
    *needs.COMMANDS,
):
    cli.add_command(command)
