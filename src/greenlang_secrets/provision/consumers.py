"""Who uses a Vault, as an operator's files say it: policies, login roles, and engines' roles.

Read strictly: an unknown member, a policy that is in no file, and a time without a unit are
refused, with the place, before anything is asked of Vault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.provision.desired import (
    DATABASE_NAME,
    DATABASE_ROLES,
    PKI_ROLES,
    POLICIES,
    Settings,
)
from greenlang_secrets.strict_yaml import load_strictly

__all__ = ["AuditDevice", "Consumers", "KubernetesAuth", "read_consumers"]

_ROOT: Final = frozenset({"version", "kubernetes", "pki_roles", "database_roles", "audit"})
_KUBERNETES: Final = frozenset({"mount", "host", "ca_cert", "roles"})
_LOGIN: Final = frozenset(
    {"namespace", "service_account", "audience", "policies", "ttl", "max_ttl"}
)
_PKI: Final = frozenset({"allowed_domains", "server", "client", "ttl", "max_ttl"})
_DATABASE: Final = frozenset({"access", "ttl", "max_ttl"})
_AUDIT: Final = frozenset({"device", "file_path"})

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)\Z")
_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}

_PLAIN_TOKEN: Final[Settings] = {
    # What could be set by hand and gives more than the file says: a period outlives `max_ttl`.
    "token_period": 0,
    "token_explicit_max_ttl": 0,
    "token_no_default_policy": False,
    "token_num_uses": 0,
    "token_type": "default",
    "token_bound_cidrs": [],
}

_READ_ROLE: Final = DATABASE_ROLES["greenlang-readonly"]
_WRITE_ROLE: Final = DATABASE_ROLES["greenlang-readwrite"]

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesAuth:
    """Logins of pods.

    Attributes:
        mount: of the auth method, without ``auth/``.
        host: the URL of the cluster's API server, as Vault reaches it.
        ca_cert: PEM of the API server's CA, for a Vault that runs outside the cluster, and needs
            a reviewer's token, which is set by hand. None where Vault's pod has both.
        roles: by name, settings as Vault gives them back.
    """

    mount: str
    host: str
    ca_cert: str | None = None
    roles: Mapping[str, Settings]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDevice:
    """A file that Vault logs requests to.

    Attributes:
        name: of the device.
        file_path: on the server.
    """

    name: str
    file_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumers:
    """What an operator's files add to the desired state; empty for none.

    Attributes:
        policies: text by name.
        pki_roles, database_roles: by name, settings as Vault gives them back; they take the
            place of built-in ones of the same name.
        audit: None leaves audit devices alone.
    """

    policies: Mapping[str, str] = field(default_factory=dict, repr=False)
    kubernetes: KubernetesAuth | None = None
    pki_roles: Mapping[str, Settings] = field(default_factory=dict)
    database_roles: Mapping[str, Settings] = field(default_factory=dict)
    audit: AuditDevice | None = None


def read_consumers(policies: Path | None, roles: Path | None) -> Consumers:
    """Return what files say. Blocks.

    Args:
        policies: a folder; each ``NAME.hcl`` in it is the policy of that name.
        roles: YAML; see docs/how-to/provision-vault.md.

    Raises:
        ConfigurationError: something cannot be read, PyYAML is not installed, or something is
            wrong; the text says where.
    """
    texts = {} if policies is None else _policies(policies)
    if roles is None:
        return Consumers(policies=texts)
    document = _members(load_strictly(_text_of(roles), roles.name), _ROOT, roles.name)
    if document.get("version") != 1:
        _refuse(f"{roles.name}: version", "is missing or another; write `version: 1`")
    known = {*texts, *POLICIES}

    def section(name: str, parse: Callable[[object, str], _Parsed]) -> dict[str, _Parsed]:
        return _named(document.get(name, {}), f"{roles.name}: {name}", parse)

    kubernetes = None
    if "kubernetes" in document:
        kubernetes = _kubernetes(document["kubernetes"], f"{roles.name}: kubernetes", known)
    audit = None
    if "audit" in document:
        audit = _audit(document["audit"], f"{roles.name}: audit")
    return Consumers(
        policies=texts,
        kubernetes=kubernetes,
        pki_roles=section("pki_roles", _pki_role),
        database_roles=section("database_roles", _database_role),
        audit=audit,
    )


def _policies(folder: Path) -> dict[str, str]:
    files = sorted(folder.glob("*.hcl"))
    if not files:
        raise ConfigurationError(
            f"The folder {str(folder)!r} has no policy, a file NAME.hcl; name another."
        )
    found = {}
    for file in files:
        if not _NAME.match(file.stem):
            _refuse(f"The file {file.name!r}", "is not named for a policy: lower case, digits, -")
        if file.stem in POLICIES:
            _refuse(f"The policy {file.stem!r}", "is built in; name the file otherwise")
        found[file.stem] = _text_of(file)
    return found


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            f"The file {str(file)!r} cannot be read as text in UTF-8; name another."
        ) from None


def _kubernetes(raw: object, place: str, policies: set[str]) -> KubernetesAuth:
    members = _members(raw, _KUBERNETES, place)
    host = _text(members, "host", place)
    if not host.startswith("https://"):
        _refuse(f"{place}.host", "is no https:// URL")

    def role(raw: object, place: str) -> Settings:
        return _login_role(raw, place, policies)

    return KubernetesAuth(
        mount=_name(members, "mount", place),
        host=host,
        ca_cert=_text(members, "ca_cert", place).strip() if "ca_cert" in members else None,
        roles=_named(members.get("roles"), f"{place}.roles", role),
    )


def _login_role(raw: object, place: str, policies: set[str]) -> Settings:
    members = _members(raw, _LOGIN, place)
    named = _texts(members, "policies", place)
    for name in named:
        if name not in policies:
            _refuse(f"{place}.policies", f"names {name!r}, which no file has")
    return {
        "bound_service_account_names": [_name(members, "service_account", place)],
        "bound_service_account_namespaces": [_name(members, "namespace", place)],
        "audience": _text(members, "audience", place),
        "token_policies": sorted(named),  # Vault sorts them
        **_lives(members, place, "token_ttl", "token_max_ttl"),
        **_PLAIN_TOKEN,
    }


def _pki_role(raw: object, place: str) -> Settings:
    members = _members(raw, _PKI, place)
    return {
        **PKI_ROLES["internal-mtls"],
        "allowed_domains": _texts(members, "allowed_domains", place),
        "server_flag": _flag(members, "server", place),
        "client_flag": _flag(members, "client", place),
        **_lives(members, place, "ttl", "max_ttl"),
    }


def _database_role(raw: object, place: str) -> Settings:
    members = _members(raw, _DATABASE, place)
    access = members.get("access")
    if access not in {"read", "write"}:
        _refuse(f"{place}.access", "is neither read nor write")
    return {
        **(_WRITE_ROLE if access == "write" else _READ_ROLE),
        "db_name": DATABASE_NAME,
        **_lives(members, place, "default_ttl", "max_ttl"),
    }


def _audit(raw: object, place: str) -> AuditDevice:
    members = _members(raw, _AUDIT, place)
    path = _text(members, "file_path", place)
    if not path.startswith("/"):
        _refuse(f"{place}.file_path", "does not begin with a slash")
    return AuditDevice(name=_name(members, "device", place), file_path=path)


def _lives(members: Mapping[str, Any], place: str, ttl: str, max_ttl: str) -> dict[str, int]:
    lives = {ttl: _seconds(members, "ttl", place), max_ttl: _seconds(members, "max_ttl", place)}
    if lives[ttl] > lives[max_ttl]:
        _refuse(f"{place}.ttl", "is longer than max_ttl")
    return lives


def _seconds(members: Mapping[str, Any], name: str, place: str) -> int:
    found = _DURATION.match(_text(members, name, place))
    if found is None:
        _refuse(
            f"{place}.{name}", "is no time; write a number and a unit, such as 90s, 15m, 12h, 7d"
        )
    return int(found[1]) * _UNITS[found[2]]


def _named(raw: object, place: str, parse: Callable[[object, str], _Parsed]) -> dict[str, _Parsed]:
    if not isinstance(raw, dict):
        _refuse(place, "is no mapping of names to roles")
    for name in raw:
        if not (isinstance(name, str) and _NAME.match(name)):
            _refuse(place, "has a name that is not lower case, digits and -")
    return {name: parse(value, f"{place}.{name}") for name, value in raw.items()}


def _name(members: Mapping[str, Any], member: str, place: str) -> str:
    name = _text(members, member, place)
    if not _NAME.match(name):
        _refuse(f"{place}.{member}", "is no name: lower case, digits and -")
    return name


def _text(members: Mapping[str, Any], name: str, place: str) -> str:
    value = members.get(name)
    if not (isinstance(value, str) and value):
        _refuse(f"{place}.{name}", "is missing, or no text; put it in quotes")
    return value


def _texts(members: Mapping[str, Any], name: str, place: str) -> list[str]:
    value = members.get(name)
    if not (isinstance(value, list) and value and all(isinstance(each, str) for each in value)):
        _refuse(f"{place}.{name}", "is missing, or no list of texts")
    return value


def _flag(members: Mapping[str, Any], name: str, place: str) -> bool:
    value = members.get(name)
    if not isinstance(value, bool):
        _refuse(f"{place}.{name}", "is neither true nor false")
    return value


def _members(raw: object, known: frozenset[str], place: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        _refuse(place, "is no mapping")
    for name in raw:
        if name not in known:
            # A key that is no word could be a value that lost its name.
            shown = name if isinstance(name, str) and name.isidentifier() else "?"
            where = f"{place}.{shown}" if ": " in place else f"{place}: {shown}"
            _refuse(where, f"is unknown; there are {', '.join(sorted(known))}")
    return raw


def _refuse(place: str, what: str) -> NoReturn:
    raise ConfigurationError(f"{place} {what}.")
