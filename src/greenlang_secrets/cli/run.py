"""The command that gives secrets to another one: run. By files in memory, which are gone at the end.

What is read is read once, before the command begins; a command that must follow changes uses the
library.
"""

# ruff: noqa: PLC0415  what is heavy is imported when a command runs, so that --help is quick

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from greenlang_secrets.cli.fields import Reference, field_of
from greenlang_secrets.cli.input import read_file
from greenlang_secrets.cli.secrets import with_view
from greenlang_secrets.cli.templates import Template

if TYPE_CHECKING:
    from greenlang_secrets.view import SecretsView

__all__ = ["COMMANDS"]

_IN: Final = "/dev/shm"  # noqa: S108  memory, and the folder in it is made safely
_FILES: Final = "GREENLANG_SECRETS_FILES"
_PLACEHOLDER: Final = "{files}"
_SUFFIXES: Final = (".tmpl", ".tpl")
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126
_TOKENS: Final = ("VAULT_TOKEN", "BAO_TOKEN")


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--template",
    "templates",
    multiple=True,
    metavar="FILE[:NAME]",
    help="Render it to NAME; the file's name without .tmpl by default.",
)
@click.option(
    "--file", "files", multiple=True, metavar="NAME=PATH#FIELD", help="Write a value to NAME."
)
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME=PATH#FIELD",
    help="Put a value into the environment, which others may see.",
)
@click.option(
    "--in",
    "base",
    type=click.Path(path_type=Path, file_okay=False),
    default=_IN,
    show_default=True,
    help="Where in memory the files are.",
)
@click.option("--tenant", metavar="ID", help="Act in this tenant's scope, not in the platform's.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
def run(
    command: tuple[str, ...],
    *,
    templates: tuple[str, ...],
    files: tuple[str, ...],
    variables: tuple[str, ...],
    base: Path,
    tenant: str | None,
) -> None:
    """Run a command that finds secrets in files.

    The files lie in a new folder in memory that only this user may open, and that is removed at
    the end. The command finds it in GREENLANG_SECRETS_FILES, and in its arguments {files} is
    replaced by it. In templates {{ secret PATH#FIELD }} stands for a value, also with | json or
    | url before the end.

    Signals are passed on, and the exit code is the command's: 128 and a signal's number if one
    ended it, 127 if there is no such command, 126 if it cannot be executed.
    """
    rendered = _templates(templates)
    written = _named(files, "--file")
    exported = _named(variables, "--env")
    _check_names([*rendered, *written])
    wanted = [
        *(reference for template in rendered.values() for reference in template.references),
        *written.values(),
        *exported.values(),
    ]
    values = with_view(tenant, lambda view: _values(view, wanted)) if wanted else {}
    for name, reference in exported.items():
        if "\0" in values[reference]:
            raise click.UsageError(f"The value for {name} has a NUL, which no variable can hold.")
    if exported:
        click.echo(
            f"warning: {', '.join(exported)} in the environment: what the command starts, and who "
            "may look at its process, can read it; prefer --file.",
            err=True,
        )
    raise click.exceptions.Exit(
        _run(
            command,
            base,
            {
                **{name: template.render(values) for name, template in rendered.items()},
                **{name: values[reference] for name, reference in written.items()},
            },
            {name: values[reference] for name, reference in exported.items()},
        )
    )


def _run(
    command: Sequence[str], base: Path, files: dict[str, str], variables: dict[str, str]
) -> int:
    from greenlang_secrets.cli.child import blocked, run_to_end
    from greenlang_secrets.cli.memory_folder import MemoryFolder

    mask = blocked()
    with MemoryFolder(base) as folder:
        for name, text in files.items():
            folder.write(name, text)
        inherited = {name: text for name, text in os.environ.items() if name not in _TOKENS}
        where = str(folder.path)
        try:
            return run_to_end(
                [part.replace(_PLACEHOLDER, where) for part in command],
                {**inherited, **variables, _FILES: where},
                mask=mask,
                inherited=folder.lock,
            )
        except OSError as error:
            click.echo(f"error: {command[0]!r} cannot be run: {error.strerror}", err=True)
            return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE


async def _values(view: SecretsView, wanted: Sequence[Reference]) -> dict[Reference, str]:
    secrets = await view.get_many(reference.path for reference in wanted)
    return {
        reference: field_of(secrets[reference.path], reference.field).reveal()
        for reference in wanted
    }


def _templates(given: Sequence[str]) -> dict[str, Template]:
    found: dict[str, Template] = {}
    for each in given:
        source, _, name = each.partition(":")
        name = name or _without_suffix(Path(source).name)
        if name in found:
            raise click.UsageError(f"The name {name!r} is there twice.")
        found[name] = Template.parse(source, read_file(source))
    return found


def _without_suffix(name: str) -> str:
    return next((name.removesuffix(each) for each in _SUFFIXES if name.endswith(each)), name)


def _named(given: Sequence[str], option: str) -> dict[str, Reference]:
    found: dict[str, Reference] = {}
    for each in given:
        name, separator, reference = each.partition("=")
        if not separator or not name:
            raise click.UsageError(f"{option} takes NAME=PATH#FIELD.")
        if name in found:
            raise click.UsageError(f"The name {name!r} is there twice.")
        found[name] = Reference.parse(reference)
    return found


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not name or "/" in name or "\0" in name or name in {".", ".."}:
            raise click.UsageError(f"{name!r} is no name of a file: it may have no slash.")
        if names.count(name) > 1:
            raise click.UsageError(f"The name {name!r} is there twice.")


COMMANDS: Final[tuple[Any, ...]] = (run,)
