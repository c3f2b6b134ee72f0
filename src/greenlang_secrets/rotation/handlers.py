"""Which kinds this process can rotate: the handlers it has, by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from greenlang_secrets.errors import NotRotatable
from greenlang_secrets.rotation.api_key import ApiKeyRotation
from greenlang_secrets.rotation.certificate import CertificateRotation
from greenlang_secrets.rotation.ciphertexts import CiphertextSources
from greenlang_secrets.rotation.handler import RotationHandler
from greenlang_secrets.rotation.manual import ManualRotation
from greenlang_secrets.rotation.partner_api_key import PartnerAdapters, PartnerApiKeyRotation
from greenlang_secrets.rotation.postgresql import PostgresqlRotation
from greenlang_secrets.rotation.postgresql_static_role import PostgresqlStaticRoleRotation
from greenlang_secrets.rotation.redis import RedisRotation
from greenlang_secrets.rotation.service_token import ServiceTokenRotation
from greenlang_secrets.rotation.transit_key import TransitKeyRotation
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.vault.client import VaultClient

__all__ = ["Handlers", "built_in"]


def built_in(
    client: VaultClient,
    *,
    kv_mount: str,
    tenant_targets: Sequence[str] = (),
    adapters: PartnerAdapters | None = None,
    sources: CiphertextSources | None = None,
) -> tuple[RotationHandler, ...]:
    """Return a handler of every kind; `adapters` and `sources` are where partners' interfaces, and
    what transit keys have encrypted, are registered.
    """
    return (
        ApiKeyRotation(client, kv_mount=kv_mount),
        CertificateRotation(client, kv_mount=kv_mount),
        ManualRotation(client, kv_mount=kv_mount),
        PartnerApiKeyRotation(client, kv_mount=kv_mount, adapters=adapters),
        PostgresqlRotation(client, kv_mount=kv_mount, tenant_targets=tenant_targets),
        PostgresqlStaticRoleRotation(client, kv_mount=kv_mount, tenant_targets=tenant_targets),
        RedisRotation(client, kv_mount=kv_mount, tenant_targets=tenant_targets),
        ServiceTokenRotation(client, kv_mount=kv_mount),
        TransitKeyRotation(client, kv_mount=kv_mount, sources=sources),
    )


class Handlers:
    """Handlers by their kind; the last one that was added for a kind is the one."""

    def __init__(self, handlers: Iterable[RotationHandler] = ()) -> None:
        self._by_kind: dict[RotationKind, RotationHandler] = {}
        for handler in handlers:
            self.add(handler)

    def add(self, handler: RotationHandler) -> None:
        """Use this one for its kind."""
        self._by_kind[handler.kind] = handler

    def __contains__(self, kind: RotationKind) -> bool:
        return kind in self._by_kind

    def of(self, kind: RotationKind, *, path: object) -> RotationHandler:
        """Return the handler of `kind`.

        Raises:
            NotRotatable: there is none in this process.
        """
        try:
            return self._by_kind[kind]
        except KeyError:
            raise NotRotatable(
                f"This process cannot rotate the kind {kind.value}; register a handler for it.",
                path=path,
            ) from None
