# greenlang-agents: the workers that compute. Their agent logs in with the Kubernetes auth role of
# this name and renders files; it reads what those files name. No file has the keys of partners,
# so they are not in here.

# PostgreSQL, the measurements in TimescaleDB, and Redis as their cache.
path "secret/data/greenlang/database/postgresql" {
  capabilities = ["read"]
}
path "secret/data/greenlang/database/timescaledb" {
  capabilities = ["read"]
}
path "secret/data/greenlang/database/redis" {
  capabilities = ["read"]
}

# Keys that the services show one another.
path "secret/data/greenlang/api-keys/internal" {
  capabilities = ["read"]
}

# The certificate of mutual TLS between services, which the service rotates.
path "secret/data/greenlang/certificates/internal-mtls" {
  capabilities = ["read"]
}
