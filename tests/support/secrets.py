"""Secrets as they are read, made by hand for tests of what is read from them."""

from __future__ import annotations

from datetime import UTC, datetime

from greenlang_secrets.model import Secret, SecretType
from greenlang_secrets.sensitive import SecretMap


def secret_of(type_: SecretType, *, stale: bool = False, **data: str) -> Secret:
    """Return version 3 of a secret at ``some/path``."""
    return Secret(
        path="some/path",
        version=3,
        data=SecretMap(data),
        type=type_,
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
        custom_metadata={},
        stale=stale,
    )
