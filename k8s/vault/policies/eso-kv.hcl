# eso-kv: the External Secrets Operator, for ExternalSecrets of the namespace greenlang, through the
# store vault-kv. It reads each path that some ExternalSecret names, and lists nothing: an
# ExternalSecret with `dataFrom.find` would be refused.

# Databases and caches.
path "secret/data/greenlang/database/postgresql" {
  capabilities = ["read"]
}
path "secret/data/greenlang/database/timescaledb" {
  capabilities = ["read"]
}
path "secret/data/greenlang/database/redis" {
  capabilities = ["read"]
}
# The service's own catalogue, whose user does not take turns with another.
path "secret/data/greenlang/database/catalogue" {
  capabilities = ["read"]
}

# Keys of the services and of partners.
path "secret/data/greenlang/api-keys/internal" {
  capabilities = ["read"]
}
path "secret/data/greenlang/api-keys/external" {
  capabilities = ["read"]
}

# The certificate of mutual TLS.
path "secret/data/greenlang/certificates/internal-mtls" {
  capabilities = ["read"]
}
