"""The command on declared needs: needs."""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Final, cast

import click

from greenlang_secrets.errors import ConfigurationError

if TYPE_CHECKING:
    from greenlang_secrets.needs import Needs
    from greenlang_secrets.needs.form import Artefact

__all__ = ["COMMANDS", "found"]


@click.command()
@click.argument("source", metavar="MODULE:CLASS")
@click.option("--policy", "artefact", flag_value="policy", help="Print the Vault policy (HCL).")
@click.option(
    "--external-secret",
    "artefact",
    flag_value="external-secret",
    help="Print the ExternalSecrets (YAML).",
)
@click.option(
    "--annotations",
    "artefact",
    flag_value="annotations",
    help="Print a patch with the annotations of the agent (YAML).",
)
@click.option("--name", default="", help="The program's name and role; the module's by default.")
@click.option("--namespace", default="", help="The namespace of the objects.")
@click.option("--kv-mount", default="secret", show_default=True, help="The mount of the secrets.")
@click.option(
    "--store",
    default="ClusterSecretStore/vault-kv",
    show_default=True,
    help="Kind and name of the operator's store.",
)
@click.option("--refresh", default="15s", show_default=True, help="How often the operator reads.")
def needs(*, source: str, artefact: str | None, **names: str) -> None:
    """Print what a class of needs implies: a policy or manifests.

    Write it into a file: `check --needs MODULE:CLASS` proves that the file is still what the
    class says. The module is imported, from the current folder, too.
    """
    from greenlang_secrets.needs.form import Form
    from greenlang_secrets.needs.printing import printed

    if artefact is None:
        raise click.UsageError("Give one of --policy, --external-secret and --annotations.")
    form = Form(artefact=cast("Artefact", artefact), source=source, **names)
    click.echo(printed(form, found(source).declared), nl=False)


def found(source: str) -> type[Needs]:
    """Import a class of needs, or of `VaultSettings`, named as ``MODULE:CLASS``.

    Raises:
        ConfigurationError: there is no such module or class, or it declares no needs.
    """
    from greenlang_secrets.needs import Needs

    module_name, _, class_name = source.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a program in PATH has not the current folder there
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"There is no module {error.name}, asked for by {source}."
        ) from None
    kind = getattr(module, class_name, None)
    if isinstance(kind, type) and hasattr(kind, "declared_needs"):  # settings, by their extra
        kind = kind.declared_needs()
    if not isinstance(kind, type) or not issubclass(kind, Needs) or not kind.declared:
        raise ConfigurationError(f"{source} is no class of needs: inherit from gs.Needs.")
    return kind


COMMANDS: Final[tuple[Any, ...]] = (needs,)
