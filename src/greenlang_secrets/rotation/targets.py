"""What handlers of real servers share: settings, the administrator's secret, who may go where.

A tenant chooses the addresses in its secrets, so where this service connects to for a tenant is
on a list of the operator's (CWE-918). The platform's secrets may name any address.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from greenlang_secrets.errors import (
    ConfigurationError,
    InvalidPath,
    NotRotatable,
    RotationFailed,
    SecretDeleted,
    SecretNotFound,
)
from greenlang_secrets.model import Secret, SecretType
from greenlang_secrets.paths import KvPath, Platform, Scope, SecretPath
from greenlang_secrets.settings import PREFIX
from greenlang_secrets.vault.client import VaultClient

__all__ = [
    "AllowedTargets",
    "TlsMode",
    "admin_path",
    "authority_of",
    "needed_setting",
    "read_admin",
    "tls_context",
    "tls_mode",
]

TlsMode = Literal["disable", "require", "verify"]
"""How a connection is encrypted; `require` does not look whose certificate it is."""

_NAME: Final = r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?"
_IPV6: Final = r"\[[0-9a-f:.]*:[0-9a-f:.]*\]"
_PATTERN: Final = re.compile(
    rf"(?P<host>{_IPV6}|\*\.{_NAME}|{_NAME})(?::(?P<port>[1-9][0-9]{{0,4}}))?"
)
_HOST: Final = re.compile(rf"{_NAME}|[0-9a-f:.]*:[0-9a-f:.]*")
_NEARBY: Final = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1|/.*")


class AllowedTargets:
    """Where tenants' secrets may be rotated.

    Args:
        patterns: each is ``host`` (any port), ``host:port``, or ``*.suffix`` with or without a
            port; an IPv6 address stands in brackets. Compared as text, without case: names
            are not looked up, so what is written in a secret must be written here.

    Raises:
        ConfigurationError: a pattern is none of these.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(_pattern(text) for text in patterns)

    def admits(self, scope: Scope, host: str, port: int) -> bool:
        """Whether a secret of `scope` may be rotated at this address."""
        if isinstance(scope, Platform):
            return True
        name = host.lower()
        if _HOST.fullmatch(name) is None:  # a socket's folder among others
            return False
        return any(
            (only is None or only == port)
            and (name.endswith(wanted) if wanted.startswith(".") else name == wanted)
            for wanted, only in self._patterns
        )

    def need(self, scope: Scope, host: str, port: int, *, path: object) -> None:
        """Return if a secret of `scope` may be rotated there; ask before each connection.

        Raises:
            RotationFailed: it may not (`target_not_allowed`).
        """
        if not self.admits(scope, host, port):
            raise RotationFailed("target_not_allowed", path=path)

    def check(self, scope: Scope, host: str, port: int, *, path: object) -> None:
        """Return if a secret of `scope` may be rotated there; ask when a policy is set.

        Raises:
            NotRotatable: it may not.
        """
        if not self.admits(scope, host, port):
            raise NotRotatable(
                "A tenant's secrets may not be rotated at this address; ask the operator for it.",
                path=path,
            )


def _pattern(text: str) -> tuple[str, int | None]:
    found = _PATTERN.fullmatch(text.strip().lower())
    if found is None:
        raise ConfigurationError(
            f"{PREFIX}ROTATION_TENANT_TARGETS has an entry that is not host, host:port or *.suffix."
        )
    host = found["host"].removeprefix("*").strip("[]")
    return host, None if found["port"] is None else int(found["port"])


def needed_setting(settings: Mapping[str, str], name: str, *, path: object) -> str:
    """Return a setting.

    Raises:
        NotRotatable: it is missing or empty.
    """
    value = settings.get(name, "").strip()
    if not value:
        raise NotRotatable(f"The rotation needs the setting {name!r}.", path=path)
    return value


def admin_path(settings: Mapping[str, str], *, path: SecretPath) -> SecretPath:
    """Return where the administrator's secret is: the setting ``admin``, in the same scope.

    Raises:
        NotRotatable: the setting is missing, is no path, or names the secret itself.
    """
    raw_path = needed_setting(settings, "admin", path=path)
    try:
        found = SecretPath.parse(raw_path)
    except InvalidPath:
        raise NotRotatable("The setting 'admin' is no path of a secret.", path=path) from None
    if found == path:
        raise NotRotatable("The setting 'admin' names the secret itself; name another.", path=path)
    return found


async def read_admin(
    client: VaultClient,
    kv_mount: str,
    *,
    scope: Scope,
    path: SecretPath,
    admin: SecretPath,
    type_: SecretType,
) -> Secret:
    """Return the administrator's secret for the rotation of the secret at `path`, as it is now.

    Raises:
        NotRotatable: there is none, or it is declared as another type.
        VaultError: Vault does not give it.
    """
    place = KvPath.of(kv_mount, scope, admin)
    try:
        secret = await client.kv(scope).read(place, consistent=True)
    except (SecretNotFound, SecretDeleted):
        raise NotRotatable("The setting 'admin' names no secret.", path=path) from None
    if secret.type is not type_:
        raise NotRotatable(
            f"The secret that the setting 'admin' names is not declared as {type_.value}.",
            path=path,
        )
    return secret


def tls_mode(settings: Mapping[str, str], host: str, *, path: object) -> TlsMode:
    """Return how to encrypt: the setting ``tls``; without it `require`, and nothing for a server
    on this machine.

    Raises:
        NotRotatable: the setting is another word.
    """
    match settings.get("tls", ""):
        case "":
            return "disable" if _NEARBY.fullmatch(host) else "require"
        case "disable" | "require" | "verify" as mode:
            return mode
        case _:
            raise NotRotatable("The setting 'tls' is disable, require or verify.", path=path)


def authority_of(settings: Mapping[str, str], *, path: object) -> str | None:
    """Return the setting ``ca``: the PEM of who signed the server's certificate; None without it.

    Raises:
        NotRotatable: it is no PEM of certificates.
    """
    authority = settings.get("ca")
    if authority is not None:
        try:
            ssl.create_default_context(cadata=authority or "empty")
        except (ssl.SSLError, ValueError, TypeError):  # the last for what is not ASCII
            raise NotRotatable("The setting 'ca' is no PEM of certificates.", path=path) from None
    return authority


def tls_context(mode: TlsMode, authority: str | None) -> ssl.SSLContext | bool:
    """Return what to connect with; False is without TLS. Blocks: it may read the system's files.

    `authority` is the PEM of who signed the server's certificate; None for the system's.
    """
    if mode == "disable":
        return False
    context = ssl.create_default_context(cadata=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if mode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
