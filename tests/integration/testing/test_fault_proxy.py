import asyncio
import itertools
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from greenlang_secrets.testing import ExternalVault, Fault, FaultProxy, OpenBaoServer, ServerError

Vault = OpenBaoServer | ExternalVault
_names = itertools.count(1)


@pytest.fixture
def proxy(vault_fault_proxy: FaultProxy) -> FaultProxy:
    return vault_fault_proxy


class RawClient:
    """A client that speaks octets on one connection, and keeps what it got."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str):
        self.reader, self.writer, self.token = reader, writer, token
        self.got = b""

    async def send(self, method: str, path: str, body: object = None, **fields: str) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        head = {"Host": "vault", "X-Vault-Token": self.token, "Content-Length": str(len(content))}
        lines = [
            f"{name.replace('_', '-')}: {value}\r\n" for name, value in (head | fields).items()
        ]
        self.writer.write(
            f"{method} /v1/{path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + content
        )
        await self.writer.drain()

    async def read(self, octets: int = 2**16) -> bytes:
        got = await self.reader.read(octets)
        self.got += got
        return got

    async def read_all(self) -> bytes:
        """Read to the end of the connection; what came before a reset stays in `got`."""
        while await self.read():
            pass
        return self.got

    async def answer(self) -> tuple[bytes, bytes]:
        """Read one answer that has a Content-Length or no body: its head and its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        _, _, rest = head.lower().partition(b"content-length: ")
        return head, await self.reader.readexactly(int(rest.split(b"\r\n")[0]) if rest else 0)


@asynccontextmanager
async def connected(addr: str, token: str = "") -> AsyncIterator[RawClient]:
    url = urlsplit(addr)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        yield RawClient(reader, writer, token)
    finally:
        writer.transport.abort()


@pytest.fixture
async def client(proxy: FaultProxy, vault_server: Vault) -> AsyncIterator[RawClient]:
    async with connected(proxy.addr, vault_server.root_token) as client:
        yield client


@pytest.fixture
async def secret(vault_server: Vault, mount: str) -> str:
    """The path of a secret of this test's own, not written yet."""
    return f"{mount}/data/{next(_names)}"


async def _stored(vault: Vault, secret: str) -> object:
    status, body = await vault.request("GET", secret)
    return body["data"]["data"] if status == 200 else None


def _without_date(octets: bytes) -> list[bytes]:
    return [line for line in octets.split(b"\r\n") if not line.startswith(b"Date:")]


async def test_what_passes_is_unchanged(
    proxy: FaultProxy, client: RawClient, vault_server: Vault
) -> None:
    """The control: with and without a proxy, a client gets the same octets."""
    path = "sys/seal-status"
    async with connected(vault_server.addr) as direct:
        await direct.send("GET", path, Connection="close")
        expected = await direct.read_all()

    await client.send("GET", path, Connection="close")

    assert _without_date(await client.read_all()) == _without_date(expected)
    assert proxy.count("GET", path) == 1


async def test_a_connection_is_kept_alive(
    proxy: FaultProxy, client: RawClient, vault_server: Vault, secret: str
) -> None:
    """Requests with bodies follow each other on one connection, and each is seen for itself."""
    await client.send("POST", secret, {"data": {"k": "v"}})
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body)["data"]["version"] == 1

    await client.send("GET", f"{secret}?version=1")
    _, body = await client.answer()

    assert json.loads(body)["data"]["data"] == {"k": "v"}
    assert [(seen.method, seen.path, seen.fault) for seen in proxy.requests] == [
        ("POST", secret, Fault.PASS),
        ("GET", f"{secret}?version=1", Fault.PASS),
    ]


async def test_answers_without_a_body_end_with_their_head(client: RawClient) -> None:
    """HEAD and 204 have no body, whatever their head says, and the connection goes on."""
    await client.send("HEAD", "sys/health")
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")

    await client.send("PUT", "sys/capabilities-self", {"paths": ["a"]})
    _, body = await client.answer()

    assert json.loads(body)["data"]["a"] == ["root"]


async def test_an_answer_in_chunks_passes(client: RawClient, vault_server: Vault) -> None:
    """A long answer, which has chunks and no length, arrives whole."""
    path = "sys/internal/specs/openapi"
    _, expected = await vault_server.request("GET", path)

    await client.send("GET", path)
    head = await client.reader.readuntil(b"\r\n\r\n")
    content = b""
    while size := int(await client.reader.readuntil(b"\r\n"), 16):
        content += (await client.reader.readexactly(size + 2))[:-2]

    assert b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert json.loads(content)["paths"].keys() == expected["paths"].keys()


async def test_a_request_in_chunks_passes(
    client: RawClient, vault_server: Vault, secret: str
) -> None:
    """A request's body in chunks reaches the server."""
    client.writer.write(
        f"POST /v1/{secret} HTTP/1.1\r\nHost: vault\r\nX-Vault-Token: {client.token}\r\n"
        'Transfer-Encoding: chunked\r\n\r\n8\r\n{"data":\r\n00A;x=y\r\n{"k":"v"}}\r\n0\r\nT: 1\r\n\r\n'.encode()
    )

    assert (await client.answer())[0].startswith(b"HTTP/1.1 200")
    assert await _stored(vault_server, secret) == {"k": "v"}


async def test_a_reset_before_the_server(
    proxy: FaultProxy, client: RawClient, vault_server: Vault, secret: str
) -> None:
    """RESET: the client's connection is reset, and nothing was written."""
    proxy.inject(Fault.RESET)

    await client.send("POST", secret, {"data": {"k": "v"}})
    with pytest.raises(ConnectionResetError):
        await client.read()

    assert await _stored(vault_server, secret) is None


async def test_a_dropped_response_is_committed(
    proxy: FaultProxy, client: RawClient, vault_server: Vault, secret: str
) -> None:
    """DROP_RESPONSE: the client sees the end and no octet, and the secret is in the server."""
    proxy.inject(Fault.DROP_RESPONSE)

    await client.send("POST", secret, {"data": {"k": "v"}})

    assert await client.read_all() == b""
    assert await _stored(vault_server, secret) == {"k": "v"}


async def test_half_a_response(
    proxy: FaultProxy, client: RawClient, vault_server: Vault, secret: str
) -> None:
    """DROP_HALF: half the answer comes, then a reset, and the secret is in the server."""
    proxy.inject(Fault.DROP_HALF)

    await client.send("POST", secret, {"data": {"k": "v"}})
    with pytest.raises(ConnectionResetError):
        await client.read_all()

    assert client.got.startswith(b"HTTP/1.1 200")
    assert not client.got.endswith(b"}\n")
    assert await _stored(vault_server, secret) == {"k": "v"}


async def test_an_end_inside_the_body(proxy: FaultProxy, client: RawClient) -> None:
    """FIN_MID_BODY: the head promises more than the body holds before the orderly end."""
    await client.send("GET", "sys/seal-status")
    _, whole = await client.answer()
    proxy.inject(Fault.FIN_MID_BODY)

    await client.send("GET", "sys/seal-status")
    head, _, body = (await client.read_all()).partition(b"\r\n\r\n")

    assert f"Content-Length: {len(whole)}".encode() in head
    assert body == whole[: len(whole) // 2]


async def test_a_black_hole(
    proxy: FaultProxy, client: RawClient, vault_server: Vault, secret: str
) -> None:
    """BLACK_HOLE: the request is taken and never answered, while another passes."""
    proxy.inject(Fault.BLACK_HOLE, times=1)

    await client.send("POST", secret, {"data": {"k": "v"}})
    async with connected(proxy.addr) as other:
        await other.send("GET", "sys/health", Connection="close")
        assert (await other.read_all()).startswith(b"HTTP/1.1 200")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.read(), 0.2)

    assert await _stored(vault_server, secret) is None


async def test_a_delay(
    proxy: FaultProxy, client: RawClient, vault_server: Vault, secret: str
) -> None:
    """DELAY: the secret is in the server before the answer comes, which is late and whole."""
    proxy.inject(Fault.DELAY, seconds=1.0)
    started = asyncio.get_running_loop().time()

    await client.send("POST", secret, {"data": {"k": "v"}})
    while await _stored(vault_server, secret) is None:
        await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.read(), 0.1)
    _, body = await client.answer()

    assert json.loads(body)["data"]["version"] == 1
    assert asyncio.get_running_loop().time() - started >= 1.0


async def test_a_slow_drip(proxy: FaultProxy, client: RawClient) -> None:
    """SLOW_DRIP: the answer is whole and comes in more pieces than anybody would send."""
    proxy.inject(Fault.SLOW_DRIP, seconds=0.001)
    await client.send("GET", "sys/health", Connection="close")

    pieces = 0
    while await client.read():
        pieces += 1

    assert client.got.endswith(b"}\n")
    assert pieces > 100


async def test_garbage(proxy: FaultProxy, client: RawClient) -> None:
    """GARBAGE: what comes is no HTTP, and then the end."""
    proxy.inject(Fault.GARBAGE)

    await client.send("GET", "sys/health")

    assert (await client.read_all()).startswith(b"\x16\x03\x01")


async def test_a_huge_answer(proxy: FaultProxy, client: RawClient) -> None:
    """HUGE: 64 MiB in chunks, and the connection goes on for the next request."""
    proxy.inject(Fault.HUGE, times=1)

    await client.send("GET", "sys/health")
    assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    octets = 0
    while size := int(await client.reader.readuntil(b"\r\n"), 16):
        content = await client.reader.readexactly(size + 2)
        octets += size
    await client.reader.readexactly(2)

    assert octets == 64 * 2**20 + 2
    assert content == b"{}\r\n"
    await client.send("GET", "sys/health")
    assert (await client.answer())[0].startswith(b"HTTP/1.1 200")


async def test_a_refused_connection(
    proxy: FaultProxy, client: RawClient, vault_server: Vault
) -> None:
    """Refusing ends all connections and refuses new ones, until they are accepted again."""
    await client.send("GET", "sys/health")
    await client.answer()
    addr = proxy.addr

    await proxy.refuse()
    await proxy.refuse()
    with pytest.raises(ConnectionResetError):
        await client.read()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", urlsplit(addr).port)
    await proxy.accept()
    await proxy.accept()

    async with connected(addr) as again:
        await again.send("GET", "sys/health")
        assert (await again.answer())[0].startswith(b"HTTP/1.1 200")


async def test_faults_are_a_script(proxy: FaultProxy, client: RawClient) -> None:
    """Faults come in the order they were set, as often as told, to the requests that match."""
    proxy.inject(Fault.PASS, times=1, method="GET")
    proxy.inject(Fault.GARBAGE, times=1, method="GET", path_prefix="sys/seal")
    proxy.inject(Fault.RESET, method="LIST")

    for path in ("sys/seal-status", "sys/health", "sys/seal-status"):
        await client.send("GET", path)
        if path == "sys/health" or proxy.count() < 2:
            await client.answer()
    await client.read_all()

    assert [(seen.path, seen.fault) for seen in proxy.requests] == [
        ("sys/seal-status", Fault.PASS),
        ("sys/health", Fault.PASS),
        ("sys/seal-status", Fault.GARBAGE),
    ]
    assert proxy.count(path_prefix="sys/seal") == 2
    assert proxy.count("LIST") == 0


async def test_cleared_faults_are_over(proxy: FaultProxy, client: RawClient) -> None:
    """A fault without `times` lasts until it is cleared."""
    proxy.inject(Fault.DROP_RESPONSE)
    for _ in range(3):
        async with connected(proxy.addr) as failing:
            await failing.send("GET", "sys/health")
            assert await failing.read_all() == b""

    proxy.clear()

    await client.send("GET", "sys/health")
    assert (await client.answer())[0].startswith(b"HTTP/1.1 200")


async def test_a_dead_server_resets_its_clients(unanswered: str) -> None:
    """When the server behind it does not answer whole, the client's connection is reset."""
    async with FaultProxy(unanswered) as proxy, connected(proxy.addr) as client:
        await client.send("GET", "sys/health")
        with pytest.raises(ConnectionResetError):
            await client.read()


@pytest.fixture
def unanswered() -> Iterator[str]:
    """The address of a server that closes each connection in the middle of its answer.

    No mock of a Vault: a real one cannot be made to do it.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


async def test_what_is_no_http_is_reset(client: RawClient) -> None:
    """A request it cannot tell from the next is not passed on."""
    await client.send("POST", "sys/health", Transfer_Encoding="chunked")
    client.writer.write(b"no size\r\n")

    with pytest.raises(ConnectionResetError):
        await client.read()


async def test_stopping_ends_connections_and_thread(vault_server: Vault) -> None:
    """Stopped in the middle of everything, it leaves neither thread nor port; and starts again."""
    proxy = FaultProxy(vault_server.addr)
    before = set(threading.enumerate())
    async with proxy:
        port = urlsplit(proxy.addr).port
        [thread] = set(threading.enumerate()) - before
        proxy.inject(Fault.BLACK_HOLE, method="GET")
        proxy.inject(Fault.DELAY, seconds=3600)
        async with connected(proxy.addr) as held, connected(proxy.addr) as delayed:
            await held.send("GET", "sys/health")
            await delayed.send("HEAD", "sys/health")
            while proxy.count() < 2:
                await asyncio.sleep(0.01)

            await proxy.stop()
            for client in (held, delayed):
                with pytest.raises(ConnectionResetError):
                    await client.read()

    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    async with proxy, connected(proxy.addr) as client:
        proxy.clear()
        await client.send("GET", "sys/health")
        assert (await client.answer())[0].startswith(b"HTTP/1.1 200")


async def test_it_must_be_started_once(vault_server: Vault) -> None:
    """Before the start there is no address, and there is one start only."""
    proxy = FaultProxy(vault_server.addr)
    with pytest.raises(ServerError, match="is not running"):
        _ = proxy.addr
    with pytest.raises(ServerError, match="is not running"):
        await proxy.refuse()
    assert repr(proxy) == f"<FaultProxy not running before {vault_server.addr}>"

    async with proxy:
        with pytest.raises(ServerError, match="is running already"):
            await proxy.start()
        assert proxy.addr in repr(proxy)


@pytest.mark.parametrize("addr", ["https://127.0.0.1:8200", "127.0.0.1:8200", "http://"])
def test_an_address_it_cannot_look_into(addr: str) -> None:
    """TLS, and what is no URL, are refused with what to give instead."""
    with pytest.raises(ServerError, match=r"needs an address like http://127\.0\.0\.1:8200"):
        FaultProxy(addr)


def test_a_blocked_test_is_served(proxy: FaultProxy) -> None:
    """It answers a test without a loop of its own."""
    url = urlsplit(proxy.addr)
    with socket.create_connection((url.hostname, url.port), timeout=5) as client:
        client.sendall(b"GET /v1/sys/health HTTP/1.0\r\n\r\n")

        assert client.makefile("rb").read().startswith(b"HTTP/1.0 200")
