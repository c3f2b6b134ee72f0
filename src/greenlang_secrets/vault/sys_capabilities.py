"""What the token in use may do: asked of Vault, never worked out from policies.

Policies have globs, templates, `deny` and precedence; only a server knows what they come to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from greenlang_secrets.errors import InvalidRequest
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import VaultRequest
from greenlang_secrets.vault.answers import Call, accepted

__all__ = ["Capabilities", "PathCapabilities"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathCapabilities:
    """What a token may do at one path.

    Attributes:
        path: without ``/v1/``, as it was asked for.
        capabilities: such as read and list; ``deny`` or ``root`` alone.
    """

    path: str
    capabilities: frozenset[str]

    def allows(self, capability: str) -> bool:
        """Return whether it has this capability."""
        return "root" in self.capabilities or capability in self.capabilities


class Capabilities:
    """Questions about the token in use; `call` sends a request with it."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def of_self(self, paths: Sequence[str]) -> tuple[PathCapabilities, ...]:
        """Return what the token in use may do at each of `paths`, in their order.

        ``POST /v1/sys/capabilities-self`` (Vault API: "/sys/capabilities-self").

        Raises:
            InvalidRequest: `paths` is empty.
            AccessDenied: the token lacks the policy ``default``, which allows to ask.
        """
        if not paths:
            raise InvalidRequest("Ask for one path or more.")
        request = VaultRequest(
            method="POST",
            path=ApiPath.of("sys", "capabilities-self"),
            body={"paths": list(paths)},
            repeatable=True,  # a question
        )
        fields = accepted(await self._call(request))
        return tuple(
            PathCapabilities(path=path, capabilities=frozenset(fields.texts(path)))
            for path in paths
        )
