"""Loading needs: all at once, each path once, and every failure told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import anyio

from greenlang_secrets.errors import (
    NeedsUnavailable,
    NeedsUnmet,
    SecretsError,
    VaultUnavailable,
)
from greenlang_secrets.held import Held
from greenlang_secrets.model import Secret
from greenlang_secrets.needs.declared import Need
from greenlang_secrets.view import SecretsView

__all__ = ["held", "loaded"]

T = TypeVar("T")

_AT_ONCE: Final = 16
"""Paths that are read at one time: a start takes no more than a share of the client's places."""

_SLACK: Final = 0.1
"""Seconds in which a read that ends at its own deadline says better what is wrong."""


async def loaded(view: SecretsView, needs: Mapping[str, Need]) -> dict[str, Any]:
    """Return what each need is now.

    Raises:
        NeedsUnavailable, NeedsUnmet: some are not met.
    """
    answers = await _all(view, needs.values(), view.get)
    return _met(
        needs, {name: partial(_of, view, each, answers[each.path]) for name, each in needs.items()}
    )


@asynccontextmanager
async def held(
    view: SecretsView, needs: Mapping[str, Need]
) -> AsyncIterator[Mapping[str, Callable[[], Any]]]:
    """Yield for each need what gives it as it is at that moment.

    Raises:
        NeedsUnavailable, NeedsUnmet: some are not met at the beginning.
    """
    async with AsyncExitStack() as stack:

        async def hold(path: str) -> Held[Secret]:
            return await stack.enter_async_context(await view.hold(path))

        answers = await _all(view, needs.values(), hold)
        looks = {
            name: partial(_now, view, each, answers[each.path]) for name, each in needs.items()
        }
        _met(needs, looks)
        yield looks


def _of(view: SecretsView, each: Need, answer: Secret | SecretsError) -> Any:
    if isinstance(answer, SecretsError):
        raise answer
    return each.of(view, answer)


def _now(view: SecretsView, each: Need, answer: Held[Secret] | SecretsError) -> Any:
    return _of(view, each, answer if isinstance(answer, SecretsError) else answer.current)


def _met(needs: Mapping[str, Need], looks: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Look at each once; raise one error for all that fail."""
    values: dict[str, Any] = {}
    failures: dict[str, SecretsError] = {}
    for name, look in looks.items():
        try:
            values[name] = look()
        except SecretsError as error:
            failures[name] = error
    if not failures:
        return values
    later = all(error.retryable for error in failures.values())
    raise (NeedsUnavailable if later else NeedsUnmet)(failures, declared=len(needs))


async def _all(
    view: SecretsView, needs: Iterable[Need], ask: Callable[[str], Awaitable[T]]
) -> Mapping[str, T | SecretsError]:
    """Ask for each path once; what has no answer in time counts as an outage."""
    answers: dict[str, T | SecretsError] = {
        each.path: VaultUnavailable("timeout", path=each.path) for each in needs
    }
    places = anyio.CapacityLimiter(_AT_ONCE)

    async def one(path: str) -> None:
        async with places:
            try:
                answers[path] = await ask(path)
            except SecretsError as error:
                answers[path] = error

    with anyio.move_on_after(view.request_timeout + _SLACK):
        async with anyio.create_task_group() as reads:
            for path in list(answers):
                reads.start_soon(one, path)
    return answers
