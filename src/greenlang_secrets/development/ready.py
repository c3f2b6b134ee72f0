"""What a running stack tells others: the ready file for programs, ``env`` for a second shell,
and a greeting for the reader of the terminal.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from greenlang_secrets.access import Permission
from greenlang_secrets.development.issuer import DevelopmentIssuer
from greenlang_secrets.sensitive import SecretValue

__all__ = ["Running", "greeting", "issue_tokens"]

_EVERYTHING: Final = frozenset(Permission)
_READ: Final = frozenset({Permission.READ})
_PRINCIPALS: Final[Mapping[str, tuple[str | None, frozenset[Permission]]]] = {
    "platform-admin": (None, _EVERYTHING),
    "platform-reader": (None, _READ),
    "acme-admin": ("acme", _EVERYTHING),
    "acme-reader": ("acme", _READ),
    "globex-admin": ("globex", _EVERYTHING),
    "no-permissions": ("acme", frozenset()),
}
"""Name, also the subject, to tenant (None: the platform) and permissions."""


def issue_tokens(issuer: DevelopmentIssuer) -> dict[str, SecretValue]:
    """Return a bearer of one hour for each principal of the ready file."""
    return {
        name: issuer.issue(name, tenant=tenant, platform=tenant is None, permissions=permissions)
        for name, (tenant, permissions) in _PRINCIPALS.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A stack that answers.

    Attributes:
        folder: where its files are.
        audit_log: the API's.
        openbao_audit_log: Vault's own.
        beside_vault: settings that say where the catalogue and the audit log are.
        pids: by name: api, openbao, postgres, valkey; without those that do not run.
        tokens: bearers by name.
    """

    folder: Path
    api_url: str
    vault_addr: str
    vault_token: SecretValue
    postgres_url: SecretValue | None
    valkey_url: SecretValue | None
    audit_log: Path
    openbao_audit_log: Path
    beside_vault: Mapping[str, str] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)
    tokens: Mapping[str, SecretValue] = field(default_factory=dict)

    def ready_file(self) -> str:
        """Return the ready file's JSON; it holds secrets."""
        postgres_url, valkey_url = (
            None if url is None else url.reveal() for url in (self.postgres_url, self.valkey_url)
        )
        document = {
            "api_url": self.api_url,
            "vault_addr": self.vault_addr,
            "vault_token": self.vault_token.reveal(),
            "postgres_url": postgres_url,
            "valkey_url": valkey_url,
            "metrics_url": f"{self.api_url}/metrics",
            "audit_log": str(self.audit_log),
            "openbao_audit_log": str(self.openbao_audit_log),
            "env_file": str(self.folder / "env"),
            "pids": dict(self.pids),
            "tokens": {name: token.reveal() for name, token in self.tokens.items()},
        }
        return json.dumps(document, indent=2) + "\n"

    def env_file(self) -> str:
        """Return ``export`` lines for a second shell; it holds secrets."""
        settings = {
            "VAULT_ADDR": self.vault_addr,
            "VAULT_TOKEN": self.vault_token.reveal(),
            "GREENLANG_SECRETS_ENVIRONMENT": "development",
            "GREENLANG_SECRETS_AUTH_METHOD": "token",
            "GREENLANG_SECRETS_DEV_DIR": str(self.folder),
            **self.beside_vault,
        }
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in settings.items()]
        if shutil.which("greenlang-secrets") is None:  # as after `make dev`
            lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n')
        return "".join(lines)


def greeting(running: Running) -> str:
    """Return what to try next; it holds two bearers, which die within the hour."""
    api = f"{running.api_url}/api/v1/secrets"
    bearer = '-H "Authorization: Bearer $TOKEN"'
    env = shlex.quote(str(running.folder / "env"))
    beside = [
        f"  {name:<9} {where}"
        for name, where in (
            ("API", f"{running.api_url}  (metrics: /metrics)"),
            ("OpenBao", running.vault_addr),
            ("logs", str(running.folder / "api.log")),
        )
    ]
    return "\n".join(
        [
            "",
            "greenlang-secrets is up: real servers on this machine, until Ctrl-C.",
            "",
            *beside,
            "",
            "Read the platform's PostgreSQL credentials, the ones of the server beside:",
            "",
            f"  TOKEN={running.tokens['platform-admin'].reveal()}",
            f"  curl -s {bearer} {api}/database/postgresql",
            f"  curl -s {bearer} '{api}?prefix=services/'",
            "",
            "Rotate them, and read the new ones:",
            "",
            f"  curl -s {bearer} -X POST -H 'Prefer: wait=20' {api}/rotate/database/postgresql",
            f"  curl -s {bearer} {api}/database/postgresql",
            "",
            "Be the tenant acme, write a secret and read it back:",
            "",
            f"  TOKEN={running.tokens['acme-admin'].reveal()}",
            f"  curl -s {bearer} {api}/api-keys/stripe",
            f"  curl -s {bearer} -H 'Content-Type: application/json' \\",
            f'    -d \'{{"data": {{"key": "value"}}}}\' {api}/my/first',
            f"  curl -s {bearer} {api}/my/first",
            "",
            "In a second shell, with the same Vault and more bearers (these live an hour):",
            "",
            f"  . {env}",
            "  greenlang-secrets get database/postgresql --reveal",
            "  greenlang-secrets token --sub me --tenant globex --permission secrets:read",
            "",
        ]
    )
