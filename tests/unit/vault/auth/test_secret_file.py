from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.vault.auth.secret_file import read_secret
from support.canary import shown_in
from support.logins import with_locals

SETTING = "GREENLANG_SECRETS_AUTH_SECRET_ID_FILE"


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "secret-id"


async def refusal(file: Path, kind: str = "word") -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        await read_secret(file, SETTING, kind=kind)  # type: ignore[arg-type]  # parametrised
    return caught.value


@pytest.mark.parametrize("content", ["s.3cret", "s.3cret\n", "\n  s.3cret\r\n"])
async def test_white_space_around_a_secret_is_not_part_of_it(file, content):
    """Editors and `echo` end a file with a line break."""
    file.write_text(content)

    assert (await read_secret(file, SETTING)).reveal() == "s.3cret"


@pytest.mark.parametrize("content", ["correct horse", "grün", " correct horse\n"])
async def test_password_may_have_spaces_and_letters_of_any_language(file, content):
    """Of a line, only what stands around it is cut."""
    file.write_text(content, encoding="utf-8")

    secret = await read_secret(file, SETTING, kind="line")

    assert secret.reveal() == content.strip()


async def test_longest_secret_is_taken(file):
    """64 KiB are allowed."""
    file.write_bytes(b"x" * 65_536)

    assert len((await read_secret(file, SETTING)).reveal()) == 65_536


WORD = "which holds something other than one word of ASCII"
LINE = "which holds something other than one line of UTF-8"

REFUSED = [
    (b"", "word", "which is empty"),
    (b" \n\t\n", "word", "which is empty"),
    (b"", "line", "which is empty"),
    (
        b"q7Zk0mWv3xTt" * 5_462,
        "word",
        "which is longer than 64 KiB; it holds something other than one secret",
    ),
    ("q7Zk0mWv3xTtü".encode(), "word", WORD),
    (b"q7Zk0mWv3xTt\xff", "word", WORD),
    (b"q7Zk0mWv3xTt\xff", "line", LINE),
    (b"q7Zk0mWv3xTt 9RbL5nYc8HsD", "word", WORD),
    (b"q7Zk0mWv3xTt\n9RbL5nYc8HsD", "word", WORD),
    (b"q7Zk0mWv3xTt\n9RbL5nYc8HsD", "line", LINE),
    (b"q7Zk0mWv3xTt\r\nX-Vault-Namespace: x", "line", LINE),
    (b"q7Zk0mWv3xTt\x009RbL5nYc8HsD", "line", LINE),
    (b'{"token": "q7Zk0mWv3xTt"}', "word", WORD),
]


@pytest.mark.parametrize(("content", "kind", "reason"), REFUSED)
async def test_file_that_holds_no_secret_is_named_and_not_shown(file, content, kind, reason):
    """The error names setting, file and reason, and shows nothing of the content."""
    file.write_bytes(content)

    error = await refusal(file, kind)

    assert str(error) == f"{SETTING} is {str(file)!r}, {reason}."
    assert shown_in(with_locals(error), "q7Zk0mWv3xTt") is None


async def test_missing_file_is_named(file):
    """A file that has gone since the start is told by its name."""
    assert str(await refusal(file)) == f"{SETTING} is {str(file)!r}, which does not exist."


async def test_folder_is_no_file(tmp_path):
    """What cannot be read as a file is told as such."""
    assert str(await refusal(tmp_path)) == (
        f"{SETTING} is {str(tmp_path)!r}, which this process cannot read."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_file_of_somebody_else_is_named(file):
    """So is a file that this process may not read."""
    file.write_text("s")
    file.chmod(0)

    assert str(await refusal(file)).endswith("which this process cannot read.")


async def test_secret_in_place_of_its_file_is_not_repeated():
    """Who passes the secret itself as a path does not find it in a log."""
    error = await refusal(Path("q7Zk0mWv3xTt9RbL5nYc8HsD"))

    assert str(error) == f"{SETTING} is a text that is no path, which does not exist."
