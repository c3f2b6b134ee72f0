"""Every route under every set of permissions and every kind of bearer, against a table that was
written by hand and not taken from the code.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pytest

from api.bearers import DEFECTS, but
from api.conftest import service_config_for
from api.in_process import InProcess, in_process
from api.issuer import Issuer
from api.live import BASE, Api, Reply
from greenlang_secrets import access
from greenlang_secrets.access import Action
from greenlang_secrets_api import auth, health_routes, rotation_routes, secrets_routes
from greenlang_secrets_api.app import create_app
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.endpoints import PUBLIC, Endpoint
from greenlang_secrets_api.targets import METHODS, parse

READ, LIST, WRITE = "secrets:read", "secrets:list", "secrets:write"
ADMIN, ROTATE = "secrets:admin", "secrets:rotate"
SUBSETS = [
    set(c) for size in range(6) for c in combinations((READ, LIST, WRITE, ADMIN, ROTATE), size)
]

BODY = b'{"data": {"k": "v"}}'
TOO_OFTEN = b'{"kind": "manual", "interval_seconds": 1}'
STALE = ((b"if-match", b'"99"'),)
JSON = (b"content-type", b"application/json")
MERGE_PATCH = (b"content-type", b"application/merge-patch+json")


@dataclass(frozen=True)
class Row:
    """A route: one of `needs` is enough, nothing is where it is empty; `answer` is what then
    comes, and changes nothing.
    """

    method: str
    path: str
    needs: frozenset[str]
    answer: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


def row(method: str, path: str, needs: str, answer: int, **rest: Any) -> Row:
    return Row(method, path, frozenset(needs.split()), answer, **rest)


ROWS = (
    row("GET", "", f"{READ} {LIST}", 200),
    row("GET", "m/x", READ, 200),
    row("HEAD", "m/x", READ, 200),
    row("POST", "m/x", WRITE, 409, body=BODY),
    row("PUT", "m/x", WRITE, 412, body=BODY, headers=STALE),
    row("PATCH", "m/x", WRITE, 412, body=BODY, headers=(*STALE, MERGE_PATCH)),
    row("DELETE", "m/x", ADMIN, 412, headers=STALE),
    row("GET", "m/x/versions", READ, 200),
    row("POST", "m/x/undelete", ADMIN, 200, body=b'{"version": 1}'),
    row("POST", "rotate/m/x", ROTATE, 422),
    row("GET", "rotation/status", f"{READ} {ROTATE}", 200),
    row("GET", "rotation/schedule", f"{READ} {ROTATE}", 200),
    row("PUT", "rotation/schedule/m/x", ROTATE, 422, body=TOO_OFTEN),
    row("DELETE", "rotation/schedule/m/x", ROTATE, 422),
    row("GET", "status", ADMIN, 200),
    row("GET", "health", "", 200),
    row("HEAD", "health", "", 200),
)
"""What may be asked under the prefix, and by whom."""

OUTSIDE = ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs")
"""What may be asked by anybody, elsewhere; there is nothing else."""

CLASSICS = (
    *("expired", "not yet valid", "wrong audience", "wrong issuer", "alg none"),
    *("HS256 with the public key, PEM", "HS256 with the public key, DER"),
    *("HS256 with the public key, JWK", "unknown kid", "crit", "9 KiB", "wrong typ"),
    *("without exp", "lives over an hour", "tenant and platform", "altered claims"),
)
"""The defects that are tried with every set of permissions; the others with all of them."""


@dataclass(frozen=True)
class Caller:
    """A kind of bearer, with the decision that is due: None leaves it to the permissions."""

    name: str
    authorization: Callable[[Issuer, set[str]], list[bytes]]
    due: int | None = None
    query: str = ""
    every_subset: bool = True


def _bearer(make: Callable[[Issuer, dict[str, Any]], str], **changes: Any) -> Any:
    def authorization(issuer: Issuer, granted: set[str]) -> list[bytes]:
        claims = but(issuer.claims(), permissions=sorted(granted), **changes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyJWT warns of what is wrong with these tokens
            return [b"Bearer " + make(issuer, claims).encode()]

    return authorization


def _good(**changes: Any) -> Any:
    return _bearer(lambda issuer, claims: issuer.sign(claims), **changes)


def _platform() -> Any:
    return _good(tenant_id=None, platform=True)


def _wildcards(issuer: Issuer, granted: set[str]) -> list[bytes]:
    words = [*sorted(granted), "secrets:*", "*", "secrets:", "SECRETS:ADMIN", "secrets:read "]
    return [b"Bearer " + issuer.sign(but(issuer.claims(), permissions=words)).encode()]


CALLERS = (
    Caller("a tenant's", _good()),
    Caller("the platform's, at home", _platform()),
    Caller("the platform's, in a tenant", _platform(), query="?tenant=acme"),
    Caller("with wildcards", _wildcards),
    Caller("naming another tenant", _good(), due=403, query="?tenant=globex"),
    Caller("naming its own tenant", _good(), due=403, query="?tenant=acme"),
    Caller("naming no tenant's id", _good(), due=403, query="?tenant=..%2F"),
    Caller("none", lambda i, g: [], due=401),
    Caller("another scheme", lambda i, g: [b"Basic YTpi"], due=401),
    Caller("twice", lambda i, g: _good()(i, g) * 2, due=401),
    Caller(
        "a tenant's and the platform's",
        lambda i, g: [*_good()(i, g), *_platform()(i, g)],
        due=401,
    ),
    *(
        Caller(name, _bearer(make), due=401, every_subset=name in CLASSICS)
        for name, make in DEFECTS.items()
    ),
)


@dataclass(frozen=True)
class Cell:
    """One request, and what must come of it."""

    row: Row
    caller: Caller
    granted: frozenset[str]
    authorization: tuple[bytes, ...]
    due: int

    @property
    def denied(self) -> bool:
        return self.due in {401, 403}

    @property
    def path(self) -> str:
        return self.row.path + (self.caller.query if self.row.needs else "")

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        sent = [(b"authorization", value) for value in self.authorization]
        if self.row.body and MERGE_PATCH not in self.row.headers:
            sent.append(JSON)
        return [*sent, *self.row.headers]

    def __str__(self) -> str:
        granted = " ".join(sorted(self.granted)) or "nothing"
        return f"{self.row.method} {self.row.path} by {self.caller.name} with {granted}: {self.due}"


def cells(
    issuer: Issuer, rows: Iterable[Row] = ROWS, callers: Iterable[Caller] = CALLERS
) -> Iterator[Cell]:
    """Yield every cell of the matrix."""
    rows = list(rows)
    for caller in callers:
        for granted in SUBSETS if caller.every_subset else SUBSETS[-1:]:
            authorization = tuple(caller.authorization(issuer, granted))
            for each in rows:
                yield Cell(
                    each, caller, frozenset(granted), authorization, due(each, caller, granted)
                )


def due(row: Row, caller: Caller, granted: set[str]) -> int:
    """The oracle."""
    if not row.needs:
        return row.answer
    if caller.due is not None:
        return caller.due
    return row.answer if row.needs & granted else 403


CODES = {401: "invalid_token", 403: "permission_denied"}


def wrong(cell: Cell, reply: Reply) -> bool:
    """Whether a reply is another than is due."""
    if reply.status != cell.due:
        return True
    return cell.denied and bool(reply.body) and reply.code != CODES[cell.due]


async def wrong_decisions(app: InProcess, asked: Iterable[Cell]) -> list[str]:
    """Ask all, and return what was decided wrongly."""
    found: list[str] = []
    waiting = iter(asked)

    async def work() -> None:
        for cell in waiting:
            for _ in range(5):
                reply = await app.ask(cell.row.method, cell.path, cell.headers, cell.row.body)
                if cell.denied or reply.status not in {503, 504}:
                    break  # else it was let in, and the machine was too busy for what then comes
            if wrong(cell, reply):
                found.append(f"{cell}, and it was {reply.status}")

    await asyncio.gather(*(work() for _ in range(32)))
    return found


async def asked_of(vault: Any, since: int) -> list[tuple[str, str]]:
    """What Vault was asked, but for the service looking after its own token."""
    requests = await vault.audit_requests(since)
    return [each for each in requests if not each[1].startswith("auth/token/lookup-self")]


@pytest.fixture(scope="module")
def table(issuer: Issuer) -> list[Cell]:
    return list(cells(issuer))


@pytest.fixture
async def app(vault_server: Any, mount: str, api_config: ApiConfig, issuer: Issuer) -> Any:
    """The service, with the secret of the table in the platform's scope and in a tenant's."""
    async with in_process(service_config_for(vault_server, mount), api_config) as app:
        for token in (issuer.tenant("acme"), issuer.platform()):
            headers = [(b"authorization", b"Bearer " + token.encode())]
            headers.append(JSON)
            assert (await app.ask("POST", "m/x", headers, BODY)).status in {201, 409}
        yield app


def test_no_route_escapes_the_matrix() -> None:
    """Whatever can be asked has a row: one that is added to the code must be added here."""
    rows = [(parse(f"{BASE}/{each.path}".encode()).kind, each.method) for each in ROWS]
    app = create_app(
        service_config=service_config_for(
            type("", (), {"addr": "http://x", "root_token": "x"}), "x"
        ),
        api_config=ApiConfig(jwt_issuer="i", jwt_audience="a", jwks_url="https://i.test/"),
    )

    assert len(rows) == len(set(rows))
    assert {(kind, method) for kind, methods in METHODS.items() for method in methods} <= set(rows)
    assert {route.path for route in app.routes} <= set(OUTSIDE)


@pytest.mark.timeout(240)
async def test_every_cell_is_decided_as_written(
    app: InProcess, table: list[Cell], vault_server: Any
) -> None:
    """Over ten thousand cells, no wrong decision; what is denied asks Vault nothing."""
    mark = await vault_server.audit_mark()

    wrongly_let_in = await wrong_decisions(app, (cell for cell in table if cell.denied))
    asked = await asked_of(vault_server, mark)
    wrongly_refused = await wrong_decisions(app, (cell for cell in table if not cell.denied))

    assert wrongly_let_in == []
    assert asked == []
    assert wrongly_refused == []
    assert len(table) > 10_000
    assert await asked_of(vault_server, mark)  # the control: the same witness sees the others


async def test_outside_the_prefix_a_bearer_makes_no_difference(
    app: InProcess, issuer: Issuer
) -> None:
    """What is public is public to everybody alike."""
    there = [path for path in OUTSIDE if path in {route.path for route in app.app.routes}]

    for path in there:
        callers = [caller.authorization(issuer, SUBSETS[-1]) for caller in CALLERS[:20]]
        statuses = {
            (await app.ask("GET", path, [(b"authorization", value) for value in values])).status
            for values in callers
        }
        assert statuses == {200}, path
    assert set(there) >= {"/livez", "/readyz", "/metrics"}


async def test_a_sample_of_cells_is_decided_so_over_a_connection(
    api: Api, app: InProcess, table: list[Cell]
) -> None:
    """The server in front of the application changes nothing of it."""
    sample = random.Random(20261125).sample(table, 250)  # noqa: S311  no secret

    for cell in sample:
        head = [f"{cell.row.method} {BASE}/{cell.path} HTTP/1.1".encode(), b"host: x"]
        head += [name + b": " + value for name, value in cell.headers]
        head += [
            b"content-length: %d" % len(cell.row.body),
            b"connection: close",
            b"",
            cell.row.body,
        ]
        answer = await api.raw(b"\r\n".join(head))

        assert int(answer.split(b" ", 2)[1]) == cell.due, str(cell)


ROTATING = {Action.ROTATE, Action.SCHEDULE, Action.ROTATION_STATUS}


def tamper(monkeypatch: pytest.MonkeyPatch, access: Callable[[Endpoint], Any]) -> None:
    """Replace what the code's own table asks for."""
    for module in (secrets_routes, rotation_routes, health_routes):
        rows = [replace(endpoint, access=access(endpoint)) for endpoint in module.ENDPOINTS]
        monkeypatch.setattr(module, "ENDPOINTS", tuple(rows))


async def test_a_wrong_row_is_found(
    vault_server: Any,
    mount: str,
    api_config: ApiConfig,
    issuer: Issuer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: each endpoint that asks for another permission shows."""

    def another(endpoint: Endpoint) -> tuple[Action, ...]:
        rotates = endpoint.access != PUBLIC and not ROTATING.isdisjoint(endpoint.access or ())
        return (Action.CREATE,) if rotates else (Action.ROTATE,)

    tamper(monkeypatch, another)

    async with in_process(service_config_for(vault_server, mount), api_config) as app:
        found = await wrong_decisions(app, cells(issuer, callers=CALLERS[:1]))

    shown = {each.partition(" by ")[0] for each in found}
    assert shown == {f"{each.method} {each.path}" for each in ROWS}


async def test_an_endpoint_that_forgets_to_ask_is_caught_by_the_view(
    vault_server: Any,
    mount: str,
    api_config: ApiConfig,
    issuer: Issuer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Secrets and rotations have a second decision, next to them: with a table that lets everybody
    through, only what is neither comes out.
    """
    tamper(monkeypatch, lambda _: PUBLIC)

    async with in_process(service_config_for(vault_server, mount), api_config) as app:
        found = await wrong_decisions(app, cells(issuer, callers=CALLERS[:1]))

    shown = {each.partition(" by ")[0] for each in found}
    assert shown == {
        f"{each.method} {each.path}"
        for each in ROWS
        if each.path not in {"", "health"} and not each.path.startswith(("m/", "rotat"))
    }


async def test_a_check_that_is_left_out_is_found(
    app: InProcess, issuer: Issuer, vault_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: an authenticator that lets bearers live for ever shows, and so does what Vault
    is asked when nobody decides.
    """
    by_name = {caller.name: caller for caller in CALLERS}
    monkeypatch.setattr(auth, "MAX_LIFETIME", float("inf"))
    lax = await wrong_decisions(app, cells(issuer, callers=[by_name["lives over an hour"]]))
    monkeypatch.undo()
    monkeypatch.setattr(Endpoint, "allows", lambda *_: True)
    monkeypatch.setattr(access, "decide", lambda *_: True)
    mark = await vault_server.audit_mark()
    denied = [cell for cell in cells(issuer, callers=CALLERS[:1]) if cell.denied]

    found = await wrong_decisions(app, denied)

    assert lax
    assert len(found) == len(denied)
    assert await asked_of(vault_server, mark)
