"""What manifests ask of Vault, in their rarer forms."""

from __future__ import annotations

from pathlib import Path

from greenlang_secrets.check.documents import documents
from greenlang_secrets.check.findings import Finding
from greenlang_secrets.check.needs import Need, needs

STORES = """\
kind: ClusterSecretStore
metadata: {name: one}
spec: {provider: {vault: {path: old, version: v1, auth: {iam: {vaultRole: aws}}}}}
---
kind: ClusterSecretStore
metadata: {name: two}
spec: {provider: {vault: {path: kv, auth: {jwt: {role: jot}}}}}
---
kind: SecretStore
metadata: {name: cloud}
spec: {provider: {aws: {region: eu-west-1}}}
---
kind: ClusterSecretStore
metadata: {name: two}
spec: {provider: {vault: {server: https://other}}}
---
"""


def asked(text: str) -> list[tuple[str, str, str]]:
    found = list(needs(list(documents(Path("a.yaml"), STORES + text))))
    assert not [item for item in found if isinstance(item, Finding)]
    return [(item.role, item.capability, item.path) for item in found if isinstance(item, Need)]


def test_cluster_wide_kinds_and_version_one() -> None:
    """A mount of version 1 has no `data/`; a key that begins with the mount loses it."""
    assert asked(
        """
kind: ClusterExternalSecret
spec:
  externalSecretSpec:
    secretStoreRef: {kind: ClusterSecretStore, name: one}
    data: [{remoteRef: {key: a/b}}]
    dataFrom:
      - extract: {key: kv/data/c}
        sourceRef: {storeRef: {kind: ClusterSecretStore, name: two}}
      - find: {path: d}
        sourceRef: {storeRef: {kind: ClusterSecretStore, name: two}}
---
kind: ClusterPushSecret
spec:
  pushSecretSpec:
    deletionPolicy: Delete
    secretStoreRefs: [{kind: ClusterSecretStore, name: one}, {name: cloud}]
    data: [{match: {remoteRef: {remoteKey: e}}}, {match: {}}]
"""
    ) == [
        ("aws", "read", "old/a/b"),
        ("jot", "read", "kv/data/c"),
        ("jot", "list", "kv/metadata/d/"),
        *(("aws", verb, "old/e") for verb in ("create", "read", "update", "delete")),
    ]


def test_generators_by_their_method() -> None:
    """POST writes, LIST lists, and a patch without a path asks nothing."""
    login = "provider: {auth: {cert: {role: c}}}"
    assert asked(
        f"kind: VaultDynamicSecret\nspec: {{path: /a, method: POST, {login}}}\n---\n"
        f"kind: VaultDynamicSecret\nspec: {{path: b, method: LIST, {login}}}\n---\n"
        "kind: VaultDynamicSecret\nspec: {method: GET}\n"
    ) == [("c", "update", "a"), ("c", "list", "b")]


def test_annotations_read_what_their_templates_say() -> None:
    """A path is completed as the agent does it; with a template it is the template that reads."""
    assert asked(
        """
kind: Pod
metadata:
  annotations:
    vault.hashicorp.com/role: r
    vault.hashicorp.com/agent-inject-secret-a: kv/a?version=2
    vault.hashicorp.com/agent-inject-secret-b: kv/b
    vault.hashicorp.com/agent-inject-template-b: |
      {{ range secrets "kv/list/" }}{{ with secret (printf "kv/%s" .) }}{{ end }}{{ end }}
      {{ with secret "kv/data/c" }}{{ end }}
      {{ with secret "database/creds/d" "ttl=1h" }}{{ end }}
    vault.hashicorp.com/agent-inject-secret-e: ""
---
kind: Pod
metadata: {annotations: {other/annotation: kv/x}}
"""
    ) == [
        ("r", "read", "kv/data/a"),
        ("r", "list", "kv/metadata/list"),
        ("r", "read", "kv/data/c"),
        ("r", "update", "database/creds/d"),
    ]


def test_a_secret_of_an_unknown_store_is_told() -> None:
    """Of an ExternalSecret as of a PushSecret, at the line that names the store."""
    text = (
        "kind: ExternalSecret\nspec:\n  data: [{remoteRef: {key: a}}]\n  secretStoreRef: {name: no}"
    )

    (found,) = needs(list(documents(Path("a.yaml"), text)))

    assert isinstance(found, Finding)
    assert (found.rule, found.place.line) == ("unknown_store", 4)


def test_a_patch_that_is_empty_asks_nothing() -> None:
    """A patch by file has no text, and is no error."""
    assert asked("kind: Kustomization\npatches: [{path: a.yaml}]") == []


def test_metadata_are_read_beside_the_data() -> None:
    """With `metadataPolicy: Fetch` the operator reads another path, and its keys are in no tree."""
    text = """
kind: ExternalSecret
spec:
  secretStoreRef: {kind: ClusterSecretStore, name: two}
  data: [{secretKey: a, remoteRef: {key: b, property: owner, metadataPolicy: Fetch}}]
"""
    [need] = [
        item
        for item in needs(list(documents(Path("a.yaml"), STORES + text)))
        if isinstance(item, Need)
    ]

    assert (need.path, need.secret, need.field) == ("kv/metadata/b", "kv/b", "")
