"""A Vault in memory with a clock of its own: for tokens and leases whose moments a test chooses.

It stands in for the transport. What the real one answers is held by the integration tests of
`vault/test_token_life.py` and `test_leases.py`; this is for what no real one does on demand.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from greenlang_secrets.background import Supervisor
from greenlang_secrets.leases import HeldLease, LeaseKeeper, database
from greenlang_secrets.lifetime import Term
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import VaultRequest, VaultResponse
from greenlang_secrets.vault.auth import AuthMethod, VaultToken
from greenlang_secrets.vault.session import Session
from greenlang_secrets.vault.sys_leases import Leases

CREDS = "db/creds/app"
STATIC = "db/static-creds/app"


class Clock:
    """Seconds that pass when a test says so; between two looks a millionth passes by itself, since no
    real clock stands still.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now


@dataclass
class FakeVault:
    """Tokens and leases, what was asked, and what to answer otherwise.

    Attributes:
        instead: answers, or exceptions, in place of the right ones, by path; the first first.
        gates: events that a path's answer waits for; what was asked is done before.
    """

    clock: Clock
    token_ttl: int = 3600
    lease_ttl: int = 3600
    renewable: bool = True
    ours: bool = True
    tokens: set[str] = field(default_factory=set)
    leases: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    instead: dict[str, list[int | Exception]] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    password: str = "first"
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(1 for asked, _ in self.asked if asked == path)

    def kill(self, *tokens: str) -> None:
        """Revoke tokens; their leases go with them."""
        for token in tokens:
            self.tokens.discard(token)
            self.leases = {id_: maker for id_, maker in self.leases.items() if maker != token}

    async def send(
        self, request: VaultRequest, *, token: SecretValue | None = None
    ) -> VaultResponse:
        path, name = request.path.text, "" if token is None else token.reveal()
        self.asked.append((path, name))
        status, body = self._answer(path, name, dict(request.body or {}))
        asked_at = self.clock()
        if path in self.gates:
            await self.gates[path].wait()
        await asyncio.sleep(0)
        if isinstance(status, Exception):
            raise status
        return VaultResponse(status=status, body=body, asked_at=asked_at)

    def _answer(
        self, path: str, token: str, body: dict[str, Any]
    ) -> tuple[int | Exception, dict[str, Any]]:
        if self.instead.get(path):
            return self.instead[path].pop(0), {}
        if token not in self.tokens:
            return 403, {}
        if path == CREDS:
            return self._made(token)
        if path == STATIC:
            return self._static()
        if path.startswith("sys/leases/"):
            return self._lease(path, body["lease_id"])
        if path == "auth/token/revoke-self":
            self.kill(token)
            return 204, {}
        return 200, {"auth": {"lease_duration": self.token_ttl, "renewable": True}}

    def _made(self, token: str) -> tuple[int, dict[str, Any]]:
        number = next(self.numbers)
        self.leases[f"{CREDS}/{number}"] = token
        return 200, {
            "lease_id": f"{CREDS}/{number}",
            "lease_duration": self.lease_ttl,
            "renewable": self.renewable,
            "data": {"username": f"user-{number}", "password": f"pw-{number}"},
        }

    def _static(self) -> tuple[int, dict[str, Any]]:
        data = {
            "username": "app",
            "password": self.password,
            "ttl": 60,
            "rotation_period": 3600,
            "last_vault_rotation": "2026-01-01T00:00:00Z",
        }
        return 200, {"data": data}

    def _lease(self, path: str, lease_id: str) -> tuple[int, dict[str, Any]]:
        if path == "sys/leases/revoke":
            self.leases.pop(lease_id, None)
            return 204, {}
        known = lease_id in self.leases
        return 200 if known else 400, {
            "lease_id": lease_id,
            "lease_duration": self.lease_ttl,
            "renewable": True,
        }


class FakeLogin(AuthMethod):
    """A method whose logins make the tokens t1, t2 and so on."""

    def __init__(self, vault: FakeVault) -> None:
        self.vault = vault
        self.made = 0
        self.gate: asyncio.Event | None = None
        self.refusals: list[Exception] = []
        self.renewable = True
        self.limited = False
        self.accessor = True

    async def login(self, transport: object) -> VaultToken:
        await asyncio.sleep(0)
        if self.refusals:
            raise self.refusals.pop(0)
        self.made += 1
        name = f"t{self.made}"
        self.vault.tokens.add(name)
        if self.gate is not None:
            await self.gate.wait()
        return VaultToken(
            value=SecretValue(name),
            accessor=f"a{self.made}" if self.accessor else "",
            term=Term(
                granted_at=self.vault.clock(),
                duration=self.vault.token_ttl,
                wanted=self.vault.token_ttl,
                renewable=self.renewable,
            ),
            ours=self.vault.ours,
            limited=self.limited,
            has_default=True,
        )


@dataclass
class Service:
    """The parts of a service that keep tokens and leases."""

    vault: FakeVault
    login: FakeLogin
    supervisor: Supervisor
    session: Session
    keeper: LeaseKeeper
    events: list[str]

    async def hold(self, **options: Any) -> HeldLease[Any]:
        return await self.keeper.hold("app", database.dynamic("app", **PLACED, **options))

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and all that is due happen."""
        self.vault.clock.now += seconds
        self.keeper._wake_all()
        self.session._woken.set()
        await settle()

    def users(self) -> dict[str, int]:
        """How many use each token that was ever made and is used."""
        known = {self.session._token, *self.session._retired} - {None}
        return {each.value.reveal(): each._users for each in known if each and each._users}


async def nowhere() -> None:
    """Nobody says where the database is."""


PLACED: Any = {"mount": "db", "place": nowhere}


async def settle() -> None:
    """Let the loop take its next steps; no time passes."""
    for _ in range(60):
        await asyncio.sleep(0)


@asynccontextmanager
async def fake_service(
    vault: FakeVault | None = None, *, keep: bool = False
) -> AsyncIterator[Service]:
    """Yield a service on `vault`; closing it revokes as `SecretsService` does."""
    vault = vault or FakeVault(Clock())
    login, events = FakeLogin(vault), list[str]()
    transport: Any = vault
    async with Supervisor() as supervisor:
        session = Session(
            login,
            transport=transport,
            supervisor=supervisor,
            chance=lambda: 0.0,
            on_event=events.append,
        )
        session._clock = vault.clock
        client: Any = SimpleNamespace(session=session, leases=Leases(session.call))
        keeper = LeaseKeeper(client, supervisor, clock=vault.clock, chance=lambda: 0.0)
        if keep:
            supervisor.spawn(session.keep(), name="vault.keep")
        service = Service(vault, login, supervisor, session, keeper, events)
        try:
            yield service
        finally:
            await keeper.close()
            await session.revoke()
