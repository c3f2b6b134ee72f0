"""What every error has, and the one of settings."""

from __future__ import annotations

from typing import ClassVar, Self, TypeVar

__all__ = ["ConfigurationError", "SecretsError"]

E = TypeVar("E", bound="SecretsError")


class SecretsError(Exception):
    """Root of everything raised on purpose.

    Attributes:
        code: stable identifier, the same in logs, metrics and HTTP problems.
        retryable: the same call may succeed later without a change.
        path: the caller's own path, relative to its scope, where there is one.
        facts: further members that are safe to show, such as `current_version`.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    text: ClassVar[str] = "The operation failed."

    def __init__(
        self,
        text: str | None = None,
        *,
        path: object | None = None,
        **facts: str | int | bool | None,
    ) -> None:
        self.path: str | None = None if path is None else str(path)
        self.facts: dict[str, str | int | bool] = {k: v for k, v in facts.items() if v is not None}
        message = text or self.text
        super().__init__(message if self.path is None else f"{message} (path {self.path!r})")

    def again(self) -> Self:
        """Return an equal error without traceback, so that a cached one never grows."""
        twin = _restore(type(self), self.args, self.__dict__)
        twin.facts = dict(self.facts)
        if notes := getattr(self, "__notes__", None):
            twin.__notes__ = list(notes)
        return twin

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own would call the constructor with the text alone.
        return (_restore, (type(self), self.args, self.__dict__))


def _restore(cls: type[E], args: tuple[object, ...], attributes: dict[str, object]) -> E:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ConfigurationError(SecretsError):
    """A setting is missing or wrong; the text names it, what was seen, and the fix."""

    code = "configuration"
