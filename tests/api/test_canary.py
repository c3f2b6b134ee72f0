"""Nothing secret comes out beside the answer it is for: random canaries go in through every
endpoint, rightly and wrongly, and everything the service leaves behind is searched for them.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from api.bearers import DEFECTS
from api.conftest import mount_kv
from api.issuer import AUDIENCE, EVERYTHING, ISSUER, Issuer
from api.live import Api, Reply
from greenlang_secrets.testing import OpenBaoServer, PostgresServer
from support.canary import new_canary, shown_in
from support.catalogues import Place, in_postgres

SERVE = """
import logging, sys
from greenlang_secrets.cli import main
from greenlang_secrets_api import logs, server

def loudly():
    logs.configure_logging(logging.DEBUG)
    for name in ("uvicorn", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG)

server.configure_logging = loudly
{extra}
sys.argv[0] = "greenlang-secrets"
main()
"""

LEAKY = """
import os, tempfile
from greenlang_secrets_api.metrics import Metrics

planted, render = os.environ["PLANTED"], Metrics.render

async def leaking(self, accept):
    body, kind = await render(self, accept)
    print(planted, flush=True)
    logging.getLogger("x").debug(planted)
    tempfile.NamedTemporaryFile("w", delete=False).write(planted)
    return body + planted.encode(), kind

Metrics.render = leaking
"""

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@dataclass
class Stage:
    """A service that runs as a process, and what it leaves behind."""

    api: Api
    pid: int
    folder: Path
    vault: OpenBaoServer
    database: PostgresServer | None
    place: Place | None
    answers: list[bytes] = field(default_factory=list)
    taken: dict[str, bytes] = field(default_factory=dict)

    async def ask(self, *request: Any, **rest: Any) -> Reply:
        """Ask, and keep the answer as a place where nothing may be shown."""
        reply = await self.api.ask(*request, **rest)
        self.answers.append(repr(sorted(reply.headers.items())).encode() + reply.body)
        return reply

    async def read(self, canary: str, *request: Any, **rest: Any) -> None:
        """Ask for what holds a canary: the body is where it belongs, the headers are not."""
        reply = await self.api.ask(*request, **rest)
        assert canary in reply.json["data"].values(), request
        self.answers.append(repr(sorted(reply.headers.items())).encode())


def _files(*names: str) -> Callable[[Stage], Awaitable[bytes | None]]:
    def read(stage: Stage) -> bytes:
        roots = [stage.folder / name for name in names]
        files = [file for root in roots for file in (root, *root.rglob("*")) if file.is_file()]
        return b"\n".join(file.read_bytes() for file in files)

    return lambda stage: asyncio.to_thread(read, stage)


def _taken(name: str) -> Callable[[Stage], Awaitable[bytes | None]]:
    async def take(stage: Stage) -> bytes:
        return stage.taken[name]

    return take


async def _answers(stage: Stage) -> bytes:
    return b"\n".join(stage.answers)


async def _rows(stage: Stage) -> bytes | None:
    if stage.place is None:
        return await _files("state/catalogue.sqlite3", "state/catalogue.sqlite3-wal")(stage)
    tables = await stage.place.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    rows = [await stage.place.rows(f'SELECT * FROM "{name}"') for (name,) in tables]
    return repr(rows).encode()


async def _database_log(stage: Stage) -> bytes | None:
    if stage.database is None:
        return None
    return await asyncio.to_thread(stage.database.log_file.read_bytes)


async def _vault_log(stage: Stage) -> bytes:
    return await asyncio.to_thread(stage.vault.audit_file.read_bytes)


SINKS: dict[str, Callable[[Stage], Awaitable[bytes | None]]] = {
    "stdout": _files("stdout"),
    "log": _files("stderr"),
    "answers": _answers,
    "metrics": _taken("metrics"),
    "command line": _taken("cmdline"),
    "environment": _taken("environ"),
    "audit log": _files("state/audit.jsonl"),
    "state folder": _files("state"),
    "temporary files": _files("tmp", "home"),
    "catalogue": _rows,
    "log of PostgreSQL": _database_log,
    "audit log of Vault": _vault_log,
}
"""Where a secret could come out. A new one is a new line."""


MAY_BE_EMPTY = {"temporary files"}


async def shown(stage: Stage, canaries: dict[str, str]) -> list[str]:
    """What is shown where, and in which disguise."""
    found = []
    for place, read in SINKS.items():
        content = await read(stage)
        if content is None:
            continue  # this run has no such place
        assert content or place in MAY_BE_EMPTY, f"there is nothing to look at: {place}"
        for name, canary in canaries.items():
            disguise = await asyncio.to_thread(shown_in, content, canary)
            if disguise is not None:
                found.append(f"{name}: {disguise} in {place}")
    return found


@asynccontextmanager
async def on_stage(
    kind: str, folder: Path, issuer: Issuer, *, extra: str = "", planted: str = ""
) -> AsyncIterator[Stage]:
    """Run the service on servers of its own; what it leaves behind stays until the end."""
    for name in ("tmp", "home"):
        (folder / name).mkdir()
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(OpenBaoServer())
        database = place = None
        env = {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "BAO_", "GREEN"))}
        if kind == "postgresql":
            database = await stack.enter_async_context(PostgresServer())
            place = await stack.enter_async_context(in_postgres(database))
            await place.migrate()
            # All statements with all parameters: more than anybody should ever log.
            await place.rows("ALTER SYSTEM SET log_statement = 'all'")
            await place.rows("SELECT pg_reload_conf()")
            (folder / "password").write_text(place.config.password.reveal())
            env["GREENLANG_SECRETS_DATABASE_URL"] = place.config.shown.replace(":***", "")
            env["GREENLANG_SECRETS_DATABASE_TIMEOUT_SECONDS"] = "10"
            env["GREENLANG_SECRETS_DATABASE_PASSWORD_FILE"] = str(folder / "password")
        (folder / "token").write_text(vault.root_token)
        env |= {
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "VAULT_ADDR": vault.addr,
            "VAULT_TOKEN_FILE": str(folder / "token"),
            "GREENLANG_SECRETS_KV_MOUNT": await mount_kv(vault),
            "GREENLANG_SECRETS_STATE_DIR": str(folder / "state"),
            "GREENLANG_SECRETS_TENANT_TOKEN_ROLE": "none",
            "GREENLANG_SECRETS_JWT_ISSUER": ISSUER,
            "GREENLANG_SECRETS_JWT_AUDIENCE": AUDIENCE,
            "GREENLANG_SECRETS_JWT_JWKS_FILE": str(issuer.write(folder / "jwks.json")),
            "PYTHONASYNCIODEBUG": "1",
            "PLANTED": planted,
        }
        url_file = folder / "url"
        command = [sys.executable, "-P", "-c", SERVE.format(extra=f"{extra}# {planted}")]
        command += ["serve", "--port", "0", "--url-file", str(url_file)]
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            child = await asyncio.create_subprocess_exec(*command, env=env, stdout=out, stderr=err)
        try:
            async with asyncio.timeout(40):
                while not url_file.exists() or not url_file.read_text().strip():
                    assert child.returncode is None, (folder / "stderr").read_text()[-2000:]
                    await asyncio.sleep(0.05)
            api = Api(url_file.read_text().strip())
            stage = Stage(api, child.pid, folder, vault, database, place)
            yield stage
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()


async def look_from_outside(stage: Stage) -> None:
    """Take what can only be seen while the process lives, then end it in order."""
    metrics = await stage.api.ask("GET", "/metrics")
    stage.taken["metrics"] = metrics.body
    for name in ("cmdline", "environ"):
        file = Path(f"/proc/{stage.pid}/{name}")
        stage.taken[name] = await asyncio.to_thread(file.read_bytes)
    os.kill(stage.pid, signal.SIGTERM)
    while _lives(stage.pid):
        await asyncio.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


class Canaries(dict[str, str]):
    """Makes a canary for each name that is asked for."""

    def __missing__(self, name: str) -> str:
        self[name] = new_canary()
        return self[name]

    def data(self, name: str, key: str = "k") -> dict[str, Any]:
        """Return the body of a write, with a canary for its value."""
        return {"data": {key: self[name]}}

    def bearer(self, name: str, token: str) -> str:
        """Return a bearer, with the end of its signature as a canary."""
        self[name] = token[-40:]
        return token


KEY = {"Idempotency-Key": "the-same-key"}


async def rightly(stage: Stage, canaries: Canaries, token: str) -> None:
    """As it should be used."""
    ask, data = stage.ask, canaries.data
    assert (await ask("POST", "c/a", token, json=data("created"), headers=KEY)).status == 201
    assert (await ask("POST", "c/a", token, json=data("created"), headers=KEY)).status == 201
    await stage.read(canaries["created"], "GET", "c/a", token)
    await stage.read(canaries["created"], "GET", "c/a?fields=k&fresh=true", token)
    assert (await ask("PUT", "c/a", token, json=data("updated"))).status == 200
    body = json.dumps(data("patched", "p")).encode()
    assert (await ask("PATCH", "c/a", token, body=body, headers=MERGE_PATCH)).status == 200
    await stage.read(canaries["updated"], "GET", "c/a", token)
    await stage.read(canaries["created"], "GET", "c/a?version=1", token)
    assert (await ask("HEAD", "c/a", token)).status == 200
    assert (await ask("GET", "c/a", token, headers={"If-None-Match": '"3"'})).status == 304
    assert (await ask("GET", "?prefix=c/", token)).status == 200
    assert (await ask("GET", "c/a/versions", token)).status == 200
    assert (await ask("GET", "status", token)).status == 200
    assert (await ask("GET", "health", token)).status == 200


async def in_conflict(stage: Stage, canaries: Canaries, token: str) -> None:
    """Requests that fit, but not the state of things."""
    ask, data = stage.ask, canaries.data
    stale = {"If-Match": '"9"'}
    for request in (
        ("POST", "c/a", data("exists"), {}),
        ("POST", "c/a", data("mismatch"), KEY),
        ("POST", "c/a/b", data("below a secret"), {}),
        ("POST", "c", data("a folder"), {}),
        ("PUT", "c/a", data("stale"), stale),
        ("PUT", "c/none", data("missing"), {}),
        ("PUT", "c/a?tenant=globex", data("foreign"), {}),
        ("POST", "c/health/versions", data("reserved"), {}),
        ("POST", "c/a//b", data("bad path"), {}),
        (
            "POST",
            "c/huge",
            data("too many") | {"data": dict.fromkeys(map(str, range(300)), canaries["too many"])},
            {},
        ),
    ):
        method, where, document, headers = request
        assert (await ask(method, where, token, json=document, headers=headers)).status >= 400


async def with_spoilt_bodies(stage: Stage, canaries: Canaries, token: str) -> None:
    """Bodies that are none."""
    spoilt: tuple[tuple[str, Callable[[str], bytes], str], ...] = (
        ("half", lambda c: b'{"data": {"k": ' + json.dumps(c).encode(), "application/json"),
        ("number", lambda c: json.dumps({"data": {"k": {"x": c}}}).encode(), "application/json"),
        ("list", lambda c: json.dumps([c]).encode(), "application/json"),
        (
            "type",
            lambda c: json.dumps({"data": {"k": "v"}, "type": c}).encode(),
            "application/json",
        ),
        (
            "metadata",
            lambda c: json.dumps({"data": {"k": c}, "custom_metadata": 1}).encode(),
            "application/json",
        ),
        (
            "twice",
            lambda c: b'{"data": {"k": 1, "k": ' + json.dumps(c).encode() + b"}}",
            "application/json",
        ),
        ("latin-1", lambda c: c.encode("latin-1"), "application/json"),
        ("plain", lambda c: c.encode(), "text/plain"),
        ("form", lambda c: b"k=" + c.encode(), "application/x-www-form-urlencoded"),
        ("large", lambda c: json.dumps({"data": {"k": c * 20_000}}).encode(), "application/json"),
        (
            "no Unicode",
            lambda c: json.dumps({"data": {"k": c + "\ud800"}}).encode(),
            "application/json",
        ),
        ("of another media type", lambda c: c.encode(), "application/json; charset=latin-1"),
    )
    for method in ("POST", "PUT", "PATCH"):
        for name, make, media_type in spoilt:
            canary = canaries[f"body: {name}"]
            ours = method == "PATCH" and media_type == "application/json"
            sent = MERGE_PATCH if ours else {"Content-Type": media_type}
            reply = await stage.ask(method, "c/a", token, body=make(canary), headers=sent)
            assert reply.status >= 400, (method, name)
    for name in ("version", "versions"):
        document = {name: canaries[f"undelete: {name}"]}
        assert (await stage.ask("POST", "c/a/undelete", token, json=document)).status == 422


async def in_the_wrong_place(stage: Stage, canaries: Canaries, token: str) -> None:
    """Where no secret belongs."""
    ask, data = stage.ask, canaries.data
    for name in ("version", "limit", "after", "fresh", "tenant", "unknown", "destroy"):
        canary = canaries[f"query: {name}"] = secrets.token_hex(16)
        where = "c/a/versions" if name in {"limit", "after"} else "c/a"
        method = "DELETE" if name == "destroy" else "GET"
        assert (await ask(method, f"{where}?{name}={canary}", token)).status >= 400
    for name in ("If-Match", "Accept", "X-Vault-Token", "Cookie", "X-Request-ID", "traceparent"):
        canary = canaries[f"header: {name}"] = secrets.token_hex(16) + "!"
        await ask("PUT", "c/none", token, json=data("with headers"), headers={name: canary})


async def as_nobody(stage: Stage, canaries: Canaries, issuer: Issuer) -> None:
    """Without a good bearer."""
    ask, data = stage.ask, canaries.data
    for name in ("expired", "altered claims", "wrong audience", "signature of another key"):
        wrong = canaries.bearer(f"bearer: {name}", DEFECTS[name](issuer, issuer.claims()))
        assert (await ask("GET", "c/a", wrong)).status == 401
    raw = canaries["bearer: no token"] = secrets.token_hex(16)
    for scheme in ("Bearer", "Basic", "Token"):
        sent = {"Authorization": f"{scheme} {raw}"}
        assert (await ask("PUT", "c/a", json=data("unauthenticated"), headers=sent)).status in {
            401,
            429,
        }


async def with_vault_away(stage: Stage, canaries: Canaries, token: str) -> None:
    """While Vault is sealed, and after."""
    ask, data = stage.ask, canaries.data
    await stage.vault.seal()
    for method, document in (("GET", None), ("PUT", data("sealed")), ("PATCH", None)):
        await ask(method, "c/a?fresh=true" if method == "GET" else "c/a", token, json=document)
    assert (await ask("POST", "c/new", token, json=data("sealed, new"))).status >= 500
    await ask("GET", "health", token)
    await ask("GET", "/readyz")
    await stage.vault.unseal()
    async with asyncio.timeout(20):
        while (await ask("PUT", "c/a", token, json=data("after"))).status != 200:
            await asyncio.sleep(0.1)
    assert (await ask("DELETE", "c/a", token)).status == 204
    assert (await ask("GET", "c/a", token)).status == 404
    assert (await ask("POST", "c/a/undelete", token, json={"version": 4})).status == 200
    reason = {"Audit-Reason": "a test"}
    assert (await ask("DELETE", "c/a?destroy=true&versions=4", token, headers=reason)).status == 204


async def drive(stage: Stage, issuer: Issuer, canaries: Canaries) -> None:
    """Go through every endpoint and every way in which it fails, with a canary in each."""
    token = canaries.bearer(
        "good bearer",
        issuer.sign(
            issuer.claims(permissions=list(EVERYTHING)), key=issuer.ec, alg="ES256", kid="ec"
        ),
    )
    await rightly(stage, canaries, token)
    await in_conflict(stage, canaries, token)
    await with_spoilt_bodies(stage, canaries, token)
    await in_the_wrong_place(stage, canaries, token)
    await as_nobody(stage, canaries, issuer)
    await with_vault_away(stage, canaries, token)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_nothing_secret_is_left_anywhere(kind: str, tmp_path: Path, issuer: Issuer) -> None:
    """Values, bearers, tokens and passwords, in no disguise, in no place, at the level DEBUG."""
    canaries = Canaries()
    async with on_stage(kind, tmp_path, issuer) as stage:
        canaries["Vault's token"] = stage.vault.root_token
        if stage.place is not None:
            canaries["the database's password"] = stage.place.config.password.reveal()
        await drive(stage, issuer, canaries)
        await look_from_outside(stage)

        found = await shown(stage, canaries)

    assert found == []
    assert len(canaries) > 50


@pytest.mark.timeout(180)
async def test_a_planted_leak_is_found_in_each_place(tmp_path: Path, issuer: Issuer) -> None:
    """The control: a service that leaks into each place is caught in each."""
    planted = secrets.token_hex(16)
    token = issuer.tenant("acme")
    async with on_stage("postgresql", tmp_path, issuer, extra=LEAKY, planted=planted) as stage:
        where, key = f"c/{planted}", {"Idempotency-Key": planted}
        unknown = await stage.ask("POST", where, token, json={planted: "", "data": {"k": "v"}})
        made = await stage.ask("POST", where, token, json={"data": {"k": "v"}}, headers=key)
        assert (unknown.status, made.status) == (422, 201)
        await look_from_outside(stage)

        found = await shown(stage, {"planted": planted})

    assert [each.rpartition(" in ")[2] for each in found] == list(SINKS)
