"""What the index says of a secret, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from greenlang_secrets.model import SecretMetadata, SecretType, VersionState

__all__ = ["Change", "Forgotten", "IndexPage", "IndexedSecret", "Seen", "Written"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedSecret:
    """One row: no value, and no custom metadata, which may hold anything.

    Attributes:
        path: relative to the scope.
        version: the current one; 0 if there are only settings.
        created_at, updated_at: of the secret, and of its last change (Vault's clock).
        indexed_at: when this was written here.
    """

    path: str
    version: int
    type: SecretType
    state: VersionState
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a secret by a write, a deletion, a restoration or a destruction."""

    path: str
    version: int
    type: SecretType | None
    state: VersionState
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """There is no such secret any more."""

    path: str
    at: datetime


Change = Written | Forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPage:
    """A part of the index, sorted by path; `next` is the `after` of the following page."""

    items: tuple[IndexedSecret, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a scan found in Vault.

    Attributes:
        path: relative to the scope.
        metadata: its metadata as just read.
    """

    path: str
    metadata: SecretMetadata

    @property
    def state(self) -> VersionState:
        """The current version's state; destroyed where there is none left."""
        current = self.metadata.current
        return "destroyed" if current is None else current.state
