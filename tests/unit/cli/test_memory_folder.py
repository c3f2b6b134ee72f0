"""The folder in memory: private, refused elsewhere, swept when its users are gone."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from greenlang_secrets.cli import memory_folder
from greenlang_secrets.cli.memory_folder import MemoryFolder
from greenlang_secrets.errors import ConfigurationError

SHM = Path("/dev/shm")


def test_it_is_private_and_goes():
    """0700, with files of 0600 whose text is not changed; gone when it is left, however."""

    def use() -> None:
        with MemoryFolder(SHM) as folder:
            folders.append(folder.path)
            folder.write("a", "x\r\ny\n")
            assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
            assert stat.S_IMODE((folder.path / "a").stat().st_mode) == 0o600
            assert (folder.path / "a").read_bytes() == b"x\r\ny\n"
            folder.write("a", "again")

    folders: list[Path] = []
    with pytest.raises(FileExistsError):
        use()

    [folder] = folders
    assert not folder.exists()


def test_a_folder_on_a_disk_or_nowhere_is_refused(tmp_path, monkeypatch):
    """What the system does not say is in memory counts as a disk."""
    with pytest.raises(ConfigurationError, match="not in memory"):
        MemoryFolder(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="not in memory"):
        MemoryFolder(Path("/proc"))
    monkeypatch.setattr(memory_folder, "_MOUNTS", tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="not in memory"):
        MemoryFolder(SHM)


def test_mounts_are_read_as_the_kernel_writes_them(tmp_path, monkeypatch):
    """A space is an octal escape, the last mount on a place is what is seen, the nearest counts."""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"a / ext4 rw 0 0\nb {tmp_path} ext4 rw 0 0\nc {tmp_path} tmpfs rw 0 0\n"
        f"d {tmp_path}/on\\040disk ext4 rw 0 0\n"
    )
    (tmp_path / "on disk").mkdir()
    monkeypatch.setattr(memory_folder, "_MOUNTS", mounts)

    with MemoryFolder(tmp_path) as folder:
        assert folder.path.parent == tmp_path
    with pytest.raises(ConfigurationError):
        MemoryFolder(tmp_path / "on disk")


def test_a_folder_that_is_closed_is_refused(monkeypatch):
    """Where nothing can be made the fix is another folder."""

    def refuse(**_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(memory_folder.tempfile, "mkdtemp", refuse)

    with pytest.raises(ConfigurationError, match=r"\(Permission denied\); give --in another"):
        MemoryFolder(SHM)


def test_only_what_nobody_uses_is_swept(monkeypatch):
    """A folder whose lock is held, or that is another user's, stays."""
    abandoned = SHM / "greenlang-run-test-abandoned"
    abandoned.mkdir(mode=0o700)
    (abandoned / "k").write_text("v")
    try:
        with MemoryFolder(SHM) as used, monkeypatch.context() as patch:
            assert not abandoned.exists()
            abandoned.mkdir(mode=0o700)
            patch.setattr(os, "geteuid", lambda: abandoned.stat().st_uid + 1)
            with MemoryFolder(SHM):
                assert used.path.exists()
                assert abandoned.exists()
    finally:
        shutil.rmtree(abandoned, ignore_errors=True)
