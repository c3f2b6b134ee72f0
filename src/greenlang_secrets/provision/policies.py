"""Policy files: package data, each with its reasons, filled in for one Vault."""

from __future__ import annotations

from importlib import resources
from string import Template

__all__ = ["render_policy"]


def render_policy(name: str, *, kv_mount: str, token_accessor: str) -> str:
    """Return the policy `name` of ``greenlang_secrets/policies`` as one Vault needs it.

    `token_accessor` is the accessor of the mount ``auth/token``. The comments stay: whoever
    reads the policy in Vault finds the reasons there. Reads a file; call it in a thread.
    """
    source = resources.files("greenlang_secrets") / "policies" / f"{name}.hcl"
    return Template(source.read_text("utf-8")).substitute(
        kv_mount=kv_mount, token_accessor=token_accessor
    )
