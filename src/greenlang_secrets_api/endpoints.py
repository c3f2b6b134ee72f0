"""What an endpoint is: its target and method, who may call it, and what it does.

An endpoint that does not say who may call it, or what its calls count against, is
refused when the application is made, not when it is called.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import anyio

from greenlang_secrets.access import Action, TenantContext, decide
from greenlang_secrets.errors import AccessDenied, ConfigurationError
from greenlang_secrets.model import SecretType
from greenlang_secrets.view import SecretsView
from greenlang_secrets_api.answers import Answer, Header
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.rate_policies import RateClass
from greenlang_secrets_api.state import State
from greenlang_secrets_api.targets import METHODS, Kind, Target, methods

__all__ = [
    "PUBLIC",
    "Call",
    "Endpoint",
    "EndpointTable",
    "Handler",
    "Noted",
    "Public",
    "RateClass",
    "scoped",
]


@dataclass(frozen=True, slots=True)
class Public:
    """Says, in so many words, that an endpoint needs no bearer."""


PUBLIC: Final = Public()

B = TypeVar("B")


@dataclass(slots=True, kw_only=True)
class Noted:
    """What an endpoint notes while it works, for the audit record and for who follows changes.

    Attributes:
        action: what is done, where the target and method alone do not say it.
        path: the secret's path, or the prefix of a listing.
        version: what was given or made.
        cache: where a value came from: ``hit``, ``miss`` or ``stale``.
        reason: the caller's `Audit-Reason`.
        secret_type: what the secret is declared as.
        repeated: the answer is that of an earlier request, by its `Idempotency-Key`.
        taken_over: the same request was begun before, and nobody knows what came of it.
    """

    action: Action
    path: str | None = None
    version: int | None = None
    cache: str | None = None
    reason: str | None = None
    secret_type: SecretType | None = None
    repeated: bool = False
    taken_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, after every check that needs no Vault.

    Attributes:
        noted: what the endpoint notes besides its answer.
        gone: returns once the caller has closed the connection.
        deadline: cancels the endpoint when its time is over; see `extend`.
        query: its parameters, each once and each known to the endpoint.
        headers: as received, names in lower case.
        context: who acts in which scope; None only at a public endpoint without a bearer.
        document: the JSON object of the body; empty where the endpoint takes none.
        body: what `Endpoint.body` made of it; see `body_as`.
    """

    target: Target
    query: Mapping[str, str]
    headers: Iterable[Header]
    state: State
    context: TenantContext | None
    noted: Noted
    gone: Callable[[], Awaitable[None]] = anyio.sleep_forever
    deadline: anyio.CancelScope | None = field(default=None, repr=False)
    document: Mapping[str, object] = field(default_factory=dict, repr=False)
    body: object = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The secret's path; endpoints of kinds without one do not ask."""
        return self.target.path or ""

    @property
    def acting(self) -> TenantContext:
        """The context, where there must be one.

        Raises:
            AccessDenied: there is none.
        """
        if self.context is None:
            raise AccessDenied(reason="permission")
        return self.context

    @property
    def secrets(self) -> SecretsView:
        """What the caller may do with secrets in its scope."""
        context = self.acting
        return self.state["service"].scoped(context)

    def body_as(self, kind: type[B]) -> B:
        """Return the body, which the endpoint's declaration makes one of `kind`."""
        if not isinstance(self.body, kind):
            raise TypeError(f"the endpoint's body is no {kind.__name__}")
        return self.body

    def extend(self, seconds: float) -> None:
        """Give the endpoint `seconds` more, which it waits for its caller."""
        if self.deadline is not None:
            self.deadline.deadline += seconds

    def header(self, name: bytes) -> str | None:
        """Return a header, several of one name joined as RFC 9110, 5.3 has it."""
        found = [value for known, value in self.headers if known == name]
        return b", ".join(found).decode("latin-1") if found else None


Handler = Callable[[Call], Awaitable[Answer]]


def scoped(*parameters: str) -> frozenset[str]:
    """Return these query parameters and `tenant`, which every endpoint with a scope knows."""
    return frozenset({"tenant", *parameters})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One row of the method table.

    Attributes:
        access: the actions of which the caller must be allowed one, or `PUBLIC`.
        rate: what its calls count against.
        parameters: the query parameters it knows; see `scoped`.
        body: reads the JSON object of the body into what the endpoint takes, or refuses it.
        takes_body: the media type of the JSON object it reads; None where it reads none.
        needs_body: False: without a body it is answered as with an empty object.
        reason: what of the body says why, for the record of the intent already.
        changes: whether it changes something: its intent is recorded before it begins.
        takes_key: whether an `Idempotency-Key` makes a repetition give the first answer.
        at_once: answers what can be answered without waiting, and so without a deadline, or leaves
            it to `handler` by None; only for endpoints that neither change anything nor take a body.
    """

    kind: Kind
    method: str
    handler: Handler
    access: tuple[Action, ...] | Public | None = None
    rate: RateClass | None = None
    parameters: frozenset[str] = scoped()
    takes_body: bytes | None = None
    needs_body: bool = True
    body: Callable[[Mapping[str, object]], object] = dict
    reason: Callable[[object], str | None] = lambda _: None
    changes: bool = False
    takes_key: bool = False
    at_once: Callable[[Call], Answer | None] | None = None

    @property
    def action(self) -> Action:
        """What it does, as its audit records say unless it notes something narrower."""
        return self.access[0] if isinstance(self.access, tuple) and self.access else Action.STATUS

    @property
    def audited(self) -> bool:
        """Whether its requests are recorded: all but those that need no bearer."""
        return not isinstance(self.access, Public)

    def allows(self, context: TenantContext | None) -> bool:
        """Return whether `context` may call it."""
        if isinstance(self.access, Public):
            return True
        return (
            context is not None
            and self.access is not None
            and any(decide(context, action) for action in self.access)
        )


class EndpointTable:
    """Every endpoint, by kind and method.

    Raises:
        ConfigurationError: one declares no access or no rate class, one that changes something
            answers at once, one is there twice, or the method table names one that is missing.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._rows: dict[tuple[Kind, str], Endpoint] = {}
        for endpoint in endpoints:
            name = f"The endpoint {endpoint.method} {endpoint.kind}"
            if endpoint.access is None or endpoint.access == ():
                raise ConfigurationError(f"{name} declares no access; give it actions or PUBLIC.")
            if endpoint.rate is None:
                raise ConfigurationError(f"{name} declares no rate class; give it one.")
            if endpoint.at_once is not None and (endpoint.changes or endpoint.takes_body):
                raise ConfigurationError(
                    f"{name} changes something or takes a body, and answers at once; it may not: "
                    "its intent would not be recorded."
                )
            key = (endpoint.kind, endpoint.method)
            if key in self._rows:
                raise ConfigurationError(f"{name} is declared twice; remove one.")
            self._rows[key] = endpoint
        declared = {(kind, method) for kind, names in METHODS.items() for method in names}
        for kind, method in sorted(declared ^ set(self._rows)):
            raise ConfigurationError(
                f"{method} {kind} is either an endpoint or in METHODS, but not both; add the other."
            )

    def find(self, target: Target, method: str) -> Endpoint:
        """Return the endpoint for `method` on `target`.

        Raises:
            ProblemError: ``method_not_allowed``, with `Allow`.
        """
        allowed = methods(target)
        if method not in allowed:
            allow = ", ".join(allowed).encode()
            raise ProblemError("method_not_allowed", headers=((b"allow", allow),))
        return self._rows[target.kind, method]
