"""What KV v2 answers, read into the vocabulary of `model`.

The one place that looks into KV's JSON; anything of an unknown shape is a
`VaultProtocolError`, raised without the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from greenlang_secrets.errors import OutcomeUnknown, VaultProtocolError
from greenlang_secrets.model import (
    TYPE_KEY,
    Secret,
    SecretMetadata,
    SecretType,
    SecretVersion,
    SecretWritten,
)
from greenlang_secrets.paths import KvPath
from greenlang_secrets.sensitive import SecretMap

__all__ = ["metadata_of", "secret_of", "version_of", "written_of"]


def secret_of(path: KvPath, data: Mapping[str, Any]) -> Secret:
    """Return the version that a read of ``data/`` answered."""
    values, metadata = data.get("data"), data.get("metadata")
    if not isinstance(values, dict) or not isinstance(metadata, dict):
        raise VaultProtocolError
    row = version_of(metadata.get("version"), metadata)
    custom = _custom_metadata(metadata)
    return Secret(
        path=str(path),
        version=row.version,
        data=SecretMap({_name(key): _text(value) for key, value in values.items()}),
        type=SecretType.declared(custom),
        created_at=row.created_at,
        custom_metadata=_shown(custom),
        expires_at=row.expires_at,
    )


@lru_cache(maxsize=1024)
def _name(key: str) -> str:
    """A key as it was read before: 10,000 secrets have one `username` and not 10,000 of it."""
    return key


def _text(value: object) -> str:
    """A value as text. Ours are strings; what other tools wrote as numbers or structures is
    given as the JSON it is.
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def written_of(path: KvPath, data: Mapping[str, Any]) -> SecretWritten:
    """Return what a write answered; an answer that cannot be read leaves the outcome unknown."""
    try:
        row = version_of(data.get("version"), data)
    except VaultProtocolError:
        # The write was accepted, only its answer cannot be read.
        raise OutcomeUnknown(path=path) from None
    return SecretWritten(path=str(path), version=row.version, created_at=row.created_at)


def metadata_of(path: KvPath, data: Mapping[str, Any]) -> SecretMetadata:
    """Return the history that a read of ``metadata/`` answered."""
    rows = data.get("versions")
    if not isinstance(rows, dict):
        raise VaultProtocolError
    custom = _custom_metadata(data)
    return SecretMetadata(
        path=str(path),
        type=SecretType.declared(custom),
        current_version=_number(data.get("current_version")),
        oldest_version=_number(data.get("oldest_version")),
        max_versions=_number(data.get("max_versions")),
        cas_required=data.get("cas_required") is True,
        created_at=_time(data.get("created_time")),
        updated_at=_time(data.get("updated_time")),
        custom_metadata=_shown(custom),
        versions=tuple(
            sorted(
                (version_of(number, row) for number, row in rows.items()),
                key=lambda row: row.version,
                reverse=True,
            )
        ),
    )


def version_of(number: object, row: Mapping[str, Any]) -> SecretVersion:
    """A version's state, computed: `deletion_time` lies in the future on a version that will
    delete itself, and may stay set on a destroyed one.
    """
    if not isinstance(row, dict):
        raise VaultProtocolError
    version = _number(int(number) if isinstance(number, str) and number.isdigit() else number)
    created_at = _time(row.get("created_time"))
    deletion = row.get("deletion_time")
    deletes_at = _time(deletion) if deletion else None
    if row.get("destroyed") is True:
        return SecretVersion(version=version, state="destroyed", created_at=created_at)
    if deletes_at is None:
        return SecretVersion(version=version, state="live", created_at=created_at)
    if deletes_at > datetime.now(UTC):
        return SecretVersion(
            version=version, state="live", created_at=created_at, expires_at=deletes_at
        )
    return SecretVersion(
        version=version, state="deleted", created_at=created_at, deleted_at=deletes_at
    )


def _custom_metadata(data: Mapping[str, Any]) -> dict[str, str]:
    custom = data.get("custom_metadata")
    if not isinstance(custom, dict):
        return {}
    return {key: value for key, value in custom.items() if isinstance(value, str)}


def _shown(custom: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in custom.items() if key != TYPE_KEY}


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise VaultProtocolError
    return value


def _time(value: object) -> datetime:
    if not isinstance(value, str):
        raise VaultProtocolError
    try:
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except ValueError:
        raise VaultProtocolError from None
