"""Who may do what: permissions, principals, and one pure decision, deny by default."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from greenlang_secrets.errors import AccessDenied
from greenlang_secrets.paths import PLATFORM, Platform, Scope, Tenant, TenantId

__all__ = ["SERVICE", "Action", "Permission", "Principal", "TenantContext", "decide", "require"]


class Permission(StrEnum):
    """What a principal may be granted. There are no wildcards, and none implies another:
    an administrator who may not read does not read.
    """

    READ = "secrets:read"
    LIST = "secrets:list"
    WRITE = "secrets:write"
    ADMIN = "secrets:admin"
    ROTATE = "secrets:rotate"


class Action(StrEnum):
    """What can be done with secrets; also the `operation` label of metrics and audit."""

    LIST = "list"
    READ = "read"
    VERSIONS = "versions"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    UNDELETE = "undelete"
    DESTROY = "destroy"
    ROTATE = "rotate"
    SCHEDULE = "schedule"
    ROTATION_STATUS = "rotation_status"
    STATUS = "status"


_SUFFICIENT: Final[dict[Action, frozenset[Permission]]] = {
    Action.LIST: frozenset({Permission.READ, Permission.LIST}),
    Action.READ: frozenset({Permission.READ}),
    Action.VERSIONS: frozenset({Permission.READ}),
    Action.CREATE: frozenset({Permission.WRITE}),
    Action.UPDATE: frozenset({Permission.WRITE}),
    Action.DELETE: frozenset({Permission.ADMIN}),
    Action.UNDELETE: frozenset({Permission.ADMIN}),
    Action.DESTROY: frozenset({Permission.ADMIN}),
    Action.ROTATE: frozenset({Permission.ROTATE}),
    Action.SCHEDULE: frozenset({Permission.ROTATE}),
    Action.ROTATION_STATUS: frozenset({Permission.READ, Permission.ROTATE}),
    Action.STATUS: frozenset({Permission.ADMIN}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody who acts: a subject and what it was granted.

    Attributes:
        subject: the JWT's `sub`, or the service's own name.
        permissions: exactly what was granted.
        tenant: the tenant it belongs to; None for a platform principal.
    """

    subject: str
    permissions: frozenset[Permission] = field(default_factory=frozenset)
    tenant: TenantId | None = None

    @property
    def home(self) -> Scope:
        """The scope its relative paths begin in."""
        return PLATFORM if self.tenant is None else Tenant(self.tenant)


SERVICE: Final = Principal(subject="service", permissions=frozenset(Permission))
"""The process itself: code that holds the `SecretsService` acts with every permission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantContext:
    """Authority as a value: a principal acting in a scope. Passed on, never ambient.

    Raises:
        AccessDenied: at construction, if a tenant's principal names a scope other than
            its own. A context that must not be cannot be made.
    """

    principal: Principal
    scope: Scope

    def __post_init__(self) -> None:
        match self.scope:
            case Platform() if self.principal.tenant is not None:
                raise AccessDenied(reason="tenant")
            case Tenant(id=tenant) if self.principal.tenant not in {None, tenant}:
                raise AccessDenied(reason="tenant")
            case _:
                pass


def decide(context: TenantContext, action: Action) -> bool:
    """Return whether the context's principal may do `action` in its scope.

    Pure; what is not granted is denied. That the scope is the principal's own was decided
    when the context was made.
    """
    return not _SUFFICIENT[action].isdisjoint(context.principal.permissions)


def require(context: TenantContext, action: Action) -> None:
    """Return if `decide` allows it.

    Raises:
        AccessDenied: it does not; nothing was sent to Vault.
    """
    if not decide(context, action):
        raise AccessDenied(reason="permission")
