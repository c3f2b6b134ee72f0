"""The vocabulary: what a secret, a version, a lease and a health report are.

Values only; nothing here asks anybody anything. Times are aware `datetime`s in UTC,
durations `float` seconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, Literal, NoReturn, SupportsIndex

from greenlang_secrets.errors import SecretDeleted
from greenlang_secrets.sensitive import SecretMap, SecretValue

__all__ = [
    "TYPE_KEY",
    "Health",
    "Lease",
    "Secret",
    "SecretEntry",
    "SecretMetadata",
    "SecretType",
    "SecretVersion",
    "SecretWritten",
    "Undeleted",
    "VersionState",
]

TYPE_KEY: Final = "type"
"""The key of a secret's `custom_metadata` that holds its `SecretType`."""


class SecretType(StrEnum):
    """What kind of secret it is: declared in `custom_metadata`, never guessed from the path."""

    DATABASE = "database"
    CACHE = "cache"
    API_KEY = "api_key"
    CERTIFICATE = "certificate"
    ENCRYPTION_KEY = "encryption_key"
    SERVICE_TOKEN = "service_token"  # noqa: S105  # a kind's name, not a token
    OAUTH_CLIENT = "oauth_client"
    SSH_KEY = "ssh_key"
    SIGNING_KEY = "signing_key"
    GENERIC = "generic"

    @classmethod
    def declared(cls, custom_metadata: Mapping[str, str]) -> SecretType:
        """Return the declared type; `GENERIC` where none, or an unknown one, is declared."""
        try:
            return cls(custom_metadata.get(TYPE_KEY, cls.GENERIC))
        except ValueError:
            return cls.GENERIC


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False, kw_only=True)
class Secret:
    """One version of a secret, as read.

    ``secret["password"].reveal()`` gives a value. The object is shared between callers and
    immutable; it cannot be pickled or copied.

    Attributes:
        path: relative to the caller's scope.
        version: 1 or greater.
        data: the values.
        type: as declared at creation.
        created_at: when this version was written (Vault's clock).
        custom_metadata: as set by its owner, without the type.
        stale: True if Vault could not be asked, so that this is the last value known.
        expires_at: when Vault will delete the version by itself (`delete_version_after`).
        fetched_at: monotonic seconds at which Vault was asked for it.
    """

    path: str
    version: int
    data: SecretMap
    type: SecretType
    created_at: datetime
    custom_metadata: Mapping[str, str]
    expires_at: datetime | None = None
    stale: bool = False
    fetched_at: float = field(default_factory=time.monotonic)

    def __getitem__(self, key: str) -> SecretValue:
        """Return the value of `key`; raises KeyError naming the keys there are."""
        return self.data[key]

    # dataclass iteration helpers must not fall back to __getitem__(0), (1), ...
    __iter__: ClassVar[None] = None

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("a Secret is not copied or serialised; use .reveal()")

    # Refused here and not only by the data inside: a shallow copy would not reach that, and
    # a deep one would leave a half-made Secret, whose repr fails, in the traceback's frames.
    def __reduce_ex__(self, _: SupportsIndex, /) -> NoReturn:
        self._refuse()

    __copy__ = _refuse
    __deepcopy__ = _refuse

    @property
    def age(self) -> float:
        """Seconds since Vault was asked for it."""
        return max(0.0, time.monotonic() - self.fetched_at)


VersionState = Literal["live", "deleted", "destroyed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretVersion:
    """One row of a secret's history, without values.

    Attributes:
        state: live, deleted (undelete brings it back) or destroyed.
        deleted_at: when it was deleted; None while live or once destroyed.
        expires_at: when Vault will delete it by itself; only on live ones.
    """

    version: int
    state: VersionState
    created_at: datetime
    deleted_at: datetime | None = None
    expires_at: datetime | None = None

    def gone(self, path: object) -> SecretDeleted:
        """Return the error that says this version of `path` is deleted or destroyed."""
        return SecretDeleted(
            path=path,
            version=self.version,
            destroyed=self.state == "destroyed",
            deleted_at=self.deleted_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretMetadata:
    """A secret's history and settings, without values.

    Attributes:
        current_version: the newest version, 0 if there are only settings; it does not go
            back when that version is deleted.
        oldest_version: the oldest still kept; 0 as long as none was pruned.
        max_versions: how many are kept; 0 means the mount's setting.
        versions: newest first.
    """

    path: str
    type: SecretType
    current_version: int
    oldest_version: int
    max_versions: int
    cas_required: bool
    created_at: datetime
    updated_at: datetime
    custom_metadata: Mapping[str, str]
    versions: tuple[SecretVersion, ...]

    def find(self, version: int) -> SecretVersion | None:
        """Return that version's row, or None if it never was or was pruned."""
        return next((row for row in self.versions if row.version == version), None)

    @property
    def current(self) -> SecretVersion | None:
        """The row of the current version, or None if there are only settings."""
        return self.find(self.current_version)

    @property
    def live(self) -> bool:
        """Whether a plain read would give a value."""
        return self.current is not None and self.current.state == "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretWritten:
    """What a write answers: the version that now holds the data, never the data.

    Attributes:
        unchanged: True if the data was equal, so that no new version was made.
    """

    path: str
    version: int
    created_at: datetime
    unchanged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeleted:
    """What `undelete` did: the versions restored, and those that were live already."""

    path: str
    restored: tuple[int, ...]
    already_live: tuple[int, ...]
    current_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretEntry:
    """One row of a listing: a folder, or a secret with its metadata.

    Attributes:
        path: relative to the scope; a folder's ends with a slash.
        addressable: False if the name is outside the grammar (written by other tools):
            only `VaultClient` reaches it.
    """

    path: str
    kind: Literal["secret", "folder"]
    metadata: SecretMetadata | None = None
    addressable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What Vault says of the life of something it handed out.

    Attributes:
        id: the lease id; empty for tokens and for what has no lease.
        duration: seconds granted.
        renewable: whether Vault says it may be renewed.
    """

    id: str
    duration: float
    renewable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How Vault is, as seen from here.

    Attributes:
        status: ok (fresh reads work), degraded (cached reads only) or down.
        reachable: whether any configured address answered.
        initialized, sealed, standby, version: as Vault reports; None if unreachable.
        clock_skew: Vault's clock minus ours, seconds; None if unreachable.
        canary: whether a real request worked: Vault calls itself healthy while its audit
            device is full and every request fails.
    """

    status: Literal["ok", "degraded", "down"]
    reachable: bool
    initialized: bool | None = None
    sealed: bool | None = None
    standby: bool | None = None
    version: str | None = None
    clock_skew: float | None = None
    canary: bool = False
