"""`Needs`: a class whose fields are what a program reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self, dataclass_transform

from greenlang_secrets.needs.declared import Need, need
from greenlang_secrets.needs.loading import held, loaded
from greenlang_secrets.view import SecretsView

__all__ = ["Needs"]


_OURS: Final = frozenset({"declared", "hold", "load"})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(need,))
class Needs:
    """What a program reads: inherit, and give each field its `need`.

    `load` gives an instance with the values of now, `hold` one whose values follow Vault; the
    fields and their types are the same. Given by name the values make an instance without Vault,
    for a test. A subclass has the needs of its bases, too.
    """

    declared: ClassVar[Mapping[str, Need]] = MappingProxyType({})
    """The needs by their names, in their order."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        found: dict[str, Need] = {}
        for part in reversed(cls.__mro__):
            found |= {name: each for name, each in vars(part).items() if isinstance(each, Need)}
        if taken := found.keys() & _OURS:
            raise TypeError(f"a need may not be named {', '.join(sorted(taken))}")
        cls.declared = MappingProxyType(found)

    def __init__(self, **values: object) -> None:
        """Each need by its name.

        Raises:
            TypeError: one is not given, or something else is.
        """
        if missing := self.declared.keys() ^ values.keys():
            raise TypeError(f"give each need once, and nothing else: {', '.join(sorted(missing))}")
        self._looks: Mapping[str, Callable[[], Any]] = {
            name: partial(_same, value) for name, value in values.items()
        }

    @classmethod
    def _of(cls, looks: Mapping[str, Callable[[], Any]]) -> Self:
        needs = cls.__new__(cls)
        needs._looks = looks  # noqa: SLF001  of its own class
        return needs

    def _look(self, name: str) -> Any:
        return self._looks[name]()

    @classmethod
    async def load(cls, secrets: SecretsView) -> Self:
        """Return the needs with the values of now, all read concurrently.

        A path that several fields take from is read once, so they are of one version. It lasts
        as long as one read may (`SecretsServiceConfig.request_timeout`), however many there are.

        Raises:
            NeedsUnavailable: some cannot be read now, and all of these may be later.
            NeedsUnmet: some are missing or denied, or lack what is needed of them; the text
                names each of them.
        """
        return cls(**await loaded(secrets, cls.declared))

    @classmethod
    @asynccontextmanager
    async def hold(cls, secrets: SecretsView) -> AsyncIterator[Self]:
        """Yield the needs with values that follow Vault: each time a field is looked at, it is what
        `SecretsView.hold` says is current, without waiting.

        Two fields of one path are of one version if nothing is awaited between them. A field
        raises what ``Held.current`` raises, and SecretIncomplete or SecretTypeMismatch where a
        new version lacks what is needed. After the block it raises RuntimeError.

        Raises:
            NeedsUnavailable, NeedsUnmet: as `load`, at the beginning.
        """
        async with held(secrets, cls.declared) as looks:
            yield cls._of(looks)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self.declared)}>"


def _same(value: object) -> object:
    return value
