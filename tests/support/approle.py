"""An AppRole on a real server, set up by the witness and not by the code under test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenlang_secrets.config import AuthConfig


@dataclass(frozen=True)
class AppRole:
    """A role at its own mount, and the file with its secret id."""

    server: Any
    mount: str
    role_id: str
    secret_id_file: Path

    @property
    def auth(self) -> AuthConfig:
        """The configuration to log in with it."""
        return AuthConfig(
            method="approle",
            mount=self.mount,
            role=self.role_id,
            secret_id_file=self.secret_id_file,
        )

    async def logins(self, since: int) -> int:
        """How many logins the server's audit file shows since the mark."""
        requests = await self.server.audit_requests(since, f"auth/{self.mount}/login")
        return len(requests)

    async def revoke_tokens(self) -> None:
        """Revoke every token of the role, as an operator would in an emergency."""
        status, _ = await self.server.request(
            "POST", f"sys/leases/revoke-prefix/auth/{self.mount}/login"
        )
        assert status in {200, 204}


async def approle(
    server: Any, folder: Path, *, mount: str, policy: str, ttl: str = "1h", **settings: Any
) -> AppRole:
    """Make a role with `policy` (HCL) at the auth mount `mount`; more `settings` as Vault has them."""
    for path, body in (
        (f"sys/auth/{mount}", {"type": "approle"}),
        (f"sys/policies/acl/{mount}", {"policy": policy}),
        (f"auth/{mount}/role/app", {"token_policies": [mount], "token_ttl": ttl, **settings}),
    ):
        status, _ = await server.request("POST", path, body)
        assert status in {200, 204}, path
    _, role = await server.request("GET", f"auth/{mount}/role/app/role-id")
    _, secret = await server.request("POST", f"auth/{mount}/role/app/secret-id")
    secret_id_file = folder / "secret-id"
    secret_id_file.write_text(secret["data"]["secret_id"] + "\n")
    return AppRole(server, mount, role["data"]["role_id"], secret_id_file)
