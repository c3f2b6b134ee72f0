"""The command line in this process, and a Vault for it in the environment."""

from __future__ import annotations

import os
from typing import Any

import pytest
from click.testing import CliRunner, Result

from greenlang_secrets.cli.group import cli

__all__ = ["invoke", "use_vault"]


def use_vault(patch: pytest.MonkeyPatch, server: Any, mount: str) -> None:
    """Let commands find this server and mount with its root token, and no other setting."""
    for name in list(os.environ):
        if name.startswith(("VAULT_", "BAO_", "GREENLANG_SECRETS_")):
            patch.delenv(name)
    patch.setenv("VAULT_ADDR", server.addr)
    patch.setenv("VAULT_TOKEN", server.root_token)
    patch.setenv("GREENLANG_SECRETS_KV_MOUNT", mount)
    patch.setenv("GREENLANG_SECRETS_TENANT_TOKEN_ROLE", "none")


def invoke(*arguments: str, stdin: str | None = None) -> Result:
    """Run a command, and return what it printed and how it ended."""
    result = CliRunner().invoke(cli, arguments, input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
