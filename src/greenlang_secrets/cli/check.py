"""The command on manifests: check."""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from greenlang_secrets.cli.input import read_file
from greenlang_secrets.cli.needs import found
from greenlang_secrets.cli.output import json_option, show, table
from greenlang_secrets.config import Environment
from greenlang_secrets.errors import ConfigurationError

if TYPE_CHECKING:
    from greenlang_secrets.check import Checked

__all__ = ["COMMANDS"]

_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)
_FOLDER: Final = click.Path(path_type=Path, file_okay=False, exists=True)
_SCRAPE_SECONDS: Final = 10.0


@click.command()
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--policies", multiple=True, type=_FOLDER, help="A folder with more *.hcl.")
@click.option("--roles", type=_FILE, help="The file with the roles, if it is elsewhere.")
@click.option("--tree", type=_FILE, help="The secrets there are: a path, and its keys, a line.")
@click.option("--seed", is_flag=True, help="The secrets there are: those of dev.")
@click.option(
    "--environment",
    type=click.Choice([environment.value for environment in Environment]),
    help="Whose refresh holds for all; by default the folder's.",
)
@click.option("--kv-mount", default="secret", show_default=True, help="What ${kv_mount} is.")
@click.option("--needs", multiple=True, metavar="MODULE:CLASS", help="What files are printed from.")
@click.option("--metrics-url", multiple=True, help="A live scrape that has the metrics.")
@click.option("--metrics-file", multiple=True, type=_FILE, help="A file with metrics, one a line.")
@click.option("--server", metavar="URL", help="Ask this Vault, and start none.")
@click.option("--token-file", help="The token for --server; - is stdin.")
@json_option
def check(
    *,
    paths: tuple[Path, ...],
    policies: tuple[Path, ...],
    roles: Path | None,
    tree: Path | None,
    seed: bool,
    environment: str | None,
    kv_mount: str,
    needs: tuple[str, ...],
    metrics_url: tuple[str, ...],
    metrics_file: tuple[Path, ...],
    server: str | None,
    token_file: str | None,
    as_json: bool,
) -> None:
    """Check manifests against policies, roles, secrets and metrics.

    Exit code 1 if there is a finding. Policies are *.hcl in folders named policies, roles are
    in roles.yaml; an embedded OpenBao says what each role may.
    """
    if (server is None) != (token_file is None):
        raise click.UsageError("Give --server and --token-file together.")
    try:
        from greenlang_secrets.check import Options
        from greenlang_secrets.check import check as run
        from greenlang_secrets.check.metrics import names_in_scrape
        from greenlang_secrets.check.tree import read_tree, seeded
        from greenlang_secrets.testing import ExternalVault, ServerError
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The package {error.name} is not installed; "
            "pip install 'greenlang-secrets[cli,testing]'"
        ) from None

    names: frozenset[str] | None = None
    for text in [*map(_scraped, metrics_url), *(file.read_text("utf-8") for file in metrics_file)]:
        names = (names or frozenset()) | names_in_scrape(text)
    secrets = {**(seeded(kv_mount) if seed else {}), **(read_tree(tree) if tree else {})}
    options = Options(
        paths=paths,
        policies=policies,
        roles=roles,
        tree=secrets if seed or tree else None,
        environment=None if environment is None else Environment(environment),
        metrics=names,
        server=(
            None
            if server is None or token_file is None
            else ExternalVault(server, read_file(token_file).strip())
        ),
        kv_mount=kv_mount,
        needs={source: found(source) for source in needs},
    )
    try:
        checked = asyncio.run(run(options))
    except ServerError as error:
        raise ConfigurationError(f"There is no server to ask: {error}") from None
    _print(checked, as_json=as_json)
    raise click.exceptions.Exit(1 if checked.findings else 0)


def _scraped(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError("--metrics-url takes a URL of http or https.")
    try:
        with urllib.request.urlopen(url, timeout=_SCRAPE_SECONDS) as answer:  # noqa: S310  checked
            return str(answer.read().decode())
    except (OSError, ValueError):
        raise click.UsageError(f"The metrics at {url} cannot be read.") from None


def _print(checked: Checked, *, as_json: bool) -> None:
    looked = (
        f"{checked.files} files, {checked.policies} policies, {checked.needs} grants asked for: "
        f"{len(checked.findings)} findings"
    )
    document: dict[str, object] = {
        "files": checked.files,
        "policies": checked.policies,
        "needs": checked.needs,
        "findings": [
            {
                "rule": finding.rule,
                "file": str(finding.place.file),
                "line": finding.place.line,
                "object": finding.place.object,
                "what": finding.what,
                "fix": finding.fix,
            }
            for finding in checked.findings
        ],
    }
    if as_json:
        show(document, "", as_json=True)
        return
    if checked.findings:
        table(
            ("where", "rule", "object", "what", "what to do"),
            [
                (f"{f.place.file}:{f.place.line}", f.rule, f.place.object, f.what, f.fix)
                for f in checked.findings
            ],
        )
    click.echo(looked, err=True)


COMMANDS: Final[tuple[Any, ...]] = (check,)
