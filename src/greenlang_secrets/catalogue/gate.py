"""Whether the database can be used: found out once for all, and not by each caller's patience.

While it cannot, every call fails at once; one task looks again, and opens when it can.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import anyio

from greenlang_secrets.background import reported
from greenlang_secrets.errors import CatalogueUnavailable

__all__ = ["Gate", "Obstacle"]

Obstacle = Literal[
    "starting",
    "unreachable",
    "login_refused",
    "schema_missing",
    "schema_behind",
    "role_too_powerful",
    "row_security_off",
]
"""Why the database cannot be used. The last two are refused and not warned of: with such a role
or such a table the second wall between tenants is not there.
"""

_ADVICE: Final[dict[Obstacle, str]] = {
    "starting": "The catalogue's database has not answered yet.",
    "unreachable": "The catalogue's database gives no answer; check that it runs.",
    "login_refused": "The catalogue's database refuses the login; check its user and password.",
    "schema_missing": "The catalogue has no tables, or none that this role may use; run "
    "greenlang-secrets migrate with --app-role.",
    "schema_behind": "The catalogue's tables are an older version's; run greenlang-secrets migrate.",
    "role_too_powerful": "The catalogue's role owns its tables, or may pass their row-level "
    "security; give the service a role of its own.",
    "row_security_off": "Row-level security of the catalogue's tables is off; run "
    "greenlang-secrets migrate.",
}
_FIRST_WAIT: Final = 0.1  # seconds until the second look
_LONGEST_WAIT: Final = 2.0  # seconds; so that it is used again soon after it is back

_log: Final = logging.getLogger("greenlang_secrets")


class Gate:
    """Open or closed; `look` says what is in the way, or None.

    Attributes:
        obstacle: why it is closed; None while it is open.
    """

    def __init__(self, look: Callable[[], Awaitable[Obstacle | None]]) -> None:
        self._look = look
        self._doubt = asyncio.Event()
        self._looked = asyncio.Event()
        self.obstacle: Obstacle | None = "starting"

    @property
    def advice(self) -> str | None:
        """What to do about the obstacle; None while it is open."""
        return None if self.obstacle is None else _ADVICE[self.obstacle]

    def pass_through(self) -> None:
        """Return if it is open.

        Raises:
            CatalogueUnavailable: it is closed; nothing was tried.
        """
        if self.obstacle is not None:
            raise CatalogueUnavailable(self.advice)

    def close(self, obstacle: Obstacle) -> None:
        """Close it until a look finds nothing in the way."""
        if self.obstacle is None:
            self._say(obstacle)
            self.obstacle = obstacle
        self._doubt.set()

    async def looked(self) -> None:
        """Return when there has been a first look."""
        await self._looked.wait()

    async def keep(self) -> None:
        """Look at once, and whenever it was closed, until it is open; for ever."""
        while True:
            self._doubt.clear()
            await self._until_open()
            await self._doubt.wait()

    async def _until_open(self) -> None:
        wait = _FIRST_WAIT
        while (obstacle := await self._seen()) is not None:
            if obstacle != self.obstacle:
                self._say(obstacle)
            self.obstacle = obstacle
            self._looked.set()
            await anyio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  spreads replicas
            wait = min(2 * wait, _LONGEST_WAIT)
        _log.info("catalogue.usable")
        self.obstacle = None
        self._looked.set()

    async def _seen(self) -> Obstacle | None:
        """What is in the way; a look that fails in an unforeseen way must not end the looking."""

        async def look() -> tuple[Obstacle | None]:
            return (await self._look(),)

        seen = await reported(look(), name="catalogue gate")
        return "unreachable" if seen is None else seen[0]

    def _say(self, obstacle: Obstacle) -> None:
        _log.warning("catalogue.unusable", extra={"obstacle": obstacle, "do": _ADVICE[obstacle]})
