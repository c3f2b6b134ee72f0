"""rotate, rotation status, rotation schedule and provision --rotation, on real servers."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from click.testing import CliRunner, Result

from greenlang_secrets.cli.group import cli
from support.pairs import ADMIN, FIRST, UserPair, user_pair

PATH = "database/orders"
ADMIN_PATH = "database/orders-admin"


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, vault_server: Any, mount: str, tmp_path: Path
) -> None:
    """The shared server, a mount and a catalogue of this test's own."""
    for name in list(os.environ):
        if name.startswith(("VAULT_", "BAO_", "GREENLANG_SECRETS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("VAULT_ADDR", vault_server.addr)
    monkeypatch.setenv("VAULT_TOKEN", vault_server.root_token)
    monkeypatch.setenv("GREENLANG_SECRETS_KV_MOUNT", mount)
    monkeypatch.setenv("GREENLANG_SECRETS_TENANT_TOKEN_ROLE", "none")
    monkeypatch.setenv("GREENLANG_SECRETS_STATE_DIR", str(tmp_path / "state"))


class Rotated:
    """A pair of users, their secret, and the command line."""

    def __init__(self, pair: UserPair) -> None:
        self.pair = pair

    @property
    def settings(self) -> dict[str, str]:
        return {"users": self.pair.users, "owner": self.pair.owner, "admin": ADMIN_PATH}

    async def run(self, *arguments: str) -> Result:
        """Run a command in a thread of its own, as it has a loop of its own."""
        return await anyio.to_thread.run_sync(lambda: invoke(*arguments))

    async def document(self, *arguments: str) -> Any:
        """Run a command that must end well, and return the JSON that it prints."""
        result = await self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    async def schedule(self, *more: str) -> Any:
        """Set the policy."""
        settings = [f"--setting={name}={value}" for name, value in self.settings.items()]
        return await self.document(
            *("rotation", "schedule", "set", PATH, "--kind", "postgresql"), *settings, *more
        )

    async def field(self, name: str) -> str:
        return (await self.run("get", PATH, "--field", name)).stdout


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
async def rotated(environment: None, postgres_server: Any) -> AsyncIterator[Rotated]:
    """A secret that can be rotated, and has no policy yet."""
    async with user_pair(postgres_server) as pair:
        rotated = Rotated(pair)
        for path, data in (
            (PATH, pair.data(pair.a, FIRST)),
            (ADMIN_PATH, pair.data(pair.admin, ADMIN)),
        ):
            pairs = [f"{key}={value}" for key, value in data.items()]
            assert (await rotated.run("put", path, *pairs, "--type", "database")).exit_code == 0
        yield rotated


# ---------------------------------------------------------------- rotate


async def test_a_secret_is_rotated_and_waited_for(rotated: Rotated) -> None:
    """The new login works, and so does the old one until its time is over."""
    await rotated.schedule()

    result = await rotated.run("rotate", PATH, "--reason", "leaked in ticket 42")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{PATH} is now at version 2; the old one is valid until 20")
    assert await rotated.field("username") == rotated.pair.b
    assert await rotated.field("password") not in result.output


async def test_the_document_says_what_was_done(rotated: Rotated) -> None:
    """With --json: the rotation's id, the versions, and the end of the overlap."""
    await rotated.schedule()

    done = await rotated.document("rotate", PATH)

    assert (done["path"], done["base_version"], done["version"]) == (PATH, 1, 2)
    assert len(done["rotation_id"]) == 32
    assert done["old_valid_until"] is not None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("rotate", PATH), 2, "[not_rotatable]"),
        (("rotate", "database//x"), 2, "[invalid_path]"),
        (("rotate", PATH, "--force"), 2, "Give a --reason with --force."),
        (("rotate", PATH, "--tenant", "A"), 2, "[invalid_tenant]"),
        (("rotation", "status", PATH), 2, "[not_rotatable]"),
        (("rotation", "schedule", "remove", PATH), 2, "[not_rotatable]"),
        (("rotation", "schedule", "set", PATH, "--kind", "odd"), 2, "Invalid value for '--kind'"),
        (("rotation", "schedule", "set", PATH, "--kind", "redis"), 2, "[not_rotatable]"),
        (("rotation", "schedule", "set", "a/b", "--kind", "redis"), 3, "[secret_not_found]"),
        (
            ("rotation", "schedule", "set", PATH, "--kind", "redis", "--interval", "5"),
            2,
            "give a number and a unit, such as 90s, 15m, 12h or 7d",
        ),
        (
            ("rotation", "schedule", "set", PATH, "--kind", "redis", "--setting", "a"),
            2,
            "Setting 1 is not K=V, or is there twice.",
        ),
    ],
)
async def test_what_cannot_be_is_one_line_and_an_exit_code(
    rotated: Rotated, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """As every command: 2 for what is invalid, 3 for what is not there."""
    result = await rotated.run(*arguments)

    assert result.exit_code == code
    assert said in result.stderr


async def test_an_overlap_is_a_conflict_unless_forced(rotated: Rotated) -> None:
    """Exit code 5 while consumers may use the old one; by force it is retired at once."""
    await rotated.schedule()
    await rotated.document("rotate", PATH)

    early = await rotated.run("rotate", PATH)
    forced = await rotated.document("rotate", PATH, "--force", "--reason", "leaked")

    assert (early.exit_code, "[overlap_in_progress]" in early.stderr) == (5, True)
    assert forced["version"] == 3


async def test_a_failed_step_is_told(rotated: Rotated) -> None:
    """Exit code 1, and the reason; a service would try it again."""
    await rotated.schedule()
    await rotated.pair.sql(f"ALTER ROLE {rotated.pair.admin} PASSWORD 'another'", "SELECT 1")

    result = await rotated.run("rotate", PATH)
    (item,) = (await rotated.document("rotation", "status", PATH))["items"]

    assert (result.exit_code, "[rotation_failed]" in result.stderr) == (1, True)
    assert (item["state"], item["last_error"], item["attempts"]) == ("failed", "target_denied", 1)


async def test_nobody_waits_longer_than_they_like(rotated: Rotated) -> None:
    """With --wait 0 the command ends at once and says where it stands; the rotation is a
    service's to go on with.
    """
    await rotated.schedule()

    done = await rotated.document("rotate", PATH, "--wait", "0")

    assert done["version"] is None or done["version"] == 2
    assert done["state"] in {"idle", "pending", "applied", "tested", "promoted", "overlap"}


# ---------------------------------------------------------------- what is seen


async def test_policies_are_listed_by_when_they_are_due(rotated: Rotated) -> None:
    """What was set is what is shown, as a table for people and in JSON."""
    put = await rotated.schedule("--interval", "12h", "--overlap", "30m", "--disabled")

    listed = await rotated.document("rotation", "schedule")
    table = await rotated.run("rotation", "schedule")
    status = await rotated.run("rotation", "status", "--state", "idle")
    none = await rotated.run("rotation", "status", "--state", "failed")

    assert listed == {"items": [put]}
    assert (put["interval_seconds"], put["overlap_seconds"], put["enabled"]) == (
        43_200,
        1800,
        False,
    )
    assert put["settings"] == rotated.settings
    assert table.stdout == f"{PATH}\tdatabase\tpostgresql\t43200\tfalse\t-\t-\n"
    assert status.stdout == f"{PATH}\tidle\t-\t-\t-\t0\t-\n".replace("\t0\t", "\t-\t")
    assert none.stdout == ""


async def test_a_policy_is_taken_away(rotated: Rotated) -> None:
    """After that nothing is listed, and nothing is rotated."""
    await rotated.schedule()

    removed = await rotated.run("rotation", "schedule", "remove", PATH)

    assert removed.stdout == f"{PATH}: rotates no more\n"
    assert (await rotated.document("rotation", "schedule")) == {"items": []}


# ---------------------------------------------------------------- policies from a file


async def test_a_file_is_planned_applied_and_then_nothing_differs(
    rotated: Rotated, tmp_path: Path
) -> None:
    """--plan writes nothing; a second run changes nothing; what is not in the file is named."""
    file = tmp_path / "rotation.yaml"
    file.write_text(policy_file(rotated))
    run: Callable[..., Any] = rotated.document

    planned = await run("provision", "--rotation", str(file), "--plan")
    before = await run("rotation", "schedule")
    applied = await run("provision", "--rotation", str(file))
    after = await run("rotation", "schedule")
    again = await run("provision", "--rotation", str(file))
    file.write_text("version: 1\npolicies: []\n")
    emptied = await rotated.run("provision", "--rotation", str(file))

    assert planned["rotation"]["changes"] == [
        {"action": "create", "scope": "platform", "path": PATH, "settings": []}
    ]
    assert before == {"items": []}
    assert applied["rotation"]["changes"] == planned["rotation"]["changes"]
    assert [item["interval_seconds"] for item in after["items"]] == [7200]
    assert again["rotation"] == {"changes": [], "left_alone": []}
    assert emptied.stdout.endswith(f"left alone: rotation policy of platform {PATH}\n")


async def test_a_file_that_is_wrong_changes_nothing(rotated: Rotated, tmp_path: Path) -> None:
    """A typo is told with its place before Vault is touched; a policy that does not fit its secret
    with its place too.
    """
    file = tmp_path / "rotation.yaml"
    file.write_text(policy_file(rotated).replace("kind:", "kinds:"))
    typo = await rotated.run("provision", "--rotation", str(file))
    file.write_text(policy_file(rotated).replace("2h", "60s"))
    too_often = await rotated.run("provision", "--rotation", str(file))

    assert typo.exit_code == 2
    assert "rotation.yaml: policies[0].kinds is unknown; there are" in typo.stderr
    assert too_often.exit_code == 2
    assert "error: rotation.yaml: policies[0]: " in too_often.stderr
    assert (await rotated.document("rotation", "schedule")) == {"items": []}


def policy_file(rotated: Rotated) -> str:
    settings = "".join(f"      {name}: {value}\n" for name, value in rotated.settings.items())
    return (
        "version: 1\npolicies:\n"
        f"  - path: {PATH}\n    kind: postgresql\n    interval: 2h\n    settings:\n{settings}"
    )
