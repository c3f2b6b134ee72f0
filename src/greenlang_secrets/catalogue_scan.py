"""Rebuilds the catalogue's index: walks Vault's lists and metadata, scope by scope.

Writes may go on meanwhile: what the index is told of them is newer than the scan, and stays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from greenlang_secrets.catalogue.index import SecretIndex
from greenlang_secrets.catalogue.index_rows import Seen
from greenlang_secrets.errors import InvalidTenant
from greenlang_secrets.paths import PLATFORM, KvPath, Scope, Tenant, TenantId
from greenlang_secrets.service import SecretsService
from greenlang_secrets.view import SecretsView

__all__ = ["Rebuilt", "rebuild", "scopes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild of one scope did.

    Attributes:
        indexed: secrets that were found.
        removed: secrets of the index that are not in Vault.
        passed_over: names outside the grammar of paths, which no path addresses.
    """

    scope: Scope
    indexed: int
    removed: int
    passed_over: int


async def scopes(service: SecretsService) -> AsyncIterator[Scope]:
    """Yield the platform, and each tenant that has secrets.

    Raises:
        AccessDenied: the token may not list the tenants.
    """
    yield PLATFORM
    for name in await service.client.kv(PLATFORM).list(KvPath.tenants(service.config.kv_mount)):
        try:
            yield Tenant(TenantId(name.removesuffix("/")))
        except InvalidTenant:
            continue  # another tool's; no caller can be that tenant


async def rebuild(
    service: SecretsService,
    index: SecretIndex,
    scope: Scope,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Rebuilt:
    """Replace the scope's rows by what Vault has.

    Raises:
        SecretsError: Vault or the catalogue gives no answer; nothing was removed then, and what
            was found is in the index.
    """
    view = service if isinstance(scope, type(PLATFORM)) else service.for_tenant(scope.key)
    begun_at = await index.clock()
    indexed = passed_over = 0
    folders = [""]
    while folders:
        folder = folders.pop()
        async for seen, below, odd in _pages(view, index, scope, folder):
            folders += below
            indexed += seen
            passed_over += odd
            on_progress(indexed)
    removed = await index.sweep(scope, begun_at=begun_at)
    return Rebuilt(scope=scope, indexed=indexed, removed=removed, passed_over=passed_over)


async def _pages(
    view: SecretsView, index: SecretIndex, scope: Scope, folder: str
) -> AsyncIterator[tuple[int, list[str], int]]:
    """Index a folder's pages; yield of each how many secrets, which folders, and what else."""
    after: str | None = None
    while True:
        read_after = await index.clock()
        page = await view.page(folder, after=after)
        entries = [entry for entry in page.items if entry.addressable]
        seen = [
            Seen(path=entry.path, metadata=entry.metadata)
            for entry in entries
            if entry.metadata is not None
        ]
        await index.scanned(scope, seen, read_after=read_after)
        below = [entry.path for entry in entries if entry.kind == "folder"]
        yield len(seen), below, len(page.items) - len(entries)
        if page.next is None:
            return
        after = page.next
