"""Raw requests of all kinds against the real server: what reached the application is what was on the wire, or nothing did.

A strict reader of RFC 9112, written for this test alone and without the server's parser, tells what a
payload says. Where the server takes more than the reader finds, or something else, two hops disagree.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.rules import ServeRules
from tests.fuzz import FACTOR, times
from tests.serving.wire import Echo, ask, run, served, statuses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULES = ServeRules(first_byte=0.2, head=0.2, body=0.2, keep_alive=0.2)
#: Connections at a time.
AT_ONCE = 32
SEED = 20_250_701

_LINE = re.compile(rb"([A-Z-]+) ([!-~]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_SIZE = re.compile(rb"([0-9A-Fa-f]+)(?:[;\t ][^\r\n]*)?")

#: Well-formed requests, from which mutations start.
SEEDS = [
    b"GET /a/b%2Fc?d=e&f HTTP/1.1\r\nHost: site.test\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
    b"POST /up HTTP/1.1\r\nHost: site.test\r\nContent-Length: 11\r\nContent-Type: text/plain\r\n\r\nhello world",
    b"PUT /c HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nA: b\r\n\r\n",
    b"GET /1 HTTP/1.1\r\nHost: site.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n",
    b"POST /h HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n",
    b"GET http://site.test/abs?x HTTP/1.1\r\nHost: site.test\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b"#", b"%00", b"Content-Length: 3\r\n", b"\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Host: evil\r\n", b"0\r\n\r\n", b"\xff",
    b"Connection: close\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"HTTP/1.0", b"-1", b"+", b"0x", b";",
    b"GET /smuggled HTTP/1.1\r\nHost: site.test\r\n\r\n",
]  # fmt: skip

Reading = tuple[bytes, bytes, bytes]  # method, target, body


def read(raw: bytes) -> Iterator[Reading]:
    """Yield the requests that ``raw`` surely is, and stop at the first that could be read in two ways."""
    while True:
        raw = raw.removeprefix(b"\r\n")
        head, end, rest = raw.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        asked = _LINE.fullmatch(line)
        if not end or asked is None:
            return
        named: dict[bytes, list[bytes]] = {}
        for one in fields:
            match = _FIELD.fullmatch(one)
            if match is None:
                return
            named.setdefault(match[1].lower(), []).append(match[2].strip(b" \t"))
        if len(named.get(b"host", [])) != 1:
            return
        body = _body(named, rest, asked[3] == b"1")
        if body is None:
            return
        yield asked[1], asked[2], body[0]
        closing = b",".join(named.get(b"connection", [])).lower()
        if asked[3] == b"0" or b"close" in [option.strip() for option in closing.split(b",")]:
            return
        raw = body[1]


def _body(named: dict[bytes, list[bytes]], rest: bytes, new: bool) -> tuple[bytes, bytes] | None:  # noqa: FBT001
    lengths, codings = named.get(b"content-length", []), named.get(b"transfer-encoding", [])
    if codings:
        if lengths or not new or [one.lower() for one in codings] != [b"chunked"]:
            return None
        return _chunks(rest)
    if not lengths:
        return b"", rest
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]) or int(lengths[0]) > len(rest):
        return None
    return rest[: int(lengths[0])], rest[int(lengths[0]) :]


def _chunks(rest: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        line, end, rest = rest.partition(b"\r\n")
        match = _SIZE.fullmatch(line)
        if not end or match is None:
            return None
        size = int(match[1], 16)
        if size == 0:
            break
        if rest[size : size + 2] != b"\r\n":
            return None
        body, rest = body + rest[:size], rest[size + 2 :]
    while not rest.startswith(b"\r\n"):
        line, end, rest = rest.partition(b"\r\n")
        if not end or _FIELD.fullmatch(line) is None:
            return None
    return body, rest[2:]


def path_of(target: bytes) -> bytes:
    """Return path and query of a target in origin or absolute form."""
    rest = re.sub(rb"\A(?i:https?)://[^/?]*", b"", target)
    return rest if rest.startswith((b"/", b"*")) else b"/" + rest


def mutations(count: int) -> Iterator[bytes]:
    """Yield requests with bytes changed, doubled, taken away, and put in from what framing is made of."""
    chance = random.Random(SEED)
    for _ in range(count):
        raw = bytearray(chance.choice(SEEDS))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(raw) + 1)
            match chance.randrange(5):
                case 0:
                    raw[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    raw[at : at + chance.randint(1, 8)] = b""
                case 2:
                    raw[at:at] = chance.choice(PIECES)
                case 3:
                    to = chance.randrange(len(raw) + 1)
                    raw[to:to] = raw[at : at + chance.randint(1, 40)]
                case _:  # a line's end is where framing breaks
                    ends = [found.start() for found in re.finditer(rb"\r\n", raw)]
                    if ends:
                        at = chance.choice(ends)
                        raw[at : at + 2] = chance.choice(PIECES)
        yield bytes(raw)


async def judge(payloads: list[bytes]) -> list[str]:
    """Send each payload, one connection each and an application each; return what is wrong."""
    wrong: list[str] = []
    turn = iter(payloads)

    async def some() -> None:
        echo = Echo()
        async with served(echo, RULES) as (port, _):
            for raw in turn:
                echo.judged.clear()
                got = statuses(await ask(port, raw))
                wrong.extend(f"{raw!r}: {words}" for words in compare(raw, got, echo))

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return wrong


def compare(raw: bytes, got: list[int], echo: Echo) -> Iterator[str]:
    """Yield what is wrong with what was answered and judged."""
    judged = [one for one in echo.judged if one.complete and one.method != "websocket"]
    taken = [
        (one.method.encode(), one.path + (b"?" + one.query if one.query else b""), one.body) for one in judged
    ]
    said = [(method, path_of(target).removesuffix(b"?"), body) for method, target, body in read(raw)]
    if any(status >= 500 for status in got):
        yield f"answered {got}"
    if taken != said[: len(taken)]:
        yield f"judged {taken}, said {said}"
    if got.count(200) > len(judged):
        yield f"{len(judged)} judged, answered {got}"


@pytest.mark.security("P0")
@pytest.mark.security("C2")
@pytest.mark.security("C3")
@pytest.mark.security("C8")
def test_llhttps_own_requests(shared: Path) -> None:
    file = shared / "corpora" / "http1-raw" / "llhttp-requests.jsonl"
    raws = [base64.b64decode(json.loads(line)["payload_b64"]) for line in file.read_text().splitlines()]
    assert len(raws) > 90
    # with a Host each: most have none, and would all be refused for that
    hosted = [re.sub(rb"\A(\s*[^\r\n]+\r\n)(?!Host)", rb"\1Host: a\r\n", raw) for raw in raws]
    assert run(judge(raws + hosted)) == []


@pytest.mark.security("P0")
@pytest.mark.security("C2")
@pytest.mark.security("C3")
def test_mutations_of_requests() -> None:
    """Seeded; ``make fuzz`` tries 20,000."""
    count = times(500) if FACTOR == 1 else times(1000)
    assert run(judge(list(mutations(count)))) == []


def test_the_reader_reads() -> None:
    """It finds the seeds' requests, and stops where the next could be anything."""
    assert [len(list(read(raw))) for raw in SEEDS] == [1, 1, 1, 2, 1, 1]
    assert list(read(SEEDS[2])) == [(b"PUT", b"/c", b"hello world")]
    assert list(read(SEEDS[1].replace(b"11", b"11, 11"))) == []
