"""Secrets that are rotated on real targets, and clients that log in with them all the time."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import asyncpg
from redis.exceptions import RedisError

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue, CatalogueConfig
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath
from greenlang_secrets.rotation.manager import RotationManager
from greenlang_secrets.rotation.postgresql import PostgresqlRotation
from greenlang_secrets.rotation.redis import RedisRotation
from greenlang_secrets.rotation_model import (
    RotationKind,
    RotationPolicy,
    RotationRow,
    RotationRunRow,
    RotationState,
)
from support import acl_users, pairs
from support.catalogues import of_file
from support.rotating import declared
from support.rotator import SHORT, Job

__all__ = ["Logins", "Rotated", "Stage"]


@dataclass
class Rotated:
    """One secret with a policy, and its target.

    Attributes:
        works: whether a login with what the secret holds is let in.
        job: what each rotator of it is told: where everything is.
    """

    path: str
    works: Callable[[gs.SecretMap], Awaitable[bool]]
    target: Any
    service: gs.SecretsService
    job: dict[str, Any]

    async def stored(self) -> gs.Secret:
        """Return the secret as it is now, past every cache."""
        place = KvPath.of(self.job["mount"], PLATFORM, SecretPath.parse(self.path))
        return await self.service.client.kv(PLATFORM).read(place, consistent=True)

    async def stored_works(self) -> bool:
        """Whether a login with what is stored is let in."""
        return await self.works((await self.stored()).data)

    async def status(self) -> RotationRow:
        """Return what the catalogue says of it."""
        async with self.catalogue() as catalogue:
            row = await catalogue.rotations.find(PLATFORM, self.path)
        assert row is not None
        return row

    async def history(self) -> list[RotationRunRow]:
        """Return its rotations."""
        async with self.catalogue() as catalogue:
            return await catalogue.rotations.history(PLATFORM, self.path, limit=1000)

    @asynccontextmanager
    async def catalogue(self) -> AsyncIterator[Catalogue]:
        """Open the catalogue in which it is."""
        config = CatalogueConfig.of(self.job["catalogue"], timeout=15.0)
        async with Supervisor() as supervisor, Catalogue.open(config, supervisor) as catalogue:
            yield catalogue

    async def is_idle(self) -> bool:
        """Whether no operation is under way, as the catalogue says."""
        return (await self.status()).standing.state is RotationState.IDLE


@dataclass
class Stage:
    """A Vault, a service that the clients read from, and what is rotated there."""

    vault: Any
    mount: str
    service: gs.SecretsService
    folder: Path
    _stack: AsyncExitStack
    _secrets: int = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, vault: Any, mount: str, folder: Path) -> AsyncIterator[Stage]:
        """Open the service; at the end the targets are removed."""
        own = of_file(folder)
        await own.migrate()
        job = Job(addr=vault.addr, token=vault.root_token, mount=mount, catalogue="", told="")
        async with gs.SecretsService.open(job.service()) as service, AsyncExitStack() as stack:
            yield cls(vault, mount, service, folder, stack)

    def new_catalogue(self) -> str:
        """Return the URL of a catalogue that nobody uses yet."""
        self._secrets += 1
        file = self.folder / f"catalogue-{self._secrets}.sqlite3"
        shutil.copy(self.folder / "catalogue.sqlite3", file)
        return f"sqlite:///{file}"

    async def database(self, server: Any, name: str, *, catalogue: str = "") -> Rotated:
        """Make a pair of users and a secret with the first of them."""
        pair = await self._stack.enter_async_context(pairs.user_pair(server))
        await self._declare(f"{name}-admin", pair.data(pair.admin, pairs.ADMIN))
        await self._declare(name, pair.data(pair.a, pairs.FIRST))
        settings = {"users": pair.users, "owner": pair.owner, "admin": f"{name}-admin"}
        return await self._rotated(
            name, RotationKind.POSTGRESQL, settings, pair, catalogue or self.new_catalogue()
        )

    async def cache(self, server: Any, name: str, *, catalogue: str = "") -> Rotated:
        """Make a user of an ACL and a secret with it."""
        user = await self._stack.enter_async_context(acl_users.acl_user(server))
        type_ = SecretType.CACHE
        await self._declare(f"{name}-admin", user.data(user.admin, acl_users.ADMIN), type_)
        await self._declare(name, user.data(user.name, acl_users.FIRST), type_)
        return await self._rotated(
            name,
            RotationKind.REDIS,
            {"admin": f"{name}-admin"},
            user,
            catalogue or self.new_catalogue(),
        )

    async def _declare(
        self, path: str, data: dict[str, str], type_: SecretType = SecretType.DATABASE
    ) -> None:
        place = KvPath.of(self.mount, PLATFORM, SecretPath.parse(path))
        await declared(self.service.client, place, data, type_)

    async def _rotated(
        self, path: str, kind: RotationKind, settings: dict[str, str], target: Any, catalogue: str
    ) -> Rotated:
        job = {
            "addr": self.vault.addr,
            "token": self.vault.root_token,
            "mount": self.mount,
            "catalogue": catalogue,
            "paths": (path,),
        }
        rotated = Rotated(path, target.works, target, self.service, job)
        client = self.service.client
        async with (
            Supervisor() as supervisor,
            rotated.catalogue() as kept,
            RotationManager.open(
                self.service,
                kept,
                supervisor,
                config=replace(SHORT, enabled=False),
                handlers=[
                    PostgresqlRotation(client, kv_mount=self.mount),
                    RedisRotation(client, kv_mount=self.mount),
                ],
            ) as manager,
        ):
            await manager.set_policy(
                path, RotationPolicy(kind=kind, interval=1e6, settings=settings)
            )
        return rotated


@dataclass
class Logins:
    """Clients that log in all the time with what they read from the service, one for each secret.

    Attributes:
        count: how often they have logged in.
        failures: which secret, and why.
        slowest: seconds from a read to the end of its login, at most.
    """

    service: gs.SecretsService
    secrets: list[Rotated]
    every: float = 0.1
    count: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    _over: bool = False

    async def _client(self, secret: Rotated) -> None:
        while not self._over:
            await self._log_in(secret)
            await asyncio.sleep(self.every)

    async def _log_in(self, secret: Rotated) -> None:
        began = time.monotonic()
        try:
            read = await self.service.get(secret.path)
            let_in = await secret.works(read.data)
        except (asyncpg.PostgresError, RedisError, OSError, gs.SecretsError) as error:
            let_in = False
            self.failures.append(f"{secret.path}: {type(error).__name__}")
        else:
            if not let_in:
                self.failures.append(f"{secret.path}: version {read.version} is not let in")
        self.count += 1
        self.slowest = max(self.slowest, time.monotonic() - began)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.ensure_future(self._client(secret)) for secret in self.secrets]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)
