# The service itself: the AppRole role `greenlang-secrets`, used by the API and by
# applications that embed the library. It reads and writes secrets of the platform scope.
# A tenant's secrets are not in here: for those it makes a token under the policy `tenant`.
#
# `greenlang-secrets provision` fills in ${kv_mount}.

# Values. `delete` here is the soft delete of the newest version, which undelete reverts.
path "${kv_mount}/data/greenlang/*" {
  capabilities = ["create", "read", "update", "patch", "delete"]
}

# History and custom metadata; `list` also of the scope's root, which is the readiness check.
# No `delete`: that would remove a secret with all its versions, for ever.
path "${kv_mount}/metadata/greenlang/*" {
  capabilities = ["read", "list", "patch"]
}

# Soft deletion of chosen versions, its reversal, and the removal of their data; each takes
# the versions in the body of a POST.
path "${kv_mount}/delete/greenlang/*" {
  capabilities = ["update"]
}
path "${kv_mount}/undelete/greenlang/*" {
  capabilities = ["update"]
}
path "${kv_mount}/destroy/greenlang/*" {
  capabilities = ["update"]
}

# One token per tenant, 15 minutes long, that sees that tenant's prefix and nothing else.
path "auth/token/create/tenant" {
  capabilities = ["update"]
}

# Encryption as a service. `update` without `create`: with `create`, encrypting under a
# mistyped name would make a new key.
path "transit/encrypt/data-encryption-key" {
  capabilities = ["update"]
}
path "transit/decrypt/data-encryption-key" {
  capabilities = ["update"]
}
path "transit/rewrap/data-encryption-key" {
  capabilities = ["update"]
}
path "transit/encrypt/pii-encryption-key" {
  capabilities = ["update"]
}
path "transit/decrypt/pii-encryption-key" {
  capabilities = ["update"]
}
path "transit/rewrap/pii-encryption-key" {
  capabilities = ["update"]
}

# Rotation of these keys: a new version, and, once nothing is encrypted by the old ones, the end of
# those. No other setting of a key: with `deletion_allowed` a key, and all it encrypted, could go.
path "transit/keys/data-encryption-key" {
  capabilities = ["read"]
}
path "transit/keys/data-encryption-key/rotate" {
  capabilities = ["update"]
}
path "transit/keys/data-encryption-key/config" {
  capabilities = ["update"]
  allowed_parameters = {
    "min_decryption_version" = []
  }
}
path "transit/keys/pii-encryption-key" {
  capabilities = ["read"]
}
path "transit/keys/pii-encryption-key/rotate" {
  capabilities = ["update"]
}
path "transit/keys/pii-encryption-key/config" {
  capabilities = ["update"]
  allowed_parameters = {
    "min_decryption_version" = []
  }
}

# Rotation of service tokens: made under one role, whose tokens open nothing in Vault, and revoked
# by their accessor, which cannot be guessed; listing accessors is not ours.
path "auth/token/roles/service-token" {
  capabilities = ["read"]
}
path "auth/token/create/service-token" {
  capabilities = ["update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}

# Certificates for services, and for mutual TLS between them.
path "pki_int/issue/greenlang-services" {
  capabilities = ["update"]
}
path "pki_int/issue/internal-mtls" {
  capabilities = ["update"]
}

# Dynamic database credentials: each read makes a user of its own, with a lease.
path "database/creds/greenlang-readonly" {
  capabilities = ["read"]
}
path "database/creds/greenlang-readwrite" {
  capabilities = ["read"]
}

# Rotation of static roles: of those only whose names begin so. The first is asked when a policy is
# set; `rotate-role` gives the account a new password at once.
path "database/static-roles/greenlang-*" {
  capabilities = ["read"]
}
path "database/static-creds/greenlang-*" {
  capabilities = ["read"]
}
path "database/rotate-role/greenlang-*" {
  capabilities = ["update"]
}

# An account that nobody uses any more is dropped at once, by the id of its lease, which cannot be
# guessed. Renewing leases is in the policy `default`; ending them by prefix is not ours.
path "sys/leases/revoke" {
  capabilities = ["update"]
}
