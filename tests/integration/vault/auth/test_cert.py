from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

import greenlang_secrets as gs
from greenlang_secrets.testing.process import free_port
from support.canary import shown_in
from support.certificates import Pem, self_signed
from support.logins import log_in, refusal, with_locals


@pytest.fixture
def of_server(tmp_path) -> Pem:
    return self_signed(tmp_path, "vault")


@pytest.fixture
def of_service(tmp_path) -> Pem:
    return self_signed(tmp_path, "service")


@pytest.fixture
async def tls_config(
    new_vault_server, of_server, of_service
) -> AsyncIterator[gs.SecretsServiceConfig]:
    """A server of our own with a second listener, which speaks TLS, and a KV mount on it."""
    port, cluster_port = free_port(), free_port()
    server = await new_vault_server(
        extra_config=(
            f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n'
            f'  cluster_address = "127.0.0.1:{cluster_port}"\n'
            f"  tls_cert_file = {json.dumps(str(of_server.cert))}\n"
            f"  tls_key_file = {json.dumps(str(of_server.key))}\n}}"
        )
    )
    for path, fields in REQUESTS:
        body = fields | ({"certificate": of_service.cert.read_text()} if "certs/" in path else {})
        status, answer = await server.request("POST", path, body)
        assert status in {200, 204}, (path, answer)
    return gs.SecretsServiceConfig(
        addresses=(f"https://127.0.0.1:{port}",),
        ca_cert=of_server.cert,
        client_cert=of_service.cert,
        client_key=of_service.key,
        auth=AUTH,
        tenant_token_role=None,
    )


AUTH = gs.AuthConfig(method="cert", mount="mtls", role="service")

REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}),
    ("secret/data/greenlang/x", {"data": {"k": "v"}}),
    ("sys/policies/acl/reader", {"policy": 'path "secret/*" { capabilities = ["read"] }'}),
    ("sys/auth/mtls", {"type": "cert"}),
    ("auth/mtls/certs/service", {"token_policies": ["reader"], "token_ttl": "30m"}),
)


async def test_client_certificate_gives_the_roles_token(tls_config):
    """The certificate of the TLS handshake is the whole credential; a secret is read with it."""
    token = await log_in(tls_config, AUTH)

    assert token.ours
    assert token.term.duration == 1800
    async with gs.SecretsService.open(tls_config) as secrets:
        assert (await secrets.get("x"))["k"].reveal() == "v"


async def test_without_a_role_vault_finds_one_that_fits(tls_config):
    """The role is optional, as it is for Vault."""
    auth = replace(AUTH, role=None)

    assert (await log_in(replace(tls_config, auth=auth), auth)).ours


async def test_certificate_that_the_mount_does_not_trust_is_refused(tls_config, tmp_path):
    """The error says what to look at, and shows no key."""
    stranger = self_signed(tmp_path, "stranger")
    config = replace(tls_config, client_cert=stranger.cert, client_key=stranger.key)

    error = await refusal(config, AUTH)

    assert "check VAULT_CLIENT_CERT, GREENLANG_SECRETS_AUTH_ROLE" in str(error)
    key = "".join(stranger.key.read_text().splitlines()[1:-1])
    assert shown_in(with_locals(error), key) is None


async def test_role_of_another_certificate_is_refused(tls_config):
    """A trusted certificate does not open every role."""
    auth = replace(AUTH, role="another")

    await refusal(replace(tls_config, auth=auth), auth)
