# Tokens of one tenant, made by the service under the token role `tenant` with the tenant's id
# as entity alias. Vault puts that id into the paths below, so one policy serves all tenants
# and none can be named that is not the token's own: the second wall behind the path grammar.
#
# `greenlang-secrets provision` fills in ${kv_mount}, and ${token_accessor}: the accessor of the
# mount auth/token, which differs from server to server.

# Values. `delete` here is the soft delete of the newest version, which undelete reverts.
path "${kv_mount}/data/tenants/{{identity.entity.aliases.${token_accessor}.name}}/*" {
  capabilities = ["create", "read", "update", "patch", "delete"]
}

# History, listing and custom metadata. No `delete`: that would remove a secret with all its
# versions, for ever.
path "${kv_mount}/metadata/tenants/{{identity.entity.aliases.${token_accessor}.name}}/*" {
  capabilities = ["read", "list", "patch"]
}

# Soft deletion of chosen versions, its reversal, and the removal of their data.
path "${kv_mount}/delete/tenants/{{identity.entity.aliases.${token_accessor}.name}}/*" {
  capabilities = ["update"]
}
path "${kv_mount}/undelete/tenants/{{identity.entity.aliases.${token_accessor}.name}}/*" {
  capabilities = ["update"]
}
path "${kv_mount}/destroy/tenants/{{identity.entity.aliases.${token_accessor}.name}}/*" {
  capabilities = ["update"]
}
