"""Token roles: templates that say which tokens may be made, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import VaultRequest
from greenlang_secrets.vault.answers import Call, accepted, names_of, read_object, ttl_text

__all__ = ["TokenRole", "TokenRoles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRole:
    """What tokens of a role are.

    Attributes:
        allowed_policies: what may be asked for; none for what the maker has itself.
        allowed_entity_aliases: what `entity_alias` may be; a final ``*`` is a prefix.
        orphan: tokens outlive the one that made them.
        period: seconds; 0 for tokens that are not periodic.
        explicit_max_ttl: seconds; 0 for none but the mount's.
        type: what is made; the default ones let the maker choose.
    """

    allowed_policies: tuple[str, ...] = ()
    disallowed_policies: tuple[str, ...] = ()
    allowed_entity_aliases: tuple[str, ...] = ()
    orphan: bool = False
    renewable: bool = True
    period: float = 0.0
    explicit_max_ttl: float = 0.0
    no_default_policy: bool = False
    num_uses: int = 0
    type: Literal["service", "batch", "default-service", "default-batch"] = "default-service"


class TokenRoles:
    """The roles of the token store; made by `Tokens`."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def read(self, name: str) -> TokenRole:
        """Return what tokens of a role are.

        ``GET /v1/auth/token/roles/{name}`` (Vault API: Token, "Read Token Role").

        Raises:
            ObjectNotFound: there is no such role.
            AccessDenied: the token's policies do not allow it.
        """
        fields = await read_object(self._call, _path(name), "role")
        return TokenRole(
            allowed_policies=fields.texts("allowed_policies", absent=()),
            disallowed_policies=fields.texts("disallowed_policies", absent=()),
            allowed_entity_aliases=fields.texts("allowed_entity_aliases", absent=()),
            orphan=fields.flag("orphan"),
            renewable=fields.flag("renewable"),
            period=fields.seconds("token_period", absent=0),
            explicit_max_ttl=fields.seconds("token_explicit_max_ttl", absent=0),
            no_default_policy=fields.flag("token_no_default_policy", absent=False),
            num_uses=fields.whole("token_num_uses", absent=0),
            type=fields.choice(
                "token_type", ("service", "batch", "default-service", "default-batch")
            ),
        )

    async def write(self, name: str, role: TokenRole) -> None:
        """Create a role or change it.

        ``POST /v1/auth/token/roles/{name}`` (Vault API: Token, "Create/Update Token Role").

        Raises:
            VaultRefused: Vault does not accept the role, such as renewable batch tokens.
            AccessDenied: the token's policies do not allow it.
        """
        body = {
            "allowed_policies": list(role.allowed_policies),
            "disallowed_policies": list(role.disallowed_policies),
            "allowed_entity_aliases": list(role.allowed_entity_aliases),
            "orphan": role.orphan,
            "renewable": role.renewable,
            "token_period": ttl_text(role.period),
            "token_explicit_max_ttl": ttl_text(role.explicit_max_ttl),
            "token_no_default_policy": role.no_default_policy,
            "token_num_uses": role.num_uses,
            "token_type": role.type,
        }
        request = VaultRequest(method="POST", path=_path(name), body=body, repeatable=True)
        accepted(await self._call(request))

    async def list(self) -> tuple[str, ...]:
        """Return the names of all roles.

        ``LIST /v1/auth/token/roles`` (Vault API: Token, "List Token Roles").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        path = ApiPath.of("auth", "token", "roles")
        return names_of(await self._call(VaultRequest(method="LIST", path=path)))

    async def delete(self, name: str) -> None:
        """Remove a role; its tokens live on. Succeeds too where there is none.

        ``DELETE /v1/auth/token/roles/{name}`` (Vault API: Token, "Delete Token Role").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        request = VaultRequest(method="DELETE", path=_path(name), repeatable=True)
        accepted(await self._call(request))


def _path(name: str) -> ApiPath:
    return ApiPath.of("auth", "token", "roles", name)
