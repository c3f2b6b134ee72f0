"""A service for as long as a Starlette or FastAPI application runs, and at hand in each request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import HTTPConnection

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.needs import Needs
from greenlang_secrets.service import SecretsService

__all__ = ["lifespan", "needs_of", "secrets_of"]

N = TypeVar("N", bound=Needs)

Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]
"""What an application takes as its `lifespan`."""


def lifespan(
    config: SecretsServiceConfig | None = None, *, needs: type[Needs] | None = None
) -> Lifespan:
    """Return a lifespan that opens a service, and holds `needs`, until the application ends.

    Without a configuration it reads the environment, when the application starts. Where needs are
    not met the application does not start. To do more at the start and the end, enter what
    this returns in a lifespan of your own, and yield what it gives.

    Raises at the start:
        ConfigurationError, AuthenticationLost: as `SecretsService.open`.
        NeedsUnmet, NeedsUnavailable: as `Needs.hold`.
    """

    @asynccontextmanager
    async def opened(_: object) -> AsyncIterator[Mapping[str, Any]]:
        async with SecretsService.open(config) as secrets:
            if needs is None:
                yield {"secrets": secrets}
                return
            async with needs.hold(secrets) as held:
                yield {"secrets": secrets, "needs": held}

    return opened


def secrets_of(connection: HTTPConnection) -> SecretsService:
    """Return the service of the application that a request or a websocket came to.

    With FastAPI it is a dependency: ``Annotated[SecretsService, Depends(secrets_of)]``.

    Raises:
        RuntimeError: the application has another lifespan.
    """
    return _of(connection, SecretsService, "secrets")


def needs_of(kind: type[N]) -> Callable[[HTTPConnection], N]:
    """Return a function that gives the held needs of the application; a dependency as well:
    ``Annotated[MyNeeds, Depends(needs_of(MyNeeds))]``.

    It raises RuntimeError where the lifespan was not given these needs.
    """

    def needs(connection: HTTPConnection) -> N:
        return _of(connection, kind, "needs")

    return needs


T = TypeVar("T")


def _of(connection: HTTPConnection, kind: type[T], name: str) -> T:
    found = getattr(connection.state, name, None)
    if not isinstance(found, kind):
        raise RuntimeError(  # noqa: TRY004  the application is wrong, not an argument
            f"there is no {kind.__name__} here: give the application a lifespan of "
            "greenlang_secrets.integrations.starlette that has it"
        )
    return found
