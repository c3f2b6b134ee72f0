"""The commands on the catalogue, as a person or a deployment runs them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import greenlang_secrets as gs
from greenlang_secrets import PLATFORM, SecretType, Tenant, TenantId
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.catalogue_scan import rebuild, scopes
from support.catalogues import Place

pytestmark = pytest.mark.timeout(240)  # a program's start takes seconds on a busy machine

ACME = Tenant(TenantId("acme"))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Run = Callable[..., subprocess.CompletedProcess[str]]


def program(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the program; settings by their name without the prefix."""
    environment = {f"GREENLANG_SECRETS_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "greenlang_secrets.cli", *arguments],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
    )


def url_of(place: Place) -> str:
    password = place.config.password
    url = place.config.url.set(password=None if password is None else password.reveal())
    return url.render_as_string(hide_password=False)


@pytest.fixture
def run(vault_server, mount: str, monkeypatch) -> Run:
    """Run the program with a Vault and a mount of this test's own."""
    monkeypatch.setenv("VAULT_ADDR", vault_server.addr)
    monkeypatch.setenv("VAULT_TOKEN", vault_server.root_token)

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        vault = {"KV_MOUNT": mount, "TENANT_TOKEN_ROLE": "none"}
        return program(*arguments, **vault, **settings)

    return run


async def seeded(secrets: gs.SecretsService) -> None:
    for view in (secrets, secrets.for_tenant("acme"), secrets.for_tenant("globex")):
        for path in ("a", "b/c", "b/d/e"):
            await view.create(path, {"k": "v"}, type=SecretType.API_KEY)
    await secrets.put("a", {"k": "w"})
    await secrets.delete("b/c")


def test_migrate_goes_up_and_down(postgres_server, tmp_path: Path) -> None:
    """The command plans, applies, undoes, and prints what it did; the owner's URL is in a file."""
    from support.catalogues import in_postgres

    async def steps() -> list[str]:
        async with in_postgres(postgres_server) as place:
            file = tmp_path / "owner.url"
            owner = place.owner.url.set(password=place.owner.password.reveal())
            await asyncio.to_thread(
                file.write_text, owner.render_as_string(hide_password=False) + "\n"
            )
            options = ("--url-file", str(file), "--app-role", place.app_role or "")
            outputs = []
            for more in (("--plan",), (), (), ("--down", "2"), ("--to", "base"), ("--json",)):
                done = await asyncio.to_thread(program, "migrate", *options, *more)
                assert done.returncode == 0, done.stderr
                outputs.append(done.stdout.strip())
            return outputs

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        plan, applied, again, undone, base, as_json = runner.run(steps())

    assert plan == "apply 0001\napply 0002\napply 0003\napply 0004\nfrom base to 0004"
    assert applied == "apply 0001\napply 0002\napply 0003\napply 0004\nat revision 0004"
    assert again == "at revision 0004"
    assert undone == "undo 0004\nundo 0003\nat revision 0002"
    assert base == "undo 0002\nundo 0001\nat revision base"
    assert json.loads(as_json) == {
        "plan": False,
        "before": "base",
        "after": "0004",
        "steps": ["0001", "0002", "0003", "0004"],
    }


def test_migrate_prints_its_statements() -> None:
    """With --sql nothing is connected to; the script has the tables and the rights."""
    done = program("migrate", "--sql", "--app-role", "app", DATABASE_URL="postgresql://o@nowhere/d")

    assert done.returncode == 0
    assert "CREATE TABLE audit_events" in done.stdout
    assert 'GRANT SELECT, INSERT ON audit_events TO "app"' in done.stdout
    assert done.stdout.rstrip().endswith("COMMIT;")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("migrate", "--to", "0001", "--down", "1"), 2, "Give --to or --down, not both"),
        (("migrate", "--to", "nowhere"), 2, "There is no revision 'nowhere'"),
        (("migrate",), 6, "does not let itself be migrated"),
        (("catalogue", "rebuild", "--tenant", "a", "--all"), 2, "Give --tenant or --all"),
        (("catalogue", "rebuild", "--tenant", "NO"), 2, "invalid_tenant"),
        (("catalogue", "status"), 6, "[catalogue_unavailable]"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, code: int, text: str) -> None:
    """A mistake, or a database that is away, is one line and an exit code."""
    done = program(*arguments, DATABASE_URL="postgresql://app:p4ssw0rd@127.0.0.1:1/d")

    assert done.returncode == code
    assert text in done.stderr
    if "Usage:" not in done.stderr:
        assert done.stderr.count("\n") == 1
    assert "p4ssw0rd" not in done.stderr
    assert "127.0.0.1" not in done.stderr


async def test_a_rebuild_makes_the_index_what_vault_is(
    run: Run, place: Place, secrets: gs.SecretsService, supervisor: Supervisor
) -> None:
    """The command replaces what is wrong in every scope, with versions, types and states as in
    Vault, closes its gaps, and prints what it did.
    """
    await seeded(secrets)
    async with Catalogue.open(place.config, supervisor) as catalogue:
        for path in ("gone", "a"):
            await catalogue.index.wrote(
                PLATFORM, path, version=9, type=SecretType.DATABASE, state="live", at=NOON
            )
        await catalogue.index.mark_gap(ACME)

        done = await asyncio.to_thread(
            run, "catalogue", "rebuild", "--all", "--json", DATABASE_URL=url_of(place)
        )

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["scopes"] == [
            {"scope": "platform", "indexed": 3, "removed": 1, "passed_over": 0},
            {"scope": "tenant acme", "indexed": 3, "removed": 0, "passed_over": 0},
            {"scope": "tenant globex", "indexed": 3, "removed": 0, "passed_over": 0},
        ]
        page = await catalogue.index.page(PLATFORM)
        assert [(item.path, item.version, item.type, item.state) for item in page.items] == [
            ("a", 2, SecretType.API_KEY, "live"),
            ("b/c", 1, SecretType.API_KEY, "deleted"),
            ("b/d/e", 1, SecretType.API_KEY, "live"),
        ]
        assert await catalogue.index.gaps() == ()


async def test_a_rebuild_of_one_tenant_leaves_the_others(
    run: Run, place: Place, secrets: gs.SecretsService, supervisor: Supervisor
) -> None:
    """Only the scopes that were named are rebuilt; by default the platform's."""
    await seeded(secrets)
    async with Catalogue.open(place.config, supervisor) as catalogue:
        url = url_of(place)
        done = await asyncio.to_thread(
            run, "catalogue", "rebuild", "--tenant", "acme", DATABASE_URL=url
        )
        assert done.stdout == "tenant acme\t3\t0\t0\n"
        assert await catalogue.index.count(PLATFORM) == 0

        done = await asyncio.to_thread(run, "catalogue", "rebuild", DATABASE_URL=url)

        assert done.stdout == "platform\t3\t0\t0\n"


async def test_writes_during_a_rebuild_are_not_lost(
    place: Place, secrets: gs.SecretsService, supervisor: Supervisor
) -> None:
    """While the scan is at work secrets are made, changed and deleted; afterwards the index is as
    Vault is.
    """
    for number in range(230):
        await secrets.create(f"folder-{number % 7}/s{number}", {"k": "v"})
    async with Catalogue.open(place.config, supervisor) as catalogue:

        async def write(number: int) -> None:
            path = f"folder-{number % 7}/s{number}"
            written = await secrets.put(path, {"k": str(number)})
            await catalogue.index.wrote(
                PLATFORM,
                path,
                version=written.version,
                type=None,
                state="live",
                at=written.created_at,
            )

        _, rebuilt = await asyncio.gather(
            asyncio.gather(*(write(number) for number in range(200, 260))),
            rebuild(secrets, catalogue.index, PLATFORM),
        )

        indexed, after = {}, None
        while True:
            page = await catalogue.index.page(PLATFORM, after=after)
            indexed |= {item.path: item.version for item in page.items}
            after = page.next
            if after is None:
                break
    assert indexed == {
        f"folder-{number % 7}/s{number}": 2 if 200 <= number < 230 else 1 for number in range(260)
    }
    assert rebuilt.indexed >= 230


async def test_names_that_no_path_addresses_are_passed_over(
    place: Place, secrets: gs.SecretsService, supervisor: Supervisor, vault_server, mount: str
) -> None:
    """What other tools have written outside the grammar is counted, and not indexed."""
    await secrets.create("a", {"k": "v"})
    for odd in ("greenlang/_odd", "greenlang/_folder/x", "tenants/UPPER/x"):
        status, _ = await vault_server.request("POST", f"{mount}/data/{odd}", {"data": {"k": "v"}})
        assert status == 200

    async with Catalogue.open(place.config, supervisor) as catalogue:
        done = await rebuild(secrets, catalogue.index, PLATFORM)

    assert (done.indexed, done.passed_over) == (1, 2)
    assert [scope async for scope in scopes(secrets)] == [PLATFORM]


async def test_a_token_that_may_not_list_tenants_cannot_rebuild_all(
    place: Place, denied: gs.SecretsService
) -> None:
    """Without the right to list tenants there is no list, rather than an empty one."""
    with pytest.raises(gs.AccessDenied):
        [scope async for scope in scopes(denied)]


def test_status_says_what_there_is(run: Run, tmp_path: Path) -> None:
    """The command shows the kind, the revisions and the gaps; a SQLite file makes itself."""
    url = f"sqlite:///{tmp_path}/c.sqlite3"

    done = run("catalogue", "status", "--json", DATABASE_URL=url)
    shown = run("catalogue", "status", DATABASE_URL=url)

    assert json.loads(done.stdout) == {
        "usable": True,
        "obstacle": None,
        "advice": None,
        "kind": "sqlite",
        "revision": "0004",
        "expected": "0004",
        "gaps": [],
    }
    assert shown.stdout.splitlines()[-1] == "gaps\tnone"
