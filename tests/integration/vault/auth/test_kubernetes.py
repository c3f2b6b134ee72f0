"""The real auth mount, and a stub in place of the Kubernetes API server: there is no cluster
here, so the TokenReview that the mount asks for is answered by the test.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import greenlang_secrets as gs
from greenlang_secrets.vault import auth as auth_methods
from support.canary import shown_in
from support.certificates import Pem, self_signed
from support.logins import log_in, refusal, with_locals
from support.stub import Asked, Stub, stub

API_SERVER = "https://kubernetes.default.svc.cluster.local"

KNOWN = {
    "authenticated": True,
    "audiences": [API_SERVER],
    "user": {
        "username": "system:serviceaccount:greenlang:service",
        "uid": "1a2b",
        "groups": ["system:serviceaccounts"],
    },
}


def reviewed(status: dict[str, Any]) -> tuple[int, str, bytes]:
    """The API server's answer to a TokenReview."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}
    return 201, "application/json", json.dumps(review).encode()


def sent(asked: Asked) -> str:
    """The token that a TokenReview is about."""
    return json.loads(asked.body)["spec"]["token"]


@pytest.fixture
def api_certificate(tmp_path) -> Pem:
    """What the stub shows, and the mount is told to trust."""
    return self_signed(tmp_path, "kubernetes")


@pytest.fixture
def reviewer(api_certificate) -> Iterator[Stub]:
    """The stub: it says yes to every TokenReview, until told otherwise."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(api_certificate.cert, api_certificate.key)
    with stub(lambda _: reviewed(KNOWN), tls=tls) as server:
        yield server


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """The key with which the cluster would sign its service accounts' tokens."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def service_account_token(key: rsa.RSAPrivateKey, account: str = "service") -> str:
    """A token as the kubelet projects it into a pod."""
    now = int(time.time())
    claims = {
        "iss": API_SERVER,
        "aud": [API_SERVER],
        "sub": f"system:serviceaccount:greenlang:{account}",
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
        "kubernetes.io": {
            "namespace": "greenlang",
            "serviceaccount": {"name": account, "uid": "1a2b"},
        },
    }
    return jwt.encode(claims, key, algorithm="RS256")


@pytest.fixture
def token_file(tmp_path, key) -> Path:
    file = tmp_path / "token"
    file.write_text(service_account_token(key))
    return file


@pytest.fixture
async def auth(  # noqa: PLR0917  fixtures are asked for by name
    vault_server, enable, policy, reviewer, api_certificate, key, token_file
) -> gs.AuthConfig:
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    mount = await enable(
        "kubernetes",
        config={
            "kubernetes_host": reviewer.addr,
            "kubernetes_ca_cert": api_certificate.cert.read_text(),
            "pem_keys": [public.decode()],
            "disable_local_ca_jwt": True,
            "token_reviewer_jwt": service_account_token(key, "reviewer"),
        },
    )
    status, body = await vault_server.request(
        "POST",
        f"auth/{mount}/role/app",
        {
            "bound_service_account_names": ["service"],
            "bound_service_account_namespaces": ["greenlang"],
            "token_policies": [policy],
            "token_ttl": "30m",
        },
    )
    assert status in {200, 204}, body
    return gs.AuthConfig(method="kubernetes", mount=mount, role="app", jwt_file=token_file)


async def test_service_account_token_gives_the_roles_token(  # noqa: PLR0917  fixtures are asked for by name
    config, auth, policy, looked_up, reviewer, token_file
):
    """The real mount takes the token (API server stubbed) and has it reviewed unchanged."""
    token = await log_in(config, auth)

    facts = await looked_up(token)
    assert set(facts["policies"]) == {"default", policy}
    assert facts["meta"]["service_account_name"] == "service"
    assert token.ours
    assert sent(reviewer.asked[0]) == token_file.read_text()


async def test_login_is_one_request(config, auth, vault_server, logins):
    """Nothing else is asked of the auth mount (API server stubbed)."""
    mark = await vault_server.audit_mark()

    await log_in(config, auth)

    assert await logins(mark, auth.mount) == [("update", f"auth/{auth.mount}/login")]


async def test_service_reads_a_secret_with_it(config, auth):
    """The whole way: configuration, login, read (API server stubbed)."""
    async with gs.SecretsService.open(replace(config, auth=auth)) as secrets:
        assert (await secrets.get("x"))["k"].reveal() == "v"


async def test_token_is_read_anew_at_each_login(config, auth, reviewer, key, token_file):
    """What the kubelet has put in the file since is sent at the next login (API server stubbed)."""
    await log_in(config, auth)
    renewed = service_account_token(key)
    token_file.write_text(renewed)

    await log_in(config, auth)

    assert sent(reviewer.asked[-1]) == renewed


async def test_another_service_account_is_refused_and_not_shown(config, auth, key, token_file):
    """The role's bounds decide; the error shows the token in no traceback (API server stubbed)."""
    text = service_account_token(key, "another")
    token_file.write_text(text)

    error = await refusal(config, auth)

    assert "the role is bound to this pod's service account and namespace" in str(error)
    assert shown_in(with_locals(error), text.rpartition(".")[2]) is None


async def test_token_that_the_cluster_does_not_know_is_refused(config, auth, reviewer):
    """A review that says no (API server stubbed) is a refused login."""
    reviewer.respond = lambda _: reviewed({"authenticated": False, "error": "unknown"})

    await refusal(config, auth)


async def test_without_a_file_of_ones_own_the_pods_is_read(config, auth, monkeypatch, tmp_path):
    """The default is where a pod finds its token; what is missing there is told by name."""
    default = auth_methods.SERVICE_ACCOUNT_TOKEN
    assert str(default) == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    absent = tmp_path / "absent"
    monkeypatch.setattr(auth_methods, "SERVICE_ACCOUNT_TOKEN", absent)

    with pytest.raises(gs.ConfigurationError) as caught:
        await log_in(config, replace(auth, jwt_file=None))

    assert str(caught.value) == (
        f"GREENLANG_SECRETS_AUTH_JWT_FILE is {str(absent)!r}, which does not exist."
    )
