"""A small tree of manifests, policies and roles in which a check finds nothing."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FILES", "METRICS", "TREE", "write"]

TREE = """
secret/greenlang/database/postgresql host password  # of the application
secret/greenlang/api-keys/internal
"""

METRICS = '# TYPE gl_secrets_rotation counter\ngl_vault_up{node="a"} 1\n'

FILES = {
    "vault/roles.yaml": """\
kubernetes:
  roles:
    eso-kv: {policies: [eso-kv]}
    eso-push: {policies: [eso-push]}
    eso-database: {policies: [eso-database]}
    greenlang-api: {policies: [greenlang-api]}
""",
    "vault/policies/eso-kv.hcl": """\
# eso-kv: what ExternalSecrets name.
path "secret/data/greenlang/database/postgresql" {
  capabilities = ["read"]
}
""",
    "vault/policies/eso-push.hcl": """\
# The names of what applications push are theirs.
path "secret/data/greenlang/pushed/api/+" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/greenlang/pushed/api/+" {
  capabilities = ["create", "read", "update"]
}
""",
    "vault/policies/eso-database.hcl": """\
path "database/creds/greenlang-readonly" {
  capabilities = ["read"]
}
""",
    "vault/policies/greenlang-api.hcl": """\
path "secret/data/greenlang/api-keys/internal" {
  capabilities = ["read"]
}
path "pki_int/issue/internal-mtls" {
  capabilities = ["update"]
}

# used by: the deployment's own start-up check.
path "sys/internal/ui/mounts" {
  capabilities = ["read"]
}
""",
    "external-secrets/stores.yaml": """\
apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata: {name: vault-kv}
spec:
  provider:
    vault:
      server: https://vault.vault:8200
      path: secret
      version: v2
      auth: {kubernetes: {mountPath: kubernetes, role: eso-kv}}
---
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: vault-push, namespace: greenlang}
spec:
  provider:
    vault:
      path: secret
      version: v2
      auth: {kubernetes: {mountPath: kubernetes, role: eso-push}}
""",
    "external-secrets/api.yaml": """\
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: api-postgresql, namespace: greenlang}
spec:
  refreshInterval: 15s
  secretStoreRef: {kind: ClusterSecretStore, name: vault-kv}
  data:
    - secretKey: password
      remoteRef:
        key: greenlang/database/postgresql
        property: password
---
apiVersion: external-secrets.io/v1alpha1
kind: PushSecret
metadata: {name: api-session, namespace: greenlang}
spec:
  secretStoreRefs: [{kind: SecretStore, name: vault-push}]
  data:
    - match: {secretKey: key, remoteRef: {remoteKey: greenlang/pushed/api/session}}
---
apiVersion: generators.external-secrets.io/v1alpha1
kind: VaultDynamicSecret
metadata: {name: api-readonly, namespace: greenlang}
spec:
  path: database/creds/greenlang-readonly
  provider: {auth: {kubernetes: {role: eso-database}}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: api-dynamic, namespace: greenlang}
spec:
  refreshInterval: 30m
  dataFrom: [{sourceRef: {generatorRef: {kind: VaultDynamicSecret, name: api-readonly}}}]
""",
    "agent-injector/api.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: greenlang-api, namespace: greenlang}
spec:
  template:
    metadata:
      annotations:
        vault.hashicorp.com/agent-inject: "true"
        vault.hashicorp.com/role: greenlang-api
        vault.hashicorp.com/agent-inject-secret-keys: secret/greenlang/api-keys/internal
        vault.hashicorp.com/agent-inject-secret-tls: pki_int/issue/internal-mtls
        vault.hashicorp.com/agent-inject-template-tls: |
          {{- /* secret "secret/data/greenlang/never" */ -}}
          {{- with pkiCert "pki_int/issue/internal-mtls" "common_name=api" }}
          {{ .Cert }}{{ end }}
    spec:
      containers:
        - name: api
          image: registry.example/greenlang-api:1.4.2
          env:
            - {name: DATABASE_PASSWORD, valueFrom: {secretKeyRef: {name: a, key: b}}}
            - {name: API_TOKEN_FILE, value: /vault/secrets/keys}
""",
    "overlays/prod/kustomization.yaml": """\
kind: Kustomization
patches:
  - target: {kind: ExternalSecret}
    patch: |-
      - op: replace
        path: /spec/refreshInterval
        value: 15s
""",
    "monitoring/rules.yaml": """\
kind: PrometheusRule
metadata: {name: greenlang-secrets}
spec:
  groups:
    - name: a
      rules:
        - record: gl:rotations:rate5m
          expr: sum by (status) (rate(gl_secrets_rotation_total{status="failed"}[5m]))
        - alert: Down
          expr: |
            gl:rotations:rate5m > 0
              or on (node) gl_vault_up == 0
""",
    "monitoring/dashboard.yaml": """\
kind: ConfigMap
metadata: {name: dashboard}
data:
  notes: nothing
  dashboard.json: |
    {"panels": [
      {"targets": [{"expr": "max(gl_vault_up)"}]}
    ]}
""",
}


def write(folder: Path, **changes: str | None) -> None:
    """Write the files into a folder, with others for those named; None leaves one out."""
    for name, text in {**FILES, **changes}.items():
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
