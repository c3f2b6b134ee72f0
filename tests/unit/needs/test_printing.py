from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import greenlang_secrets as gs
from contracts.manifests import complaints
from greenlang_secrets.check.policies import parse
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.needs.form import Artefact, Form
from greenlang_secrets.needs.printing import printed

LONG = "partners/" + "a-very-long-name/" * 4 + "key"


class Needs(gs.Needs):
    postgresql: gs.DatabaseCredentials = gs.need("database/postgresql", gs.DatabaseCredentials)
    stripe: gs.SecretValue = gs.need("api-keys/stripe", field="key")
    stripe_id: gs.SecretValue = gs.need("api-keys/stripe", field="key-id")
    partner: gs.Secret = gs.need(LONG)


def text(artefact: Artefact, **more: str) -> str:
    return printed(Form(artefact=artefact, source="shop.needs:Needs", **more), Needs.declared)


def documents(artefact: Artefact, **more: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text(artefact, **more)))


def test_a_policy_reads_each_path_and_nothing_else() -> None:
    """One block for each path, with the one capability, under the names that ask for it."""
    policy = parse(Path("shop.hcl"), text("policy", kv_mount="kv"))

    assert [(grant.path, list(grant.capabilities)) for grant in policy.grants] == [
        ("kv/data/greenlang/api-keys/stripe", ["read"]),
        ("kv/data/greenlang/database/postgresql", ["read"]),
        (f"kv/data/greenlang/{LONG}", ["read"]),
    ]
    assert policy.grants[0].comment == "# stripe, stripe_id"
    assert policy.used_by


def test_external_secrets_are_valid() -> None:
    """Each is what the closed schema of the operator takes, and so is it with all options."""
    for made in (
        documents("external-secret"),
        documents("external-secret", namespace="shop", store="SecretStore/vault", refresh="1h"),
    ):
        assert len(made) == 3
        assert [each for manifest in made for each in complaints(manifest)] == []


def test_an_external_secret_takes_one_secret_at_once() -> None:
    """It extracts the path, and its template leaves the fields alone that are needed."""
    keys, database, _ = documents("external-secret", namespace="shop")

    assert keys["metadata"]["name"] == "shop-api-keys-stripe"
    assert keys["metadata"]["namespace"] == "shop"
    assert keys["spec"]["dataFrom"] == [{"extract": {"key": "greenlang/api-keys/stripe"}}]
    assert keys["spec"]["target"]["template"]["data"] == {
        "key": "{{ .key }}",
        "key-id": '{{ if not (index . "key-id") }}{{ fail "key-id is missing" }}{{ end }}'
        '{{ index . "key-id" }}',
    }
    assert keys["spec"]["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "vault-kv"}
    assert "template" not in database["spec"]["target"]


def test_annotations_have_a_file_for_each_path() -> None:
    """The role, and for each path a file in JSON that its owner alone reads."""
    [patch] = documents("annotations", name="orders")
    found = {
        name.removeprefix("vault.hashicorp.com/"): value
        for name, value in patch["spec"]["template"]["metadata"]["annotations"].items()
    }

    assert (found["agent-inject"], found["role"]) == ("true", "orders")
    assert found["agent-inject-file-api-keys-stripe"] == "api-keys-stripe.json"
    assert found["agent-inject-perms-api-keys-stripe"] == "0400"
    assert found["agent-inject-template-api-keys-stripe"].splitlines()[1] == (
        '{"key": {{ .Data.data.key | toJSON }}, "key-id": '
        '{{ if not (index .Data.data "key-id") }}{{ sprig_fail "key-id is missing" }}{{ end }}'
        '{{ index .Data.data "key-id" | toJSON }}}'
    )
    assert "{{ .Data.data | toJSON }}" in found["agent-inject-template-database-postgresql"]
    assert max(map(len, found)) <= 63
    assert len([name for name in found if name.startswith("agent-inject-secret-")]) == 3


def test_a_text_that_yaml_would_read_otherwise_is_quoted() -> None:
    """A name that looks like a number or a word of YAML's stays a text."""
    for name in ("42", "on", "1e3"):
        [patch] = documents("annotations", name=name)
        assert patch["metadata"]["name"] == name
        assert json.loads(json.dumps(patch))["metadata"]["name"] == name


def test_two_paths_of_one_name_are_refused() -> None:
    """Two objects of one name would overwrite each other."""

    class Twice(gs.Needs):
        a: gs.Secret = gs.need("api/key")
        b: gs.Secret = gs.need("api-key")

    with pytest.raises(ConfigurationError, match="api-key and api/key have the same name"):
        printed(Form(artefact="policy", source="a:B"), Twice.declared)
