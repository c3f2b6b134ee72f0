"""What a program has declared to need, and cannot have."""

from __future__ import annotations

from collections.abc import Mapping

from greenlang_secrets.errors.root import SecretsError

__all__ = ["NeedsUnavailable", "NeedsUnmet"]


class NeedsUnmet(SecretsError):
    """Some of the declared needs cannot be loaded; the text names each, with its reason.

    Attributes:
        failures: the declared names of those, to their errors.
    """

    code = "needs_unmet"

    def __init__(self, failures: Mapping[str, SecretsError], *, declared: int) -> None:
        """`declared` is how many needs there are in all."""
        self.failures = dict(failures)
        reasons = " ".join(f"{name}: {error}" for name, error in failures.items())
        super().__init__(
            f"Needs that are not met: {len(failures)} of {declared}. {reasons}",
            unmet=len(failures),
            declared=declared,
        )


class NeedsUnavailable(NeedsUnmet):
    """The same, where each of them may be there later: try again, or wait for Vault."""

    code = "needs_unavailable"
    retryable = True
