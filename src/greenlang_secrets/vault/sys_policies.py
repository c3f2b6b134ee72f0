"""ACL policies: what tokens may do, as text. What it comes to is for `sys_capabilities`."""

from __future__ import annotations

from dataclasses import dataclass

from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import VaultRequest
from greenlang_secrets.vault.answers import Call, accepted, names_of, read_object

__all__ = ["Policies", "Policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy.

    Attributes:
        rules: HCL, as it was written.
    """

    name: str
    rules: str


class Policies:
    """The ACL policies of a Vault; `call` sends a request with one token.

    Every method also raises what `TokenHolder.call` raises.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list(self) -> tuple[str, ...]:
        """Return the names of all policies.

        ``LIST /v1/sys/policies/acl`` (Vault API: "/sys/policies", "List ACL Policies").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        path = ApiPath.of("sys", "policies", "acl")
        return names_of(await self._call(VaultRequest(method="LIST", path=path)))

    async def read(self, name: str) -> Policy:
        """Return a policy.

        ``GET /v1/sys/policies/acl/{name}`` (Vault API: "/sys/policies", "Read ACL Policy").

        Raises:
            ObjectNotFound: there is no such policy.
            AccessDenied: the token's policies do not allow it.
        """
        fields = await read_object(self._call, _path(name), "policy")
        return Policy(name=fields.text("name"), rules=fields.text("policy"))

    async def write(self, name: str, rules: str) -> None:
        """Create a policy or replace it; it holds for living tokens at once.

        ``POST /v1/sys/policies/acl/{name}`` (Vault API: "/sys/policies", "Create/Update ACL
        Policy"). Vault keeps names in lower case.

        Raises:
            VaultRefused: `rules` are no policy.
            AccessDenied: the token's policies do not allow it.
        """
        request = VaultRequest(
            method="POST", path=_path(name), body={"policy": rules}, repeatable=True
        )
        accepted(await self._call(request))

    async def delete(self, name: str) -> None:
        """Remove a policy from living tokens too; succeeds too where there is none.

        ``DELETE /v1/sys/policies/acl/{name}`` (Vault API: "/sys/policies", "Delete ACL
        Policy").

        Raises:
            VaultRefused: it is ``default`` or ``root``.
            AccessDenied: the token's policies do not allow it.
        """
        request = VaultRequest(method="DELETE", path=_path(name), repeatable=True)
        accepted(await self._call(request))


def _path(name: str) -> ApiPath:
    return ApiPath.of("sys", "policies", "acl", name)
