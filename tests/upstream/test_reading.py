"""Answers are read in the one way that every reader behind us reads them, wherever the network cuts them."""

from __future__ import annotations

import random

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.errors import UpstreamError
from antiscrape.upstream.chunks import LONGEST_LINE, LONGEST_TRAILERS
from antiscrape.upstream.head import MOST_FIELDS, read_head
from antiscrape.upstream.reading import AT_HEAD, DONE, OPAQUE, Reader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

#: Answers that are whole: what is sent, and status, fields and body as they are read.
WHOLE = {
    "length": (OK + b"X: 1\r\nContent-Length: 2\r\n\r\nok", 200, [(b"x", b"1"), (b"content-length", b"2")], b"ok"),
    "chunks": (CHUNKED + b'2\r\nok\r\n3;x=y;z="q\\"; ";w\r\nall\r\n0\r\n\r\n', 200, [], b"okall"),
    "chunks with trailers": (CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", 200, [], b"ok"),
    "hexadecimal": (CHUNKED + b"0A\r\n0123456789\r\n000\r\n\r\n", 200, [], b"0123456789"),
    "no reason": (b"HTTP/1.1 204\r\n\r\n", 204, [], b""),
    "a reason in UTF-8": (b"HTTP/1.1 404 Nicht da, \xc3\xa4h\r\nContent-Length: 0\r\n\r\n", 404, [(b"content-length", b"0")], b""),
    "spaces around a value": (OK + b"X:\t a b \t\r\nContent-Length:0\r\n\r\n", 200, [(b"x", b"a b"), (b"content-length", b"0")], b""),
    "an empty value": (OK + b"X:\r\nContent-Length: 0\r\n\r\n", 200, [(b"x", b""), (b"content-length", b"0")], b""),
    "interim answers": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n", 200, [(b"content-length", b"0")], b""),
    "hops": (OK + b"Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nContent-Length: 0\r\n\r\n", 200, [(b"content-length", b"0")], b""),
    "connection names what it may not": (OK + b"Connection: content-length\r\nContent-Length: 1\r\n\r\nx", 200, [(b"content-length", b"1")], b"x"),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 9\r\n\r\n", 304, [(b"etag", b"x")], b""),
    "a fold": (OK + b"X: a\r\n \tb \r\n c\r\nContent-Length: 0\r\n\r\n", 200, [(b"x", b"a b c"), (b"content-length", b"0")], b""),
}  # fmt: skip


def read(*pieces: bytes, head_only: bool = False, switching: bool = False) -> Reader:
    reader = Reader()
    reader.begin(head_only=head_only, switching=switching)
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize("case", WHOLE)
def test_wherever_an_answer_is_cut_it_is_read_the_same(case: str) -> None:
    sent, status, fields, body = WHOLE[case]
    cuts = [(sent[:at], sent[at:]) for at in range(1, len(sent))]
    for pieces in [(sent,), *cuts, tuple(bytes([byte]) for byte in sent)]:
        reader = read(*pieces)
        assert reader.stage == DONE
        assert not reader.surplus
        assert reader.head is not None
        assert (reader.head.status, reader.head.headers) == (status, fields)
        assert b"".join(reader.pieces) == body


#: What is not one answer in one way, and so is none.
DOUBTFUL = {
    "a bare LF": OK + b"X: 1\nContent-Length: 0\r\n\r\n",
    "a bare LF behind the status": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "an empty line before": b"\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    "a fold before all fields": OK + b" X: 1\r\nContent-Length: 0\r\n\r\n",
    "a folded length": OK + b"Content-Length:\r\n 5\r\n\r\nhello",
    "a folded coding": OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "no name": OK + b": x\r\nContent-Length: 0\r\n\r\n",
    "a length with a space in it": OK + b"Content-Length: 1 0\r\n\r\n",
    "no length": OK + b"Content-Length:\r\n\r\n",
    "a length of twenty digits": OK + b"Content-Length: 10000000000000000000\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked, with a comma": OK + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    "chunked, with a tab and more": OK + b"Transfer-Encoding: chunked\tx\r\n\r\n0\r\n\r\n",
    "chunked, with a tab": OK + b"Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.10": b"HTTP/1.10 200 OK\r\nContent-Length: 0\r\n\r\n",
    "lower-case http": b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "two spaces before the status": b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "one field too many": OK + b"X: 1\r\n" * (MOST_FIELDS + 1) + b"\r\n",
    "a size with a sign": CHUNKED + b"+2\r\nok\r\n0\r\n\r\n",
    "a size with a prefix": CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n",
    "a size with an underscore": CHUNKED + b"1_0\r\n0123456789012345\r\n0\r\n\r\n",
    "a size with a space": CHUNKED + b"2 \r\nok\r\n0\r\n\r\n",
    "no size": CHUNKED + b"\r\n\r\n",
    "a size of twenty digits": CHUNKED + b"00000000000000000002\r\nok\r\n",
    "a size that ends in LF": CHUNKED + b"2\nok\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"2\r\noka\r\n0\r\n\r\n",
    "a chunk that ends in LF": CHUNKED + b"2\r\nok\n0\r\n\r\n",
    "an endless extension": CHUNKED + b"2;" + b"x" * (LONGEST_LINE + 1),
    "a space before an extension": CHUNKED + b"2 ;x\r\nok\r\n0\r\n\r\n",
    "a quote that does not end": CHUNKED + b'2;x="\r\nok\r\n0\r\n\r\n',
    "a CR in an extension": CHUNKED + b"2;a\rb\r\nok\r\n0\r\n\r\n",
    "a trailer that is none": CHUNKED + b"0\r\nhello\r\n\r\n",
    "a length in a trailer": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "endless trailers": CHUNKED + b"0\r\n" + b"X: 1234567890\r\n" * (LONGEST_TRAILERS // 10) + b"\r\n",
    "too many trailers": CHUNKED + b"0\r\n" + b"X: 1\r\n" * (MOST_FIELDS + 1) + b"\r\n",
    "an endless trailer": CHUNKED + b"0\r\nX: " + b"x" * (LONGEST_TRAILERS + 1),
    "a flood of interim answers": b"HTTP/1.1 103 x\r\n\r\n" * 10_000,
    "a switch nobody asked for": b"HTTP/1.1 101 x\r\nUpgrade: x\r\n\r\n",
}  # fmt: skip


@pytest.mark.security("C9")
@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_can_be_read_in_two_ways_is_not_read(case: str) -> None:
    with pytest.raises(UpstreamError):
        read(DOUBTFUL[case])


@pytest.mark.security("C9")
@pytest.mark.parametrize(
    "sent",
    [
        OK + b"Content-Length: 2\r\n\r\nok!",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n!",
        b"HTTP/1.1 204 No\r\n\r\n!",
        b"HTTP/1.1 304 Not\r\nETag: x\r\n\r\n!",
    ],
)
def test_what_stands_behind_an_answer_is_not_of_it(sent: bytes) -> None:
    for pieces in ((sent,), (sent[:-1], sent[-1:])):
        reader = read(*pieces)
        assert reader.stage == DONE
        assert reader.surplus
        assert b"!" not in b"".join(reader.pieces)


@pytest.mark.security("C9")
@pytest.mark.parametrize(
    ("sent", "keeps"),
    [
        (b"HTTP/1.1 204 No\r\n\r\n", True),
        (b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 304 Not\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n", False),
        (OK + b"Content-Length: 0\r\nConnection: Close\r\n\r\n", False),
        (OK + b"Content-Length: 0\r\nConnection: x, close\r\n\r\n", False),
        (OK + b"Content-Length: 0\r\nConnection: x\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", False),
        (OK + b"\r\n", False),
    ],
)
def test_a_connection_is_kept_only_where_nothing_speaks_against_it(sent: bytes, keeps: bool) -> None:  # noqa: FBT001  a table's column
    head = read_head(sent[:-4])
    assert head.keeps is keeps


def test_the_head_of_an_answer_to_head_has_no_body_behind_it() -> None:
    for sent in (OK + b"Content-Length: 100\r\n\r\n", CHUNKED):
        assert read(sent, head_only=True).stage == DONE


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    reader = read(OK + b"\r\nhello", b" world")
    assert reader.stage != DONE
    assert reader.end()
    assert b"".join(reader.pieces) == b"hello world"
    half = read(OK + b"Content-Length: 10\r\n\r\nhello")
    assert not half.end()


def test_a_switch_of_protocols_keeps_what_comes_behind_it() -> None:
    reader = read(
        b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81", b"\x00", switching=True
    )
    assert reader.stage == OPAQUE
    assert reader.head is not None
    assert reader.head.headers == [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")]
    assert reader.beyond() == b"\x81\x00"


class Llhttp:
    """What the parser that others use makes of the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.complete = False
        self.status = 0
        self._parser = httptools.HttpResponseParser(self)
        self.refusal = ""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.refusal = str(error) or type(error).__name__

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


SEEDS = [sent for sent, _, _, _ in WHOLE.values() if b"HTTP/1.1 100" not in sent and b"\r\n \t" not in sent]
SPICE = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"0", b"chunked", b"Content-Length: 3\r\n", b"\x80", b";", b",", b"1"]  # fmt: skip


@pytest.mark.security("C9")
def test_what_is_taken_is_what_another_parser_takes_too() -> None:
    """2,000 answers with a byte or two gone wrong: never is one read whole here that llhttp reads otherwise."""
    dice = random.Random(9)
    taken = 0
    for _ in range(2000):
        sent = bytearray(dice.choice(SEEDS))
        for _ in range(dice.randint(1, 2)):
            at = dice.randrange(len(sent))
            kind = dice.randrange(3)
            if kind == 0:
                sent[at] = dice.randrange(256)
            elif kind == 1:
                sent[at:at] = dice.choice(SPICE)
            else:
                del sent[at : at + dice.randint(1, 3)]
        try:
            reader = read(bytes(sent))
        except UpstreamError:
            continue
        if reader.stage != DONE or reader.surplus or reader.head is None:
            continue
        theirs = Llhttp(bytes(sent))
        if theirs.refusal:
            # any byte of a reason, a fold, and a length that frames nothing are taken here
            known = b"\r\n " in sent or b"\r\n\t" in sent or "reason" in theirs.refusal
            assert known or reader.head.status in {204, 304}, (bytes(sent), theirs.refusal)
            continue
        taken += 1
        assert theirs.status == reader.head.status, bytes(sent)
        assert theirs.body == b"".join(reader.pieces), bytes(sent)
        assert theirs.complete, bytes(sent)
        ours = reader.head.headers
        kept = {name for name, _ in ours}
        fields = [(name, value.strip(b" \t")) for name, value in theirs.fields if name in kept]
        assert ours == fields[: len(ours)], bytes(sent)  # theirs has the trailers behind them
    assert taken > 200


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8))
def test_no_bytes_raise_anything_but_an_upstream_error(pieces: list[bytes]) -> None:
    reader = Reader()
    reader.begin(head_only=False, switching=False)
    try:
        for piece in pieces:
            reader.feed(piece)
    except UpstreamError as error:
        assert str(error).isprintable()  # noqa: PT017  SECURITY J5: a line of a log
    else:
        assert reader.stage == AT_HEAD or reader.head is not None
