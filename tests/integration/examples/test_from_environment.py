"""`examples/from_environment`, from a `.env` file to a script that reads from a real OpenBao."""

from __future__ import annotations

from pathlib import Path

import pytest

import greenlang_secrets as gs
from support.example import EXAMPLES, environment, running
from support.pairs import FIRST, user_pair

FOLDER = EXAMPLES / "from_environment"

ENV_FILE = """\
# what the script needs
DATABASE_URL=postgresql+asyncpg://{user}:{password}@{host}:{port}/{database}?sslmode=disable
export SIGNING_KEY="canary \\"signing\\" key"

QUEUE_URL='rediss://worker:canary-queue%2Fpassword@queue.example:6380/2'
PLAIN=canary-plain # not of the value
EMPTY=
"""
PARTS = "host, port, username, password, database"
VALUES = {
    'canary "signing" key',
    "canary-queue/password",
    "canary-queue%2Fpassword",
    "canary-plain",
    FIRST,
}


@pytest.fixture
async def pair(postgres_server):
    async with user_pair(postgres_server) as pair:
        yield pair


@pytest.fixture
def env_file(pair, tmp_path: Path) -> Path:
    file = tmp_path / ".env"
    file.write_text(
        ENV_FILE.format(
            user=pair.a,
            password=FIRST,
            host=pair.server.host,
            port=pair.server.port,
            database=pair.database,
        )
    )
    return file


@pytest.fixture
def run(config: gs.SecretsServiceConfig, tmp_path: Path):
    """Runs one of the example's programs; returns its exit code and what it printed, in which no
    value may be.
    """

    async def run(name: str, *arguments: str, **env: str) -> tuple[int, str]:
        command = (str(FOLDER / name), *arguments)
        async with running(*command, env=environment(config, **env), folder=tmp_path) as example:
            code = await example.ends()
        assert not [value for value in VALUES if value in example.output]
        return code, example.output

    return run


async def test_a_plan_writes_nothing(run, secrets, env_file):
    """Without `--write` paths, types and fields are shown, and Vault is not touched."""
    code, output = await run("import_env.py", str(env_file), "reports")

    assert code == 0
    assert output.splitlines() == [
        f"reports/database-url: database with {PARTS}, without the options after its '?'",
        "reports/signing-key: generic with value",
        "reports/queue-url: cache with host, port, username, password, db, tls",
        "reports/plain: generic with value",
        "Nothing is written yet: add --write.",
    ]
    assert await secrets.get_or_none("reports/signing-key") is None


async def test_what_was_written_is_what_the_script_needs(run, secrets, pair, env_file):
    """The script prints the same before, from the environment, and after, from Vault; and a second
    import finds everything there.
    """
    url = f"postgresql://{pair.a}:{FIRST}@{pair.server.host}:{pair.server.port}/{pair.database}"
    before = await run("before.py", DATABASE_URL=url, SIGNING_KEY='canary "signing" key')
    written = await run("import_env.py", str(env_file), "reports", "--write")
    after = await run("after.py")
    again = await run("import_env.py", str(env_file), "reports", "--write")

    paths = [f"reports/{name}" for name in ("database-url", "signing-key", "queue-url", "plain")]
    assert written == (0, "".join(f"{path}: written\n" for path in paths))
    assert again == (0, "".join(f"{path}: is the same\n" for path in paths))
    assert before[0] == 0
    assert after == before
    queue = await secrets.get_typed("reports/queue-url", gs.RedisCredentials)
    assert queue.url().reveal() == "rediss://worker:canary-queue%2Fpassword@queue.example:6380/2"
    assert (await secrets.get("reports/plain"))["value"].reveal() == "canary-plain"


async def test_another_value_is_left_alone(run, secrets, env_file):
    """What is in Vault already and is another value stays, and the exit code says so."""
    await secrets.put("reports/plain", {"value": "of somebody else"})

    code, output = await run("import_env.py", str(env_file), "reports", "--write")

    assert code == 1
    assert "reports/plain: is another one, and left alone\n" in output
    assert (await secrets.get("reports/plain", fresh=True))["value"].reveal() == "of somebody else"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A=1\ncanary-plain\n", "Line 2 is not NAME=VALUE.\n"),
        ("A='canary-plain\nmore'\n", "Line 1, A: the quote is not closed on the line.\n"),
        ("A=canary-plain\nexport A=2\n", "A is there twice.\n"),
        ("A=\xff".encode("latin-1") + b"canary-plain", "The file is not UTF-8.\n"),
    ],
    ids=["no-name", "several-lines", "twice", "no-utf-8"],
)
async def test_a_line_that_cannot_be_read_is_told_without_it(run, tmp_path: Path, text, told):
    """What is wrong is told by line and name, with exit code 2, and nothing is written."""
    file = tmp_path / ".env"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())

    assert await run("import_env.py", str(file), "reports", "--write") == (2, told)


async def test_a_url_that_is_none_stays_a_plain_value(run, secrets, tmp_path: Path):
    """What begins as a URL and cannot be taken apart is kept as it is."""
    file = tmp_path / ".env"
    file.write_text("A=postgresql://u:canary-plain@[broken/d\nB=redis://queue.example/0\n")

    code, output = await run("import_env.py", str(file), "urls")

    assert code == 0
    assert output.splitlines()[:2] == [
        "urls/a: generic with value",
        "urls/b: generic with value",
    ]
