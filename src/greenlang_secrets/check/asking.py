"""A real server with the policies in it, asked what each role may do."""

from __future__ import annotations

import secrets as random_values
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from greenlang_secrets.check.policies import Policy
from greenlang_secrets.errors import AccessDenied, VaultProtocolError, VaultRefused
from greenlang_secrets.testing import ExternalVault, OpenBaoServer

__all__ = ["Asked", "Server", "asked"]

Server = OpenBaoServer | ExternalVault

_VARIABLES: Final = {"${token_accessor}": "auth_token_check"}


class Asked:
    """A server that knows the policies, under names of this check's own."""

    def __init__(self, server: Server, names: Mapping[str, str]) -> None:
        self._server = server
        self._names = names

    async def allows(
        self, policies: Sequence[str], paths: Collection[str]
    ) -> dict[str, frozenset[str]]:
        """Return what a token with exactly these policies may do at each path.

        ``POST /v1/sys/capabilities`` (Vault API: "/sys/capabilities"), with a token made for it
        and revoked after.
        """
        body = {
            "policies": [self._names[name] for name in policies if name in self._names],
            "no_default_policy": True,
            "no_parent": True,
            "ttl": "5m",
        }
        if not body["policies"]:  # a token without any would get those of its maker
            return {path: frozenset({"deny"}) for path in paths}
        made = await _request(self._server, "POST", "auth/token/create", body)
        token = made["auth"]["client_token"]
        try:
            question = {"token": token, "paths": sorted(paths)}
            answer = await _request(self._server, "POST", "sys/capabilities", question)
        finally:
            await _request(self._server, "POST", "auth/token/revoke", {"token": token})
        return {path: frozenset(answer[path]) for path in paths}


@asynccontextmanager
async def asked(
    server: Server, policies: Sequence[Policy], *, kv_mount: str
) -> AsyncIterator[tuple[Asked, list[Policy]]]:
    """Load policies into a running server, yield who answers for them, and those it refused.

    They get names of their own and are removed at the end, so that the server may be one that
    others use.

    Raises:
        AccessDenied: the server's token may not write policies or make tokens.
    """
    prefix = f"check-{random_values.token_hex(6)}"
    names: dict[str, str] = {}
    refused = []
    try:
        for policy in policies:
            rules = policy.rules.replace("${kv_mount}", kv_mount)
            for variable, value in _VARIABLES.items():
                rules = rules.replace(variable, value)
            name = f"{prefix}-{policy.name.lower()}"
            try:
                await _request(server, "POST", f"sys/policies/acl/{name}", {"policy": rules})
            except VaultRefused:
                refused.append(policy)
            else:
                names[policy.name] = name
        yield Asked(server, names), refused
    finally:
        for name in names.values():
            await _request(server, "DELETE", f"sys/policies/acl/{name}", None)


async def _request(server: Server, method: str, path: str, body: object) -> dict[str, Any]:
    status, answer = await server.request(method, path, body)
    if status == 403:
        raise AccessDenied
    if status not in {200, 204}:
        raise VaultRefused(status=status)
    if answer is None:
        return {}
    if not isinstance(answer, dict):
        raise VaultProtocolError
    return answer
