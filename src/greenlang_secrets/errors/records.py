"""What the service keeps beside Vault fails: the audit log, the catalogue."""

from __future__ import annotations

from greenlang_secrets.errors.root import SecretsError

__all__ = ["AuditUnavailable", "CatalogueUnavailable"]


class AuditUnavailable(SecretsError):
    """The audit record could not be made durable in time, so nothing was given out.

    A change is not begun without its record; look at the audit log's disk and permissions.
    """

    code = "audit_unavailable"
    retryable = True
    text = "The audit log cannot be written; check its disk and permissions."


class CatalogueUnavailable(SecretsError):
    """The catalogue's database gives no answer, or has another schema; secrets go on without it."""

    code = "catalogue_unavailable"
    retryable = True
    text = "The catalogue's database cannot be used; check it, or run greenlang-secrets migrate."
