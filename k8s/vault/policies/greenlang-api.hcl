# greenlang-api: the public API. Its agent logs in with the Kubernetes auth role of this name
# and renders files; it reads what those files name, and no history, list or other service.

# PostgreSQL, and Redis for caching and rate limiting.
path "secret/data/greenlang/database/postgresql" {
  capabilities = ["read"]
}
path "secret/data/greenlang/database/redis" {
  capabilities = ["read"]
}

# Keys that the services show one another, and keys of partners.
path "secret/data/greenlang/api-keys/internal" {
  capabilities = ["read"]
}
path "secret/data/greenlang/api-keys/external" {
  capabilities = ["read"]
}

# The certificate of mutual TLS between services, which the service rotates.
path "secret/data/greenlang/certificates/internal-mtls" {
  capabilities = ["read"]
}
