"""Policies from a file, made so: what differs is set, and what is not in the file is named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from greenlang_secrets.access import Permission, Principal, TenantContext
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.errors import NotRotatable, SecretUnavailable
from greenlang_secrets.paths import PLATFORM, Scope
from greenlang_secrets.rotation.manager import RotationManager
from greenlang_secrets.rotation.policy_file import FilePolicy, PolicyChange, changes
from greenlang_secrets.rotation_model import RotationRow

__all__ = ["Applied", "apply_policies", "rows_of"]

PROVISIONER: Final = Principal(
    subject="provision", permissions=frozenset({Permission.READ, Permission.ROTATE})
)
"""Who has set a policy that came from a file."""

_PAGE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done, or would be.

    Attributes:
        changes: in the order of the file.
        left_alone: policies that are there and not in the file, in the platform's scope and those
            of the tenants that the file names.
    """

    changes: tuple[PolicyChange, ...]
    left_alone: tuple[RotationRow, ...]


async def apply_policies(
    wanted: Iterable[FilePolicy],
    manager: RotationManager,
    catalogue: Catalogue,
    *,
    plan: bool = False,
) -> Applied:
    """Set each policy that differs. With `plan` nothing is set, nor tried.

    A run that was interrupted, or stopped at a policy that does not fit, is completed by the
    next one.

    Raises:
        NotRotatable: a policy does not fit its secret, or there is no such secret; the text says
            where in the file.
        CatalogueUnavailable, VaultError: not all was done.
    """
    wanted = tuple(wanted)
    scopes: list[Scope] = [PLATFORM]
    scopes += [each.scope for each in wanted if each.scope not in scopes]
    rows = {
        (row.scope.key, row.path): row
        for scope in dict.fromkeys(scopes)
        for row in await rows_of(catalogue, scope)
    }
    found = changes(wanted, rows)
    if not plan:
        for change in found:
            await _set(change.wanted, manager)
    named = {(each.scope.key, each.path) for each in wanted}
    return Applied(
        changes=tuple(found),
        left_alone=tuple(row for key, row in rows.items() if key not in named),
    )


async def rows_of(catalogue: Catalogue, scope: Scope) -> list[RotationRow]:
    """Return all policies of a scope, by path.

    Raises:
        CatalogueUnavailable: it cannot be asked.
    """
    rows: list[RotationRow] = []
    after: str | None = None
    while True:
        page = await catalogue.rotations.page(scope, order="path", after=after, limit=_PAGE)
        rows += page
        if len(page) < _PAGE:
            return rows
        after = page[-1].path


async def _set(each: FilePolicy, manager: RotationManager) -> None:
    context = TenantContext(principal=PROVISIONER, scope=each.scope)
    try:
        await manager.set_policy(each.path, each.policy, context=context)
    except (NotRotatable, SecretUnavailable) as error:
        raise NotRotatable(f"{each.place}: {error}", path=each.path) from None
