"""A token in use: who still needs it, and until when what was made with it lives.

Revoking a token takes the leases made with it along, and every request under way. So one that
another has taken over from is *retired*: it is revoked when its last user is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from greenlang_secrets.lifetime import Term
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.auth import VaultToken

__all__ = ["LiveToken"]


class LiveToken:
    """A token and its present state.

    Attributes:
        value, accessor, ours, limited, has_default: as `VaultToken` has them.
        made_at: monotonic seconds at which it was taken into use.
        term: how long it lives; a renewal changes it.
        ahead_at: monotonic seconds from which on a call asks for the next one behind it.
        retired: whether another token has taken over.
        dead: whether Vault no longer knows it.
        answered_at: monotonic seconds at which it was last answered with anything but a denial;
            None before that.
    """

    def __init__(
        self, token: VaultToken, *, made_at: float, unused: Callable[[LiveToken], None]
    ) -> None:
        """`unused` is called once, when it is retired and has no users any more."""
        self.value: SecretValue = token.value
        self.accessor = token.accessor
        self.ours = token.ours
        self.limited = token.limited
        self.has_default = token.has_default
        self.made_at = made_at
        self.term: Term = token.term
        self.ahead_at = token.term.granted_at + token.term.duration * 2 / 3
        self.retired = False
        self.dead = False
        self.answered_at: float | None = None
        self._users = 0
        self._unused = unused

    @property
    def expires_at(self) -> float:
        """Monotonic seconds at which it ends unless renewed."""
        return self.term.ends_at

    @property
    def revocable(self) -> bool:
        """Whether it is ours to revoke, and Vault would: it does not for batch tokens."""
        return self.ours and bool(self.accessor) and not self.dead

    @property
    def bound(self) -> float:
        """When everything made with it ends at the latest, as far as is known: infinity while it
        is in use, since it is then renewed; its own end once it is retired; at once when dead.
        """
        if self.dead:
            return -math.inf
        return self.expires_at if self.retired else math.inf

    def acquire(self) -> None:
        """Add a user; each needs its `release`."""
        self._users += 1

    def release(self) -> None:
        """Remove a user."""
        self._users -= 1
        self._tell()

    def in_use(self) -> InUse:
        """Be a user meanwhile."""
        return InUse(self)

    def retire(self) -> None:
        """Say that another token has taken over."""
        self.retired = True
        self._tell()

    def _tell(self) -> None:
        if self.retired and self._users == 0:
            self._unused(self)


class InUse:
    """A user for the time of a block, as `LiveToken.in_use` gives it, for each request."""

    __slots__ = ("_token",)

    def __init__(self, token: LiveToken) -> None:
        self._token = token

    def __enter__(self) -> None:
        self._token.acquire()

    def __exit__(self, *_: object) -> None:
        self._token.release()
