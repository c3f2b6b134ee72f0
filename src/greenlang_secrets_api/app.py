"""The application as one expression, and the lifespan that opens what it needs."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import aiohttp
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, ExceptionHandler

from greenlang_secrets.audit import AuditConfig, AuditLog
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue, CatalogueConfig
from greenlang_secrets.catalogue.engine import connector
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.invalidation import Invalidation, InvalidationConfig
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.consumers import ConsumerLedger
from greenlang_secrets.rotation.manager import RotationManager
from greenlang_secrets.service import SecretsService
from greenlang_secrets_api import health_routes, rotation_routes, secrets_routes
from greenlang_secrets_api.auth import Authenticator, KeySource
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.correlation import Correlation
from greenlang_secrets_api.denylist import Denylist
from greenlang_secrets_api.dispatch import Dispatch
from greenlang_secrets_api.endpoints import EndpointTable
from greenlang_secrets_api.eso_config import EsoConfig
from greenlang_secrets_api.eso_nudge import EsoNudge
from greenlang_secrets_api.eso_watch import EsoWatch
from greenlang_secrets_api.health_check import HealthCheck
from greenlang_secrets_api.indexing import Indexing
from greenlang_secrets_api.key_sources import FileKeys, UrlKeys
from greenlang_secrets_api.keyring import Keyring
from greenlang_secrets_api.metrics import Metrics
from greenlang_secrets_api.openapi_routes import openapi_routes
from greenlang_secrets_api.overload import WorkLimit, within_deadline
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.rate_limit import RateLimiter
from greenlang_secrets_api.rotation_events import RotationEvents
from greenlang_secrets_api.rotation_gauges import RotationGauges
from greenlang_secrets_api.state import State
from greenlang_secrets_api.trace_export import exporting

__all__ = ["create_app"]


def create_app(
    *,
    service_config: SecretsServiceConfig | None = None,
    api_config: ApiConfig | None = None,
) -> Starlette:
    """Return the ASGI application; what is None is read from the environment.

    Its lifespan opens the `SecretsService`, so run it with a server that has one:
    `greenlang_secrets_api.serve`, or ``uvicorn greenlang_secrets_api.app:create_app
    --factory``. The former also refuses ambiguous request targets that only a server sees.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    service_config = within_deadline(service_config or SecretsServiceConfig.from_env())
    api_config = api_config or ApiConfig.from_env()
    keeps = _Keeps(
        audit=api_config.audit or AuditConfig.from_env(),
        catalogue=api_config.catalogue or CatalogueConfig.from_env(),
        invalidation=api_config.invalidation or InvalidationConfig.from_env(),
        rotation=api_config.rotation or RotationConfig.from_env(service_config.environment),
        eso=api_config.eso or EsoConfig.from_env(),
    )
    endpoints = EndpointTable(
        (*secrets_routes.ENDPOINTS, *rotation_routes.ENDPOINTS, *health_routes.ENDPOINTS)
    )
    app = _Application(
        routes=[
            Route("/livez", health_routes.livez),
            Route("/readyz", health_routes.readyz),
            Route("/metrics", health_routes.metrics),
            *openapi_routes(endpoints),
        ],
        middleware=[
            Middleware(
                Correlation,
                access_log=api_config.access_log,
                passes_trace=service_config.vault_traceparent,
            ),
            Middleware(Dispatch, endpoints=endpoints, config=api_config),
        ],
        exception_handlers={HTTPException: _as_problem},
        lifespan=_lifespan(service_config, api_config, keeps),
    )
    # `/livez/` would be a 307 to whatever host the caller's `Host` names.
    app.router.redirect_slashes = False
    return app


class _Application(Starlette):
    """Starlette without its outermost layer, which answers errors: `Correlation` answers them all,
    and a layer is called for each request and for each message of its answer.
    """

    def build_middleware_stack(self) -> ASGIApp:
        handlers = cast("Mapping[Any, ExceptionHandler]", self.exception_handlers)
        app: ASGIApp = ExceptionMiddleware(self.router, handlers=handlers)
        for middleware in reversed(self.user_middleware):
            app = middleware.cls(app, *middleware.args, **middleware.kwargs)
        return app


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keeps:
    """What the service keeps, hears, rotates with and watches, none of it None."""

    audit: AuditConfig
    catalogue: CatalogueConfig
    invalidation: InvalidationConfig
    rotation: RotationConfig
    eso: EsoConfig


def _lifespan(
    service_config: SecretsServiceConfig, api_config: ApiConfig, keeps: _Keeps
) -> Callable[[Starlette], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(exporting())
            # In a thread: the SDK's resource detectors wait for locks. Before the service, whose
            # login is the first thing to be measured.
            metrics = await anyio.to_thread.run_sync(Metrics)
            stack.push_async_callback(metrics.close)
            supervisor = await stack.enter_async_context(Supervisor())
            supervisor.spawn(metrics.loop_lag.watch(), name="loop lag")
            keys = await _open_keys(api_config, supervisor, stack)
            log = await stack.enter_async_context(AuditLog.open(keeps.audit.log))
            denylist = None
            if api_config.jwt_denylist_file is not None:
                denylist = Denylist(api_config.jwt_denylist_file)
                await denylist.open()
            _reopen_at_sighup(log, stack)
            service = await stack.enter_async_context(SecretsService.open(service_config))
            service.watch_vault()
            catalogue = await stack.enter_async_context(Catalogue.open(keeps.catalogue, supervisor))
            metrics.audit.follow(log, catalogue.ship(keeps.audit.log))
            invalidation = await stack.enter_async_context(
                Invalidation.open(
                    service.followers,
                    service_config,
                    hears=keeps.invalidation,
                    connect=connector(keeps.catalogue),
                )
            )
            limiter = await stack.enter_async_context(
                RateLimiter.open(
                    api_config.rate_limit_url,
                    api_config.rate_limits,
                    on_limited=metrics.refusals.limited,
                )
            )
            watch = await stack.enter_async_context(EsoWatch.open(keeps.eso, metrics))
            await stack.enter_async_context(
                EsoNudge.open(
                    watch,
                    service.followers,
                    enabled=keeps.eso.nudge,
                    mount=service_config.kv_mount,
                )
            )
            indexing = Indexing(service, catalogue, supervisor)
            gauges = RotationGauges(catalogue, metrics.provider)
            stack.callback(supervisor.spawn(gauges.keep(), name="rotation gauges").cancel)
            rotation = await stack.enter_async_context(
                RotationManager.open(
                    service,
                    catalogue,
                    supervisor,
                    config=keeps.rotation,
                    on_step=RotationEvents(
                        log, indexing, on_lost=metrics.audit.lost, on_promoted=metrics.rotation.told
                    ),
                )
            )
            ledger = ConsumerLedger(service.consumers, catalogue, gap=rotation.gap)
            stack.push_async_callback(ledger.close)
            stack.callback(supervisor.spawn(ledger.run(), name="consumer ledger").cancel)
            yield State(
                service=service,
                audit_log=log,
                keyring=Keyring(service, log, supervisor),
                work=WorkLimit(),
                limiter=limiter,
                invalidation=invalidation,
                catalogue=catalogue,
                indexing=indexing,
                rotation=rotation,
                authenticator=Authenticator(api_config, keys, denylist=denylist),
                health=HealthCheck(service, supervisor),
                metrics=metrics,
                started_at=time.monotonic(),
            )

    return lifespan


def _reopen_at_sighup(log: AuditLog, stack: AsyncExitStack) -> None:
    """Let a rotation of the log say so; outside the main thread there are no signals to hear."""
    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, log.reopen)
        stack.callback(loop.remove_signal_handler, signal.SIGHUP)


async def _open_keys(config: ApiConfig, supervisor: Supervisor, stack: AsyncExitStack) -> KeySource:
    """A file must be there; an issuer may come up after us."""
    if config.jwks_file is not None:
        file = FileKeys(config.jwks_file)
        await file.open()
        return file
    if config.jwks_url is None:  # ApiConfig refuses this
        raise ConfigurationError("No JWKS is configured.")
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return UrlKeys(config.jwks_url, supervisor=supervisor, session=session)


def _as_problem(_: Request, error: Exception) -> NoReturn:
    """What Starlette's router refuses leaves as a problem too, through `Correlation`."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    match status:
        case 404:
            raise ProblemError("not_found")
        case 405:
            raise ProblemError("method_not_allowed", headers=((b"allow", b"GET, HEAD"),))
        case _:
            raise ProblemError("internal")
