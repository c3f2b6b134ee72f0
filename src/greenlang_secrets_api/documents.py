"""What secrets look like in JSON. `secret_document` is the one that holds values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from greenlang_secrets.model import Secret, SecretEntry, SecretMetadata, SecretVersion
from greenlang_secrets_api.problems import ProblemError

__all__ = [
    "entry_document",
    "history_document",
    "moment",
    "secret_document",
]


def moment(at: datetime | None) -> str | None:
    """Return a point in time in UTC as RFC 3339 has it, such as ``2026-11-20T08:00:00Z``."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def secret_document(
    path: str, secret: Secret, fields: Sequence[str] | None
) -> Mapping[str, object]:
    """Return a secret with the values of `fields`, or all of them.

    Raises:
        ProblemError: ``invalid_body``, the secret has no key of that name.
    """
    data = secret.data
    if fields is not None:
        missing = [field for field in fields if field not in data]
        if missing:
            raise ProblemError(
                "invalid_body",
                errors=[{"pointer": _pointer(name), "code": "unknown_key"} for name in missing],
            )
        data = data.select(fields)
    return {
        "path": path,
        "version": secret.version,
        "type": secret.type,
        "data": data.reveal(),
        "created_at": moment(secret.created_at),
        "custom_metadata": dict(secret.custom_metadata),
        "expires_at": moment(secret.expires_at),
    }


def entry_document(entry: SecretEntry) -> Mapping[str, object]:
    """Return one row of a listing."""
    document: dict[str, object] = {"path": entry.path, "kind": entry.kind}
    metadata = entry.metadata
    if metadata is not None:
        document |= {
            "version": metadata.current_version,
            "type": metadata.type,
            "created_at": moment(metadata.created_at),
            "updated_at": moment(metadata.updated_at),
            "state": "empty" if metadata.current is None else metadata.current.state,
            "custom_metadata": dict(metadata.custom_metadata),
        }
    document["addressable"] = entry.addressable
    return document


def history_document(
    path: str, metadata: SecretMetadata, rows: Sequence[SecretVersion], following: str | None
) -> Mapping[str, object]:
    """Return a secret's history, of which `rows` is one page."""
    kept = metadata.versions
    return {
        "path": path,
        "current_version": metadata.current_version,
        "oldest_version": kept[-1].version if kept else 0,
        "max_versions": metadata.max_versions,
        "versions": [_version_document(row) for row in rows],
        "next": following,
    }


def _version_document(row: SecretVersion) -> Mapping[str, object]:
    document: dict[str, object] = {
        "version": row.version,
        "created_at": moment(row.created_at),
        "state": row.state,
    }
    if row.state == "live":
        document["expires_at"] = moment(row.expires_at)
    if row.state == "deleted":
        document["deleted_at"] = moment(row.deleted_at)
    return document


def _pointer(name: str) -> str:
    return "#/data/" + name.replace("~", "~0").replace("/", "~1")
