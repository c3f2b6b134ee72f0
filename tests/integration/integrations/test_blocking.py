"""The pattern for programs without an event loop: one in a thread, and a portal to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from socketserver import ThreadingMixIn
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

import greenlang_secrets as gs


class Needs(gs.Needs):
    stripe: gs.SecretValue = gs.need("api-keys/stripe", field="key")


@pytest.fixture
def config(vault_server, mount_of_threads: str) -> gs.SecretsServiceConfig:
    return gs.SecretsServiceConfig(
        addresses=(vault_server.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(vault_server.root_token)),
        kv_mount=mount_of_threads,
        tenant_token_role=None,
    )


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    """An event loop in a thread of its own."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def mount_of_threads(vault_server, portal: BlockingPortal) -> Iterator[str]:
    """A mount with one secret, for tests that have no loop."""
    name = "kv-threads"
    body = {"type": "kv", "options": {"version": "2"}}
    portal.call(vault_server.request, "POST", f"sys/mounts/{name}", body)
    secret = {"data": {"key": "k-1"}}
    path = f"{name}/data/greenlang/api-keys/stripe"
    while portal.call(vault_server.request, "POST", path, secret)[0] != 200:
        pass  # the mount is being upgraded to version 2
    yield name
    portal.call(vault_server.request, "DELETE", f"sys/mounts/{name}")


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def test_threads_read_through_one_service(portal: BlockingPortal, config) -> None:
    """Many threads at once share one service, its cache and its login."""
    with portal.wrap_async_context_manager(gs.SecretsService.open(config)) as secrets:

        def read(_: int) -> str:
            return portal.call(secrets.get, "api-keys/stripe")["key"].reveal()

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(read, range(200))) == {"k-1"}
        assert secrets.cache.stats().misses <= 8


def test_held_needs_are_read_in_any_thread_without_the_portal(
    portal: BlockingPortal, config
) -> None:
    """A held value is an attribute: a thread looks at it, and sees what was written, without a
    switch to the loop.
    """
    with (
        portal.wrap_async_context_manager(gs.SecretsService.open(config)) as secrets,
        portal.wrap_async_context_manager(Needs.hold(secrets)) as needs,
    ):
        assert needs.stripe.reveal() == "k-1"
        portal.call(secrets.put, "api-keys/stripe", {"key": "k-2"})
        assert needs.stripe.reveal() == "k-2"


def test_an_error_reaches_the_thread_that_asked(portal: BlockingPortal, config) -> None:
    """What a call raises in the loop is raised where it was called."""
    with (
        portal.wrap_async_context_manager(gs.SecretsService.open(config)) as secrets,
        pytest.raises(gs.SecretNotFound),
    ):
        portal.call(secrets.get, "missing")


def test_a_wsgi_application_is_served(portal: BlockingPortal, config) -> None:
    """Flask and Django are WSGI applications: one of them, with a thread for each request, reads
    what it needs, and its end closes the service.
    """
    with (
        portal.wrap_async_context_manager(gs.SecretsService.open(config)) as secrets,
        portal.wrap_async_context_manager(Needs.hold(secrets)) as needs,
    ):

        def app(_, start_response):
            read = portal.call(secrets.get, "api-keys/stripe")
            start_response("200 OK", [("content-type", "text/plain")])
            return [f"{read['key'].reveal()} {needs.stripe.reveal()}".encode()]

        server = make_server("127.0.0.1", 0, app, server_class=_Threads, handler_class=_Quiet)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:

            def ask(_: int) -> bytes:
                with urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=10) as answer:
                    return answer.read()

            with ThreadPoolExecutor(8) as threads:
                assert set(threads.map(ask, range(40))) == {b"k-1 k-1"}
        finally:
            server.shutdown()
            serving.join()
            server.server_close()
    with pytest.raises(RuntimeError):
        _ = needs.stripe
