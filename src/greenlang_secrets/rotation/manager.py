"""`RotationManager`: what its users hold. It joins the parts, and owns their lives."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import anyio

from greenlang_secrets.access import Action, Permission, TenantContext, require
from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.errors import (
    AccessDenied,
    InvalidRequest,
    RotationInProgress,
    RotationLost,
)
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.rotation.ciphertexts import Ciphertexts, CiphertextSources
from greenlang_secrets.rotation.claims import Ask, after_force, begun, taken_over, verdict
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.desk import Desk, new_id
from greenlang_secrets.rotation.due import DueLoop
from greenlang_secrets.rotation.handler import RotationHandler
from greenlang_secrets.rotation.handlers import Handlers, built_in
from greenlang_secrets.rotation.looking import Looking
from greenlang_secrets.rotation.observing import OnStep, RotationStats, Step
from greenlang_secrets.rotation.partner_api_key import PartnerAdapter, PartnerAdapters
from greenlang_secrets.rotation.policies import AS_SERVICE, Policies
from greenlang_secrets.rotation.record import Next, Record, Records
from greenlang_secrets.rotation.run import Operation
from greenlang_secrets.rotation.started import RotationRun
from greenlang_secrets.rotation_model import (
    RotationRow,
    RotationStanding,
    RotationTrigger,
)
from greenlang_secrets.service import SecretsService

__all__ = ["RotationManager"]

_SAVING: Final = 5.0
"""Seconds that may be added at the end to those of a step, for what it writes into the record."""


class RotationManager(Policies):
    """Rotates secrets, by hand and by schedule. Use ``async with RotationManager.open(...)``.

    Attributes:
        config: as it was opened with.
        gap: seconds from one promotion to the next of the same secret at least, and seconds for
            which the credential before stays valid: after them nobody can still go by it.
        stats: counts since it was opened.
    """

    def __init__(
        self,
        desk: Desk,
        supervisor: Supervisor,
        *,
        adapters: PartnerAdapters,
        sources: CiphertextSources,
    ) -> None:
        super().__init__(desk)
        self._adapters = adapters
        self._sources = sources
        self.config = desk.config
        self.stats = desk.stats
        self._supervisor = supervisor
        self._operations: set[Operation] = set()
        self._busy = 0  # claims and operations under way
        self._idle = anyio.Event()
        self._closing = False
        self._looking = Looking(desk, self._take)
        self.due = DueLoop(
            desk.catalogue,
            supervisor,
            look=self._looking.look,
            config=desk.config,
            stats=desk.stats,
            clock=desk.clock,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        service: SecretsService,
        catalogue: Catalogue,
        supervisor: Supervisor,
        *,
        config: RotationConfig | None = None,
        on_step: OnStep | None = None,
        handlers: Iterable[RotationHandler] = (),
    ) -> AsyncIterator[RotationManager]:
        """Yield a manager that looks for what is due, unless `config` disables that; None reads the
        environment. `handlers` are added to the built-in ones.

        `SecretsView.rotate` of the service works from here on. At the end nothing is begun any
        more, steps under way end (within 20 s), and their leases are released, so that another
        process goes on at once.
        """
        config = config or RotationConfig.from_env(service.config.environment)
        kinds = built_in(
            service.client,
            kv_mount=service.config.kv_mount,
            tenant_targets=config.tenant_targets,
            adapters=(adapters := PartnerAdapters()),
            sources=(sources := CiphertextSources()),
        )
        desk = Desk(
            service=service,
            catalogue=catalogue,
            records=Records(service.client, service.config.kv_mount),
            handlers=Handlers((*kinds, *handlers)),
            config=config,
            gap=config.promotion_gap(service.config.cache),
            owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}",
            stats=RotationStats(),
            on_step=on_step,
        )
        manager = cls(desk, supervisor, adapters=adapters, sources=sources)
        service.rotator.rotate = manager._asked
        service.rotator.stand = manager._standing
        if config.enabled:
            supervisor.spawn(manager.due.run(), name="rotation due")
        try:
            yield manager
        finally:
            service.rotator.rotate = service.rotator.stand = None
            await manager._close()

    def register(self, handler: RotationHandler) -> None:
        """Rotate its kind with this handler from here on, instead of the one before."""
        self._desk.handlers.add(handler)

    def register_partner(self, name: str, adapter: PartnerAdapter) -> None:
        """Let policies of the kind `partner_api_key` name this partner's interface."""
        self._adapters.register(name, adapter)

    def register_ciphertexts(self, name: str, source: Ciphertexts) -> None:
        """Let policies of the kind `transit_key` have these encrypted anew."""
        self._sources.register(name, source)

    # ------------------------------------------------------------ what is asked for

    async def rotate(
        self,
        path: str,
        *,
        context: TenantContext | None = None,
        trigger: RotationTrigger = RotationTrigger.MANUAL,
        reason: str | None = None,
        force: bool = False,
    ) -> RotationRun:
        """Begin to rotate a secret, or go on with what waits or failed, and return once this process
        owns the operation; the steps follow in the background. `context` is who asks, in which
        scope; None for the service itself, in the platform scope.

        `force` does not wait for the promotion gap, and retires the credential before at once:
        consumers that still use it are cut off. It needs `secrets:admin` as well, and a reason.

        A caller that is cancelled may leave an operation claimed; another process takes it over
        once the lease is over.

        Raises:
            NotRotatable: there is no policy, or no handler here for its kind.
            SecretNotFound, SecretDeleted: there is nothing to rotate.
            RotationInProgress: somebody works on it.
            OverlapInProgress: consumers may still use the credential before.
            AccessDenied: the principal may not.
            InvalidRequest: it is forced without a reason.
            CatalogueUnavailable: the policy cannot be read.
            VaultError: Vault gives no answer, or not the one wanted.
        """
        context = context or AS_SERVICE
        with self._desk.service.tally.counting(Action.ROTATE) as outcome:
            parsed = SecretPath.parse(path)
            require(context, Action.ROTATE)
            if force:
                _check_force(context, reason)
            row = await self._row(context.scope, path)
            outcome.secret_type = row.secret_type
            self._desk.handlers.of(row.policy.kind, path=path)
            return await self._rotate(
                row,
                parsed,
                trigger=RotationTrigger.FORCED if force else trigger,
                principal=context.principal.subject,
                reason=reason,
            )

    async def _asked(
        self, context: TenantContext, path: str, *, reason: str | None, force: bool
    ) -> RotationRun:
        return await self.rotate(path, context=context, reason=reason, force=force)

    async def _standing(self, context: TenantContext, path: str) -> RotationStanding | None:
        record = await self._desk.records.read(context.scope, SecretPath.parse(path))
        if record is not None:
            return record.standing
        row = await self._desk.catalogue.rotations.find(context.scope, path)
        return None if row is None else row.standing

    async def _rotate(
        self,
        row: RotationRow,
        path: SecretPath,
        *,
        trigger: RotationTrigger,
        principal: str,
        reason: str | None,
    ) -> RotationRun:
        desk, now = self._desk, self._desk.clock()
        force = trigger is RotationTrigger.FORCED
        before = await desk.records.read(row.scope, path)
        decided = verdict(before, force=force, now=now, gap=self.gap, skew=desk.config.skew)
        rotation_id = new_id()
        if before is None or decided == "begin":
            secret = await self._secret(row.scope, path)
            ask = Ask(
                id=rotation_id,
                scope=row.scope,
                path=path,
                policy=row.policy,
                secret_type=secret.type,
                base_version=secret.version,
                trigger=trigger,
                next_due=row.standing.next_due,
                principal=principal,
                reason=reason,
            )
            record = begun(before, ask, owner=desk.owner, now=now, config=desk.config)
        else:
            record = taken_over(before, owner=desk.owner, now=now, config=desk.config)
            if decided == "retire first":
                record = after_force(
                    record, Next(id=rotation_id, principal=principal, reason=reason)
                )
            else:
                rotation_id = record.standing.rotation_id or rotation_id
                if force:
                    standing = replace(record.standing, trigger=trigger)
                    record = replace(record, standing=standing)
        try:
            operation = await self._claim(before, record)
        except RotationLost:
            raise RotationInProgress(path=path) from None
        self._supervisor.spawn(self._drive(operation), name="rotation")
        return RotationRun(operation, desk.records, rotation_id=rotation_id, path=str(path))

    # ------------------------------------------------------------ parts

    async def _claim(self, before: Record | None, record: Record) -> Operation:
        """Write the claim and return the operation, which is then to be driven.

        Raises:
            RotationLost: somebody else was faster.
            RuntimeError: the manager is closed.
        """
        if self._closing:
            raise RuntimeError("the rotation manager is closed; open it anew")
        self._busy += 1
        try:
            operation = await self._claimed(before, record)
        except BaseException:
            self._less_busy()
            raise
        self._operations.add(operation)
        return operation

    async def _claimed(self, before: Record | None, record: Record) -> Operation:
        desk, standing = self._desk, record.standing
        step = Step(
            scope=record.scope,
            path=str(record.path),
            kind=record.policy.kind,
            secret_type=record.secret_type,
            rotation_id=standing.rotation_id or "",
            fence=standing.fence,
            step="claim",
            when="before",
            state=standing.state,
        )
        await desk.tell(step)
        if before is not None and before.standing.rotation_id not in {None, standing.rotation_id}:
            await desk.closed(before)  # its owner may have died before it could say so
        if standing.wake_at is not None:  # should we die right after the claim, somebody looks
            digest = desk.records.digest(record.scope, record.path)
            await desk.catalogue.rotations.wake(digest, standing.wake_at)
        began = time.monotonic()
        operation = Operation(desk, await desk.records.claim(record))
        desk.stats.claims += 1
        if before is None or before.standing.rotation_id != standing.rotation_id:
            await desk.begun(operation.record)
        await desk.mirror(operation.record)
        await desk.tell(replace(step, when="after", seconds=time.monotonic() - began))
        return operation

    async def _take(self, before: Record | None, record: Record) -> None:
        await self._drive(await self._claim(before, record))

    async def _drive(self, operation: Operation) -> None:
        self.stats.working += 1
        if self._closing:
            operation.stop()
        try:
            await reported(operation.drive(), name="rotation")
        finally:
            self.stats.working -= 1
            self._operations.discard(operation)
            self._less_busy()

    def _less_busy(self) -> None:
        self._busy -= 1
        if self._busy == 0:
            self._idle.set()

    async def _close(self) -> None:
        self._closing = True
        self.due.close()
        for operation in self._operations:
            operation.stop()
        self._idle = anyio.Event()
        with anyio.move_on_after(self.config.step_within + _SAVING):
            if self._busy:
                await self._idle.wait()
            await self.due.ended()


def _check_force(context: TenantContext, reason: str | None) -> None:
    if Permission.ADMIN not in context.principal.permissions:
        raise AccessDenied(reason="permission")
    if reason is None or not reason.strip():
        raise InvalidRequest("Forcing a rotation needs a reason.")
