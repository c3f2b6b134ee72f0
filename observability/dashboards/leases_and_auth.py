"""The row Leases and auth: what ends when, and whether the service may still ask Vault."""

from __future__ import annotations

from observability.dashboards.parts import EXTERNAL, OURS, About, Query, Row, countdown, lines

__all__ = ["row"]

HOUR = 3_600
MINUTE = 60


def row() -> Row:
    """Return the row."""
    leases = countdown(
        About(
            id=501,
            title="Lease countdown by type",
            shows="How long the lease of each type that ends first is still good.",
            normal="Renewed at two thirds of its life: never below a third of what was granted.",
            runbooks=("LeaseExpiringCritical",),
            unit="s",
        ),
        Query(f"min by (secret_type) (gl_vault_lease_ttl_seconds{{{OURS}}})", "{{secret_type}}"),
        steps=((-1.0, "red"), (5 * MINUTE, "orange"), (15 * MINUTE, "green")),
    )
    share = lines(
        About(
            id=502,
            title="Lease left of granted",
            shows="What is left of the lease that ends first, as a share of what was granted for it, by type.",
            normal="Saws between 100 % and 33 %. Below 20 % renewal does not work.",
            runbooks=("LeaseExpiringCritical",),
            unit="percentunit",
        ),
        Query(
            f"min by (secret_type) (gl_vault_lease_ttl_seconds{{{OURS}}} / gl_vault_lease_granted_seconds{{{OURS}}})",
            "{{secret_type}}",
        ),
        steps=((0.2, "red"),),
    )
    tracked = lines(
        About(
            id=503,
            title="Leases held",
            shows="Leases that the service keeps alive, by type.",
            normal="One login at least; the others as many as pools and certificates are in use.",
            runbooks=("LeaseExpiringCritical", "VaultIrrevocableLeases"),
            unit="short",
        ),
        Query(f"sum by (secret_type) (gl_vault_leases{{{OURS}}})", "{{secret_type}}"),
    )
    token = lines(
        About(
            id=504,
            title="Token TTL and renewals",
            shows="How long the service's own Vault token is still good, and its renewals: success, failure, and a new login (relogin).",
            normal="Renewed in time, no failures. A new login comes at the token's maximum.",
            runbooks=("VaultTokenRenewalFailing",),
            unit="short",
        ),
        Query(f"min(gl_vault_token_ttl_seconds{{{OURS}}})", "token TTL"),
        Query(
            f"sum by (status) (increase(gl_vault_auth_renewals_total{{{OURS}}}[$__rate_interval]))",
            "{{status}}",
        ),
        colours={"success": "green", "failure": "red", "relogin": "blue"},
        units={"token TTL": "s"},
    )
    certificates = countdown(
        About(
            id=505,
            title="Certificate countdown",
            shows="How long each certificate that is rotated here is still good; those that end first.",
            normal="Above a quarter of its life, where it is renewed at the latest. Colours are for the shortest in use, 72 h: 18 h are a quarter.",
            runbooks=("CertificateExpiring", "CertificateExpiringCritical"),
            unit="s",
        ),
        Query(
            f"bottomk(10, min by (certificate) (gl_certificate_expiry_timestamp_seconds{{{EXTERNAL}}}) - time())",
            "{{certificate}}",
        ),
        steps=((-1e9, "red"), (4 * HOUR, "orange"), (18 * HOUR, "green")),
    )
    principals = lines(
        About(
            id=506,
            title="Denied principals",
            shows="Different principals that were denied in the last 5 minutes, by replica.",
            normal="0 to a few. One is a wrong configuration; many at once are a wrong policy or an attack.",
            runbooks=("SecretAccessDenied",),
            unit="short",
        ),
        Query(f"max by (instance) (gl_secrets_denied_principals{{{OURS}}})", "{{instance}}"),
    )
    return Row(
        id=500,
        title="Leases and auth",
        panels=(leases, share, tracked, token, certificates, principals),
    )
