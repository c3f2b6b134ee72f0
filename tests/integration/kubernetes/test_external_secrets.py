"""Each ExternalSecret and PushSecret of production, on a server provisioned from the shipped files.

The operator's requests are made as the role of its store, with the account, namespace and audience
that the manifests name; its templates are rendered by a real agent (support/external_secrets.py).
The auth mount is real; the TokenReview that it asks for is answered by a stub.
"""

from __future__ import annotations

import copy
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest
from cryptography import x509

from contracts.manifests import build
from contracts.markdown import ROOT
from support.external_secrets import Operator, Refused
from support.shipped import SEEDED, Shipped

DIFFICULT = ("p@ss/w:rd?#[]", "a b+c", "100%25", "ü'\"\\&=", "{{ .x }}", "$HOME`id`")


def operator_of(vault: Shipped) -> Operator:
    """An operator to which production's manifests are applied."""
    return Operator(vault, copy.deepcopy(build(ROOT / "k8s" / "overlays" / "prod")))


async def certified(vault: Shipped) -> None:
    """Have a real certificate at certificates/internal-mtls, as rotation puts it there."""
    status, body = await vault.server.request(
        "POST", "pki_int/issue/internal-mtls", {"common_name": "a.mtls.greenlang.internal"}
    )
    assert status == 200, body
    issued = body["data"]
    await vault.put(
        "certificates/internal-mtls",
        {
            "certificate": issued["certificate"],
            "private_key": issued["private_key"],
            "ca_chain": "\n".join(issued["ca_chain"]),
        },
    )


def loads(secret: dict[str, str], folder: Path) -> None:
    """Load a TLS Secret as a server does: key and certificate belong together, the CA is one."""
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_text(secret[name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    context.load_verify_locations(cadata=secret["ca.crt"])
    leaf = x509.load_pem_x509_certificate(secret["tls.crt"].encode())
    issuer = x509.load_pem_x509_certificate(secret["ca.crt"].encode())
    leaf.verify_directly_issued_by(issuer)


async def test_every_external_secret_of_kv_is_read_and_rendered(vault, tmp_path):
    """Its store's role reads each path and property; the Secret has each key, whole: plain fields as
    they are, URLs that come apart into what lies in Vault, certificates with their keys.
    """
    await certified(vault)
    operator = operator_of(vault)
    found = [each for each in operator.of("ExternalSecret") if operator.generator(each) is None]

    got = {each["metadata"]["name"]: await operator.read(each) for each in found}
    secrets = await operator.rendered(found, tmp_path)

    assert len(secrets) == len(found) >= 15
    for each in found:
        name, template = each["metadata"]["name"], each["spec"]["target"]["template"]
        values, secret = got[name], secrets[name]
        assert set(secret) == set(template["data"])
        if template["type"] == "kubernetes.io/tls":
            loads(secret, tmp_path)
            continue
        for key, text in secret.items():
            if key.endswith("url"):
                _is_url_of(text, values)
            else:
                assert text == values[key]


def _is_url_of(url: str, values: dict[str, str]) -> None:
    parts = urlsplit(url)
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (
        values["username"],
        values["password"],
    )
    assert (parts.hostname, str(parts.port)) == (values["host"], values["port"])
    if parts.scheme == "postgresql":
        assert unquote(parts.path) == f"/{values['database']}"
        assert parts.query == "sslmode=verify-full"
    else:
        assert (parts.scheme, parts.query) == ("rediss", "")
        assert parts.path in {"/0", "/1"}


async def test_connection_strings_survive_any_password(vault, tmp_path):
    """Users, passwords and databases with every character that means something to somebody."""
    operator = operator_of(vault)
    found = [
        each
        for each in operator.of("ExternalSecret")
        if any(key.endswith("url") for key in each["spec"]["target"]["template"]["data"])
    ]
    assert len(found) >= 10

    for password in DIFFICULT:
        for path in ("database/postgresql", "database/timescaledb", "database/redis"):
            hard = {"username": "a@b c", "password": password, "database": "green land"}
            await vault.put(path, {**SEEDED[path], **hard})
        secrets = await operator.rendered(found, tmp_path / str(DIFFICULT.index(password)))

        for each in found:
            values = await operator.read(each)
            assert values["password"] == password
            for key, text in secrets[each["metadata"]["name"]].items():
                if key.endswith("url"):
                    _is_url_of(text, values)
                else:
                    assert text == values[key]


async def test_every_generator_makes_what_its_secret_wants(vault_and_postgres, tmp_path):
    """Users that log in to PostgreSQL, and a certificate with its key, by the generator's account."""
    vault = vault_and_postgres
    operator = operator_of(vault)
    found = [each for each in operator.of("ExternalSecret") if operator.generator(each)]

    for each in found:
        assert await operator.generated(each)
    secrets = await operator.rendered(found, tmp_path)

    kinds = {each["metadata"]["name"]: each["spec"]["target"]["template"]["type"] for each in found}
    assert sorted(kinds.values()) == ["Opaque", "Opaque", "kubernetes.io/tls"]
    for name, secret in secrets.items():
        if kinds[name] == "kubernetes.io/tls":
            loads(secret, tmp_path)
            continue
        place = urlsplit(vault.postgres_url)
        connection = await asyncpg.connect(
            host=place.hostname,
            port=place.port,
            database=place.path.strip("/"),
            user=secret["username"],
            password=secret["password"],
        )
        assert await connection.fetchval("SELECT current_user") == secret["username"]
        await connection.close()


async def test_every_push_arrives_and_deletes_nothing(vault):
    """Values and the operator's mark are made, read and updated; a delete is refused."""
    operator = operator_of(vault)
    pushes = operator.of("PushSecret")
    assert len(pushes) == 2

    for each in pushes:
        assert await operator.push(each) == {403}


async def test_a_deleted_policy_line_is_found(vault):
    """The control: without one line of its policy the store's role reads one secret less."""
    operator = operator_of(vault)
    redis = operator.one("ExternalSecret", "greenlang-api-redis")
    await operator.read(redis)
    _, body = await vault.server.request("GET", "sys/policies/acl/eso-kv")
    less = body["data"]["policy"].replace("secret/data/greenlang/database/redis", "secret/data/x")
    status, _ = await vault.server.request("POST", "sys/policies/acl/eso-kv", {"policy": less})
    assert status == 204

    with pytest.raises(Refused, match="greenlang/database/redis: 403"):
        await operator.read(redis)


async def test_a_field_that_is_not_there_is_found(vault, tmp_path):
    """The control: a misspelt field renders no Secret, and a property of `data` is missed."""
    operator = operator_of(vault)
    api = operator.one("ExternalSecret", "greenlang-api-postgresql")
    keys = operator.one("ExternalSecret", "greenlang-api-api-keys")
    api["spec"]["target"]["template"]["data"]["host"] = "{{ .hostname }}"
    keys["spec"]["data"][0]["remoteRef"]["property"] = "key"

    with pytest.raises(Refused, match="map has no entry for key"):
        await operator.rendered([api], tmp_path)
    with pytest.raises(Refused, match="has no key"):
        await operator.read(keys)


async def test_an_account_of_another_namespace_is_refused(vault):
    """The control: the store's account elsewhere, or its usual token, logs in to nothing."""
    operator = operator_of(vault)
    store = operator.one("ClusterSecretStore", "vault-kv")
    account = store["spec"]["provider"]["vault"]["auth"]["kubernetes"]["serviceAccountRef"]
    secret = operator.one("ExternalSecret", "greenlang-api-redis")

    account["namespace"] = "greenlang"
    with pytest.raises(Refused, match="login as eso-kv"):
        await operator.read(secret)
    account["namespace"], account["audiences"] = "external-secrets", ["https://kubernetes"]
    with pytest.raises(Refused, match="login as eso-kv"):
        await operator.read(secret)


async def test_a_store_that_drifted_is_found(vault):
    """The control: another mount, another version of KV, another auth mount, another namespace."""
    drifts = (
        ("path", "kv", "kv/data/greenlang/database/redis: 403"),
        ("version", "v1", "secret/greenlang/database/redis: 403"),
        ("mountPath", "k8s", "login as eso-kv: 404"),
        ("conditions", [{"namespaces": ["default"]}], "is not for the namespace greenlang"),
    )
    for field, value, refusal in drifts:
        operator = operator_of(vault)
        store = operator.one("ClusterSecretStore", "vault-kv")["spec"]
        auth = store["provider"]["vault"]["auth"]["kubernetes"]
        place = next(each for each in (store, store["provider"]["vault"], auth) if field in each)
        place[field] = value

        with pytest.raises(Refused, match=refusal):
            await operator.read(operator.one("ExternalSecret", "greenlang-api-redis"))
