"""The command line: `main` is the program ``greenlang-secrets``.

Needs ``pip install 'greenlang-secrets[cli]'``. One file per group of commands; what is
heavy (Vault, the API, real servers) is imported by the command that needs it.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the program and exit with its code (`greenlang_secrets.cli.group` lists them)."""
    try:
        from greenlang_secrets.cli.group import cli  # noqa: PLC0415  click may be missing
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.stderr.write(
            f"error: {error.name} is not installed; pip install 'greenlang-secrets[cli]'\n"
        )
        raise SystemExit(2) from None
    except KeyboardInterrupt:  # while importing; click sees to it from here on
        raise SystemExit(130) from None
    cli(prog_name="greenlang-secrets")
