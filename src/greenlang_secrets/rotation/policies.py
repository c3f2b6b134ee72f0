"""Policies: how each secret is rotated, set and removed, and how that stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from greenlang_secrets.access import SERVICE, Action, TenantContext, decide, require
from greenlang_secrets.errors import NotRotatable, RotationInProgress, RotationLost
from greenlang_secrets.model import Secret
from greenlang_secrets.paths import PLATFORM, KvPath, Scope, SecretPath
from greenlang_secrets.rotation.desk import Desk
from greenlang_secrets.rotation.handler import Subject
from greenlang_secrets.rotation.policy import check_policy, due_at
from greenlang_secrets.rotation.record import Record
from greenlang_secrets.rotation_model import (
    ACTIVE,
    RotationOutcome,
    RotationPolicy,
    RotationRow,
    RotationStanding,
    RotationState,
)

__all__ = ["AS_SERVICE", "Policies"]

AS_SERVICE: Final = TenantContext(principal=SERVICE, scope=PLATFORM)
"""Who acts where nobody is named."""

_MUST_END: Final = ACTIVE | {RotationState.OVERLAP, RotationState.OLD_REVOKED}
"""States in which a policy is not removed: a credential would be left that nobody retires."""


class Policies:
    """The part of a manager that keeps policies.

    Attributes:
        gap: the promotion gap in seconds.
    """

    def __init__(self, desk: Desk) -> None:
        self.gap = desk.gap
        self._desk = desk

    async def set_policy(
        self, path: str, policy: RotationPolicy, *, context: TenantContext | None = None
    ) -> RotationRow:
        """Have a secret rotated so from here on, and return how that stands. An operation under way
        ends as it began.

        Raises:
            NotRotatable: the policy does not fit the secret, its type, its scope, or the
                promotion gap; or no handler here rotates that kind.
            SecretNotFound, SecretDeleted: there is no such secret.
            AccessDenied: the principal may not rotate.
            CatalogueUnavailable, VaultError: it was not kept.
        """
        context = context or AS_SERVICE
        scope, parsed = context.scope, SecretPath.parse(path)
        require(context, Action.ROTATE)
        handler = self._desk.handlers.of(policy.kind, path=path)
        secret = await self._secret(scope, parsed)
        check_policy(policy, scope=scope, declared=secret.type, gap=self._desk.gap, path=path)
        await handler.check(
            Subject(
                scope=scope,
                path=parsed,
                policy=policy,
                type=secret.type,
                version=secret.version,
                data=secret.data,
                promotion_gap=self._desk.gap,
            )
        )
        rotations = self._desk.catalogue.rotations
        digest = self._desk.records.digest(scope, parsed)
        record = await self._desk.records.read(scope, parsed)
        return await rotations.put(
            scope,
            path,
            policy,
            digest=digest,
            secret_type=secret.type,
            by=context.principal.subject,
            standing=self._planned(record, policy, digest),
        )

    def _planned(
        self, record: Record | None, policy: RotationPolicy, digest: str
    ) -> RotationStanding | None:
        """The standing under a new policy; None keeps it, as an operation is under way."""
        if record is not None and (record.open or record.following is not None):
            return record.standing
        standing = RotationStanding() if record is None else record.standing
        since = self._desk.clock() if record is None else record.last_promoted_at
        next_due = None
        if policy.enabled:
            next_due = due_at(since or self._desk.clock(), policy.interval, digest)
        return replace(standing, next_due=next_due, wake_at=next_due)

    async def remove_policy(self, path: str, *, context: TenantContext | None = None) -> None:
        """Rotate a secret no more. Its record stays in Vault: the targets remember its fence.

        Raises:
            NotRotatable: it has no policy.
            RotationInProgress: it is being rotated, or a credential is yet to be retired.
            AccessDenied: the principal may not rotate.
            CatalogueUnavailable, VaultError: it was not removed.
        """
        context = context or AS_SERVICE
        parsed = SecretPath.parse(path)
        require(context, Action.ROTATE)
        await self._row(context.scope, path)
        desk = self._desk
        record = await desk.records.read(context.scope, parsed)
        if record is not None and record.open:
            standing = record.standing
            owned = record.held(desk.clock(), skew=desk.config.skew)
            if owned or standing.state in _MUST_END:
                raise RotationInProgress(path=path, rotation_id=standing.rotation_id)
            await self._abandon(record)
        await desk.catalogue.rotations.remove(context.scope, path)

    async def _abandon(self, record: Record) -> None:
        """Close an operation that failed or waits: the next one begins anew."""
        idle = RotationState.IDLE
        closed = replace(
            record,
            open=False,
            owner=None,
            candidate=None,
            notes={},
            following=None,
            standing=replace(record.standing, state=idle, phase=idle, attempts=0, wake_at=None),
        )
        try:
            ended = await self._desk.records.claim(closed)
        except RotationLost:
            raise RotationInProgress(path=record.path) from None
        await self._desk.ended(ended, RotationOutcome.FAILURE)

    async def status(self, path: str, *, context: TenantContext | None = None) -> RotationRow:
        """Return a secret's policy and how its rotation stands, from the catalogue.

        Raises:
            NotRotatable: it has no policy.
            AccessDenied: the principal may neither read nor rotate.
            CatalogueUnavailable: it cannot be asked.
        """
        context = context or AS_SERVICE
        SecretPath.parse(path)
        if not decide(context, Action.READ):
            require(context, Action.ROTATE)
        return await self._row(context.scope, path)

    async def _row(self, scope: Scope, path: str) -> RotationRow:
        row = await self._desk.catalogue.rotations.find(scope, path)
        if row is None:
            raise NotRotatable(path=path)
        return row

    async def _secret(self, scope: Scope, path: SecretPath) -> Secret:
        service = self._desk.service
        place = KvPath.of(service.config.kv_mount, scope, path)
        return await service.client.kv(scope).read(place, consistent=True)
