"""What a configuration needs of Vault's policies: paths of the API, and capabilities there."""

from __future__ import annotations

from dataclasses import dataclass

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.paths import PLATFORM, FolderPath, KvPath, Scope, SecretPath

__all__ = ["Needed", "needed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Capabilities at one path.

    Attributes:
        path: of Vault's API, without ``/v1/``.
        why: what they are for, as the end of a sentence.
        scope: whose token needs them.
        required: whether nothing goes without; else something does.
    """

    path: str
    capabilities: tuple[str, ...]
    why: str
    scope: Scope = PLATFORM
    required: bool = True

    def missing_of(self, held: frozenset[str]) -> tuple[str, ...]:
        """Return which of them are not among those held."""
        if "root" in held:
            return ()
        return tuple(name for name in self.capabilities if name not in held)


def needed(
    config: SecretsServiceConfig,
    scope: Scope,
    paths: tuple[str, ...],
    *,
    write: bool,
    service: bool = False,
) -> tuple[Needed, ...]:
    """Return what is needed to work in `scope`: to list it and, of each of `paths`, to read it;
    with `write` to change it, too. With `service` also what the API needs for itself.

    Where paths are named, listing the scope is not required: health says "degraded" without.

    Raises:
        InvalidPath, ReservedName: a path is outside the grammar.
    """
    mount = config.kv_mount
    wants: list[Needed] = []
    if config.tenant_token_role is not None:
        wants.append(
            Needed(
                path=f"auth/token/create/{config.tenant_token_role}",
                capabilities=("update",),
                why="to make tenants' tokens",
                required=scope != PLATFORM,
            )
        )
    wants.append(
        Needed(
            path=KvPath.folder(mount, scope, FolderPath(())).text,
            capabilities=("list",),
            why="to list the scope, as the readiness check does",
            scope=scope,
            required=not paths,
        )
    )
    if service:
        keys = KvPath.of_service(mount, "keys")
        why = "for the service's own keys, which seal its audit log"
        wants += [
            Needed(path=keys.api("data").text, capabilities=("create", "read"), why=why),
            Needed(path=keys.api("metadata").text, capabilities=("read", "patch"), why=why),
        ]
    for raw_path in paths:
        place = KvPath.of(mount, scope, SecretPath.parse(raw_path))
        data = ("create", "read", "update") if write else ("read",)
        wants += [
            Needed(
                path=place.api("data").text,
                capabilities=data,
                why="to read and write it" if write else "to read it",
                scope=scope,
            ),
            Needed(
                path=place.api("metadata").text,
                capabilities=("read",),
                why="to write it" if write else "to see its versions",
                scope=scope,
                required=write,
            ),
        ]
    return tuple(wants)
