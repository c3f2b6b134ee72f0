"""One record, one line: nothing a caller says can make it two, and nothing else is one."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets.audit.event import AuditEvent, AuditPhase, AuditResult
from greenlang_secrets.audit.records import (
    MAX_LINE,
    SEAL_LENGTH,
    ChainKey,
    Position,
    RecordError,
    members_of,
    parse,
    sealed,
)
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from support.audit import BEGINNING, CHAIN_KEY, KEY, event

FULL = AuditEvent(
    action="read",
    phase=AuditPhase.OUTCOME,
    result=AuditResult.OK,
    id="1" * 32,
    operation_id="2" * 32,
    at=datetime(2026, 1, 31, 12, 30, 45, 6, tzinfo=UTC),
    principal="ann",
    principal_tenant="acme",
    tenant="acme",
    path="database/postgresql",
    version=3,
    status=200,
    code="none",
    seconds=0.0012345678,
    cache="hit",
    request_id="3" * 32,
    trace_id="4" * 32,
    source_address="192.0.2.7",
    reason="audit",
)


def line_of(said: AuditEvent = FULL) -> bytes:
    return sealed(members_of(said), BEGINNING, CHAIN_KEY)[0]


def changed(**members: object) -> bytes:
    """A line with these members instead; its HMAC is no longer right, which parsing leaves to
    whoever has the key.
    """
    document = {**json.loads(line_of()), **members}
    document["hmac"] = document.pop("hmac")  # the last of all
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def test_a_record_is_this_line():
    """The order of members and the spelling of each are part of the format."""
    line = line_of()

    assert line[:-SEAL_LENGTH] == (
        b'{"seq":1,"chain":"cccccccccccccccccccccccccccccccc","key":1,'
        b'"prev":"0000000000000000000000000000000000000000000000000000000000000000",'
        b'"id":"11111111111111111111111111111111","at":"2026-01-31T12:30:45.000006Z",'
        b'"operation_id":"22222222222222222222222222222222","action":"read",'
        b'"phase":"outcome","result":"ok","principal":"ann","principal_tenant":"acme",'
        b'"tenant":"acme","path":"database/postgresql","version":3,"status":200,"code":"none",'
        b'"seconds":0.001235,"cache":"hit","request_id":"33333333333333333333333333333333",'
        b'"trace_id":"44444444444444444444444444444444","source_address":"192.0.2.7",'
        b'"reason":"audit"'
    )


def test_the_hmac_is_of_the_octets_before_it():
    """Anybody with the key can check a line with nothing but a standard library."""
    line = line_of()

    expected = hmac.new(b"k" * 32, line[:-76], hashlib.sha256).hexdigest()

    assert line[-76:] == b',"hmac":"' + expected.encode() + b'"}\n'


def test_each_record_names_the_one_before():
    """Number and HMAC go on from the record before."""
    first, after = sealed(members_of(FULL), BEGINNING, CHAIN_KEY)
    second, _ = sealed(members_of(event()), after, CHAIN_KEY)

    assert parse(first).prev == "0" * 64
    assert parse(second).prev == parse(first).hmac == after.hmac
    assert parse(second).seq == 2
    assert parse(second).position == Position(chain="c" * 32, seq=2, hmac=parse(second).hmac)


def test_a_chain_begins_under_a_name_of_its_own():
    """Two new chains are not mistaken for one another."""
    assert Position.beginning().chain != Position.beginning().chain
    assert Position.beginning().seq == 0


def test_what_is_none_is_left_out():
    """A short event is a short line, and comes back as it was."""
    said = event()

    record = parse(line_of(said))

    assert record.event == said
    assert b"null" not in line_of(said)


def test_times_are_utc():
    """An event of another zone is recorded in UTC, and is the same moment."""
    at = datetime(2026, 1, 31, 1, 0, tzinfo=timezone(timedelta(hours=2)))

    assert b'"at":"2026-01-30T23:00:00.000000Z"' in line_of(event(at=at))
    assert parse(line_of(event(at=at))).event.at == at


texts = st.text(st.characters(), max_size=40)  # lone surrogates and controls among them


@given(path=texts, principal=texts, reason=texts)
def test_any_text_comes_back_from_one_line(path, principal, reason):
    """Line ends, controls and lone surrogates stay inside one line of ASCII."""
    said = event(path=path, principal=principal, reason=reason)

    line = line_of(said)

    assert line.count(b"\n") == 1
    assert line.isascii()
    assert all(octet >= 0x20 for octet in line[:-1])
    assert parse(line).event == said


@pytest.mark.parametrize(
    "members",
    [{"seconds": float("nan")}, {"seconds": float("inf")}, {"reason": "x" * MAX_LINE}],
)
def test_an_event_that_fits_no_line_is_refused(members):
    """What cannot be read back is not written."""
    with pytest.raises(ValueError, match=r"JSON compliant|too long"):
        members_of(event(**members))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\n", "does not end in an HMAC"),
        (line_of()[:-1], "does not end in an HMAC"),
        (line_of()[:-1] + b"\r\n", "does not end in an HMAC"),
        (line_of().replace(b'"}', b'" }'), "does not end in an HMAC"),
        (line_of()[:-10].upper() + line_of()[-10:], "does not end in an HMAC"),
        (b" " + line_of(), "does not begin with its number"),
        (line_of().replace(b'"read"', '"réad"'.encode()), "not JSON in ASCII"),
        (line_of().replace(b'"read"', b'"read'), "not JSON in ASCII"),
        (line_of().replace(b'"read"', b'"re\x01d"'), "not JSON in ASCII"),
        (line_of().replace(b'"read"', b"[" * 100_000), "not JSON in ASCII"),
        (line_of().replace(b'"seq":1', b'"seq":' + b"1" * 5000), "not JSON in ASCII"),
        (line_of().replace(b'"version":3', b'"version":NaN'), "a number that JSON"),
        (line_of().replace(b'"version":3', b'"version":3,"version":3'), "a member twice"),
        (line_of().replace(b'"path":"', b'"path":"' + b"x" * MAX_LINE), "too long"),
        (changed(surplus="x"), "a member that no record has"),
        (changed(seq=0), "seq"),
        (changed(seq=True), "seq"),
        (changed(seq="1"), "seq"),
        (changed(seq=2**63), "seq"),
        (changed(key=0), "key"),
        (changed(chain="C" * 32), "chain"),
        (changed(prev="0" * 63), "prev"),
        (changed(id=1), "id"),
        (changed(at=1), "at"),
        (changed(at="2026-01-31T12:30:45Z"), "at"),
        (changed(at="2026-02-31T12:30:45.000000Z"), "at"),
        (changed(phase="before"), "phase"),
        (changed(phase=["intent"]), "phase"),
        (changed(result=None), "result"),
        (changed(path=7), "path"),
        (changed(version=-1), "version"),
        (changed(version=1.5), "version"),
        (changed(seconds="1"), "seconds"),
        (changed(seconds=True), "seconds"),
        (line_of().replace(b'"action":"read",', b""), "action"),
        (line_of().replace(b'"prev":"', b'"prov":"'), "prev"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_what_is_no_record_is_refused(line, why):
    """The reason is named, and nothing of the line is quoted."""
    with pytest.raises(RecordError, match=why) as caught:
        parse(line)

    assert "postgresql" not in str(caught.value)


def test_changed_lines_parse_if_their_members_are_right():
    """The control: the changed lines above are refused for their members alone."""
    assert parse(changed()).event == parse(line_of()).event
    assert parse(changed(seconds=1)).event.seconds == 1.0


@pytest.mark.parametrize("text", ["", "a2V5", "not base64", "é" * 44])
def test_a_key_is_32_octets(text):
    """Another key is refused by its version, and not shown."""
    with pytest.raises(ConfigurationError, match="version 7 is not 32 octets"):
        ChainKey.of(SecretValue(text), 7)


def test_a_key_does_not_show_itself():
    """Its octets are not in its repr."""
    assert repr(ChainKey.of(KEY, 1)) == "ChainKey(version=1)"
