"""The list of revoked bearers as a file: what it must be at the start, and what may become of it."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.conftest import service_config_for
from api.issuer import Issuer
from api.live import running
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets_api import watched_file
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.denylist import Denylist


@pytest.fixture
def always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_file, "CHECK", 0.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "it cannot be read"),
        (b"\xff\xfe", "it is not text in UTF-8"),
        (b"a\n" + b"x" * 257 + b"\n", "a line is no id"),
        (b"a\nb\x00c\n", "a line is no id"),
        (b"a\n" * (2 * 1024 * 1024 + 1), "it has more than 4194304 octets"),
    ],
    ids=["missing", "no text", "long line", "control character", "large"],
)
async def test_a_wrong_file_is_named_at_the_start(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    """The refusal has the setting, the file and what is wrong with it."""
    file = tmp_path / "denied"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigurationError, match="JWT_DENYLIST_FILE") as refused:
        await Denylist(file).open()

    assert str(file) in str(refused.value)
    assert said in str(refused.value)


async def test_an_empty_file_revokes_nothing(tmp_path: Path) -> None:
    """There may be nobody to revoke yet."""
    file = tmp_path / "denied"
    file.touch()
    denylist = Denylist(file)

    await denylist.open()

    assert not denylist.denies("")
    assert not denylist.denies("a")


async def test_a_change_is_seen_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By any way of writing, one that keeps the old time among them; before a second has passed
    the file is not looked at.
    """
    file = tmp_path / "denied"
    file.write_text("a\n")
    denylist = Denylist(file)
    await denylist.open()
    clock = 1000.0
    monkeypatch.setattr(watched_file, "time", type("", (), {"monotonic": lambda: clock}))
    await denylist.refresh()
    before = file.stat()

    file.write_text("b\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    clock += 0.9
    await denylist.refresh()
    early = denylist.denies("b")
    clock += 0.1
    await denylist.refresh()

    assert not early
    assert denylist.denies("b")
    assert not denylist.denies("a")


@pytest.mark.parametrize("content", [None, b"\xff", b"x" * 300])
async def test_a_file_that_breaks_later_leaves_the_last_list(
    content: bytes | None,
    always_looking: None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody is let in again by a mistake; the log says that something is wrong, and not what
    was in the file. The next good file counts.
    """
    file = tmp_path / "denied"
    file.write_text("a\n")
    denylist = Denylist(file)
    await denylist.open()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)

    with caplog.at_level(logging.WARNING):
        await denylist.refresh()
    still = denylist.denies("a")
    file.write_text("b\n")
    await denylist.refresh()

    assert still
    assert [record.getMessage() for record in caplog.records] == ["denylist.reload_failed"]
    assert "xxx" not in caplog.text
    assert denylist.denies("b")


async def test_a_file_is_read_beside_the_loop(
    always_looking: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk delays whoever looks, and no other request."""
    file = tmp_path / "denied"
    file.write_text("a\n")
    where: list[int] = []
    read = Path.stat

    def slow(path: Path, **options: bool) -> os.stat_result:
        where.append(threading.get_ident())
        return read(path, **options)

    monkeypatch.setattr(Path, "stat", slow)
    denylist = Denylist(file)
    await denylist.open()

    await denylist.refresh()

    assert len(where) == 2
    assert threading.get_ident() not in where


async def test_the_service_refuses_a_revoked_bearer(
    tmp_path: Path, vault_server: Any, mount: str, api_config: ApiConfig, issuer: Issuer
) -> None:
    """Over HTTP, while it runs: accepted, put on the list, refused within a second and a bit."""
    file = tmp_path / "denied"
    file.touch()
    token = issuer.tenant("acme", jti="stolen")
    config = replace(api_config, jwt_denylist_file=file)
    with running(service_config_for(vault_server, mount), config) as api:
        before = await api.ask("GET", "", token)
        file.write_text("stolen\n")
        began = time.monotonic()
        while (after := await api.ask("GET", "", token)).status == 200:
            assert time.monotonic() - began < 5
        took = time.monotonic() - began
        other = await api.ask("GET", "", issuer.tenant("acme", jti="other"))

    assert (before.status, after.status, after.code) == (200, 401, "invalid_token")
    assert other.status == 200
    assert took < 2


async def test_a_hundred_thousand_ids_are_looked_up_at_once(tmp_path: Path) -> None:
    """By hash: the list's length costs a request nothing."""
    file = tmp_path / "denied"
    file.write_text("\n".join(f"{number:032x}" for number in range(100_000)))
    denylist = Denylist(file)
    await denylist.open()

    began = time.perf_counter()
    found = sum(denylist.denies(f"{number:032x}") for number in range(0, 200_000, 20))
    took = time.perf_counter() - began

    assert found == 5000
    assert took < 1.0  # 10,000 walks along the list would be a minute
