"""What goes to Vault and what comes back, as values: a request, an answer, or a failure.

Nothing here sends anything; what a status means is left to `wire`, and what to do about a
failure to those who send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from greenlang_secrets.errors import UnavailableReason
from greenlang_secrets.paths import ApiPath

__all__ = ["Failure", "Method", "VaultRequest", "VaultResponse"]

Method = Literal["GET", "LIST", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRequest:
    """One request, without token or address.

    Attributes:
        query: an encoded query string made of constants and numbers only.
        body: sent as JSON; masked in the repr, since it may hold values.
        repeatable: whether doing it twice is harmless; reads are, writes say so.
        subject: the caller's own path, for errors.
        wrap_ttl: whole seconds for which Vault shall wrap its answer (`X-Vault-Wrap-TTL`).
    """

    method: Method
    path: ApiPath
    query: str = ""
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    content_type: str = "application/json"
    repeatable: bool | None = None
    subject: object | None = None
    wrap_ttl: int | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether an attempt of unknown outcome may be followed by another."""
        if self.repeatable is None:
            return self.method in {"GET", "LIST"}
        return self.repeatable


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultResponse:
    """Vault's answer: a status the engine must read, and the JSON object with it, if any.

    Attributes:
        body: empty for an answer without JSON; masked in the repr, since it may hold values.
        asked_at: monotonic seconds at which the request was sent.
    """

    status: int
    body: Mapping[str, Any] = field(repr=False)
    asked_at: float

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status < 300

    @property
    def data(self) -> Mapping[str, Any]:
        """The envelope's `data` object; empty if there is none."""
        data = self.body.get("data")
        return data if isinstance(data, dict) else {}


@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt that gave no answer to hand on.

    Attributes:
        done: whether Vault may have carried the request out.
        wait: seconds Vault asks to wait; None leaves it to the backoff.
        final: whether asking the same address again is useless for now.
    """

    reason: UnavailableReason
    done: bool = False
    wait: float | None = None
    final: bool = False
