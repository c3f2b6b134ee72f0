"""A real OpenBao with a KV mount of this run, an issuer, and the service in front of both."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.issuer import AUDIENCE, ISSUER, Issuer
from api.live import Api, running
from greenlang_secrets.config import AuthConfig, CacheConfig, SecretsServiceConfig
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.watching import VaultWatch
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.rate_policies import RatePolicies
from support.own_requests import CANARY, no_canary_on_its_own

UNLIMITED = RatePolicies(**dict.fromkeys(RatePolicies.__dataclass_fields__))
"""Tests ask faster than callers may; those of the limits have a service of their own."""


@pytest.fixture(scope="session", autouse=True)
def no_own_canary() -> Iterator[None]:
    """`watching` brings it back for a test."""
    with no_canary_on_its_own():
        yield


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a service that starts in this test make its canary."""
    monkeypatch.setattr(VaultWatch, "_keep_trying", CANARY)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="session")
def api_config(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> ApiConfig:
    jwks: Path = issuer.write(tmp_path_factory.mktemp("jwks") / "jwks.json")
    return ApiConfig(
        jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwks_file=jwks, rate_limits=UNLIMITED
    )


def service_config_for(server: Any, mount: str) -> SecretsServiceConfig:
    """Settings for a server that nobody provisioned: its root token, no token per tenant."""
    return SecretsServiceConfig(
        addresses=(server.addr,),
        auth=AuthConfig(method="token", token=SecretValue(server.root_token)),
        kv_mount=mount,
        tenant_token_role=None,
        cache=CacheConfig(missing_for=0.0, denied_for=0.0),
        request_timeout=2.0,
    )


async def mount_kv(server: Any) -> str:
    """Mount a KV v2 engine under a name of its own, and return the name."""
    mount = f"kv-{secrets.token_hex(4)}"
    body = {"type": "kv", "options": {"version": "2"}}
    status, _ = await server.request("POST", f"sys/mounts/{mount}", body)
    assert status == 204
    for _ in range(200):
        # "Upgrading from non-versioned to versioned data" for a moment.
        status, _ = await server.request("GET", f"{mount}/config")
        if status == 200:
            return mount
        await asyncio.sleep(0.02)
    raise AssertionError(status)


@pytest.fixture(scope="session")
def mount(vault_server: Any) -> str:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(mount_kv(vault_server))


@pytest.fixture(scope="session")
def audit_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit log of `api`."""
    return tmp_path_factory.mktemp("audit") / "audit.jsonl"


@pytest.fixture(scope="session")
def api(vault_server: Any, mount: str, api_config: ApiConfig, audit_file: Path) -> Iterator[Api]:
    config = service_config_for(vault_server, mount)
    with running(config, api_config, audit_file=audit_file) as api:
        yield api


@pytest.fixture
def environment(settings: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """What a process of the service is configured by; what it keeps, it keeps for this test."""
    return {**settings, "GREENLANG_SECRETS_STATE_DIR": str(tmp_path / "state")}


@pytest.fixture(scope="session")
def settings(vault_server: Any, mount: str, api_config: ApiConfig) -> dict[str, str]:
    """What every process of the service is configured by."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "BAO_", "GREEN"))}
    return own | {
        "VAULT_ADDR": vault_server.addr,
        "VAULT_TOKEN": vault_server.root_token,
        "GREENLANG_SECRETS_KV_MOUNT": mount,
        "GREENLANG_SECRETS_TENANT_TOKEN_ROLE": "none",
        "GREENLANG_SECRETS_JWT_ISSUER": ISSUER,
        "GREENLANG_SECRETS_JWT_AUDIENCE": AUDIENCE,
        "GREENLANG_SECRETS_JWT_JWKS_FILE": str(api_config.jwks_file),
    }


@pytest.fixture
def path() -> str:
    """A path that no other test uses."""
    return f"t/{secrets.token_hex(6)}"
