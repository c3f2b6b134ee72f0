# vault-provision: the Job that brings Vault to what the repository says. Whoever may write policies
# may write one that allows everything: this is an administrator, bound to one service account
# that nothing else uses. It reads no secret's value directly, and no wildcard reaches one.
# used by: `greenlang-secrets provision`, which tests/integration/kubernetes runs with it.

# Which mounts and auth methods there are, how they are set, and those that are missing.
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/auth" {
  capabilities = ["read"]
}
path "sys/audit" {
  capabilities = ["read", "sudo"]
}
# Vault's device is made by API; OpenBao takes its own from the configuration only.
path "sys/audit/file" {
  capabilities = ["create", "update", "sudo"]
}
# The wildcard is a mount's name: the service's KV mount, database, transit, pki, pki_int. No
# `delete`: unmounting destroys what is in there.
path "sys/mounts/+" {
  capabilities = ["create", "update"]
}
path "sys/mounts/+/tune" {
  capabilities = ["read", "update"]
}
path "sys/auth/approle" {
  capabilities = ["create", "update", "sudo"]
}
path "sys/auth/kubernetes" {
  capabilities = ["create", "update", "sudo"]
}

# The wildcard is a policy's name: one for each file, which come with time.
path "sys/policies/acl/+" {
  capabilities = ["create", "read", "update"]
}

# Who may log in as what. The wildcard is a role's name, one for each consumer.
path "auth/kubernetes/config" {
  capabilities = ["create", "read", "update"]
}
path "auth/kubernetes/role/+" {
  capabilities = ["create", "read", "update"]
}
path "auth/approle/role/greenlang-secrets" {
  capabilities = ["create", "read", "update"]
}
path "auth/token/roles/tenant" {
  capabilities = ["create", "read", "update"]
}
path "auth/token/roles/service-token" {
  capabilities = ["create", "read", "update"]
}

# Whether the KV mount serves yet.
path "secret/config" {
  capabilities = ["read"]
}

# Encryption keys: made, and kept from being deleted; nothing is encrypted or decrypted here.
path "transit/keys/data-encryption-key" {
  capabilities = ["create", "read", "update"]
}
path "transit/keys/data-encryption-key/config" {
  capabilities = ["update"]
}
path "transit/keys/pii-encryption-key" {
  capabilities = ["create", "read", "update"]
}
path "transit/keys/pii-encryption-key/config" {
  capabilities = ["update"]
}

# The authorities, made once, with keys that never leave Vault.
path "pki/config/issuers" {
  capabilities = ["read"]
}
path "pki/root/generate/internal" {
  capabilities = ["create", "update", "sudo"]
}
path "pki/root/sign-intermediate" {
  capabilities = ["create", "update", "sudo"]
}
path "pki_int/config/issuers" {
  capabilities = ["read"]
}
path "pki_int/intermediate/generate/internal" {
  capabilities = ["create", "update"]
}
path "pki_int/intermediate/set-signed" {
  capabilities = ["create", "update"]
}
# The wildcard is a role's name.
path "pki_int/roles/+" {
  capabilities = ["create", "read", "update"]
}

# The connection to PostgreSQL, and its roles; the wildcard is a role's name.
path "database/config/postgresql" {
  capabilities = ["create", "read", "update"]
}
path "database/roles/+" {
  capabilities = ["create", "read", "update"]
}
