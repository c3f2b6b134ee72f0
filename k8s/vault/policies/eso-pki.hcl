# eso-pki: the External Secrets Operator's generators of certificates. What may stand in one is
# decided by the PKI role; roles, issuers and revocation are not in here.

# Certificates of mutual TLS between services.
path "pki_int/issue/internal-mtls" {
  capabilities = ["update"]
}
