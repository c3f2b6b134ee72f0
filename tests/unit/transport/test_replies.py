from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets.transport.replies import (
    MAX_RESPONSE,
    BadReply,
    Reply,
    ReplyReader,
    ReplyTooLarge,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = OK + b'Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{"data": {}}'
IN_CHUNKS = CHUNKED + b'5\r\n{"dat\r\n7;x=y\r\na": {}}\r\n0\r\nExpires: 0\r\n\r\n'


def read(*parts: bytes, ends: bool = False) -> Reply | None:
    """Feed a reader until it has a reply; then nothing may be left."""
    reader = ReplyReader()
    for number, part in enumerate(parts, 1):
        reply = reader.feed(part)
        if reply is not None:
            assert number == len(parts)
            return reply
    return reader.end() if ends else None


def octets_of(whole: bytes) -> list[bytes]:
    return [whole[at : at + 1] for at in range(len(whole))]


# ---------------------------------------------------------------- what is a reply


def test_reply_with_a_length():
    """Status, fields by their names in lower case without blanks around values, and the body."""
    reply = read(OK + b"X-Vault-Index: \t abc \r\nContent-Length: 2\r\n\r\n{}")

    assert reply is not None
    assert (reply.status, reply.body, reply.keeps) == (200, b"{}", True)
    assert reply.fields == {"x-vault-index": "abc", "content-length": "2"}


@pytest.mark.parametrize("whole", [WHOLE, IN_CHUNKS], ids=["length", "chunks"])
def test_reply_may_come_octet_by_octet(whole):
    """However the network cuts it, it is the same reply, complete with its last octet."""
    reply = read(*octets_of(whole))

    assert reply is not None
    assert (reply.body, reply.keeps) == (b'{"data": {}}', True)


@given(st.data(), st.sampled_from([WHOLE, IN_CHUNKS, b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE]))
def test_reply_may_come_in_any_parts(data, whole):
    """A cut at any two places changes nothing."""
    one = data.draw(st.integers(0, len(whole) - 1))
    two = data.draw(st.integers(one, len(whole) - 1))

    reply = read(whole[:one], whole[one:two], whole[two:])

    assert reply is not None
    assert reply.body == b'{"data": {}}'


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body(status):
    """These have none, whatever their fields say."""
    reply = read(b"HTTP/1.1 %d X\r\nContent-Length: 9\r\n\r\n" % status)

    assert reply is not None
    assert (reply.status, reply.body, reply.keeps) == (status, b"", True)


def test_reason_may_be_missing_or_of_any_text():
    """Nobody reads it, and a proxy may write what it likes."""
    for reason in (b"", b" ", b" Schon gut\xfc\t!"):
        reply = read(b"HTTP/1.1 200" + reason + b"\r\nContent-Length: 0\r\n\r\n")

        assert reply is not None
        assert reply.status == 200


def test_interim_replies_are_passed_over():
    """A 100 or 103 says nothing to us; the reply follows, with it or later."""
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

    together = read(interim + interim + WHOLE)
    apart = read(interim, WHOLE)

    assert together is not None
    assert apart is not None
    assert (together.status, apart.status) == (200, 200)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", b"HTTP/1.0 200 OK\r\n"],
    ids=["close", "1.0"],
)
def test_connection_that_ends_is_not_kept(head):
    """Because the server says so, or speaks HTTP/1.0."""
    reply = read(head + b"Content-Length: 2\r\n\r\n{}")

    assert reply is not None
    assert (reply.body, reply.keeps) == (b"{}", False)


def test_body_without_a_length_lasts_until_the_end():
    """It is complete when the connection ends, which is then of no use."""
    reply = read(OK + b"\r\n{", b"}", ends=True)

    assert reply is not None
    assert (reply.body, reply.keeps) == (b"{}", False)


@pytest.mark.parametrize(
    "cut",
    [b"", OK, OK + b"Content-Length: 3\r\n\r\n{}", CHUNKED + b"2\r\n{}\r\n"],
    ids=["nothing", "head", "length", "chunks"],
)
def test_reply_that_is_cut_is_none(cut):
    """The end of the connection completes no other reply."""
    assert read(cut, ends=True) is None


@pytest.mark.parametrize("whole", [WHOLE, IN_CHUNKS], ids=["length", "chunks"])
def test_octets_after_a_reply_leave_the_connection(whole):
    """Nobody asked for them: the reply counts, and the connection is not used again."""
    reply = read(whole + b"HTTP/1.1 200 OK\r\n")

    assert reply is not None
    assert (reply.body, reply.keeps) == (b'{"data": {}}', False)


# ---------------------------------------------------------------- what is none


@pytest.mark.parametrize(
    "bad",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 0200 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        OK + b"No-Colon\r\n\r\n",
        OK + b": no name\r\n\r\n",
        OK + b"Space : before\r\n\r\n",
        OK + b"A: folded\r\n line\r\n\r\n",
        OK + b"A: bare\nB: line feed\r\n\r\n",
        OK + b"A: carriage\rreturn\r\n\r\n",
        OK + b"A: nul\0\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: 2\r\ncontent-length: 3\r\n\r\n{}",
        OK + b"Content-Length: +2\r\n\r\n{}",
        OK + b"Content-Length: -2\r\n\r\n{}",
        OK + b"Content-Length: 2, 2\r\n\r\n{}",
        OK + b"Content-Length: \xb2\r\n\r\n{}",
        OK + b"Content-Length:\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"0x2\r\n{}\r\n",
        CHUNKED + b"-2\r\n{}\r\n",
        CHUNKED + b"123456789\r\n",
        CHUNKED + b"2\n{}\r\n",
        CHUNKED + b"2\r\n{}xx0\r\n\r\n",
        CHUNKED + b"2" * 2000,
        CHUNKED + b"0\r\nno colon\r\n\r\n",
        CHUNKED + b"0\r\nA: b\nC: d\r\n\r\n",
    ],
)
def test_what_readers_disagree_about_is_no_reply(bad):
    """Nothing is guessed: a proxy in between may have guessed otherwise."""
    with pytest.raises(BadReply):
        read(bad)


@pytest.mark.parametrize(
    "endless",
    [
        OK + b"A: " + b"x" * 70_000,
        OK + b"A: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3_000,
        CHUNKED + b"0\r\nA: " + b"x" * 70_000,
    ],
    ids=["head", "whole-head", "interim", "trailer"],
)
def test_head_without_an_end_is_given_up(endless):
    """After 64 KiB, or nine replies that are none yet, it is none, whatever may follow."""
    with pytest.raises(BadReply):
        read(*[endless[at : at + 16_384] for at in range(0, len(endless), 16_384)])


@pytest.mark.parametrize(
    "parts",
    [
        [OK + b"Content-Length: %d\r\n\r\n" % (MAX_RESPONSE + 1)],
        [OK + b"\r\n", *[b"x" * 65_536] * 65],
        [CHUNKED + b"%x\r\n" % (MAX_RESPONSE + 1)],
        [CHUNKED, *[b"10000\r\n" + b"x" * 65_536 + b"\r\n"] * 65],
        [CHUNKED, *[b"1\r\nx\r\n" * 10_000] * 130],
    ],
    ids=["length", "end", "chunk", "chunks", "framing"],
)
def test_body_over_the_cap_is_not_read(parts):
    """Announced, streamed, or hidden in chunks of one octet: it ends at 4 MiB."""
    with pytest.raises(ReplyTooLarge):
        read(*parts, ends=True)


def test_body_at_the_cap_is_read():
    """The control: 4 MiB are allowed, and take no time that grows with their parts."""
    part = b"x" * 65_536

    reply = read(OK + b"Content-Length: %d\r\n\r\n" % MAX_RESPONSE, *[part] * 64)

    assert reply is not None
    assert len(reply.body) == MAX_RESPONSE


@given(
    st.lists(st.binary(max_size=60), max_size=6), st.sampled_from([b"", OK, CHUNKED, WHOLE[:-3]])
)
def test_any_octets_are_a_reply_or_refused(parts, before):
    """No input raises anything else, and a refusal carries none of it."""
    reader = ReplyReader()
    try:
        for part in (before, *parts):
            if part and reader.feed(part) is not None:
                return
        reader.end()
    except BadReply as error:
        assert error.args == ()  # noqa: PT017  one of the outcomes
