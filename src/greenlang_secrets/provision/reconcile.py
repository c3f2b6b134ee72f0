"""Read, compare, write what differs: the one way in which `provision` touches a Vault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.vault import VaultClient

__all__ = ["Change", "Reconciliation", "check_type", "differing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that was not as desired.

    Attributes:
        action: create (it was not there) or update.
        path: the API path, below ``/v1/``.
        settings: names of the settings that differed; empty for create. Never values.
    """

    action: Literal["create", "update"]
    path: str
    settings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.action} {self.path}" + (
            f" ({', '.join(self.settings)})" if self.settings else ""
        )


class Reconciliation:
    """One run over a Vault.

    Attributes:
        plan: whether it only looks.
        changes: what was written so far, or would be.
    """

    def __init__(
        self,
        client: VaultClient,
        *,
        plan: bool,
        on_look: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_look` is told each path that is looked at, to show how far it is."""
        self.plan = plan
        self._on_look = on_look
        self.changes: list[Change] = []
        self._client = client

    async def read(self, *parts: str) -> Mapping[str, Any] | None:
        """Return what is at a path, or None."""
        path = ApiPath.of(*parts)
        self._on_look(path.text)
        return await self._client.read(path)

    async def write(self, *parts: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write, even with `plan`: callers ask `create` or `update` first."""
        return await self._client.write(ApiPath.of(*parts), body)

    def create(self, *parts: str) -> bool:
        """Note that something is missing, and return whether to make it."""
        self.changes.append(Change(action="create", path="/".join(parts)))
        return not self.plan

    def update(self, *parts: str, settings: tuple[str, ...]) -> bool:
        """Note that settings differ, and return whether to write them."""
        self.changes.append(Change(action="update", path="/".join(parts), settings=settings))
        return not self.plan

    async def settings(
        self,
        *parts: str,
        desired: Mapping[str, Any],
        unreadable: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the settings at a path `desired`; what Vault does not give back (`unreadable`)
        is written along, and not compared.
        """
        actual = await self.read(*parts)
        if actual is None:
            if self.create(*parts):
                await self.write(*parts, body={**desired, **(unreadable or {})})
            return
        wrong = differing(actual, desired)
        if wrong and self.update(*parts, settings=wrong):
            await self.write(*parts, body={**desired, **(unreadable or {})})


def differing(actual: Mapping[str, Any], desired: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the desired settings that are not as desired, sorted."""
    return tuple(sorted(name for name, value in desired.items() if actual.get(name) != value))


def check_type(name: str, mount: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> None:
    """Return if a mount is not there, or is of the kind that is desired.

    Raises:
        ConfigurationError: it is of another type or KV version.
    """
    if mount is None:
        return
    found, version = mount.get("type"), (mount.get("options") or {}).get("version")
    wanted = settings["type"]
    if found != wanted:
        raise ConfigurationError(
            f"The mount {name!r} is there with the type {found!r}, not {wanted!r}; "
            "move it, or choose another name for ours."
        )
    if wanted == "kv" and version != "2":
        raise ConfigurationError(
            f"The mount {name!r} is KV version 1; upgrade it (vault kv enable-versioning), "
            "or choose another name with GREENLANG_SECRETS_KV_MOUNT."
        )
