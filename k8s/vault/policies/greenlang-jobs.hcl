# greenlang-jobs: batch jobs, whose agent fills in the files once, before the job begins.

# PostgreSQL, and the key with which a job reports to the API.
path "secret/data/greenlang/database/postgresql" {
  capabilities = ["read"]
}
path "secret/data/greenlang/api-keys/internal" {
  capabilities = ["read"]
}
