"""The PKI engine's roles: who may have which certificate, for how long."""

from __future__ import annotations

from dataclasses import dataclass

from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import VaultRequest
from greenlang_secrets.vault.answers import Call, accepted, names_of, read_object, ttl_text

__all__ = ["PkiRole", "PkiRoles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PkiRole:
    """What certificates of a role may be.

    The defaults are narrower than Vault's own: no name is allowed until one is given, and
    neither localhost nor IP addresses nor wildcards are.

    Attributes:
        ttl, max_ttl: seconds; 0 leaves it to the mount. More than `max_ttl` is cut silently.
        key_type, key_bits: of keys that Vault makes, and that requests must have; ``any`` and
            0 accept every request.
        no_store: certificates are neither listed nor revocable, and cost no storage.
    """

    allowed_domains: tuple[str, ...] = ()
    allow_bare_domains: bool = False
    allow_subdomains: bool = False
    allow_glob_domains: bool = False
    allow_wildcard_certificates: bool = False
    allow_any_name: bool = False
    allow_localhost: bool = False
    allow_ip_sans: bool = False
    allowed_uri_sans: tuple[str, ...] = ()
    enforce_hostnames: bool = True
    require_cn: bool = True
    server_flag: bool = True
    client_flag: bool = True
    key_type: str = "ec"
    key_bits: int = 256
    ttl: float = 0.0
    max_ttl: float = 0.0
    generate_lease: bool = False
    no_store: bool = False


_FLAGS = (
    "allow_bare_domains",
    "allow_subdomains",
    "allow_glob_domains",
    "allow_wildcard_certificates",
    "allow_any_name",
    "allow_localhost",
    "allow_ip_sans",
    "enforce_hostnames",
    "require_cn",
    "server_flag",
    "client_flag",
    "generate_lease",
    "no_store",
)


class PkiRoles:
    """The roles of one PKI mount; made by `Pki`."""

    def __init__(self, call: Call, *, mount: str) -> None:
        self._call = call
        self._mount = mount

    async def read(self, name: str) -> PkiRole:
        """Return what a role allows.

        ``GET /v1/{mount}/roles/{name}`` (Vault API: PKI, "Read Role").

        Raises:
            ObjectNotFound: there is no such role.
            AccessDenied: the token's policies do not allow it.
        """
        fields = await read_object(self._call, self._path(name), "role")
        return PkiRole(
            allowed_domains=fields.texts("allowed_domains", absent=()),
            allowed_uri_sans=fields.texts("allowed_uri_sans", absent=()),
            key_type=fields.text("key_type"),
            key_bits=fields.whole("key_bits"),
            ttl=fields.seconds("ttl"),
            max_ttl=fields.seconds("max_ttl"),
            **{flag: fields.flag(flag, absent=False) for flag in _FLAGS},
        )

    async def write(self, name: str, role: PkiRole) -> None:
        """Create a role or replace it as a whole; what `PkiRole` does not name gets Vault's
        default.

        ``POST /v1/{mount}/roles/{name}`` (Vault API: PKI, "Create/Update Role").

        Raises:
            VaultRefused: Vault does not accept the role.
            AccessDenied: the token's policies do not allow it.
        """
        body = {
            "allowed_domains": list(role.allowed_domains),
            "allowed_uri_sans": list(role.allowed_uri_sans),
            "key_type": role.key_type,
            "key_bits": role.key_bits,
            "ttl": ttl_text(role.ttl),
            "max_ttl": ttl_text(role.max_ttl),
            **{flag: getattr(role, flag) for flag in _FLAGS},
        }
        request = VaultRequest(method="POST", path=self._path(name), body=body, repeatable=True)
        accepted(await self._call(request))

    async def list(self) -> tuple[str, ...]:
        """Return the names of all roles.

        ``LIST /v1/{mount}/roles`` (Vault API: PKI, "List Roles").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        path = ApiPath.of(self._mount, "roles")
        return names_of(await self._call(VaultRequest(method="LIST", path=path)))

    async def delete(self, name: str) -> None:
        """Remove a role; its certificates live on. Succeeds too where there is none.

        ``DELETE /v1/{mount}/roles/{name}`` (Vault API: PKI, "Delete Role").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        request = VaultRequest(method="DELETE", path=self._path(name), repeatable=True)
        accepted(await self._call(request))

    def _path(self, name: str) -> ApiPath:
        return ApiPath.of(self._mount, "roles", name)
