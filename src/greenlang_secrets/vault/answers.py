"""What the engines' answers mean: a status becomes an error, JSON becomes typed values.

The one place where the engines beside KV v2 look into Vault's JSON. Anything of an unknown
shape is a `VaultProtocolError`, raised without the JSON; Vault's own words go nowhere but
into the `warnings` of a result. Which object a refused request missed is found out by asking
for that object, never by reading a text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, LiteralString, TypeVar

from greenlang_secrets.errors import (
    AccessDenied,
    ObjectKind,
    ObjectNotFound,
    SecretsError,
    VaultProtocolError,
    VaultRefused,
)
from greenlang_secrets.model import Lease
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretMap, SecretValue
from greenlang_secrets.transport import VaultRequest, VaultResponse

__all__ = [
    "Call",
    "Fields",
    "accepted",
    "given",
    "lease_of",
    "masked",
    "names_of",
    "plain",
    "read_object",
    "ttl_text",
    "warnings_of",
    "why_refused",
]

_C = TypeVar("_C", bound=LiteralString)

Call = Callable[[VaultRequest], Awaitable[VaultResponse]]
"""Sends a request with a living token, as `TokenHolder.call` does."""


def accepted(answer: VaultResponse) -> Fields:
    """Return the `data` of a good answer.

    Raises:
        AccessDenied: the status is 403.
        VaultRefused: it is another one that is not 2xx.
    """
    if answer.ok:
        return Fields(answer.data)
    if answer.status == 403:
        raise AccessDenied
    raise VaultRefused(status=answer.status)


async def read_object(call: Call, path: ApiPath, kind: ObjectKind) -> Fields:
    """Return the `data` of a role, key or the like.

    Raises:
        ObjectNotFound: there is none at `path`.
        AccessDenied, VaultRefused: as `accepted`.
    """
    answer = await call(VaultRequest(method="GET", path=path))
    if _is_missing(answer):
        raise ObjectNotFound(kind, path=path)
    return accepted(answer)


def _is_missing(answer: VaultResponse) -> bool:
    """A 404 about the object; one with errors or warnings is about the mount."""
    return (
        answer.status == 404 and not answer.body.get("errors") and not answer.body.get("warnings")
    )


async def why_refused(
    call: Call, answer: VaultResponse, path: ApiPath, kind: ObjectKind
) -> SecretsError:
    """Return why a request that needs the object at `path` was not accepted.

    Vault says 400 to an unknown role or key, and to everything else that it does not like.
    One more read tells them apart; where the token may not do that, it stays `VaultRefused`.
    """
    if answer.status == 403:
        return AccessDenied()
    if answer.status == 400 and _is_missing(await call(VaultRequest(method="GET", path=path))):
        return ObjectNotFound(kind, path=path)
    return VaultRefused(status=answer.status)


def names_of(answer: VaultResponse) -> tuple[str, ...]:
    """Return the names that a LIST answered, sorted; none for its 404.

    Raises:
        VaultProtocolError: the answer has no list of names.
        AccessDenied, VaultRefused: as `accepted`.
    """
    if _is_missing(answer):
        return ()
    fields = accepted(answer)
    return tuple(sorted(fields.texts("keys")))


def warnings_of(answer: VaultResponse) -> tuple[str, ...]:
    """Return Vault's warnings: an operator reads them, a caller of an API must not."""
    return Fields(answer.body).texts("warnings", absent=())


def given(**fields: Any) -> dict[str, Any]:
    """Return a body of those fields that are not None, which leaves the others to Vault."""
    return {name: value for name, value in fields.items() if value is not None}


def plain(value: object) -> object:
    """Return a value as it goes into a body: the last line before JSON."""
    return value.reveal() if isinstance(value, SecretValue) else value


def lease_of(answer: VaultResponse) -> Lease:
    """Return the lease that stands beside an answer's `data`."""
    fields = Fields(answer.body)
    return Lease(
        id=fields.text("lease_id"),
        duration=fields.seconds("lease_duration"),
        renewable=fields.flag("renewable"),
    )


def ttl_text(seconds: float | None) -> str | None:
    """Return a duration as Vault takes it: whole seconds, rounded up. None stays None."""
    return None if seconds is None else f"{math.ceil(seconds)}s"


def masked(values: Mapping[str, Any]) -> SecretMap:
    """Return values of any JSON type, masked; what is no text is given as the JSON it is."""
    return SecretMap(
        {
            key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in values.items()
        }
    )


class Fields:
    """A JSON object of Vault's, read field by field.

    Every method raises `VaultProtocolError` if the field is missing or of another type. The
    repr shows nothing, since the object may hold values.
    """

    __slots__ = ("_values",)

    def __init__(self, values: object) -> None:
        if not isinstance(values, dict):
            raise VaultProtocolError
        self._values: dict[str, Any] = values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def has(self, name: str) -> bool:
        """Return whether the field is there and not null."""
        return self._values.get(name) is not None

    def text(self, name: str, *, absent: str | None = None) -> str:
        """Return a text; `absent`, if given, stands for a field that is missing or null."""
        value = self._values.get(name)
        if value is None and absent is not None:
            return absent
        if not isinstance(value, str):
            raise VaultProtocolError
        return value

    def secret(self, name: str) -> SecretValue:
        """Return a non-empty text, masked."""
        value = SecretValue(self.text(name))
        if not value:
            raise VaultProtocolError
        return value

    def choice(self, name: str, choices: tuple[_C, ...]) -> _C:
        """Return a text that is one of `choices`."""
        for choice in choices:
            if self._values.get(name) == choice:
                return choice
        raise VaultProtocolError

    def whole(self, name: str, *, absent: int | None = None) -> int:
        """Return a whole number; `absent` as for `text`."""
        value = self._values.get(name)
        if value is None and absent is not None:
            return absent
        if not isinstance(value, int) or isinstance(value, bool):
            raise VaultProtocolError
        return value

    def seconds(self, name: str, *, absent: int | None = None) -> float:
        """Return a duration; `absent` as for `text`."""
        return float(self.whole(name, absent=absent))

    def flag(self, name: str, *, absent: bool | None = None) -> bool:
        """Return a boolean; `absent` as for `text`."""
        value = self._values.get(name)
        if value is None and absent is not None:
            return absent
        if not isinstance(value, bool):
            raise VaultProtocolError
        return value

    def texts(self, name: str, *, absent: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of texts; `absent` as for `text`."""
        value = self._values.get(name)
        if value is None and absent is not None:
            return absent
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise VaultProtocolError
        return tuple(value)

    def moment(self, name: str) -> datetime:
        """Return a point in time, written as RFC 3339 or as seconds since the epoch; in UTC."""
        value = self._values.get(name)
        try:
            if isinstance(value, str):
                return datetime.fromisoformat(value).astimezone(UTC)
            if isinstance(value, int) and not isinstance(value, bool):
                return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            pass  # raised below, without the text as its context
        raise VaultProtocolError

    def moment_or_none(self, name: str) -> datetime | None:
        """Return a point in time; None where Vault writes null, an empty text, 0 or nothing."""
        return self.moment(name) if self._values.get(name) else None

    def is_object(self, name: str) -> bool:
        """Return whether the field is an object."""
        return isinstance(self._values.get(name), dict)

    def number_in_name(self, name: str) -> int:
        """Return the whole number that a field's own name is."""
        if not (name.isascii() and name.isdigit()):
            raise VaultProtocolError
        return int(name)

    def part(self, name: str) -> Fields:
        """Return an object inside this one."""
        return Fields(self._values.get(name))

    def masked(self) -> SecretMap:
        """Return everything in it as masked text; see `masked`."""
        return masked(self._values)

    def texts_by_name(self) -> dict[str, str]:
        """Return the fields that hold a text."""
        return {name: value for name, value in self._values.items() if isinstance(value, str)}

    def rows(self, name: str) -> tuple[Fields, ...]:
        """Return a list of objects."""
        value = self._values.get(name)
        if not isinstance(value, list):
            raise VaultProtocolError
        return tuple(Fields(each) for each in value)
