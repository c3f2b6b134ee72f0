"""The record of a rotation: one KV entry per secret, changed by CAS, the only truth there is.

It holds all that whoever takes over needs: what is rotated and how, where it stands, who owns
it until when, and from `PENDING` to `OVERLAP` the candidate. So the candidate lies in Vault
before it is used anywhere, and is in no database. All its fields are texts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import anyio

from greenlang_secrets.errors import (
    AuthenticationLost,
    InvalidPath,
    InvalidTenant,
    OutcomeUnknown,
    RotationLost,
    SecretIncomplete,
    SecretNotFound,
    VaultUnavailable,
    VersionConflict,
)
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, KvPath, Scope, SecretPath, Tenant, TenantId
from greenlang_secrets.rotation_model import (
    RotationKind,
    RotationPolicy,
    RotationStanding,
    RotationState,
    RotationTrigger,
)
from greenlang_secrets.sensitive import SecretMap, SecretValue
from greenlang_secrets.vault.client import VaultClient

__all__ = ["Next", "Record", "Records"]

_KEPT_VERSIONS: Final = 2
_PAUSE: Final = 0.2
"""Seconds between two attempts to write a record while Vault gives no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """An operation that begins when the one before is finished: a forced one.

    Attributes:
        id: its operation id.
        principal: who asked for it.
        reason: why.
    """

    id: str
    principal: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the entry says.

    Attributes:
        scope, path: which secret.
        policy: as it was when the operation began.
        secret_type: as it was declared then.
        standing: where it stands.
        open: whether an operation is under way, or was when its owner died.
        owner: who works on it; None while it waits.
        lease_until: until when the owner counts as alive.
        principal, reason: who asked for the operation, and why.
        last_promoted_at: when the last promotion was, of whichever operation.
        retire_now: whether the old credential is retired without waiting, as somebody forced.
        following: what begins afterwards.
        notes: the handler's.
        candidate: the next data.
        revision: the entry's version, which the next change names; 0 before the first.
    """

    scope: Scope
    path: SecretPath
    policy: RotationPolicy
    secret_type: SecretType
    standing: RotationStanding = field(default_factory=RotationStanding)
    open: bool = False
    owner: str | None = None
    lease_until: datetime | None = None
    principal: str | None = None
    reason: str | None = None
    last_promoted_at: datetime | None = None
    retire_now: bool = False
    following: Next | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    candidate: SecretMap | None = None
    revision: int = 0

    def held(self, now: datetime, *, skew: float) -> bool:
        """Whether an owner must be taken for alive: clocks may differ by `skew` seconds."""
        if self.owner is None or self.lease_until is None:
            return False
        return (now - self.lease_until).total_seconds() < skew

    def same(self, other: Record) -> bool:
        """Whether both say the same, in whichever revision."""
        return _written(self) == _written(other)


class Records:
    """Reads and writes records with the service's own token."""

    def __init__(self, client: VaultClient, kv_mount: str) -> None:
        self._kv = client.kv(PLATFORM)
        self._kv_mount = kv_mount

    def digest(self, scope: Scope, path: SecretPath) -> str:
        """Return the name under which the catalogue knows the record."""
        return self._place(scope, path).segments[-1]

    async def read(self, scope: Scope, path: SecretPath) -> Record | None:
        """Return the record, or None if this secret was never rotated.

        Raises:
            SecretIncomplete: the entry is not a record; no other than us writes there.
            SecretDeleted: somebody has deleted it; undelete it, for its fence must not go back.
            VaultError: Vault does not give it.
        """
        place = self._place(scope, path)
        try:
            entry = await self._kv.read(place, consistent=True)
        except SecretNotFound:
            return None
        return _read(entry.data, entry.version, path)

    async def claim(self, record: Record) -> Record:
        """Write a claim and return it as it is now.

        Raises:
            RotationLost: somebody else was faster.
            VaultError: it was not written, or nobody knows.
        """
        place = self._place(record.scope, record.path)
        try:
            written = await self._kv.write(place, _written(record).reveal(), cas=record.revision)
        except VersionConflict:
            raise RotationLost(path=record.path) from None
        return replace(record, revision=written.version)

    async def save(self, record: Record, *, within: float) -> Record:
        """Write a change of our own record and return it as it is now. While Vault gives no answer
        it is tried again for `within` seconds, which end with our lease.

        Raises:
            RotationLost: somebody else has written it, or our lease is over.
            VaultError: Vault refuses it.
        """
        until = time.monotonic() + within
        while True:
            try:
                return await self._saved(record)
            except (OutcomeUnknown, VaultUnavailable, AuthenticationLost):
                pass
            if time.monotonic() >= until:
                raise RotationLost(path=record.path)
            await anyio.sleep(_PAUSE)

    async def keep_two(self, record: Record) -> None:
        """Have Vault keep two versions of the record, before it holds a candidate for the first time:
        one that was dropped is gone with the second change after it.

        Raises:
            VaultError: Vault does not do it.
        """
        place = self._place(record.scope, record.path)
        await self._kv.patch_metadata(place, max_versions=_KEPT_VERSIONS)

    async def _saved(self, record: Record) -> Record:
        try:
            return await self.claim(record)
        except RotationLost:  # or our own change, whose answer was lost
            found = await self.read(record.scope, record.path)
            if found is None or not found.same(record):
                raise
            return found

    def _place(self, scope: Scope, path: SecretPath) -> KvPath:
        return KvPath.of_rotation(self._kv_mount, KvPath.of(self._kv_mount, scope, path))


# ------------------------------------------------------------ texts


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _written(record: Record) -> SecretMap:
    policy, standing, following = record.policy, record.standing, record.following
    texts: dict[str, str | None] = {
        "scope": record.scope.key,
        "path": str(record.path),
        "secret_type": record.secret_type.value,
        "policy": _json(
            {
                "kind": policy.kind.value,
                "interval": policy.interval,
                "enabled": policy.enabled,
                "overlap": policy.overlap,
                "consumers_wait": policy.consumers_wait,
                "settings": dict(policy.settings),
            }
        ),
        "state": standing.state.value,
        "phase": standing.phase.value,
        "rotation_id": standing.rotation_id,
        "fence": str(standing.fence),
        "trigger": standing.trigger,
        "numbers": _json(
            {
                "base_version": standing.base_version,
                "version": standing.version,
                "attempts": standing.attempts,
            }
        ),
        "times": _json({name: _time(getattr(standing, name)) for name in _TIMES}),
        "error_code": standing.error_code,
        "progress": _json(dict(standing.progress)),
        "open": "true" if record.open else None,
        "owner": record.owner,
        "lease_until": _time(record.lease_until),
        "principal": record.principal,
        "reason": record.reason,
        "last_promoted_at": _time(record.last_promoted_at),
        "retire_now": "true" if record.retire_now else None,
        "following": None
        if following is None
        else _json(
            {
                "id": following.id,
                "principal": following.principal,
                "reason": following.reason,
            }
        ),
        "notes": _json(dict(record.notes)),
    }
    values: dict[str, str | SecretValue] = {k: v for k, v in texts.items() if v is not None}
    if record.candidate is not None:
        values["candidate"] = SecretValue(_json(record.candidate.reveal()))
    return SecretMap(values)


_TIMES: Final = (
    "started_at",
    "promoted_at",
    "old_valid_until",
    "error_at",
    "last_success",
    "next_due",
    "wake_at",
    "not_after",
)


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


class _Fields:
    """The fields of an entry. What does not fit is named by its field, and never shown."""

    def __init__(self, data: SecretMap, path: SecretPath) -> None:
        self._data = data
        self._path = path

    def wrong(self, name: str) -> SecretIncomplete:
        return SecretIncomplete(name, wanted="what a rotation record has there", path=self._path)

    def text(self, name: str) -> str | None:
        value = self._data.get(name)
        return None if value is None else value.reveal()

    def needed(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise self.wrong(name)
        return value

    def time(self, name: str, raw: object) -> datetime | None:
        if raw is None:
            return None
        moment = datetime.fromisoformat(str(raw))
        if moment.tzinfo is None:
            raise self.wrong(name)
        return moment

    def map(self, name: str) -> dict[str, Any]:
        value = json.loads(self.needed(name))
        if not isinstance(value, dict):
            raise self.wrong(name)
        return value


def _read(data: SecretMap, revision: int, path: SecretPath) -> Record:
    fields = _Fields(data, path)
    try:
        return _parsed(fields, revision)
    except (ValueError, KeyError, TypeError, InvalidPath, InvalidTenant):
        # Their texts would quote what is there.
        raise fields.wrong("record") from None


def _parsed(fields: _Fields, revision: int) -> Record:
    scope_key = fields.needed("scope")
    candidate, trigger = fields.text("candidate"), fields.text("trigger")
    following = fields.text("following")
    policy, numbers, times = fields.map("policy"), fields.map("numbers"), fields.map("times")
    standing = RotationStanding(
        state=RotationState(fields.needed("state")),
        phase=RotationState(fields.needed("phase")),
        rotation_id=fields.text("rotation_id"),
        fence=int(fields.needed("fence")),
        trigger=None if trigger is None else RotationTrigger(trigger),
        base_version=numbers["base_version"],
        version=numbers["version"],
        attempts=numbers["attempts"],
        error_code=fields.text("error_code"),
        progress=fields.map("progress"),
        **{name: fields.time("times", times[name]) for name in _TIMES},
    )
    return Record(
        scope=Tenant(TenantId(scope_key)) if scope_key else PLATFORM,
        path=SecretPath.parse(fields.needed("path")),
        policy=RotationPolicy(
            **{
                **policy,
                "kind": RotationKind(policy["kind"]),
                "settings": {str(k): str(v) for k, v in policy["settings"].items()},
            }
        ),
        secret_type=SecretType(fields.needed("secret_type")),
        standing=standing,
        open=fields.text("open") is not None,
        owner=fields.text("owner"),
        lease_until=fields.time("lease_until", fields.text("lease_until")),
        principal=fields.text("principal"),
        reason=fields.text("reason"),
        last_promoted_at=fields.time("last_promoted_at", fields.text("last_promoted_at")),
        retire_now=fields.text("retire_now") is not None,
        following=None if following is None else Next(**json.loads(following)),
        notes=fields.map("notes"),
        candidate=None if candidate is None else SecretMap(json.loads(candidate)),
        revision=revision,
    )
