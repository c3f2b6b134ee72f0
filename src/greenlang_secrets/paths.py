"""Paths: the wall between tenants, and the only place where a Vault URL is made.

A caller's path is parsed once into a `SecretPath` and refused if it is outside the
grammar; it is never cleaned, because a cleaned path is another path. It is relative
to a `Scope`, so it cannot name another tenant's secret. `KvPath` joins the two; every
character of the result is one that no HTTP client, proxy or server rewrites
(docs/explanation/vault-facts.md: ``..`` is collapsed by clients, ``%2F`` equals ``/`` at the server, and a
trailing slash bypasses KV v2 policies).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, assert_never

from greenlang_secrets.errors import InvalidPath, InvalidTenant, ReservedName

__all__ = [
    "PLATFORM",
    "RESERVED_FIRST",
    "RESERVED_LAST",
    "ApiPath",
    "FolderPath",
    "KvPath",
    "Platform",
    "Scope",
    "SecretPath",
    "Tenant",
    "TenantId",
]

RESERVED_FIRST: Final = frozenset({"health", "status", "stats", "rotate", "rotation"})
RESERVED_LAST: Final = frozenset({"versions", "undelete"})

_MAX_SEGMENTS: Final = 16
_MAX_OCTETS: Final = 512
_ENDPOINTS: Final = frozenset({"data", "metadata", "delete", "undelete", "destroy", "subkeys"})
# \Z and not $: $ also matches before a final newline.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_MOUNT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}(/[A-Za-z0-9][A-Za-z0-9_-]{0,127})*\Z")


@dataclass(frozen=True, slots=True)
class SecretPath:
    """A secret's path relative to its scope, such as ``database/postgresql``.

    Make one with `parse`; `str()` gives the text back, which is the same text that was
    parsed, so two spellings of one secret do not exist.
    """

    segments: tuple[str, ...]
    _text: str | None = field(default=None, compare=False, repr=False)  # what was parsed

    @classmethod
    def parse(cls, raw_path: str) -> SecretPath:
        """Return the parsed path; memoised for the 4,096 paths used last.

        Grammar: 1 to 16 segments ``[A-Za-z0-9][A-Za-z0-9._-]{0,127}`` joined by single
        slashes, at most 512 octets.

        Raises:
            InvalidPath: the text is outside the grammar.
            ReservedName: its first segment is one of `RESERVED_FIRST`, or its last of
                `RESERVED_LAST`; REST gives those words a meaning.
        """
        if not isinstance(raw_path, str):
            raise InvalidPath(f"A path is a str, not {type(raw_path).__name__}.")
        return _parse(raw_path)

    @property
    def name(self) -> str:
        """The last segment."""
        return self.segments[-1]

    @property
    def ancestors(self) -> tuple[SecretPath, ...]:
        """The folders on the way, nearest to the root first; never reserved themselves."""
        return tuple(SecretPath(self.segments[:n]) for n in range(1, len(self.segments)))

    def __str__(self) -> str:
        return "/".join(self.segments) if self._text is None else self._text


@lru_cache(maxsize=4096)
def _parse(raw_path: str) -> SecretPath:
    segments = _segments(raw_path)
    if segments[0] in RESERVED_FIRST:
        raise ReservedName(
            f"A path may not begin with {segments[0]!r}: the REST API uses that word."
        )
    if segments[-1] in RESERVED_LAST:
        raise ReservedName(
            f"A path may not end with {segments[-1]!r}: the REST API uses that word."
        )
    # The text itself, so that who keeps both a caller's and ours keeps it once; not a subclass.
    return SecretPath(segments, raw_path if type(raw_path) is str else None)


def _segments(raw_path: str) -> tuple[str, ...]:
    """Split `raw_path` by the grammar. The text itself is not repeated in the error: it may
    be a value pasted in the wrong place.
    """
    if not raw_path:
        raise InvalidPath("The path is empty.")
    if len(raw_path) > _MAX_OCTETS:
        raise InvalidPath(f"The path is longer than {_MAX_OCTETS} octets.")
    segments = tuple(raw_path.split("/"))
    if len(segments) > _MAX_SEGMENTS:
        raise InvalidPath(f"The path has more than {_MAX_SEGMENTS} segments.")
    for number, segment in enumerate(segments, 1):
        if not segment:
            raise InvalidPath(
                f"Segment {number} of the path is empty: no leading, trailing or double slash."
            )
        if _SEGMENT.match(segment) is None:
            raise InvalidPath(
                f"Segment {number} of the path is not valid: 1 to 128 of A-Z, a-z, 0-9, '.', "
                "'_' and '-', beginning with a letter or digit."
            )
    return segments


@dataclass(frozen=True, slots=True)
class FolderPath:
    """A prefix to list: nothing (the whole scope), or segments; written with a final slash."""

    segments: tuple[str, ...]

    @classmethod
    def parse(cls, raw_prefix: str) -> FolderPath:
        """Return the parsed prefix, which must be empty or end in one slash.

        Raises:
            InvalidPath: it is neither, or outside the grammar of paths.
        """
        if not isinstance(raw_prefix, str):
            raise InvalidPath(f"A prefix is a str, not {type(raw_prefix).__name__}.")
        if not raw_prefix:
            return cls(())
        if not raw_prefix.endswith("/"):
            raise InvalidPath("A prefix is empty or ends with '/'.")
        return cls(_segments(raw_prefix[:-1]))

    def __str__(self) -> str:
        return "".join(f"{segment}/" for segment in self.segments)


@dataclass(frozen=True, slots=True)
class TenantId:
    """A tenant's id; no ``*``, ``+``, ``/`` or ``_``, which mean something in Vault's policies
    (CVE-2026-71543: globs in templated policies).
    """

    value: str

    def __post_init__(self) -> None:
        if not isinstance(self.value, str) or _TENANT.match(self.value) is None:
            raise InvalidTenant

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform's own scope: ``greenlang/`` in the KV mount."""

    @property
    def key(self) -> str:
        """A text that no other scope has: empty, which no tenant's id is."""
        return ""

    def __str__(self) -> str:
        return "platform"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant's scope: ``tenants/<id>/`` in the KV mount."""

    id: TenantId

    @property
    def key(self) -> str:
        """A text that no other scope has: the tenant's id."""
        return self.id.value

    def __str__(self) -> str:
        return f"tenant {self.id}"


Scope = Platform | Tenant
"""Where a relative path begins. There is no third kind, and none without a tenant id."""

PLATFORM: Final = Platform()


def _root(scope: Scope) -> tuple[str, ...]:
    match scope:
        case Platform():
            return ("greenlang",)
        case Tenant(id=tenant_id):
            return ("tenants", tenant_id.value)
        case _:
            assert_never(scope)


@dataclass(frozen=True, slots=True)
class ApiPath:
    """A request path below ``/v1/``, safe to send as it stands. Only this module makes one
    from a caller's text; engines make theirs from constants through `of`.

    Attributes:
        place: the KV mount and the secret or folder below it that the path is about, whatever
            the endpoint between them; empty for a path of another kind.
    """

    text: str
    place: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def of(cls, *parts: str) -> ApiPath:
        """Return the path of `parts` joined by slashes, such as ``of("sys", "health")``.

        Raises:
            InvalidPath: a part is outside the grammar of mounts and segments.
        """
        for part in parts:
            if _MOUNT.match(part) is None and _SEGMENT.match(part) is None:
                raise InvalidPath("A mount, role or key name is outside the grammar of paths.")
        return cls("/".join(parts))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class KvPath:
    """A secret's place in a KV v2 mount, and the API paths that act on it.

    `str()` gives the caller's relative path: what may be shown to the caller.
    """

    mount: str
    segments: tuple[str, ...]
    relative: SecretPath

    @classmethod
    def of(cls, mount: str, scope: Scope, path: SecretPath) -> KvPath:
        """Return where `path` of `scope` lies in `mount`.

        Raises:
            InvalidPath: the mount is outside the grammar.
        """
        return cls(_mount(mount), _root(scope) + path.segments, path)

    @classmethod
    def of_service(cls, mount: str, name: str) -> KvPath:
        """Return where an entry of the service's own lies: in the platform scope, below
        ``_service``, which is outside the grammar, so that no caller can name it.

        Raises:
            InvalidPath: the mount or the name is outside the grammar.
        """
        relative = SecretPath(("_service", *_segments(name)))
        return cls(_mount(mount), _root(PLATFORM) + relative.segments, relative)

    @classmethod
    def of_rotation(cls, mount: str, place: KvPath) -> KvPath:
        """Return where the rotation record of the secret at `place` lies: in the platform scope,
        below ``_rotation``, by the digest of its whole place, which no caller can name.
        """
        whole = "/".join((place.mount, *place.segments))
        relative = SecretPath(("_rotation", hashlib.sha256(whole.encode()).hexdigest()))
        return cls(_mount(mount), _root(PLATFORM) + relative.segments, relative)

    @staticmethod
    def placed(mount: str, api_path: str) -> tuple[Scope, SecretPath] | None:
        """Return whose secret it is that ``<mount>/<endpoint>/<path>`` acts on, as Vault's audit log
        has it; None for what `api` does not make: another mount or endpoint, no scope of ours,
        a path outside the grammar.
        """
        before, found, below = api_path.partition(f"{mount}/")
        endpoint, slash, place = below.partition("/")
        if before or not found or not slash or endpoint not in _ENDPOINTS:
            return None
        root, _, rest = place.partition("/")
        scope: Scope = PLATFORM
        try:
            if root == "tenants":
                tenant_id, _, rest = rest.partition("/")
                scope = Tenant(TenantId(tenant_id))
            elif root != "greenlang":
                return None
            return scope, SecretPath.parse(rest)
        except (InvalidPath, InvalidTenant):
            return None

    def api(self, endpoint: str) -> ApiPath:
        """Return ``<mount>/<endpoint>/<path>``; `endpoint` is data, metadata, delete,
        undelete, destroy or subkeys (Vault API: KV v2).
        """
        return ApiPath(
            f"{self.mount}/{endpoint}/{'/'.join(self.segments)}", (self.mount, *self.segments)
        )

    @staticmethod
    def folder(mount: str, scope: Scope, folder: FolderPath) -> ApiPath:
        """Return the metadata path to list, with the final slash that Vault's policies see."""
        segments = _root(scope) + folder.segments
        return ApiPath(f"{_mount(mount)}/metadata/{'/'.join(segments)}/", (mount, *segments))

    @staticmethod
    def tenants(mount: str) -> ApiPath:
        """Return the metadata path that lists the tenants which have secrets."""
        return ApiPath(f"{_mount(mount)}/metadata/tenants/", (mount, "tenants"))

    def __str__(self) -> str:
        return str(self.relative)

    @property
    def ancestors(self) -> tuple[KvPath, ...]:
        """The places between the scope's root and this secret, which must not be secrets."""
        root = len(self.segments) - len(self.relative.segments)
        return tuple(
            KvPath(self.mount, self.segments[: root + len(path.segments)], path)
            for path in self.relative.ancestors
        )

    def as_folder(self) -> ApiPath:
        """Return the metadata path that lists what lies below this secret's own path."""
        return ApiPath(
            f"{self.mount}/metadata/{'/'.join(self.segments)}/", (self.mount, *self.segments)
        )


def _mount(mount: str) -> str:
    if _MOUNT.match(mount) is None:
        raise InvalidPath("The mount is not valid: segments of letters, digits, '_' and '-'.")
    return mount
