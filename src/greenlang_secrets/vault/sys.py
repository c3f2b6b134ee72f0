"""The system backend: health and seal status.

``/v1/sys/health`` says 200 while every real request fails with 500 because the audit
device is full (docs/explanation/vault-facts.md): it tells what state a node is in, not whether it
works. The service adds a real request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from greenlang_secrets.errors import VaultProtocolError
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import EVERY_STATE, Transport, VaultRequest, VaultResponse

__all__ = ["Leader", "NodeHealth", "SealStatus", "Sys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHealth:
    """What a node says of itself.

    Attributes:
        server_time: the node's clock, seconds since the epoch.
    """

    initialized: bool
    sealed: bool
    standby: bool
    version: str
    server_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SealStatus:
    """How a node is sealed.

    Attributes:
        kind: the seal's type, such as shamir or static.
        threshold, progress: unseal keys needed, and given so far.
    """

    kind: str
    initialized: bool
    sealed: bool
    threshold: int
    progress: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """Who leads the cluster.

    Attributes:
        ha_enabled: False for a server on its own, which names no leader.
        is_self: whether the node that answered leads.
        address: the leader's; empty while none is known. After a crash it may be the dead one.
    """

    ha_enabled: bool
    is_self: bool
    address: str


class Sys:
    """Requests that need no token."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def health(self) -> NodeHealth:
        """Return what the node that answers says of itself, in whatever state it is.

        ``GET /v1/sys/health`` (Vault API: "/sys/health"), with parameters that make every
        state answer 200.

        Raises:
            VaultUnavailable: no address answers.
        """
        answer = await self._get(
            "health",
            query=EVERY_STATE,
        )
        body = answer.body
        version, seconds = body.get("version"), body.get("server_time_utc")
        if not isinstance(version, str) or not isinstance(seconds, int | float):
            raise VaultProtocolError
        return NodeHealth(
            initialized=_flag(body, "initialized"),
            sealed=_flag(body, "sealed"),
            standby=_flag(body, "standby"),
            version=version,
            server_time=float(seconds),
        )

    async def seal_status(self) -> SealStatus:
        """Return how the node is sealed; works in every state.

        ``GET /v1/sys/seal-status`` (Vault API: "/sys/seal-status").

        Raises:
            VaultUnavailable: no address answers.
        """
        body = (await self._get("seal-status")).body
        kind, threshold, progress = body.get("type"), body.get("t"), body.get("progress")
        if (
            not isinstance(kind, str)
            or not isinstance(threshold, int)
            or not isinstance(progress, int)
        ):
            raise VaultProtocolError
        return SealStatus(
            kind=kind,
            initialized=_flag(body, "initialized"),
            sealed=_flag(body, "sealed"),
            threshold=threshold,
            progress=progress,
        )

    async def leader(self) -> Leader:
        """Return who leads, as the node that answers sees it.

        ``GET /v1/sys/leader`` (Vault API: "/sys/leader").

        Raises:
            VaultUnavailable: no address answers, or the node is sealed.
        """
        body = (await self._get("leader")).body
        address = body.get("leader_address", "")
        if not isinstance(address, str):
            raise VaultProtocolError
        return Leader(
            ha_enabled=_flag(body, "ha_enabled"),
            # A server without HA says nothing of a leader.
            is_self=body.get("is_self") is True,
            address=address,
        )

    async def _get(self, name: str, query: str = "") -> VaultResponse:
        answer = await self._transport.send(
            VaultRequest(method="GET", path=ApiPath.of("sys", name), query=query)
        )
        if not answer.ok:
            raise VaultProtocolError
        return answer


def _flag(body: Mapping[str, Any], key: str) -> bool:
    value = body.get(key)
    if not isinstance(value, bool):
        raise VaultProtocolError
    return value
