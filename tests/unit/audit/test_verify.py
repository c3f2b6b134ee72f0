"""Whatever was done to a log, the line is named; whatever was not done to it is not claimed."""

from __future__ import annotations

import gzip
import threading
import time
from dataclasses import replace

import pytest

from greenlang_secrets.audit import chain_check, findings
from greenlang_secrets.audit import verify as verify_module
from greenlang_secrets.audit.findings import MOST_KEPT
from greenlang_secrets.audit.head import HeadFile
from greenlang_secrets.audit.records import MAX_LINE, ChainKey, Position, parse
from greenlang_secrets.audit.verify import verify
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from support.audit import KEY, KEYS, OTHER_KEY, lines_of, written


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    """Half a line at the end is not waited for, unless a test says so."""
    monkeypatch.setattr(verify_module, "_TORN_WITHIN", 0.0)


def flaws(path, lines: list[bytes], head: Position | None = None) -> list[tuple[str, int]]:
    """What is wrong with a log of these lines, and at which line."""
    report = verify([written(path, lines, head)], KEYS)
    assert report.flaws == len(report.findings)
    assert report.good == (not report.findings)
    return [(found.flaw.value, found.place.line) for found in report.findings]


TEN, AFTER_TEN = lines_of(10)


def test_a_whole_log_is_good(path):
    """Nothing is found, and nothing is to be known."""
    report = verify([written(path, TEN, AFTER_TEN)], KEYS)

    assert report.good
    assert (report.records, report.first, report.last) == (10, 1, 10)
    assert (report.findings, report.notices, report.unknown) == ((), (), ())


def test_an_empty_log_is_good(path):
    """A service that was never asked has nothing to show."""
    report = verify([written(path, [])], KEYS)

    assert report.good
    assert (report.records, report.first, report.last) == (0, None, None)


def test_no_log_is_good():
    """Without a file there is nothing to say."""
    assert verify([], KEYS).good


@pytest.mark.parametrize("at", range(10))
def test_an_edited_line_is_named(path, at):
    """What a line says is what its HMAC holds."""
    lines = list(TEN)
    lines[at] = lines[at].replace(b'"result":"ok"', b'"result":"denied"')

    assert flaws(path, lines, AFTER_TEN) == [("edited", at + 1)]


@pytest.mark.parametrize("at", range(10))
def test_an_edited_hmac_is_named_and_not_blamed_on_the_next_line(path, at):
    """The next record is good itself, though it names another HMAC before it."""
    lines = list(TEN)
    digit = lines[at][-4:-3]
    lines[at] = lines[at][:-4] + (b"1" if digit == b"0" else b"0") + lines[at][-3:]

    assert flaws(path, lines, AFTER_TEN) == [("edited", at + 1)]


def test_an_edited_number_is_not_believed(path):
    """A line that claims another number moves no other line."""
    lines = list(TEN)
    lines[4] = lines[4].replace(b'"seq":5', b'"seq":900')

    assert flaws(path, lines, AFTER_TEN) == [("edited", 5)]


def test_rubbish_in_the_place_of_a_record_is_named(path):
    """The record it replaced is not told a second time as missing."""
    lines = [*TEN[:3], b"rubbish\n", *TEN[4:]]

    assert flaws(path, lines, AFTER_TEN) == [("unreadable", 4)]


def test_rubbish_between_records_is_named(path):
    """A line that was put in is named, and the records around it are in order."""
    lines = [*TEN[:3], b"\n", b"rubbish\n", *TEN[3:]]

    assert flaws(path, lines, AFTER_TEN) == [("unreadable", 4), ("unreadable", 5)]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (4, 4), (4, 6), (1, 8)])
def test_lines_that_were_cut_out_are_named(path, first, last):
    """The line after the gap is named, and the numbers of what is missing."""
    report = verify([written(path, [*TEN[:first], *TEN[last + 1 :]], AFTER_TEN)], KEYS)

    [found] = report.findings
    assert (found.flaw, found.place.line) == ("cut", first + 1)
    assert str(first + 1) in found.text
    assert str(last + 1) in found.text


def test_a_record_and_rubbish_for_two_is_a_gap(path):
    """One line of rubbish stands for one record; the second is missing."""
    assert flaws(path, [*TEN[:3], b"rubbish\n", *TEN[5:]], AFTER_TEN) == [
        ("unreadable", 4),
        ("cut", 5),
    ]


@pytest.mark.parametrize("left", [9, 5, 1, 0])
def test_a_cut_end_is_named(path, left):
    """The sidecar knows how far the log had got."""
    assert flaws(path, TEN[:left], AFTER_TEN) == [("tail_cut", left)]


def test_a_cut_end_is_not_seen_without_the_sidecar(path):
    """The control, which the report says: a log that ends early is a good chain."""
    report = verify([written(path, TEN[:5])], KEYS)

    assert report.good
    assert report.notices == (
        "There is no sidecar beside the last file: a cut end cannot be seen.",
    )


def test_an_edited_sidecar_is_named(path):
    """It has an HMAC of its own."""
    written(path, TEN, AFTER_TEN)
    sidecar = path.with_name("audit.jsonl.head")
    sidecar.write_bytes(sidecar.read_bytes().replace(b'"seq":10', b'"seq":11'))

    [found] = verify([path], KEYS).findings

    assert (found.flaw, found.place.line) == ("head_mismatch", 10)


def test_a_sidecar_of_rubbish_is_named(path):
    """Whoever wants to cut the end must not get away with ruining the sidecar."""
    written(path, TEN)
    path.with_name("audit.jsonl.head").write_bytes(b"rubbish")

    assert [found.flaw for found in verify([path], KEYS).findings] == ["head_mismatch"]


@pytest.mark.parametrize(
    "known",
    [
        Position(chain="d" * 32, seq=10, hmac="0" * 64),
        Position(chain="c" * 32, seq=10, hmac="0" * 64),
    ],
)
def test_a_sidecar_that_knows_another_record_is_named(path, known):
    """A last record that was replaced, or a log in the place of another, is found."""
    assert flaws(path, TEN, known) == [("head_mismatch", 10)]


def test_a_sidecar_that_lags_is_right(path):
    """After a power loss the log may be ahead of it."""
    assert flaws(path, TEN, parse(TEN[6]).position) == []


def test_a_sidecar_that_knows_another_record_in_the_midst_is_named(path):
    """The control: the line whose record it does not know is named."""
    known = replace(parse(TEN[6]).position, hmac="0" * 64)

    assert flaws(path, TEN, known) == [("head_mismatch", 7)]


def test_a_sidecar_of_an_unknown_key_still_counts(path):
    """Its HMAC cannot be checked, and what it says can be compared."""
    written(path, TEN[:9])
    sidecar = HeadFile(path)
    sidecar.write(AFTER_TEN, ChainKey.of(OTHER_KEY, 2))
    sidecar.close()

    assert [found.flaw for found in verify([path], KEYS).findings] == ["tail_cut"]


def test_neighbours_that_were_swapped_are_named(path):
    """The one that came too early is named, and nothing else is wrong."""
    lines = [*TEN[:3], TEN[4], TEN[3], *TEN[5:]]

    assert flaws(path, lines, AFTER_TEN) == [("out_of_order", 4)]


def test_lines_far_apart_that_were_swapped_are_named(path):
    """Both are named, and nothing in between."""
    lines = list(TEN)
    lines[2], lines[7] = lines[7], lines[2]

    assert flaws(path, lines, AFTER_TEN) == [("out_of_order", 3), ("out_of_order", 8)]


def test_a_swap_with_the_last_line_is_named(path):
    """The end of the chain is where its highest record is."""
    lines = list(TEN)
    lines[6], lines[9] = lines[9], lines[6]

    found = flaws(path, lines, AFTER_TEN)

    assert ("out_of_order", 7) in found
    assert ("out_of_order", 10) in found


def test_a_swap_beside_rubbish_is_named(path):
    """A line that is no record, before a record that came too early, counts once."""
    lines = [*TEN[:2], b"rubbish\n", TEN[7], *TEN[3:7], *TEN[8:]]

    assert flaws(path, lines, AFTER_TEN) == [("unreadable", 3), ("out_of_order", 4)]


def test_a_block_that_was_moved_back_is_named(path):
    """Records that come after their place are not missing, and each of them is named."""
    lines = [*TEN[:2], *TEN[5:8], *TEN[2:5], *TEN[8:]]

    assert flaws(path, lines, AFTER_TEN) == [
        ("out_of_order", 6),
        ("out_of_order", 7),
        ("out_of_order", 8),
    ]


def test_a_part_of_a_block_that_is_missing_stays_missing(path):
    """Of a gap that is filled in part later, the rest is told."""
    lines = [*TEN[:2], *TEN[6:9], TEN[4], TEN[9]]
    report = verify([written(path, lines, AFTER_TEN)], KEYS)

    assert [(found.flaw.value, found.place.line, found.text) for found in report.findings] == [
        ("cut", 3, "Records 3 to 4 are missing before this line."),
        ("cut", 3, "Record 6 is missing before this line."),
        ("out_of_order", 6, "Record 5 stands here, after its place."),
    ]


def test_each_late_record_is_taken_from_its_own_gap(path):
    """Two gaps, and a record of the second that comes late: the first gap stays as it is."""
    lines = [TEN[0], *TEN[2:5], *TEN[7:9], TEN[6], TEN[9]]

    assert flaws(path, lines, AFTER_TEN) == [("cut", 2), ("cut", 5), ("out_of_order", 7)]


@pytest.mark.parametrize(("at", "to"), [(3, 4), (0, 1), (3, 9), (9, 10)])
def test_a_line_that_is_there_twice_is_named(path, at, to):
    """The second one is named, wherever it stands."""
    lines = list(TEN)
    lines.insert(to, TEN[at])

    assert flaws(path, lines, AFTER_TEN) == [("duplicated", to + 1)]


def test_a_log_that_was_doubled_is_named_line_by_line(path):
    """Each line of the second copy is one too many."""
    assert flaws(path, [*TEN[:3], *TEN[:3]]) == [
        ("duplicated", 4),
        ("duplicated", 5),
        ("duplicated", 6),
    ]


def test_a_record_of_another_history_is_named(path):
    """Two records with one number, sealed with the key: the second line after does not follow."""
    other, _ = lines_of(10)
    lines = [*TEN[:4], *other[4:]]

    assert flaws(path, lines) == [("unlinked", 5)]


def test_a_line_of_another_log_is_named(path):
    """Its HMAC is right, and its chain is another."""
    other, _ = lines_of(3, Position(chain="d" * 32))
    lines = [*TEN[:3], other[1], *TEN[3:]]

    assert flaws(path, lines, AFTER_TEN) == [("foreign_chain", 4)]


def test_a_torn_line_is_named(path):
    """A file that ends within a line has lost that record."""
    assert flaws(path, [*TEN[:3], TEN[3][:-7]]) == [("torn", 4)]


def test_half_a_line_after_what_was_promised_is_a_notice(path):
    """A death leaves half a record; the sidecar knows that it was promised to nobody."""
    promised = parse(TEN[2]).position
    report = verify([written(path, [*TEN[:3], TEN[3][:-7]], promised)], KEYS)

    assert report.good
    assert report.notices == (f"{path}:4 is half a record, which was promised to nobody.",)


def test_half_of_a_promised_line_is_named(path):
    """The control: the sidecar knows of the record that the half line was."""
    assert flaws(path, [*TEN[:3], TEN[3][:-7]], AFTER_TEN) == [("torn", 4), ("tail_cut", 4)]
    promised = parse(TEN[3]).position
    assert flaws(path, [*TEN[:3], TEN[3][:-7]], promised) == [("torn", 4)]


@pytest.mark.parametrize("whole", [0, 3])
def test_half_a_line_in_a_rotated_file_is_judged_by_the_next_record(path, whole):
    """If its number was given again it was promised to nobody; if not, it was a record."""
    rotated = written(path.with_name("audit.jsonl.1"), [*TEN[:whole], TEN[whole][:40]])
    written(path, TEN[whole:], AFTER_TEN)
    again = verify([rotated, path], KEYS)
    written(path, TEN[whole + 1 :], AFTER_TEN)
    not_again = verify([rotated, path], KEYS)

    assert again.good
    assert again.notices == (
        f"{rotated}:{whole + 1} is half a record, which was promised to nobody.",
    )
    assert [(found.flaw, found.place.file) for found in not_again.findings] == [("torn", rotated)]


def test_a_line_being_written_is_waited_for(path, monkeypatch):
    """A service that is writing just now is no misfortune."""
    written(path, [*TEN[:3], TEN[3][:-7]])
    waited = threading.Event()
    real = time.sleep

    def sleep(seconds: float) -> None:
        waited.set()
        real(seconds)

    def finish() -> None:
        waited.wait(30)
        with path.open("ab") as file:
            file.write(TEN[3][-7:])

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(verify_module, "_TORN_WITHIN", 30.0)
    writer = threading.Thread(target=finish)
    writer.start()

    report = verify([path], KEYS)
    writer.join()

    assert report.good
    assert report.last == 4


def test_a_line_without_an_end_takes_no_memory(path):
    """A line of a hundred megabytes is one line that is no record."""
    written(path, [*TEN[:3], b"x" * (3 * MAX_LINE), b"\n", *TEN[3:]], AFTER_TEN)
    endless = written(path.with_name("endless"), [*TEN[:3], b"\0" * (3 * MAX_LINE)])

    found = [(found.flaw, found.place.line) for found in verify([path], KEYS).findings]
    ending = [(found.flaw, found.place.line) for found in verify([endless], KEYS).findings]

    assert found == [("unreadable", 4)]
    assert ending == [("unreadable", 4)]


# ---------------------------------------------------------------- keys


def test_a_record_whose_key_was_not_given_is_named(path):
    """Nothing can be said of it, so nothing good is."""
    later, end = lines_of(2, AFTER_TEN, ChainKey.of(OTHER_KEY, 2))
    lines = [*TEN, *later]

    assert flaws(path, lines, AFTER_TEN) == [("unknown_key", 11), ("unknown_key", 12)]
    assert verify([path], {1: KEY, 2: OTHER_KEY}).good
    assert end.seq == 12


def test_a_line_that_claims_another_key_is_named(path):
    """An edit cannot be hidden behind a key that nobody has."""
    lines = list(TEN)
    lines[4] = lines[4].replace(b'"key":1', b'"key":9')

    assert flaws(path, lines, AFTER_TEN) == [("unknown_key", 5)]


def test_with_the_wrong_key_every_line_is_wrong(path):
    """The control: it is the key that makes a log good."""
    report = verify([written(path, TEN, AFTER_TEN)], {1: OTHER_KEY})

    assert [found.flaw for found in report.findings] == ["edited"] * 10 + ["head_mismatch"]


def test_what_is_no_key_is_refused(path):
    """A key is 32 octets in base64."""
    with pytest.raises(ConfigurationError):
        verify([path], {1: SecretValue("short")})


# ---------------------------------------------------------------- several files


def test_rotated_files_are_one_chain(path):
    """Each file goes on from the one before, compressed or not; only the last has a sidecar."""
    first = path.with_name("audit.jsonl.2.gz")
    first.write_bytes(gzip.compress(b"".join(TEN[:4])))
    second = written(path.with_name("audit.jsonl.1"), TEN[4:7])
    written(path, TEN[7:], AFTER_TEN)

    report = verify([first, second, path], KEYS)

    assert report.good
    assert (report.records, report.notices) == (10, ())


def test_a_flaw_is_named_by_file_and_line(path):
    """Lines count from 1 in each file."""
    first = written(path.with_name("audit.jsonl.1"), TEN[:4])
    written(path, [*TEN[4:6], *TEN[7:]], AFTER_TEN)

    [found] = verify([first, path], KEYS).findings

    assert (found.place.file, found.place.index, found.place.line) == (path, 1, 3)


def test_a_file_that_is_missing_in_between_is_a_gap(path):
    """The first line of the file after it is named."""
    first = written(path.with_name("audit.jsonl.2"), TEN[:4])
    written(path, TEN[7:], AFTER_TEN)

    [found] = verify([first, path], KEYS).findings

    assert (found.flaw, found.place.file, found.place.line) == ("cut", path, 1)


def test_the_beginning_that_is_not_there_is_a_notice(path):
    """A log that begins later is not wrong: its beginning may have been deleted in its time."""
    report = verify([written(path, TEN[4:], AFTER_TEN)], KEYS)

    assert report.good
    assert report.notices == ("The log begins at record 5; give the file before it.",)


# ---------------------------------------------------------------- ruined logs


def test_findings_have_an_end(path):
    """A ruined log is counted whole, and kept in part."""
    report = verify([written(path, [b"rubbish\n"] * 1500)], KEYS)

    assert report.flaws == 1500
    assert len(report.findings) == MOST_KEPT == findings.MOST_KEPT
    assert not report.good


def test_what_is_remembered_has_an_end(path, monkeypatch):
    """With more gaps and moved records than are remembered, the flaws are told all the same."""
    monkeypatch.setattr(chain_check, "_MOST_OPEN", 2)
    lines, after = lines_of(40)
    every_other = lines[::3]
    moved = [lines[n] for n in (0, 30, 1, 31, 2, 32, 3, 33, *range(4, 30), *range(34, 40))]

    assert [flaw for flaw, _ in flaws(path, every_other)] == ["cut"] * 13
    found = flaws(path, moved, after)
    assert [flaw for flaw, _ in found].count("out_of_order") == 4
    assert ("cut", 35) in found
