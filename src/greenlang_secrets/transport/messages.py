"""What goes to Vault and what comes back, as values: a request, an answer, or a failure.

Nothing here sends anything; what a status means is left to `wire`, and what to do about a
failure to those who send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from greenlang_secrets.errors import UnavailableReason
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue

__all__ = ["Call", "Failure", "Method", "VaultRequest", "VaultResponse"]

Method = Literal["GET", "LIST", "POST", "PUT", "PATCH", "DELETE"]

_STATES: Final = frozenset({"sys/health", "sys/seal-status"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRequest:
    """One request, without token or address.

    Attributes:
        query: an encoded query string made of constants and numbers only.
        body: sent as JSON; masked in the repr, since it may hold values.
        repeatable: whether doing it twice is harmless; reads are, writes say so.
        subject: the caller's own path, for errors.
        wrap_ttl: whole seconds for which Vault shall wrap its answer (`X-Vault-Wrap-TTL`).
        consistent: whether a read asks the active node first, because a standby's answer may
            be some tenths of a second old.
    """

    method: Method
    path: ApiPath
    query: str = ""
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    content_type: str = "application/json"
    repeatable: bool | None = None
    subject: object | None = None
    wrap_ttl: int | None = None
    consistent: bool = False

    @property
    def reads(self) -> bool:
        """Whether any node may answer; everything else is the active node's."""
        return self.method in {"GET", "LIST"}

    @property
    def may_race(self) -> bool:
        """Whether two nodes may be asked at once: where a GET is known to leave nothing behind.
        One of an engine may make a credential.
        """
        return (
            self.reads
            and self.wrap_ttl is None
            and (bool(self.path.place) or self.place[0] in {"auth", "sys"})
        )

    @property
    def asks_state(self) -> bool:
        """Whether a sealed node answers it as well, so that an answer says nothing."""
        return self.path.text in _STATES

    @property
    def place(self) -> tuple[str, ...]:
        """What it is about: a KV secret or folder, or all of another engine."""
        return self.path.place or (self.path.text.split("/", 1)[0],)

    @property
    def mount(self) -> str:
        """The mount it goes to, for spans: a configured name, and nothing of what lies below it."""
        if self.path.place:
            return self.path.place[0]
        parts = self.path.text.split("/")
        return "/".join(parts[: 2 if parts[0] == "auth" else 1])

    @property
    def may_repeat(self) -> bool:
        """Whether an attempt of unknown outcome may be followed by another."""
        if self.repeatable is None:
            return self.reads
        return self.repeatable


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request under way.

    Attributes:
        deadline: monotonic seconds at which the caller gets an error instead of an answer.
    """

    request: VaultRequest
    token: SecretValue | None = None
    deadline: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultResponse:
    """Vault's answer: a status the engine must read, and the JSON object with it, if any.

    Attributes:
        body: empty for an answer without JSON; masked in the repr, since it may hold values.
        asked_at: monotonic seconds at which the request was sent.
        index: the state of the storage that the answer stands for (`X-Vault-Index`); None from
            a server that does not say.
    """

    status: int
    body: Mapping[str, Any] = field(repr=False)
    asked_at: float
    index: str | None = None

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
        unsent: whether the request never left: nobody listens, or not with a valid certificate.
        lagging: whether the node has not yet applied what the request's index asks for.
        location: where a standby says that the active node is: information, and no address to
            send anything to.
    """

    reason: UnavailableReason
    done: bool = False
    wait: float | None = None
    final: bool = False
    unsent: bool = False
    lagging: bool = False
    location: str | None = None
