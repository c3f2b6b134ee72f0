"""A process that rotates secrets until it is killed, or kills itself at a step.

It is forked by `support.rotators`, is told what to do by a line of JSON, and tells what it does
by lines of JSON in a file: what it has written there outlives it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue, CatalogueConfig
from greenlang_secrets.errors import OverlapInProgress, RotationFenced, RotationInProgress
from greenlang_secrets.invalidation import Invalidation, InvalidationConfig
from greenlang_secrets.paths import PLATFORM, SecretPath
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.manager import RotationManager
from greenlang_secrets.rotation.observing import Step
from greenlang_secrets.rotation.postgresql import PostgresqlRotation
from greenlang_secrets.rotation.record import Records
from greenlang_secrets.rotation.redis import RedisRotation
from greenlang_secrets.rotation_model import RotationState
from support.single_user import SingleUserRotation

_LOG = "%(asctime)s %(process)d %(message)s %(code)s %(step)s %(path)s"

FRESH, STALE, GAP = 0.2, 0.5, 2.0

SHORT = RotationConfig(
    scan_every=0.3,
    concurrency=12,
    step_within=2.4,
    lease_for=3.0,
    skew=0.1,
    eso_refresh=0.0,
    margin=1.0,
    least_gap=GAP,
    first_backoff=0.3,
    longest_backoff=1.0,
)
"""The usual 30 s of a lease and 15 minutes of a gap, made short."""

CACHE = gs.CacheConfig(fresh_for=FRESH, stale_for=STALE, missing_for=0, denied_for=0)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process does.

    Attributes:
        told: the file to tell in.
        paths: the secrets to rotate by hand; by schedule it works on whatever is due.
        rotate: how often each.
        die: at which step, and when, of an operation of its own it kills itself.
        wait: at which step, and when, it waits for a file, which is the third.
        stop: where it stops itself by SIGSTOP: in the midst of `retire`.
        single_user: the control: a rotation that changes the password that is in use. The URL of
            the PostgreSQL, as its superuser.
        notices: the URL of the PostgreSQL by which replicas tell each other of changes.
    """

    addr: str
    token: str
    mount: str
    catalogue: str
    told: str
    paths: tuple[str, ...] = ()
    rotate: int = 0
    die: tuple[str, str] | None = None
    wait: tuple[str, str, str] | None = None
    stop: bool = False
    single_user: str = ""
    notices: str = ""

    def line(self) -> str:
        """As it is told."""
        return json.dumps(asdict(self))

    def service(self) -> gs.SecretsServiceConfig:
        """How its service is configured."""
        return gs.SecretsServiceConfig(
            addresses=(self.addr,),
            auth=gs.AuthConfig(token=gs.SecretValue(self.token)),
            cache=CACHE,
            kv_mount=self.mount,
            tenant_token_role=None,
        )


@asynccontextmanager
async def hearing(
    service: gs.SecretsService, config: gs.SecretsServiceConfig, url: str
) -> AsyncIterator[None]:
    """Have a service hear of others' changes, and tell its own, from here on."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url, ssl=False)

    async with Invalidation.open(
        service.followers, config, hears=InvalidationConfig(), connect=connect
    ) as invalidation:
        while invalidation.feed is None or not invalidation.feed.listening:
            await asyncio.sleep(0.01)
        yield


@dataclass
class Rotator:
    """One such process."""

    job: Job
    armed: set[str] = field(default_factory=set)
    """Secrets of which an operation of our own is next, or under way."""

    def __post_init__(self) -> None:
        self._told = os.open(self.job.told, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def tell(self, what: str, **more: object) -> None:
        """Write a line, at once."""
        line = {"what": what, "at": time.time(), "pid": os.getpid(), **more}
        os.write(self._told, json.dumps(line).encode() + b"\n")

    async def on_step(self, step: Step) -> None:
        """Tell of it, and die or wait if this is the place."""
        self.tell(
            f"{step.step} {step.when}",
            path=step.path,
            operation=step.rotation_id,
            fence=step.fence,
            state=step.state.value,
            error=step.error_code,
        )
        job = self.job
        if job.die == (step.step, step.when) and step.path in self.armed:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.wait is not None and job.wait[:2] == (step.step, step.when):
            while not await asyncio.to_thread(Path(job.wait[2]).exists):
                await asyncio.sleep(0.02)

    async def run(self) -> None:
        """Rotate as often as told, and go on with what others leave until killed."""
        job = self.job
        async with (
            Supervisor() as supervisor,
            gs.SecretsService.open(job.service()) as service,
            Catalogue.open(CatalogueConfig.of(job.catalogue, timeout=15.0), supervisor) as kept,
            RotationManager.open(
                service,
                kept,
                supervisor,
                config=SHORT,
                on_step=self.on_step,
                handlers=self._handlers(service),
            ) as manager,
            self._invalidation(service),
            asyncio.TaskGroup() as group,
        ):
            self.tell("up")
            records = Records(service.client, job.mount)
            for path in job.paths:
                group.create_task(self._rotate(manager, records, path))
            await asyncio.Event().wait()

    def _invalidation(self, service: gs.SecretsService) -> AbstractAsyncContextManager[object]:
        if not self.job.notices:
            return nullcontext()
        return hearing(service, self.job.service(), self.job.notices)

    def _handlers(self, service: gs.SecretsService) -> list[Any]:
        client, mount = service.client, self.job.mount
        if self.job.single_user:
            return [SingleUserRotation(client, kv_mount=mount, url=self.job.single_user)]
        if self.job.stop:
            return [
                _StoppingPostgresql(client, kv_mount=mount, tell=self.tell),
                _StoppingRedis(client, kv_mount=mount, tell=self.tell),
            ]
        return [
            PostgresqlRotation(client, kv_mount=mount),
            RedisRotation(client, kv_mount=mount),
        ]

    async def _rotate(self, manager: RotationManager, records: Records, path: str) -> None:
        """Wait until what was begun before has ended; then rotate, so many times."""
        for left in range(self.job.rotate, -1, -1):
            while True:
                record = await records.read(PLATFORM, SecretPath.parse(path))
                if record is None or not record.open:
                    break
                await asyncio.sleep(0.1)
            self.tell("idle", path=path)
            if not left:
                return
            self.armed.add(path)
            while True:
                try:
                    run = await manager.rotate(path)
                    break
                except (OverlapInProgress, RotationInProgress):
                    await asyncio.sleep(0.1)
            await run.until(RotationState.IDLE, within=60)


class _Stopping:
    """Stops in mid-step, after its last look at Vault and before it changes the target; what comes
    of the rest of the step is told, though its time is over by then.
    """

    def __init__(self, *args: Any, tell: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._tell = tell

    def _stop(self) -> None:
        self._tell("stopped")
        os.kill(os.getpid(), signal.SIGSTOP)

    async def retire(self, rotation: Any) -> Any:
        # Out of reach of the step's deadline: as if it were on its way to the target already.
        return await asyncio.shield(asyncio.ensure_future(self._to_the_end(rotation)))

    async def _to_the_end(self, rotation: Any) -> Any:
        rest: Coroutine[Any, Any, Any] = super().retire(rotation)  # type: ignore[misc]
        try:
            done = await rest
        except RotationFenced:
            self._tell("refused")
            raise
        self._tell("done")
        return done


class _StoppingPostgresql(_Stopping, PostgresqlRotation):
    async def _is_live(self, rotation: Any, username: str) -> bool:
        answer = await super()._is_live(rotation, username)
        self._stop()
        return answer


class _StoppingRedis(_Stopping, RedisRotation):
    async def _live_password(self, rotation: Any, login: Any) -> Any:
        answer = await super()._live_password(rotation, login)
        self._stop()
        return answer


def main(line: str) -> None:
    """Do the job that the line tells."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_LOG, defaults=dict.fromkeys(("code", "step", "path"))))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    raw = json.loads(line)
    for name in ("paths", "die", "wait"):
        raw[name] = None if raw[name] is None else tuple(raw[name])
    asyncio.run(Rotator(Job(**raw)).run())
