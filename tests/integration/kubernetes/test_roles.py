"""Every role of k8s/vault on the real server: it may what it should, and nothing beside it.

The auth mount is real; the TokenReview that it asks for is answered by a stub.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from support.shipped import POLICIES, ROLES, SEEDED

READS = {
    ("greenlang", "greenlang-api"): {
        *("database/postgresql", "database/redis", "api-keys/internal", "api-keys/external"),
        "certificates/internal-mtls",
    },
    ("greenlang", "greenlang-agents"): {
        *("database/postgresql", "database/timescaledb", "database/redis", "api-keys/internal"),
        "certificates/internal-mtls",
    },
    ("greenlang", "greenlang-jobs"): {"database/postgresql", "api-keys/internal"},
    ("external-secrets", "eso-kv"): {
        *("database/postgresql", "database/timescaledb", "database/redis", "database/catalogue"),
        *("api-keys/internal", "api-keys/external", "certificates/internal-mtls"),
    },
    ("greenlang", "eso-database"): set(),
    ("greenlang", "eso-pki"): set(),
    ("greenlang", "eso-push"): {"pushed/greenlang-api/session-key"},
    ("greenlang", "greenlang-secrets"): set(SEEDED),
    ("vault", "vault-provision"): set(),
}
"""Of what is seeded, what each role reads; the service is whose it all is."""

NEIGHBOURS = [
    ("LIST", "secret/metadata/greenlang", None),
    ("LIST", "secret/metadata/greenlang/database", None),
    ("GET", "secret/data/greenlang/database/postgresql-admin", None),
    ("GET", "secret/data/greenlang/database/postgresql/x", None),
    ("GET", "secret/metadata/greenlang/database/postgresql", None),
    ("GET", "secret/data/tenants/acme/api-keys/stripe", None),
    ("POST", "secret/data/greenlang/database/postgresql", {"data": {"password": "x"}}),
    ("DELETE", "secret/data/greenlang/database/postgresql", None),
    ("DELETE", "secret/metadata/greenlang/pushed/greenlang-api/session-key", None),
    ("GET", "secret/data/greenlang/pushed/greenlang-api", None),
    ("GET", "secret/data/greenlang/pushed/greenlang-api/session-key/more", None),
    ("POST", "transit/decrypt/data-encryption-key", {"ciphertext": "vault:v1:AA=="}),
    ("GET", "database/creds/other", None),
    ("GET", "database/static-creds/greenlang-x", None),
    ("POST", "pki_int/issue/greenlang-services", {"common_name": "a.greenlang.internal"}),
    ("POST", "pki/issue/internal-mtls", {"common_name": "a.mtls.greenlang.internal"}),
    ("POST", "auth/token/create", {}),
    ("GET", "sys/raw/core", None),
]
"""What no consumer but the service itself may ask for."""

CONSUMERS = [role for role in READS if role[1] not in {"greenlang-secrets", "vault-provision"}]


def _id(value: Any) -> str:
    return value[1] if isinstance(value, tuple) else ""


def test_every_role_and_policy_is_tried() -> None:
    """The tables of this module name each shipped role and each shipped policy."""
    roles = yaml.safe_load(ROLES.read_text())["kubernetes"]["roles"]

    assert {(role["namespace"], name) for name, role in roles.items()} == set(READS)
    assert {file.stem for file in POLICIES.glob("*.hcl")} == set(roles) - {"greenlang-secrets"}


async def test_each_role_reads_exactly_what_it_should(vault):
    """Of all seeded secrets a role's token reads those of its table, and is refused the rest."""
    for (namespace, role), expected in READS.items():
        token = await vault.token(role, namespace)
        answers = {
            path: (await vault.server.request("GET", f"secret/data/greenlang/{path}", None, token))
            for path in SEEDED
        }

        assert {path for path, (status, _) in answers.items() if status == 200} == expected, role
        assert {status for status, _ in answers.values()} <= {200, 403}
        for path in expected:
            assert answers[path][1]["data"]["data"] == SEEDED[path]


@pytest.mark.parametrize("role", CONSUMERS, ids=_id)
async def test_neighbouring_paths_are_refused(vault, role):
    """Lists, histories, writes, other engines and other people's secrets: 403 each."""
    namespace, name = role
    token = await vault.token(name, namespace)

    for method, path, body in NEIGHBOURS:
        status, _ = await vault.server.request(method, path, body, token)
        assert status == 403, (method, path)


@pytest.mark.parametrize("role", list(READS), ids=_id)
async def test_role_is_bound_to_account_namespace_and_audience(vault, role):
    """The account of another name, another namespace's, and a token for the API server: no login."""
    namespace, name = role
    allowed, body = await vault.log_in(name, namespace, name)
    assert (allowed, body["auth"]["metadata"]["role"]) == (200, name)
    assert body["auth"]["policies"] == sorted(["default", name])

    for other in (
        {"namespace": namespace, "account": "default"},
        {"namespace": "default", "account": name},
        {
            "namespace": namespace,
            "account": name,
            "audience": "https://kubernetes.default.svc.cluster.local",
        },
    ):
        status, _ = await vault.log_in(name, **other)
        assert status in {400, 403}, other


async def test_database_generator_makes_users_of_both_roles(vault_and_postgres):
    """eso-database gets a user of each role; the life is the one that roles.yaml says."""
    vault = vault_and_postgres
    token = await vault.token("eso-database", "greenlang")

    for role in ("greenlang-readonly", "greenlang-readwrite"):
        status, body = await vault.server.request("GET", f"database/creds/{role}", None, token)
        assert (status, body["lease_duration"]) == (200, 3600)
        assert set(body["data"]) == {"username", "password"}


async def test_certificate_generator_issues_mtls_certificates_only(vault):
    """eso-pki gets a certificate of the domain, and none of another."""
    token = await vault.token("eso-pki", "greenlang")

    async def issue(name: str) -> int:
        body = {"common_name": name}
        answer = await vault.server.request("POST", "pki_int/issue/internal-mtls", body, token)
        return answer[0]

    assert await issue("greenlang-api.mtls.greenlang.internal") == 200
    assert await issue("greenlang-api.example.org") == 400


async def test_pushing_writes_below_pushed_only(vault):
    """eso-push makes a secret with its mark, reads both back, and cannot take it away."""
    token = await vault.token("eso-push", "greenlang")
    at = "greenlang/pushed/greenlang-agents/signing-key"

    async def ask(method: str, path: str, body: Any = None) -> int:
        return (await vault.server.request(method, path, body, token))[0]

    mark = {"custom_metadata": {"managed-by": "external-secrets"}}
    assert await ask("POST", f"secret/metadata/{at}", mark) == 204
    assert await ask("POST", f"secret/data/{at}", {"data": {"key": "new"}}) == 200
    assert await ask("GET", f"secret/data/{at}") == 200
    assert await ask("GET", f"secret/metadata/{at}") == 200
    assert await ask("DELETE", f"secret/data/{at}") == 403
    assert await ask("POST", "secret/data/greenlang/services/x", {"data": {"k": "v"}}) == 403
