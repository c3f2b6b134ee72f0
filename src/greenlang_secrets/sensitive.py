"""Values that do not show themselves: `SecretValue` and `SecretMap`.

They are masked in `repr`, `str`, f-strings, ``%s``, logging, tracebacks with locals,
`pprint` and `json`; pickling and copying are refused, since both make a second,
unguarded copy. `reveal()` is the only way to the text, so a reviewer can grep for it.

What this cannot do: Python strings are immutable and copied freely, so an attacker
who runs code in the process, or reads its memory, is out of scope.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, KeysView, Mapping
from typing import ClassVar, Final, NoReturn, SupportsIndex

__all__ = ["MASK", "SecretMap", "SecretValue"]

MASK: Final = "**********"
"""What stands for a value of any length, the empty one too."""


class _Guarded:
    """What both types refuse."""

    __slots__ = ("__weakref__",)

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not copied or serialised; use .reveal()")

    # Written out where `object` has one too: an alias has no declared type, and type checkers
    # would call every class partially unknown in which such a value stands.
    def __reduce__(self) -> NoReturn:
        self._refuse()

    def __reduce_ex__(self, _: SupportsIndex, /) -> NoReturn:
        self._refuse()

    def __getstate__(self) -> NoReturn:
        self._refuse()

    __copy__ = _refuse
    __deepcopy__ = _refuse

    __iter__: ClassVar[None] = (
        None  # iterating would spell the value out (or fall back to __getitem__)
    )


class SecretValue(_Guarded):
    """One secret text; `.reveal()` gives it.

    Equality is constant-time and only with another `SecretValue`.
    """

    __slots__ = ("_text",)
    _text: str

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a SecretValue holds a str, not {type(text).__name__}")
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """Return the text itself; from here on it is the caller's to guard."""
        return self._text

    def __repr__(self) -> str:
        return f"SecretValue({MASK!r})"

    # Unhashable: a plain hash of a value is a thing to attack with a dictionary.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # Python's own way to say "unhashable"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretValue):
            return NotImplemented
        return hmac.compare_digest(_octets(self._text), _octets(other._text))

    def __bool__(self) -> bool:
        """Whether the text is non-empty."""
        return bool(self._text)


class SecretMap(_Guarded):
    """The data of one version: key names in clear, values as `SecretValue`.

    ``data["password"].reveal()`` gives one text, ``data.reveal()`` a plain dict of all.
    """

    __slots__ = ("_values",)
    _values: dict[str, SecretValue]

    def __init__(self, data: Mapping[str, str | SecretValue]) -> None:
        values = {
            key: value if isinstance(value, SecretValue) else SecretValue(value)
            for key, value in data.items()
        }
        object.__setattr__(self, "_values", values)

    def __getitem__(self, key: str) -> SecretValue:
        try:
            return self._values[key]
        except KeyError:
            # The names of the others may be shown; the reader wants to know what there is.
            have = ", ".join(sorted(self._values)) or "none"
            raise KeyError(f"no key {key!r} in this secret; it has: {have}") from None

    def get(self, key: str) -> SecretValue | None:
        """Return the value of `key`, or None if the secret has no such key."""
        return self._values.get(key)

    def keys(self) -> KeysView[str]:
        """Return the key names."""
        return self._values.keys()

    def reveal(self) -> dict[str, str]:
        """Return all texts as a new dict; from here on they are the caller's to guard."""
        return {key: value.reveal() for key, value in self._values.items()}

    def select(self, keys: Iterable[str]) -> SecretMap:
        """Return a map of only these keys.

        Raises:
            KeyError: the secret lacks one of them.
        """
        return SecretMap({key: self[key] for key in keys})

    @property
    def size(self) -> int:
        """Octets of all keys and values, for a cache that bounds its memory."""
        octets = 0
        for key, value in self._values.items():
            octets += _length(key) + _length(value.reveal())
        return octets

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return "SecretMap({" + ", ".join(f"{key!r}: {MASK!r}" for key in self._values) + "})"

    # Unhashable: a plain hash of a value is a thing to attack with a dictionary.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # Python's own way to say "unhashable"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretMap):
            return NotImplemented
        if self._values.keys() != other._values.keys():
            return False
        # No early exit: how many keys agree is not to be read off the time.
        same = True
        for key, value in self._values.items():
            same &= value == other._values[key]
        return same


def _length(text: str) -> int:
    """How many octets a text has; without making them where each is a character."""
    return len(text) if text.isascii() else len(_octets(text))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
