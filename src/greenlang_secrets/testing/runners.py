"""Which event loop a test's services live in: that of pytest-asyncio, or that of AnyIO's plugin.

A service belongs to the loop it was opened in, so it must be opened by the plugin that runs the
test. Each plugin takes async fixtures in a way of its own; here is one of each, told apart by
the test that asks.
"""

# ruff: noqa: PLC0415  the imports stand inside so that loading the plugin costs nothing

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from greenlang_secrets.config import SecretsServiceConfig
    from greenlang_secrets.service import SecretsService
    from greenlang_secrets.testing.services import NewSecretsService, Server

__all__ = ["fixtures", "service_of", "services_of"]

_LOOP_SCOPES: Final = ("function", "class", "module", "package", "session")
_ASYNCIO = "_greenlang_secrets_{what}_in_{scope}_loop"
_ANYIO = "_greenlang_secrets_{what}_in_anyio_loop"

_ASYNCIO_PLUGIN = "pytest_asyncio.plugin"
_ANYIO_PLUGIN = "anyio.pytest_plugin"

_NO_PLUGIN = (
    "a SecretsService needs an event loop, and no plugin runs one for this test: "
    "pip install 'greenlang-secrets[testing]', which brings pytest-asyncio, "
    "or mark the test with @pytest.mark.anyio"
)
_OTHER_BACKEND = (
    "a SecretsService runs on asyncio, and this test on {}: have a fixture anyio_backend "
    "that returns 'asyncio'"
)


def fixtures(config: pytest.Config) -> ModuleType:
    """Return a plugin with the async fixtures that the async plugins of this run can take."""
    found = ModuleType("greenlang_secrets_services")
    if _uses(config, _ASYNCIO_PLUGIN):
        import pytest_asyncio

        for scope in _LOOP_SCOPES:
            for what, new in _MAKERS.items():
                name = _ASYNCIO.format(what=what, scope=scope)
                setattr(found, name, pytest_asyncio.fixture(loop_scope=scope, name=name)(new()))
    if _uses(config, _ANYIO_PLUGIN):
        for what, new in _MAKERS.items():
            name = _ANYIO.format(what=what)
            setattr(found, name, pytest.fixture(new(), name=name))
    return found


def _uses(config: pytest.Config, module: str) -> bool:
    # By module, for the name of a plugin depends on how it was loaded.
    plugin = sys.modules.get(module)
    return plugin is not None and config.pluginmanager.is_registered(plugin)


def service_of(request: pytest.FixtureRequest) -> "SecretsService":
    """Return the service of the test that asks, opened in its loop."""
    service: SecretsService = request.getfixturevalue(_name(request, "service"))
    return service


def services_of(request: pytest.FixtureRequest) -> "NewSecretsService":
    """Return what opens services in the loop of the test that asks."""
    services: NewSecretsService = request.getfixturevalue(_name(request, "services"))
    return services


def _name(request: pytest.FixtureRequest, what: str) -> str:
    if "anyio_backend" in request.fixturenames and _uses(request.config, _ANYIO_PLUGIN):
        backend = request.getfixturevalue("anyio_backend")
        backend = backend if isinstance(backend, str) else backend[0]
        if backend != "asyncio":
            pytest.fail(_OTHER_BACKEND.format(backend), pytrace=False)
        return _ANYIO.format(what=what)
    if not _uses(request.config, _ASYNCIO_PLUGIN):
        pytest.fail(_NO_PLUGIN, pytrace=False)
    marker = request.node.get_closest_marker("asyncio")
    asked = marker.kwargs.get("loop_scope") if marker is not None else None
    scope = asked or request.config.getini("asyncio_default_test_loop_scope")
    return _ASYNCIO.format(what=what, scope=scope)


# A new function each time: pytest-asyncio writes the loop's scope on it.


def _new_service() -> "Callable[..., AsyncIterator[SecretsService]]":
    async def service(secrets_config: "SecretsServiceConfig") -> "AsyncIterator[SecretsService]":
        from greenlang_secrets.service import SecretsService

        async with SecretsService.open(secrets_config) as opened:
            yield opened

    return service


def _new_services() -> "Callable[..., AsyncIterator[NewSecretsService]]":
    async def services(
        secrets_config: "SecretsServiceConfig", vault_server: "Server"
    ) -> "AsyncIterator[NewSecretsService]":
        from greenlang_secrets.testing.services import NewSecretsService

        async with AsyncExitStack() as opened:
            yield NewSecretsService(secrets_config, vault_server, opened)

    return services


_MAKERS: dict[str, Callable[[], Callable[..., Any]]] = {
    "service": _new_service,
    "services": _new_services,
}
