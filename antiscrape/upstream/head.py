r"""The head of a site's answer, read in the one way that every reader behind us reads it, or refused.

Parsers of clients are lenient with servers (llhttp and urllib3 take what they refuse from clients), and a
lenient reader in front of a strict one is how responses are split (SECURITY C9). So this one takes the
grammar of RFC 9112 and nothing beside it: lines end in CRLF, a name is a token that a colon follows at
once, no value has a control character, a body is framed once. Only a folded line, which old servers do
write, is unfolded as §5.2 tells a gateway to.

A site sends the same lines again and again, so what a line means is remembered: most fields of most
answers cost one look-up. What was worked out once for ``Connection: keep-alive`` is not worked out anew.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.memo import Memo
from antiscrape.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterable

    Headers = list[tuple[bytes, bytes]]

#: nginx's proxy buffers hold 8 kB of head, but Set-Cookie and CSP lines grow beyond.
LONGEST_HEAD: Final = 65_536
#: The longest field of an answer.
LONGEST_FIELD: Final = 32_768
#: The most fields of an answer; Apache's LimitRequestFields is about as many.
MOST_FIELDS: Final = 128

#: In the place of a body's length: it comes in chunks, or it ends with the connection.
CHUNKED, TO_THE_END = -1, -2

#: RFC 9110 §7.6.1, with HTTP2-Settings of RFC 7540 §3.2.1 (h2c smuggling, SECURITY C4).
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"expect",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
#: Without these either side would see another message than was sent, whatever Connection says of them.
NEVER_HOP_BY_HOP: Final = frozenset(
    {b"host", b"content-length", b"content-type", b"cookie", b"authorization"}
)

# RFC 9112 §4; the space before an empty reason is often left out. Only 1.0 and 1.1 have this grammar.
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_STATUS_NONSENSE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")
# RFC 9110 §5.6.2: a name is a token; §5.5: CR, LF and NUL end a value early in somebody's parser.
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
_LENGTH = re.compile(rb"[0-9]{1,18}")
#: A longer line is a cookie, a policy or a one-off; those that come again are short.
_LONGEST_KNOWN = 256

_PLAIN, _HOP, _CONNECTION, _FRAMING, _TRAILER = range(5)
_TWO_WAYS: Final = "the site framed its answer in more than one way"

#: What stands for a pair where a line says something of the connection: whether it closes, and what it names.
_Options = tuple[bool, frozenset[bytes]]
#: Name and value, what kind of field it is, and the body's length where it frames one.
_Found = tuple[tuple[bytes, bytes], int, int]

_KNOWN_LINES: Memo[bytes, _Found] = Memo(4096)
_KNOWN_STATUSES: Memo[bytes, tuple[int, bool]] = Memo(256)
_KNOWN_OPTIONS: Memo[bytes, _Options] = Memo(256)


class Head(NamedTuple):
    """The head of an answer.

    ``headers``: what is meant for the client, names in lower case. ``length``: bytes of the body,
    or ``CHUNKED`` or ``TO_THE_END``. ``keeps``: whether the connection may serve another request.
    ``announced``: what the Trailer fields of a chunked answer say; ``named``: what its Connection
    fields name, in lower case, which goes no further in the trailers either (RFC 9110 §7.6.1).
    """

    status: int
    headers: Headers
    length: int
    keeps: bool
    announced: bytes = b""
    named: frozenset[bytes] | None = None


class _Folded(Exception):  # noqa: N818  it never leaves this module
    """A line goes on in the next one."""


def read_head(block: bytes, *, bodiless: bool = False) -> Head:
    """Return the head in ``block``, which ends before its empty line; raise ``UpstreamError``.

    ``bodiless``: the request was a HEAD, so no body follows whatever is said of one.
    """
    lines = block.split(b"\r\n")
    if len(lines) > MOST_FIELDS:
        raise UpstreamError(f"the site sent more than {MOST_FIELDS} fields")
    try:
        return _read(lines, bodiless=bodiless)
    except _Folded:
        return _read(_unfolded(lines), bodiless=bodiless)


def _read(lines: list[bytes], *, bodiless: bool) -> Head:  # noqa: C901  one scan of the fields, on every answer
    status, modern = _KNOWN_STATUSES.young.get(lines[0]) or read_status(lines[0])
    headers: Headers = []
    keeps, named, length, announced = modern, None, TO_THE_END, b""
    known = _KNOWN_LINES.young.get
    for line in lines[1:]:
        pair, kind, meaning = known(line) or _field(line)
        if kind == _PLAIN:
            headers.append(pair)
        elif kind == _FRAMING:
            # RFC 9112 §6.3: a Content-Length that is repeated, or stands beside Transfer-Encoding, is an attack
            # or an error; §6.1: so is Transfer-Encoding in an answer of HTTP/1.0.
            if length != TO_THE_END or (meaning == CHUNKED and not modern):
                raise UpstreamError(_TWO_WAYS)
            length = meaning
            if meaning != CHUNKED:
                headers.append(pair)
        elif kind == _CONNECTION:
            closes, options = _options(pair[1])
            keeps = keeps and not closes
            named = options if named is None else named | options
        elif kind == _TRAILER:
            announced += b"," + pair[1]
    if named:
        headers = [pair for pair in headers if pair[0] not in named]
    if status < 200 or status == 204 or status == 304:  # noqa: PLR1714  twice as fast as a set
        # RFC 9110 §8.6 forbids a length with 204; with 304 it is that of another response, and servers that
        # count (uvicorn does) take it for this one's. Some sites send that other body: no second answer is
        # looked for behind it.
        if length != TO_THE_END:
            headers = [pair for pair in headers if pair[0] != b"content-length"]
            keeps = keeps and length == 0
        return Head(status, headers, 0, keeps)
    if bodiless:
        return Head(status, headers, 0, keeps)
    return Head(status, headers, length, keeps and length != TO_THE_END, announced, named)


def read_status(line: bytes) -> tuple[int, bool]:
    """Return the status of an answer's first line, and whether it speaks HTTP/1.1; raise ``UpstreamError``."""
    known = _KNOWN_STATUSES.get(line)
    if known is not None:
        return known
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        told = _STATUS_NONSENSE.match(line)
        raise UpstreamError(
            f"the site answered with status {int(told[1])}"
            if told
            else f"the site does not speak HTTP/1: {line[:80]!r}"
        )
    found = int(match[2]), match[1] == b"1"
    if len(line) <= _LONGEST_KNOWN:
        _KNOWN_STATUSES.put(line, found)
    return found


def read_field(line: bytes) -> tuple[bytes, bytes]:
    """Return name, in lower case, and value of one line; raise ``UpstreamError`` for what is none."""
    match = _FIELD.fullmatch(line)
    if match is None or len(line) > LONGEST_FIELD:
        raise UpstreamError(f"the site sent a malformed field: {line[:80]!r}")
    return match[1].lower(), match[2].strip(b" \t")


def all_fields(block: bytes) -> Headers:
    """Return every field of a head, those between two hops among them; raise ``UpstreamError``."""
    return [read_field(line) for line in block.split(b"\r\n")[1:]]


def _field(line: bytes) -> _Found:
    """Work out what a line means, or remember it."""
    known = _KNOWN_LINES.get(line)
    if known is not None:
        return known
    if line[:1] in {b" ", b"\t"}:
        raise _Folded
    pair = read_field(line)
    name, meaning = pair[0], 0
    if name == b"connection":
        kind = _CONNECTION
    elif name in {b"content-length", b"transfer-encoding"}:
        kind, meaning = _FRAMING, _length_in(pair, line)
    elif name == b"trailer":
        kind = _TRAILER
    else:
        kind = _HOP if name in HOP_BY_HOP else _PLAIN
    if len(line) <= _LONGEST_KNOWN and name != b"set-cookie":
        _KNOWN_LINES.put(line, (pair, kind, meaning))
    return pair, kind, meaning


def _length_in(pair: tuple[bytes, bytes], line: bytes) -> int:
    """Return the length of the body that one field frames; raise ``UpstreamError`` where it does so in no known way.

    A coding other than chunked would be lost with the hop-by-hop field that names it. White space that is
    no part of the value (RFC 9112 §5) is left alone but for one thing: llhttp takes ``chunked`` with a tab
    behind it for another coding.
    """
    name, value = pair
    if name == b"content-length" and _LENGTH.fullmatch(value) is not None and b"\t" not in line:
        return int(value)
    if name == b"transfer-encoding" and line[len(name) + 1 :].lstrip(b" ").lower() == b"chunked":
        return CHUNKED
    raise UpstreamError(_TWO_WAYS)


def _options(value: bytes) -> _Options:
    """Return whether the site closes the connection, and which fields it names as hop-by-hop."""
    known = _KNOWN_OPTIONS.get(value)
    if known is not None:
        return known
    named = named_by_connection([(b"connection", value)])
    found = b"close" in named, named
    if len(value) <= _LONGEST_KNOWN:
        _KNOWN_OPTIONS.put(value, found)
    return found


def named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Return the names of the fields that ``Connection`` makes hop-by-hop, RFC 9110 §7.6.1."""
    named: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            named.update(option.strip(b" \t").lower() for option in value.split(b","))
    return frozenset(named - NEVER_HOP_BY_HOP) if named else frozenset()


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """Return the lines with each fold replaced by a space (RFC 9112 §5.2); raise where that could hide something.

    What frames the body is written in one line or is an attack, and a first line that is folded belongs
    to no field (§2.2).
    """
    fields: list[list[bytes]] = []
    for line in lines[1:]:
        if line[:1] not in {b" ", b"\t"}:
            fields.append([line])
        elif fields and fields[-1][0].partition(b":")[0].lower() not in HOP_BY_HOP | {b"content-length"}:
            fields[-1] = [*fields[-1], line]
        else:
            raise UpstreamError("the site folded a line that may not be folded")
    return [lines[0], *(b" ".join(part.strip(b" \t") for part in field) for field in fields)]
