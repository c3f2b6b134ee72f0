"""A scripted workload on a running development stack, after which every panel has something to show.

``python -m observability.workload --ready-file FILE`` works for a minute and a half on what
``greenlang-secrets dev --ready-file FILE`` started: reads (most of them cached), writes, listings,
histories, what is not found, denied and limited, rotations, long polls, and some seconds in which
Vault is sealed. It is bounded in rate and time, and speaks to loopback alone.

For the seal the stack must keep its data (``--data-dir``): only then the key to unseal is on disk.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import anyio

__all__ = ["SECONDS", "Stack", "work"]

SECONDS: Final = 90.0
"""So long: a path is rotated once in 60 s, and the second rotation ends the first one."""

_SEALED_FOR: Final = 14.0
"""Seconds. What is cached is fresh for 30 s and was refreshed ahead after 24: some of it is served
stale before this is over, when Vault is sealed after 45 s."""
_WITHIN: Final = aiohttp.ClientTimeout(total=30)

_READ: Final = (
    "api-keys/internal",
    "api-keys/external",
    "database/postgresql",
    "database/redis",
    "services/auth-service",
    "services/agent-factory",
)
_OWN: Final = "services/workload"
_CERTIFICATE: Final = "certificates/workload"
_POLICY: Final = {
    "kind": "certificate",
    "interval_seconds": 86_400,
    "settings": {
        "role": "greenlang-services",
        "common_name": "workload.greenlang.internal",
        "ttl": "72h",
    },
}
_NEW: Final = {"If-None-Match": "*"}
_ANY: Final = {"If-Match": "*"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Where a development stack is, and who may do what there: its ready file, read.

    Attributes:
        unseal_key: what Vault is unsealed with; None where it is not on disk.
    """

    api_url: str
    vault_addr: str
    vault_token: str = field(repr=False)
    tokens: Mapping[str, str] = field(repr=False)
    unseal_key: str | None = field(repr=False)

    @classmethod
    def read(cls, ready_file: Path) -> Self:
        """Return what a ready file says."""
        ready = json.loads(ready_file.read_text("utf-8"))
        key = Path(ready["openbao_audit_log"]).parent / "unseal.key"
        return cls(
            api_url=ready["api_url"],
            vault_addr=ready["vault_addr"],
            vault_token=ready["vault_token"],
            tokens=ready["tokens"],
            unseal_key=key.read_text("utf-8") if key.exists() else None,
        )


class _Client:
    """Asks the API and Vault, and counts what they answer."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self._stack = stack
        self._session = session
        self.answers: Counter[str] = Counter()
        """By method and status; ``lost`` for none."""

    async def ask(
        self,
        method: str,
        path: str,
        *,
        who: str = "platform-admin",
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        **query: str,
    ) -> int:
        """Return the status of one request; 0 for none."""
        sent = {"Authorization": f"Bearer {self._stack.tokens.get(who, who)}", **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        url = f"{self._stack.api_url}/api/v1/secrets{path}"
        data = None if body is None else json.dumps(body)
        try:
            async with self._session.request(
                method, url, headers=sent, data=data, params=query
            ) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        self.answers[f"{method} {status or 'lost'}"] += 1
        return status

    async def tell_vault(
        self, path: str, body: Mapping[str, Any] | None = None, *, method: str = "PUT"
    ) -> int:
        """Send Vault a request as root, and return the status; 400 and above too."""
        async with self._session.request(
            method,
            f"{self._stack.vault_addr}/v1/{path}",
            headers={"X-Vault-Token": self._stack.vault_token},
            json=body,
        ) as answer:
            return answer.status


async def work(stack: Stack, *, seconds: float = SECONDS) -> Mapping[str, int]:
    """Work for so many seconds, and return how often which method got which status.

    However this ends, Vault is unsealed again, if it was sealed here, and has no quota of ours.

    Raises:
        aiohttp.ClientError: Vault is not there.
    """
    async with aiohttp.ClientSession(timeout=_WITHIN) as session:
        client = _Client(stack, session)
        await _prepare(client)
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                for each, every in _ROUNDS:
                    tasks.start_soon(_again, partial(each, client), every)
                tasks.start_soon(_rotate, client)
                tasks.start_soon(_exceed_a_quota, client)
                tasks.start_soon(_seal, client, stack, seconds * 0.5)
        return dict(client.answers)


async def _again(each: Callable[[int], Awaitable[object]], every: float) -> None:
    number = 0
    while True:
        await each(number)
        number += 1
        await anyio.sleep(every)


async def _prepare(client: _Client) -> None:
    """Make what is worked on; what an earlier run has made may stay."""
    for path, type_ in ((_OWN, "service_token"), (_CERTIFICATE, "certificate")):
        body = {"data": {"owner": "workload"}, "type": type_}
        await client.ask("PUT", f"/{path}", headers=_NEW, body=body)
    await client.ask("PUT", f"/rotation/schedule/{_CERTIFICATE}", body=_POLICY)


async def _reads(client: _Client, number: int) -> None:
    who = ("platform-reader", "platform-admin")[number % 2]
    await client.ask("GET", f"/{_READ[number % len(_READ)]}", who=who)


async def _tenants(client: _Client, number: int) -> None:
    who = ("acme-reader", "globex-admin")[number % 2]
    await client.ask("GET", "/integrations/sap", who=who)


async def _writes(client: _Client, number: int) -> None:
    data = {"data": {"token": f"value-{number}"}}
    await client.ask("PUT", f"/{_OWN}", headers=_ANY, body=data)
    merge = {"Content-Type": "application/merge-patch+json", **_ANY}
    await client.ask("PATCH", f"/{_OWN}", headers=merge, body=data)
    await client.ask("GET", f"/{_OWN}", fresh="true")


async def _lives(client: _Client, number: int) -> None:
    """A secret's whole life: created, read, deleted, brought back, and deleted again."""
    path = f"/services/workload-{number}"
    body = {"data": {"token": "a"}, "type": "service_token"}
    await client.ask("POST", path, body=body)
    await client.ask("GET", path)
    await client.ask("DELETE", path)
    await client.ask("GET", path)
    await client.ask("POST", f"{path}/undelete", body={"version": 1})
    # At once: one of them asks Vault, and the others wait for what it hears.
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(client.ask, "GET", path)
    await client.ask("DELETE", path)


async def _looks(client: _Client, number: int) -> None:
    await client.ask("GET", "", limit="20")
    await client.ask("GET", f"/{_READ[number % len(_READ)]}/versions")
    await client.ask("GET", "/rotation/status")
    await client.ask("GET", "/rotation/schedule")
    await client.ask("GET", "/status")
    await client.ask("GET", "/health")


async def _refused(client: _Client, number: int) -> None:
    path = f"/{_READ[number % len(_READ)]}"
    await client.ask("GET", path, who="no-permissions")
    await client.ask("PUT", path, who="platform-reader", headers=_ANY, body={"data": {"a": "b"}})
    await client.ask("GET", f"/services/nobody-{number % 3}")
    await client.ask("GET", "/a//b")


async def _strangers(client: _Client, number: int) -> None:
    await client.ask("GET", f"/{_OWN}", who=f"no-bearer-{number}")


async def _bursts(client: _Client, number: int) -> None:
    """More listings at once than one may ask for."""
    async with anyio.create_task_group() as tasks:
        for _ in range(25):
            tasks.start_soon(partial(client.ask, "GET", "", who="acme-admin"))
    await client.ask("GET", "/health", who=f"burst-{number}")


async def _polls(client: _Client, number: int) -> None:
    """Wait for a change that the writes make."""
    del number
    await client.ask("GET", f"/{_OWN}", headers={"Prefer": "wait=3", "If-None-Match": '"1"'})


async def _rotate(client: _Client) -> None:
    """Rotate, and after the minute that a path has for itself once more, which ends the first."""
    for force in (False, True):
        for path in ("database/postgresql", "database/redis", _CERTIFICATE):
            body = {"reason": "workload", "force": force}
            wait = {"Prefer": "wait=20"}
            await client.ask("POST", f"/rotate/{path}", headers=wait, body=body)
            # At once again: the limit of the path.
            await client.ask("POST", f"/rotate/{path}", body=body)
        await anyio.sleep(61)


async def _exceed_a_quota(client: _Client) -> None:
    """Be refused by Vault itself, where nobody else asks for anything."""
    quota = "sys/quotas/rate-limit/workload"
    await client.tell_vault(quota, {"path": "cubbyhole/", "rate": 1})
    try:
        for _ in range(5):
            await client.tell_vault("cubbyhole/workload", method="GET")
    finally:
        with anyio.CancelScope(shield=True):
            await client.tell_vault(quota, method="DELETE")


async def _seal(client: _Client, stack: Stack, after: float) -> None:
    if stack.unseal_key is None:
        return
    await anyio.sleep(after)
    await client.tell_vault("sys/seal")
    try:
        await anyio.sleep(_SEALED_FOR)
    finally:
        with anyio.CancelScope(shield=True):
            await client.tell_vault("sys/unseal", {"key": stack.unseal_key})


_ROUNDS: Final[Sequence[tuple[Callable[[_Client, int], Awaitable[object]], float]]] = (
    (_reads, 0.04),
    (_tenants, 0.2),
    (_writes, 1.0),
    (_lives, 2.0),
    (_looks, 2.0),
    (_refused, 0.7),
    (_strangers, 15.0),
    (_bursts, 10.0),
    (_polls, 1.0),
)
"""What is done all the time, and the seconds from one to the next."""


def main() -> None:
    """Work on the stack of a ready file."""
    parser = argparse.ArgumentParser(prog="python -m observability.workload", description=__doc__)
    parser.add_argument("--ready-file", type=Path, required=True, help="of greenlang-secrets dev")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long (%(default)s)")
    chosen = parser.parse_args()
    answers = anyio.run(partial(work, Stack.read(chosen.ready_file), seconds=chosen.seconds))
    for answer, times in sorted(answers.items()):
        sys.stdout.write(f"{times:6} {answer}\n")


if __name__ == "__main__":
    main()
