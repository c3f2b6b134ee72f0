"""The handlers that every manager has, made for one service and its settings."""

from __future__ import annotations

from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.handler import RotationHandler
from greenlang_secrets.rotation.postgresql import PostgresqlRotation
from greenlang_secrets.rotation.redis import RedisRotation
from greenlang_secrets.vault.client import VaultClient

__all__ = ["builtin_handlers"]


def builtin_handlers(
    client: VaultClient, *, kv_mount: str, config: RotationConfig
) -> list[RotationHandler]:
    """Return one handler for each kind that needs nothing but Vault and its target.

    Raises:
        ConfigurationError: a setting of `config` is wrong.
    """
    targets = config.tenant_targets
    return [
        PostgresqlRotation(client, kv_mount=kv_mount, tenant_targets=targets),
        RedisRotation(client, kv_mount=kv_mount, tenant_targets=targets),
    ]
