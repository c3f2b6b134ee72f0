"""The file: opened for its owner alone, and after any misfortune what was promised is in it."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from greenlang_secrets.audit import lines
from greenlang_secrets.audit.head import read_head
from greenlang_secrets.audit.lines import lines_from_end
from greenlang_secrets.audit.log_file import LogFile
from greenlang_secrets.audit.records import MAX_LINE, ChainKey, Position, parse
from greenlang_secrets.errors import ConfigurationError
from support.audit import CHAIN_KEY, OTHER_KEY, lines_of, numbers, written


@pytest.fixture
def path(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path / "audit.jsonl"


def appended(file: LogFile, count: int) -> None:
    """Make sure of the file, and append so many records."""
    file.ready()
    made, position = lines_of(count, file.position)
    file.append(b"".join(made), position, CHAIN_KEY)


def found_at(path) -> tuple[int, list[str]]:
    """How far the chain is, and what is noticed, when the log is opened."""
    file = LogFile(path)
    try:
        return file.position.seq, file.notices
    finally:
        file.close(None)


def head_of(path) -> Position | None:
    head, _ = read_head(path)
    return None if head is None else head.position


# ---------------------------------------------------------------- opening


def test_files_and_folders_are_made_for_their_owner(tmp_path):
    """The log and its sidecar are 0600, the folders on the way 0700."""
    path = tmp_path / "state" / "deep" / "audit.jsonl"

    LogFile(path).close(None)

    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"audit.jsonl": 0o600, "audit.jsonl.head": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.jsonl.head"])
def test_a_file_that_others_may_read_is_refused(path, name):
    """The fix is named; the control is the same file once it is fixed."""
    file = path.with_name(name)
    file.touch()
    file.chmod(0o640)

    with pytest.raises(ConfigurationError, match="open to other users; chmod 600 it") as caught:
        LogFile(path)
    file.chmod(0o600)

    assert "GREENLANG_SECRETS_AUDIT_LOG" in str(caught.value)
    assert found_at(path) == (0, [])


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.jsonl.head"])
def test_another_users_file_is_refused(path, name, monkeypatch):
    """Whoever owns it could open it to others, or replace what it says."""
    path.with_name(name).touch(mode=0o600)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(ConfigurationError, match="belongs to another user"):
        LogFile(path)


def test_a_link_is_refused(path, tmp_path):
    """A link could lead the log into another file."""
    (tmp_path / "elsewhere").touch(mode=0o600)
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ConfigurationError, match="a file, and no link"):
        LogFile(path)


def test_what_is_no_file_is_refused(path):
    """A pipe takes octets and keeps none; it is not waited for."""
    os.mkfifo(path, 0o600)

    with pytest.raises(ConfigurationError, match="is no file"):
        LogFile(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """A file where the folder should be is a configuration to be fixed."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match=r"folder '.*/file/state' cannot be made"):
        LogFile(tmp_path / "file" / "state" / "audit.jsonl")


def test_a_second_process_is_kept_out(path):
    """Two writers would make two chains of one; the lock goes with the first."""
    first = LogFile(path)

    with pytest.raises(ConfigurationError, match="another process writes"):
        LogFile(path)
    first.close(None)

    assert found_at(path) == (0, [])


def test_a_second_process_is_kept_out_of_a_rotated_log(path):
    """Between the renaming and the reopening the name is free, and the log is not."""
    first = LogFile(path)
    path.rename(path.with_name("audit.jsonl.1"))

    with pytest.raises(ConfigurationError, match=r"another process writes .*\.head"):
        LogFile(path)
    first.close(None)


def test_the_log_itself_is_locked_too(path):
    """A sidecar that somebody removed does not let a second process in."""
    first = LogFile(path)
    path.with_name("audit.jsonl.head").unlink()

    with pytest.raises(ConfigurationError, match=r"another process writes .*jsonl'"):
        LogFile(path)
    first.close(None)


def test_a_disk_that_fails_at_opening_leaves_nothing_locked(path, monkeypatch):
    """The error passes, and the next attempt is not kept out."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fadvise", fail)
        with pytest.raises(OSError, match="I/O"):
            LogFile(path)

    assert found_at(path) == (0, [])


# ---------------------------------------------------------------- going on


def test_the_chain_goes_on_after_a_restart(path):
    """Numbers and HMACs go on from the last line."""
    file = LogFile(path)
    appended(file, 3)
    before = file.position
    file.close(CHAIN_KEY)

    again = LogFile(path)

    assert again.position == before
    assert again.position.seq == 3
    assert again.notices == []
    again.close(None)


def test_a_torn_line_is_cut_off(path):
    """Half a record was promised to nobody; it goes, and is noticed."""
    made, _ = lines_of(3)
    written(path, [*made[:2], made[2][:-5]], head=parse(made[1]).position)

    assert found_at(path) == (2, ["torn_record_removed"])
    assert numbers(path) == [1, 2]


@pytest.mark.parametrize("rest", [b"\0" * 5000, b"\0" * 3 * MAX_LINE])
def test_zeros_of_a_power_loss_are_cut_off(path, rest):
    """A file that grew before its pages were written ends in zeros, and not in a line."""
    made, position = lines_of(2)
    written(path, [*made, rest], head=position)

    assert found_at(path) == (2, ["torn_record_removed"])
    assert numbers(path) == [1, 2]


def test_a_line_that_is_no_record_stays_and_is_noticed(path):
    """What somebody wrote there is left for the verification to name."""
    made, position = lines_of(2)
    written(path, [*made, b"rubbish\n", b"\n"], head=position)

    assert found_at(path) == (2, ["record_unreadable"])
    assert path.read_bytes().endswith(b"rubbish\n\n")


def test_a_file_of_rubbish_begins_a_new_chain(path):
    """Nothing says where a chain was, so one begins."""
    written(path, [b"rubbish\n"])

    assert found_at(path) == (0, ["record_unreadable"])


def test_a_file_that_ends_too_early_leaves_a_gap(path):
    """The chain goes on from what the sidecar knows: the gap is there for ever."""
    made, position = lines_of(5)
    written(path, made[:3], head=position)

    assert found_at(path) == (5, ["records_missing"])


def test_a_sidecar_that_lags_is_overtaken(path):
    """After a power loss the log is ahead, and right."""
    made, _ = lines_of(5)
    _, behind = lines_of(3)
    written(path, made, head=behind)

    assert found_at(path) == (5, [])


def test_a_sidecar_of_another_chain_is_noticed(path):
    """A log that was put in the place of another does not go on as if nothing were."""
    made, _ = lines_of(2)
    _, other = lines_of(4, Position(chain="d" * 32))
    written(path, made, head=other)

    assert found_at(path) == (4, ["head_mismatch"])


def test_another_last_record_is_noticed(path):
    """A record with the same number and another HMAC is not the one that was promised."""
    made, _ = lines_of(2)
    written(path, made, head=Position(chain="c" * 32, seq=2, hmac="f" * 64))

    assert found_at(path) == (2, ["head_mismatch"])


def test_a_sidecar_that_says_nothing_is_noticed(path):
    """The log alone is gone on from, and it says that it had nothing to compare with."""
    made, _ = lines_of(2)
    written(path, made)
    sidecar = path.with_name("audit.jsonl.head")
    sidecar.touch(mode=0o600)
    sidecar.write_text("rubbish\n")

    assert found_at(path) == (2, ["head_unreadable"])


@pytest.mark.parametrize("empty", [False, True])
def test_records_without_a_sidecar_are_noticed(path, empty):
    """A log that was cut is a good chain, and without the sidecar nothing says how far it was."""
    made, _ = lines_of(2)
    written(path, made)
    if empty:
        path.with_name("audit.jsonl.head").touch(mode=0o600)

    assert found_at(path) == (2, ["head_missing"])


def test_a_new_log_lacks_no_sidecar(path):
    """The control: where there is no record there need not be one."""
    assert found_at(path) == (0, [])


def test_what_is_on_no_record_yet_is_noticed_again(path):
    """A service that ends before it could record it, on a full disk, writes no sidecar that would
    hide it; the control is one that could.
    """
    made, _ = lines_of(2)
    written(path, made)
    for _ in range(2):
        file = LogFile(path)
        assert file.notices == ["head_missing"]
        file.close(CHAIN_KEY)

    file = LogFile(path)
    file.notices.clear()
    file.close(CHAIN_KEY)

    assert found_at(path) == (2, [])


@pytest.mark.parametrize(
    ("sealed_with", "expected"),
    [
        (CHAIN_KEY, []),
        (ChainKey.of(OTHER_KEY, 1), ["head_forged"]),
        (ChainKey.of(OTHER_KEY, 2), ["head_unchecked"]),
    ],
)
def test_a_sidecars_seal_is_checked_with_the_key(path, sealed_with, expected):
    """Who has no key writes none that is believed in silence; one check is enough."""
    made, position = lines_of(2)
    written(path, made, head=position, head_key=sealed_with)
    file = LogFile(path)

    file.check_head(CHAIN_KEY)
    found = list(file.notices)
    file.notices.clear()
    file.check_head(CHAIN_KEY)

    assert (found, file.notices) == (expected, [])
    file.close(None)


@pytest.mark.parametrize(
    "line",
    [
        b'{"seq":1,"chain":"c","key":1,"hmac":"' + b"0" * 64 + b'"}\n',
        b'{"seq":"1","chain":"c","key":1,"record":"r","hmac":"' + b"0" * 64 + b'"}\n',
        b'{"seq":1,"chain":1,"key":1,"record":"r","hmac":"' + b"0" * 64 + b'"}\n',
    ],
)
def test_a_sidecar_without_its_members_says_nothing(path, line):
    """A member that is missing or of another type is no position."""
    path.with_name("audit.jsonl.head").touch(mode=0o600)
    path.with_name("audit.jsonl.head").write_bytes(line)

    assert found_at(path) == (0, ["head_unreadable"])


# ---------------------------------------------------------------- after a rotation


def test_the_chain_goes_on_in_an_empty_file(path):
    """A log that was rotated while the service was down goes on from the sidecar."""
    made, position = lines_of(5)
    written(path.with_name("audit.jsonl.1"), made)
    written(path, [], head=position)

    assert found_at(path) == (5, [])


@pytest.mark.parametrize("rotated", ["audit.jsonl.1", "audit.jsonl-20260131"])
def test_a_rotated_file_overtakes_a_sidecar_that_lags(path, rotated):
    """A power loss and then a rotation leave the truth in the file beside."""
    made, _ = lines_of(5)
    _, behind = lines_of(3)
    written(path.with_name(rotated), made)
    written(path, [], head=behind)

    assert found_at(path) == (5, [])


def test_files_of_another_chain_or_further_back_do_not(path):
    """The control: what is older, of another chain, compressed or a folder is left aside."""
    older, _ = lines_of(2)
    _, position = lines_of(5)
    foreign, _ = lines_of(9, Position(chain="d" * 32))
    written(path.with_name("audit.jsonl.1"), older)
    written(path.with_name("audit.jsonl.2"), foreign)
    written(path.with_name("audit.jsonl.3.gz"), [b"\x1f\x8b rubbish"])
    written(path.with_name("audit.jsonlike"), foreign)
    path.with_name("audit.jsonl.d").mkdir()
    written(path, [], head=position)

    assert found_at(path) == (5, [])


def test_without_a_sidecar_the_file_written_last_is_gone_on_from(path):
    """A lost sidecar does not end the chain, as long as a rotated file is there, and is told."""
    made, _ = lines_of(5)
    written(path.with_name("audit.jsonl.2"), made[:2])
    written(path.with_name("audit.jsonl.1"), made[2:])
    written(path.with_name("audit.jsonl.3"), made[:1])
    for name, when in (("audit.jsonl.2", 20), ("audit.jsonl.1", 30), ("audit.jsonl.3", 10)):
        os.utime(path.with_name(name), (when, when))

    assert found_at(path) == (5, ["head_missing"])


def test_reopening_goes_on_in_the_new_file(path):
    """Nothing is lost or doubled; a second reopening finds the same file and does nothing."""
    file = LogFile(path)
    appended(file, 2)
    path.rename(path.with_name("audit.jsonl.1"))
    appended(file, 1)

    file.reopen()
    file.reopen()
    appended(file, 2)

    assert numbers(path.with_name("audit.jsonl.1")) == [1, 2, 3]
    assert numbers(path) == [4, 5]
    assert file.notices == []
    file.close(CHAIN_KEY)
    assert head_of(path).seq == 5


def test_a_new_file_that_cannot_be_used_leaves_the_old_one(path):
    """Records go on into the renamed file until the new one is put right."""
    file = LogFile(path)
    appended(file, 1)
    path.rename(path.with_name("audit.jsonl.1"))
    path.touch()
    path.chmod(0o644)

    with pytest.raises(ConfigurationError, match="chmod 600"):
        file.reopen()
    appended(file, 1)
    path.chmod(0o600)
    file.reopen()
    appended(file, 1)

    assert numbers(path.with_name("audit.jsonl.1")) == [1, 2]
    assert numbers(path) == [3]
    file.close(None)


# ---------------------------------------------------------------- disks that fail


class Disk:
    """Makes a call of `os` fail, from now until it is mended."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def fail(self, *names: str, error: int = errno.EIO, after: int = 0) -> None:
        for name in names:
            real = getattr(os, name)

            def failing(descriptor, *rest, real=real, name=name):
                if name == "write" and after:
                    real(descriptor, bytes(rest[0][:after]))
                raise OSError(error, os.strerror(error))

            self._patch.setattr(os, name, failing)

    def mend(self) -> None:
        self._patch.undo()


@pytest.fixture
def disk():
    patch = pytest.MonkeyPatch()
    yield Disk(patch)
    patch.undo()


def refused(file: LogFile, count: int = 1) -> None:
    """Append in vain."""
    with pytest.raises(OSError):  # noqa: PT011  which one, the test has said itself
        appended(file, count)


@pytest.mark.parametrize("after", [0, 7])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failed_write_leaves_no_trace(path, disk, error, after):
    """What was half written is cut off before the next append, and no number is used up."""
    file = LogFile(path)
    appended(file, 2)

    disk.fail("write", error=error, after=after)
    refused(file, 3)
    refused(file, 1)
    disk.mend()
    appended(file, 1)

    assert numbers(path) == [1, 2, 3]
    assert file.notices == []
    file.close(None)


def test_a_write_in_parts_is_one_append(path, monkeypatch):
    """A kernel that takes a few octets at a time gets all of them."""
    real = os.write
    file = LogFile(path)
    monkeypatch.setattr(os, "write", lambda to, octets: real(to, bytes(octets[:10])))

    appended(file, 2)

    assert numbers(path) == [1, 2]
    file.close(None)


def test_a_failed_sync_is_not_believed_the_next_time(path, disk):
    """The kernel reports a failed sync once, and then holds the pages for clean: what stood
    there is cut off and written anew.
    """
    file = LogFile(path)
    appended(file, 2)
    disk.fail("fdatasync")
    refused(file, 3)
    disk.mend()
    read_from_disk = []
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "posix_fadvise", lambda *arguments: read_from_disk.append(arguments[3]))

    appended(file, 1)
    patch.undo()

    assert numbers(path) == [1, 2, 3]
    assert read_from_disk == [os.POSIX_FADV_DONTNEED]
    file.close(None)


def test_a_record_that_the_disk_lost_is_noticed(path, disk):
    """If after a failed sync the file no longer has what was promised, a gap tells it."""
    file = LogFile(path)
    appended(file, 3)
    disk.fail("fdatasync")
    refused(file)
    disk.mend()
    path.write_bytes(b"".join(lines_of(2)[0]))

    file.ready()

    assert file.position.seq == 3
    assert len(file.notices) == 1
    file.close(None)


def test_a_disk_that_cannot_even_cut_goes_on_failing(path, disk):
    """Without cutting off the half record nothing is appended; once it works, nothing is lost."""
    file = LogFile(path)
    appended(file, 1)
    disk.fail("write", after=9)
    refused(file)
    disk.mend()
    disk.fail("ftruncate")
    refused(file)
    disk.mend()

    appended(file, 1)

    assert numbers(path) == [1, 2]
    file.close(None)


def test_a_half_record_in_a_renamed_file_is_cut_off(path, disk):
    """A rotation amid a failure leaves whole records in both files."""
    file = LogFile(path)
    appended(file, 1)
    disk.fail("write", after=9)
    refused(file)
    disk.mend()
    path.rename(path.with_name("audit.jsonl.1"))

    file.reopen()
    appended(file, 1)

    assert numbers(path.with_name("audit.jsonl.1")) == [1]
    assert numbers(path) == [2]
    file.close(None)


def test_a_disk_that_is_gone_does_not_hold_up_a_new_one(path, disk):
    """A renamed file that cannot be cut is left as it is, and the chain goes on in the new one."""
    file = LogFile(path)
    appended(file, 1)
    disk.fail("write", after=9)
    refused(file)
    disk.mend()
    path.rename(path.with_name("audit.jsonl.1"))
    disk.fail("ftruncate")

    appended(file, 1)

    assert numbers(path) == [2]
    file.close(None)


@pytest.mark.parametrize("broken", [True, False])
def test_closing_after_a_failure_leaves_no_half_record(path, disk, broken):
    """The end of the file is put right if the disk lets us, and the locks go anyway."""
    file = LogFile(path)
    appended(file, 1)
    disk.fail("write", after=9)
    refused(file)
    disk.mend()
    if broken:
        disk.fail("ftruncate")

    file.close(CHAIN_KEY)
    disk.mend()

    assert found_at(path) == (1, ["torn_record_removed"] if broken else [])


def test_a_sidecar_that_cannot_be_written_lags(path, disk):
    """The log is what counts; the sidecar is right again with the next batch."""
    file = LogFile(path)
    appended(file, 1)
    disk.fail("pwrite")
    appended(file, 1)
    disk.mend()
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "x")))

    file.close(None)
    patch.undo()

    assert head_of(path).seq == 1
    assert found_at(path) == (2, [])


# ---------------------------------------------------------------- others at the file


def test_a_file_that_was_removed_is_made_anew(path):
    """Records do not vanish into a file without a name, and the log says that it happened."""
    file = LogFile(path)
    appended(file, 2)
    path.unlink()

    appended(file, 1)

    assert numbers(path) == [3]
    assert file.notices == ["log_file_changed"]
    file.close(None)


def test_a_file_that_was_emptied_is_noticed(path):
    """A rotation by copying and truncating may lose records, so it is told."""
    file = LogFile(path)
    appended(file, 2)
    path.write_bytes(b"")

    appended(file, 1)

    assert numbers(path) == [3]
    assert file.notices == ["log_file_changed"]
    file.close(None)


def test_a_file_that_was_cut_is_noticed(path):
    """The chain goes on with what was promised, and the gap stays."""
    file = LogFile(path)
    appended(file, 3)
    path.write_bytes(b"".join(lines_of(2)[0]))

    appended(file, 1)

    assert file.notices[0] == "log_file_changed"
    assert numbers(path) == [1, 2, 4]
    file.close(None)


def test_what_others_append_stays_and_is_noticed(path):
    """It is not cut off: the verification names it."""
    file = LogFile(path)
    appended(file, 2)
    with path.open("ab") as other:
        other.write(b"rubbish\n")

    appended(file, 1)

    assert file.notices == ["log_file_changed", "record_unreadable"]
    assert path.read_bytes().splitlines()[2] == b"rubbish"
    assert file.position.seq == 3
    file.close(None)


def test_a_new_file_that_cannot_be_made_is_waited_for(path, monkeypatch):
    """Each append tries again; the old file without a name takes none."""
    file = LogFile(path)
    appended(file, 1)
    path.unlink()
    path.mkdir()

    for _ in range(2):
        with pytest.raises(ConfigurationError):
            file.ready()
    path.rmdir()
    appended(file, 1)

    assert numbers(path) == [2]
    assert file.notices == ["log_file_changed"]
    file.close(None)


def test_a_new_file_is_let_go_if_its_end_cannot_be_read(path, disk):
    """A failure while the new file is looked at leaves no lock on it."""
    file = LogFile(path)
    path.rename(path.with_name("audit.jsonl.1"))
    disk.fail("posix_fadvise")
    with pytest.raises(OSError, match="error"):
        file.reopen()
    disk.mend()

    file.reopen()
    appended(file, 1)

    assert numbers(path) == [1]
    file.close(None)


def test_free_room_is_a_ratio(path, monkeypatch):
    """A tenth free is 0.1, and a disk without a size has none."""
    file = LogFile(path)
    assert 0 < file.free() <= 1

    class Nothing:
        f_bavail = f_blocks = 0

    monkeypatch.setattr(os, "fstatvfs", lambda _: Nothing)
    assert file.free() == 0.0
    file.close(None)


# ---------------------------------------------------------------- lines from the end


@pytest.mark.parametrize("block", [1, 2, 3, 5, 64])
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", [(0, b"")]),
        (b"a", [(0, b"a")]),
        (b"\n", [(1, b""), (0, b"")]),
        (b"a\nbc\n", [(5, b""), (2, b"bc"), (0, b"a")]),
        (b"a\n\nbc\nd", [(6, b"d"), (3, b"bc"), (2, b""), (0, b"a")]),
    ],
)
def test_lines_come_from_the_end_with_their_places(tmp_path, monkeypatch, block, octets, expected):
    """Wherever the blocks fall, each line is given once, whole, and with its offset."""
    monkeypatch.setattr(lines, "_BLOCK", block)
    path = tmp_path / "file"
    path.write_bytes(octets)

    with path.open("rb") as file:
        assert list(lines_from_end(file.fileno(), len(octets))) == expected
