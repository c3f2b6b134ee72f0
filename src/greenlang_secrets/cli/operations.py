"""Commands on the service and its Vault: dev, serve, provision, token."""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import asyncio
import importlib
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from greenlang_secrets.access import Permission
from greenlang_secrets.cli.catalogue import installed
from greenlang_secrets.cli.input import read_file
from greenlang_secrets.cli.output import json_option, show
from greenlang_secrets.cli.progress import counting
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue

if TYPE_CHECKING:
    from greenlang_secrets.provision import Change, Desired
    from greenlang_secrets.rotation.applying import Applied
    from greenlang_secrets.rotation.policy_file import FilePolicy

__all__ = ["COMMANDS"]

_PORT: Final = click.IntRange(0, 65535)
_DEV_DIR: Final = "GREENLANG_SECRETS_DEV_DIR"


@click.command()
@click.option(
    "--port", type=_PORT, default=8750, show_default=True, help="The API's; 0: a free one."
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Written when everything answers: addresses, tokens, process ids.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keeps everything across restarts; without it, it goes at the end.",
)
@click.option("--no-postgres", is_flag=True, help="Without PostgreSQL.")
@click.option("--no-valkey", is_flag=True, help="Without Valkey.")
def dev(
    *,
    port: int,
    ready_file: Path | None,
    data_dir: Path | None,
    no_postgres: bool,
    no_valkey: bool,
) -> None:
    """Run the whole stack on this machine, until Ctrl-C.

    OpenBao, PostgreSQL and Valkey, for real, on free ports of the loopback interface,
    provisioned and seeded, with the API in front. What to try next is printed.
    """
    try:
        from greenlang_secrets.development.stack import Options, develop
        from greenlang_secrets.testing import ServerError
    except ModuleNotFoundError as error:
        raise _missing(error, "api,cli,postgres,testing") from None

    options = Options(
        port=port,
        ready_file=ready_file,
        data_dir=data_dir,
        postgres=not no_postgres,
        valkey=not no_valkey,
    )
    try:
        asyncio.run(develop(options, say=_say))
    except ServerError as error:
        click.echo(f"error: {error}", err=True)
        raise click.exceptions.Exit(1) from None


def _say(text: str) -> None:
    """Print, even if the terminal is gone: that must not keep the servers from being stopped."""
    with suppress(OSError):
        click.echo(text)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=_PORT, default=8750, show_default=True, help="0 takes a free one.")
@click.option(
    "--url-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Written when requests are answered: the URL, with the port it really has.",
)
def serve(*, host: str, port: int, url_file: Path | None) -> None:
    """Run the API, until SIGTERM or Ctrl-C.

    It is configured by the environment: VAULT_ADDR, GREENLANG_SECRETS_AUTH_METHOD,
    GREENLANG_SECRETS_JWT_ISSUER and so on.
    """
    try:
        # By name: the library does not depend on the service, which depends on it.
        server: Any = importlib.import_module("greenlang_secrets_api.server")
    except ModuleNotFoundError as error:
        raise _missing(error, "api") from None

    def on_ready(url: str) -> None:
        _say(f"listening on {url}")
        if url_file is not None:
            from greenlang_secrets.development.private_files import write_private

            write_private(url_file, f"{url}\n")

    raise click.exceptions.Exit(server.serve(host=host, port=port, on_ready=on_ready))


@click.command()
@click.option("--plan", is_flag=True, help="Show what differs; write nothing.")
@click.option(
    "--postgres-url-file",
    metavar="FILE",
    help="Connect the database engine: a file with postgresql://user:password@host:port/database.",
)
@click.option(
    "--rotation",
    "rotation_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also set the rotation policies of a rotation.yaml.",
)
@click.option(
    "--policies",
    "policies_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Also write each NAME.hcl of a folder as the policy NAME.",
)
@click.option(
    "--roles",
    "roles_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also make the logins, engines' roles and audit device of a roles.yaml.",
)
@json_option
def provision(
    *,
    plan: bool,
    postgres_url_file: str | None,
    rotation_file: Path | None,
    policies_folder: Path | None,
    roles_file: Path | None,
    as_json: bool,
) -> None:
    """Make Vault what the service needs.

    Mounts, policies, auth, roles and keys are read, compared, and written if they differ:
    what is right already is left alone, so that it may run at every deployment. VAULT_TOKEN
    must be an administrator's; the KV mount is GREENLANG_SECRETS_KV_MOUNT, or secret.
    Database users live as long as GREENLANG_SECRETS_ENVIRONMENT lets a lease live, at most.

    With --policies and --roles the consumers of an operator's files are provisioned too; the files
    are read strictly, and nothing is changed if something in them is wrong. What is in no file is
    left alone.

    With --rotation the policies of a file are set in the catalogue, after that they fit has been
    tried; policies that are not in the file are named and left alone.
    """
    from greenlang_secrets.provision import Desired, read_consumers

    consumers = read_consumers(policies_folder, roles_file)
    url = None if postgres_url_file is None else SecretValue(read_file(postgres_url_file).strip())
    config = SecretsServiceConfig.from_env()
    desired = Desired(
        kv_mount=config.kv_mount,
        postgres_url=url,
        environment=config.environment,
        consumers=consumers,
    )
    rotation = () if rotation_file is None else _policies(rotation_file, config)
    with counting(quiet=as_json) as on_progress:
        changes = asyncio.run(_provision(config, desired, plan=plan, on_progress=on_progress))
    document: dict[str, object] = {
        "plan": plan,
        "changes": [
            {"action": change.action, "path": change.path, "settings": list(change.settings)}
            for change in changes
        ],
    }
    lines = [str(change) for change in changes]
    left: list[str] = []
    if rotation_file is not None:
        with installed():
            applied = asyncio.run(_apply(rotation, plan=plan))
        document["rotation"] = {
            "changes": [
                {
                    "action": "create" if change.new else "update",
                    "scope": str(change.wanted.scope),
                    "path": change.wanted.path,
                    "settings": list(change.settings),
                }
                for change in applied.changes
            ],
            "left_alone": [
                {"scope": str(row.scope), "path": row.path} for row in applied.left_alone
            ],
        }
        lines += [str(change) for change in applied.changes]
        left = [
            f"left alone: rotation policy of {row.scope} {row.path}" for row in applied.left_alone
        ]
    show(document, "\n".join([*(lines or ["nothing differs"]), *left]), as_json=as_json)


def _policies(file: Path, config: SecretsServiceConfig) -> tuple[FilePolicy, ...]:
    """The file's policies: what is wrong in it is said before anything is changed."""
    from greenlang_secrets.rotation.policy_file import read_policies

    return read_policies(file, default_interval=config.environment.defaults.rotation_interval)


async def _apply(policies: tuple[FilePolicy, ...], *, plan: bool) -> Applied:
    from greenlang_secrets.cli.rotation import opened
    from greenlang_secrets.rotation.applying import apply_policies

    async with opened() as (manager, catalogue):
        return await apply_policies(policies, manager, catalogue, plan=plan)


async def _provision(
    config: SecretsServiceConfig,
    desired: Desired,
    *,
    plan: bool,
    on_progress: Callable[[str, int], None],
) -> list[Change]:
    from greenlang_secrets.background import Supervisor
    from greenlang_secrets.provision import provision as run
    from greenlang_secrets.vault import VaultClient

    looked: Counter[str] = Counter()

    def on_look(path: str) -> None:
        kind = "/".join(path.split("/")[:2])
        looked[kind] += 1
        on_progress(kind, looked[kind])

    async with Supervisor() as supervisor, VaultClient.open(config, supervisor) as client:
        return await run(client, desired, plan=plan, on_look=on_look)


@click.command()
@click.option("--sub", "subject", default="developer", show_default=True, help="Who it speaks for.")
@click.option("--tenant", metavar="ID", help="As a tenant's principal.")
@click.option("--platform", is_flag=True, help="As a platform principal.")
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    type=click.Choice([permission.value for permission in Permission]),
    help="What it may; may be repeated.",
)
@click.option("--ttl", type=float, default=3600.0, show_default=True, help="Seconds it lives.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"The folder of a running greenlang-secrets dev; {_DEV_DIR} by default.",
)
@json_option
def token(
    *,
    subject: str,
    tenant: str | None,
    platform: bool,
    permissions: tuple[str, ...],
    ttl: float,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Issue a bearer for the API of a dev stack."""
    try:
        from greenlang_secrets.development.issuer import DevelopmentIssuer
    except ModuleNotFoundError as error:
        raise _missing(error, "api") from None

    where = folder or os.environ.get(_DEV_DIR)
    if not where:
        raise ConfigurationError(
            f"{_DEV_DIR} is not set; set it, or --dir, to the folder that greenlang-secrets dev "
            "shows."
        )
    bearer = DevelopmentIssuer.load(Path(where)).issue(
        subject,
        tenant=tenant,
        platform=platform,
        permissions=[Permission(permission) for permission in permissions],
        ttl=ttl,
    )
    show({"token": bearer.reveal(), "expires_in": int(ttl)}, bearer.reveal(), as_json=as_json)


def _missing(error: ModuleNotFoundError, extras: str) -> ConfigurationError:
    return ConfigurationError(
        f"The package {error.name} is not installed; pip install 'greenlang-secrets[{extras}]'"
    )


COMMANDS: Final[tuple[Any, ...]] = (dev, serve, provision, token)
