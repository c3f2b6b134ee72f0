"""What all typed credentials have: where they were read from, and that they are not copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, SupportsIndex, TypedDict

from greenlang_secrets.model import Secret

__all__ = ["Credentials", "Origin", "origin_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Credentials:
    """Something to log in, encrypt or prove oneself with; it cannot be pickled or copied.

    Attributes:
        path: of the secret it was read from, relative to its scope; None if there is none,
            as for what an engine makes anew.
        version: of that secret; None if there is none.
        stale: True if Vault could not be asked, so that this is the last value known.
    """

    path: str | None = None
    version: int | None = None
    stale: bool = False

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not copied or serialised; use .reveal()")

    # As in `Secret`: a shallow copy would not reach the values inside, which refuse it too.
    def __reduce_ex__(self, _: SupportsIndex, /) -> NoReturn:
        self._refuse()

    __copy__ = _refuse
    __deepcopy__ = _refuse


class Origin(TypedDict):
    """The fields of `Credentials`, to be passed on."""

    path: str
    version: int
    stale: bool


def origin_of(secret: Secret) -> Origin:
    """Return what credentials keep of the secret that they are read from."""
    return Origin(path=secret.path, version=secret.version, stale=secret.stale)
