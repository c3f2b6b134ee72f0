# eso-database: the External Secrets Operator's generators of database users, one of these at each
# refresh. The configuration of the engine, static roles and other people's leases are not in here.

# Each read makes a user of its own, with a lease.
path "database/creds/greenlang-readonly" {
  capabilities = ["read"]
}
path "database/creds/greenlang-readwrite" {
  capabilities = ["read"]
}
