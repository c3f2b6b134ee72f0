"""What a kind of credential must know how to do: the `RotationHandler` protocol.

Each method makes something true and may be repeated: after a death the next owner calls it
again with the same `Rotation` and a higher fence. A method that finds its work done returns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import Scope, SecretPath
from greenlang_secrets.rotation_model import RotationKind, RotationPolicy
from greenlang_secrets.sensitive import SecretMap

__all__ = ["NotYet", "Prepared", "Rotation", "RotationHandler", "Subject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A secret that somebody wants to have rotated: what `check` looks at.

    Attributes:
        data: what it holds now.
        type: as it is declared.
        promotion_gap: seconds that a consumer may go on with an old value.
    """

    scope: Scope
    path: SecretPath
    policy: RotationPolicy
    type: SecretType
    version: int
    data: SecretMap
    promotion_gap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """One rotation of one secret, as a handler sees it.

    Attributes:
        id: tells it from every other rotation; 32 hexadecimal digits.
        fence: grows with each claim and takeover of this secret's record. A target keeps the
            greatest it has seen, and refuses smaller ones: an owner that was taken for dead.
        settings: the policy's, as they were when it began.
        current: what the secret held when it began (its `base_version`); None if that version
            is gone.
        candidate: what it will hold, or holds since the promotion; None before `prepare`.
        notes: what the handler noted; never secret.
        promotion_gap: seconds that a consumer may go on with an old value.
        progress: tells how far a long step is, and keeps the claim alive: call it at least every
            10 s. Raises `RotationLost` once the claim is somebody else's.
    """

    id: str
    fence: int
    scope: Scope
    path: SecretPath
    settings: Mapping[str, str]
    base_version: int
    current: SecretMap | None
    candidate: SecretMap | None
    notes: Mapping[str, str]
    promotion_gap: float
    progress: Callable[[Mapping[str, int], Mapping[str, str]], Awaitable[None]]
    """``await rotation.progress({"rewrapped": 500}, {"checkpoint": "a/b"})``: numbers to show, and
    notes to be kept for whoever goes on.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a step wants to be kept in the record.

    Attributes:
        candidate: the whole data of the next version; None to leave it.
        notes: are added to those there are.
        not_after: until when a certificate is valid.
    """

    candidate: SecretMap | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    not_after: datetime | None = None


class NotYet(Exception):  # says what is so, and is no failure
    """Raised by a step that has to wait, for others and not for itself: no attempt is counted.

    Attributes:
        until: when to call the step again; None if only an operator's call does that.
        operator: whether an operator must do something: the state is `awaiting_operator` then.
    """

    def __init__(self, until: datetime | None, *, operator: bool = False) -> None:
        super().__init__("not yet")
        self.until = until
        self.operator = operator


class RotationHandler(Protocol):
    """Rotates one kind of credential. Each step has 20 s, and may be cancelled at its end.

    Raises, in every step:
        RotationFailed: the target is away or refuses; the step is tried again later.
        RotationFenced: the target has seen a greater fence: somebody else goes on, we stop.
        NotYet: the step must wait for something.
        SecretsError: of Vault; treated as the first.
    """

    @property
    def kind(self) -> RotationKind:
        """What it rotates."""
        ...

    @property
    def promotes(self) -> bool:
        """Whether the candidate becomes the secret's next version. False where the credential is
        not in the secret, as with transit keys: there the promotion is only a moment.
        """
        ...

    async def check(self, subject: Subject) -> None:
        """Return if this secret can be rotated so; changes nothing.

        Raises:
            NotRotatable: a setting or a field is missing or wrong, or the target does not fit.
        """
        ...

    async def prepare(self, rotation: Rotation) -> Prepared:
        """Return the candidate, which is kept before anything else happens."""
        ...

    async def apply(self, rotation: Rotation) -> Prepared:
        """Have the target take the candidate, beside what it takes already. May return another
        candidate, where only the target can make one.
        """
        ...

    async def verify(self, rotation: Rotation) -> None:
        """Return if the candidate really works: log in with it."""
        ...

    async def retire(self, rotation: Rotation) -> Prepared:
        """Have the target take nothing but the candidate, which is promoted by now."""
        ...
