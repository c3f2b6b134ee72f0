"""What a provisioned Vault looks like: names and settings, as constants.

Settings have the names and units in which Vault gives them back, so that comparing is
plain equality. Policies are files, in ``greenlang_secrets/policies``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "APPROLE_ROLE",
    "DATABASE_NAME",
    "DATABASE_ROLES",
    "MOUNTS",
    "PKI_ROLES",
    "POLICIES",
    "SERVICE_POLICY",
    "SERVICE_TOKEN_ROLE",
    "SERVICE_TOKEN_ROLE_NAME",
    "TENANT_TOKEN_ROLE",
    "TOKEN_ROLE",
    "TRANSIT_KEYS",
    "Settings",
]

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_YEAR: Final = 365 * _DAY

Settings = Mapping[str, Any]

SERVICE_POLICY: Final = "greenlang-secrets"
TENANT_TOKEN_ROLE: Final = "tenant"  # noqa: S105  # a role's name, not a token
SERVICE_TOKEN_ROLE_NAME: Final = "service-token"  # noqa: S105  # the same
POLICIES: Final = (SERVICE_POLICY, TENANT_TOKEN_ROLE)
DATABASE_NAME: Final = "postgresql"


ROOT_CA_LIFE: Final = 10 * _YEAR
INTERMEDIATE_CA_LIFE: Final = 5 * _YEAR

MOUNTS: Final[Mapping[str, Settings]] = {
    "transit": {"type": "transit"},
    # Vault cuts a certificate to its mount's longest lease, 32 days unless set.
    "pki": {"type": "pki", "config": {"max_lease_ttl": ROOT_CA_LIFE}},
    "pki_int": {"type": "pki", "config": {"max_lease_ttl": INTERMEDIATE_CA_LIFE}},
}
"""Besides the KV mount, whose name is the operator's choice, and database, whose leases are the
environment's."""

TOKEN_ROLE: Final[Settings] = {
    "allowed_policies": [TENANT_TOKEN_ROLE],
    "allowed_entity_aliases": ["*"],
    # Orphans outlive the service's own token, so its next login loses nobody.
    "orphan": True,
    "renewable": False,
    "token_explicit_max_ttl": 15 * _MINUTE,
}

SERVICE_TOKEN_ROLE: Final[Settings] = {
    # Such a token proves who a service is, and opens nothing in Vault.
    "allowed_policies": ["default"],
    "orphan": True,
    "renewable": False,
    "token_explicit_max_ttl": 30 * _DAY,
    "token_type": "service",  # batch tokens cannot be revoked
}
"""Of tokens that are secrets of the type `service_token`, and are rotated."""

APPROLE_ROLE: Final[Settings] = {
    "token_policies": [SERVICE_POLICY],
    "token_ttl": _HOUR,
    "token_max_ttl": _DAY,
}

TRANSIT_KEYS: Final = ("data-encryption-key", "pii-encryption-key")

_EC_KEY: Final[Settings] = {"key_type": "ec", "key_bits": 256}
PKI_ROLES: Final[Mapping[str, Settings]] = {
    "greenlang-services": {
        **_EC_KEY,
        "allowed_domains": ["greenlang.internal", "svc.cluster.local"],
        "allow_subdomains": True,
        "server_flag": True,
        "client_flag": False,
        "ttl": 3 * _DAY,
        "max_ttl": 30 * _DAY,
    },
    # Both ends of a connection between services present one of these.
    "internal-mtls": {
        **_EC_KEY,
        "allowed_domains": ["mtls.greenlang.internal"],
        "allow_subdomains": True,
        "server_flag": True,
        "client_flag": True,
        "ttl": _DAY,
        "max_ttl": 3 * _DAY,
    },
}

_LOGIN: Final = (
    "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
)
# Granted in schema public and not by pg_read_all_data, which also reads pg_authid: the
# password verifiers of every user.
_READ: Final = (
    'GRANT USAGE ON SCHEMA public TO "{{name}}"',
    'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{{name}}"',
    'GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO "{{name}}"',
)
_WRITE: Final = (
    'GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{{name}}"',
    'GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA public TO "{{name}}"',
)
_REVOCATION: Final = (
    # Dropping a role leaves its sessions alive.
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'",
    'DROP OWNED BY "{{name}}"',
    'DROP ROLE "{{name}}"',
)

DATABASE_ROLES: Final[Mapping[str, Settings]] = {
    "greenlang-readonly": {
        "db_name": DATABASE_NAME,
        "creation_statements": [_LOGIN, *_READ],
        "revocation_statements": list(_REVOCATION),
        "default_ttl": _HOUR,
        "max_ttl": _DAY,
    },
    "greenlang-readwrite": {
        "db_name": DATABASE_NAME,
        "creation_statements": [_LOGIN, *_READ, *_WRITE],
        "revocation_statements": list(_REVOCATION),
        "default_ttl": _HOUR,
        "max_ttl": 8 * _HOUR,
    },
}
