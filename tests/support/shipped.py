"""A server that was provisioned from the files of k8s/vault, and logins of its consumers."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.provision import Change, Consumers, Desired, provision, read_consumers
from support.certificates import self_signed
from support.service_accounts import ServiceAccounts

VAULT = Path(__file__).resolve().parents[2] / "k8s" / "vault"
POLICIES = VAULT / "policies"
ROLES = VAULT / "roles.yaml"

SEEDED: dict[str, dict[str, str]] = {
    "database/postgresql": {
        "host": "postgresql.greenlang.internal",
        "port": "5432",
        "username": "app_a",
        "password": 'p@ss/w:rd?#%&" \\x',
        "database": "greenlang",
    },
    "database/catalogue": {
        "host": "postgresql.greenlang.internal",
        "port": "5432",
        "username": "greenlang",
        "password": "cat/al@gue",
        "database": "greenlang",
    },
    "database/timescaledb": {
        "host": "timescaledb.greenlang.internal",
        "port": "5432",
        "username": "greenlang",
        "password": "ts/p@ss",
        "database": "metrics",
    },
    "database/redis": {
        "host": "redis.greenlang.internal",
        "port": "6379",
        "username": "app",
        "password": "r:d/s",
        "url": "redis://app:r%3Ad%2Fs@redis.greenlang.internal:6379/0",
    },
    "api-keys/internal": {"api_key": "gl_internal"},
    "api-keys/external": {"api_key": "gl_external"},
    "certificates/internal-mtls": {
        "certificate": "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----",
        "private_key": "-----BEGIN PRIVATE KEY-----\nkey\n-----END PRIVATE KEY-----",
        "ca_chain": "-----BEGIN CERTIFICATE-----\nca\n-----END CERTIFICATE-----",
    },
    "services/auth-service": {"token": "auth"},
    "pushed/greenlang-api/session-key": {"key": "pushed"},
}
"""Paths below greenlang/, and what lies there; passwords with every special character."""


def _consumers() -> Consumers:
    """What the files say; the server is in no pod, so it is given the CA of an API server."""
    found = read_consumers(POLICIES, ROLES)
    assert found.kubernetes is not None
    with tempfile.TemporaryDirectory() as folder:
        ca = self_signed(Path(folder), "api-server").cert.read_text().strip()
    return replace(found, kubernetes=replace(found.kubernetes, ca_cert=ca))


_CONSUMERS = _consumers()


def desired(postgres_url: str | None = None) -> Desired:
    """Return what the shipped files say."""
    url = None if postgres_url is None else gs.SecretValue(postgres_url)
    return Desired(postgres_url=url, consumers=_CONSUMERS)


async def run_provision(
    server: Any, wanted: Desired, *, token: str | None = None, plan: bool = False
) -> list[Change]:
    """Provision as `greenlang-secrets provision` does, with the root token or another."""
    config = gs.SecretsServiceConfig(
        addresses=(server.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(token or server.root_token)),
    )
    async with Supervisor() as supervisor, gs.VaultClient.open(config, supervisor) as client:
        return await provision(client, wanted, plan=plan)


@dataclass(frozen=True)
class Shipped:
    """The server, and the cluster whose pods log in to it."""

    server: Any
    accounts: ServiceAccounts
    postgres_url: str | None = None

    async def put(self, path: str, data: dict[str, str]) -> None:
        """Write a secret below greenlang/ as an administrator."""
        status, body = await self.server.request(
            "POST", f"secret/data/greenlang/{path}", {"data": data}
        )
        assert status == 200, body

    async def log_in(self, role: str, namespace: str, account: str, audience: str = "vault") -> Any:
        """Return status and body of a pod's login."""
        token = self.accounts.token(namespace, account, audience=audience)
        return await self.server.request(
            "POST", "auth/kubernetes/login", {"role": role, "jwt": token}
        )

    async def token(self, role: str, namespace: str) -> str:
        """Return the token of a role for the service account of its name."""
        status, body = await self.log_in(role, namespace, role)
        assert status == 200, body
        return str(body["auth"]["client_token"])


async def shipped(server: Any, accounts: ServiceAccounts, postgres_url: str | None) -> Shipped:
    """Provision a server, seed it, and have it ask the stub about service accounts."""
    await run_provision(server, desired(postgres_url))
    status, body = await server.request("POST", "auth/kubernetes/config", accounts.settings)
    assert status == 204, body
    found = Shipped(server, accounts, postgres_url)
    await asyncio.gather(*(found.put(path, data) for path, data in SEEDED.items()))
    return found
