"""How pods log in, and where Vault writes down who asked for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from greenlang_secrets.errors import ConfigurationError, VaultRefused
from greenlang_secrets.provision.consumers import AuditDevice, KubernetesAuth
from greenlang_secrets.provision.reconcile import Reconciliation, check_type

__all__ = ["audit", "kubernetes"]

_METHOD: Final[Mapping[str, Any]] = {"type": "kubernetes"}


async def kubernetes(state: Reconciliation, desired: KubernetesAuth) -> None:
    """Enable and configure Kubernetes auth, and make its roles.

    ``POST /v1/sys/auth/{path}`` (Vault API: "/sys/auth"), ``POST /v1/auth/kubernetes/config``
    and ``…/role/{name}`` (Vault API: Kubernetes auth).

    Raises:
        ConfigurationError: the mount is there with another type.
        VaultRefused: Vault runs in no pod, and `ca_cert` is not given.
    """
    mount = desired.mount
    there = (await state.read("sys", "auth") or {}).get(f"{mount}/")
    check_type(f"auth/{mount}", there, _METHOD)
    if there is None and state.create("sys", "auth", mount):
        await state.write("sys", "auth", mount, body=_METHOD)
    config: dict[str, Any] = {"kubernetes_host": desired.host}
    if desired.ca_cert is not None:
        config |= {"kubernetes_ca_cert": desired.ca_cert, "disable_local_ca_jwt": True}
    await state.settings("auth", mount, "config", desired=config)
    for role, settings in desired.roles.items():
        await state.settings("auth", mount, "role", role, desired=settings)


async def audit(state: Reconciliation, desired: AuditDevice) -> None:
    """Enable an audit device, unless one of that name is there.

    ``GET`` and ``PUT /v1/sys/audit/{path}`` (Vault API: "/sys/audit"). A device's options cannot
    be changed, so they are not compared.

    Raises:
        ConfigurationError: the server takes audit devices from its configuration only.
    """
    there = await state.read("sys", "audit") or {}
    if f"{desired.name}/" in there or not state.create("sys", "audit", desired.name):
        return
    try:
        await state.write(
            *("sys", "audit", desired.name),
            body={"type": "file", "options": {"file_path": desired.file_path}},
        )
    except VaultRefused:
        raise ConfigurationError(
            "Vault refuses the audit device; OpenBao takes it from its configuration only (see "
            "k8s/vault/values-openbao.yaml), and Vault must be able to write the file."
        ) from None
