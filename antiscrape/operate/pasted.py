"""Requests as people paste them: an HTTP/1 head, what curl or a browser's tools show, or JSON.

What is read here is meant to be judged as if a server had received it, so names become lower-case,
white space around values goes (RFC 9112 §5.1), and nothing is repaired: what no server would read
is refused with the line it stands on.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A day's requests of a busy client; more are a log, and no story.
MOST_BYTES: Final = 64 * 2**20
#: Of the documentation's own network (RFC 5737), so that nobody's list holds it.
PEER: Final = "198.51.100.7"
#: What the site answered, in the words of ``Asked.answer``.
ANSWERS: Final = ("original", "thumbnail", "page", "api", "asset", "not-found")

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_REQUEST_LINE = re.compile(rb"([A-Za-z!#$%&'*+.^_`|~-]+) (\S+)(?: HTTP/([0-9](?:\.[0-9])?))?")
_ABSOLUTE = re.compile(rb"(https?|wss?)://([^/?#]*)", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 §5.5 leaves a tab
_PSEUDO = {b":method", b":path", b":authority", b":scheme"}
_KEYS = ("method", "target", "headers", "peer", "scheme", "http_version", "time", "answer")


class Asked(NamedTuple):
    """One request as it was given, and the line where it begins.

    ``target`` is the path with its query; ``time`` is in seconds, None where it was not given;
    ``answer`` is one of ``ANSWERS``, or ``""``.
    """

    line: int
    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    scheme: str
    http_version: str
    peer: str
    time: float | None = None
    answer: str = ""

    @property
    def scope(self) -> dict[str, Any]:
        """The request as an ASGI server tells it."""
        path, _, query = self.target.partition(b"?")
        return {
            "type": "http",
            "method": self.method,
            "raw_path": path,
            "query_string": query,
            "scheme": self.scheme,
            "http_version": self.http_version,
            "headers": list(self.headers),
            "client": (self.peer, 0) if self.peer else None,
        }


class Given(NamedTuple):
    """What is taken for granted of requests that do not say it themselves."""

    scheme: str = "https"
    http_version: str = "1.1"
    peer: str = PEER


def read_requests(data: bytes, given: Given) -> tuple[Asked, ...]:
    """Return the requests in ``data``, one at least; raise ``ConfigurationError`` with the line of what is wrong."""
    if len(data) > MOST_BYTES:
        raise ConfigurationError(f"the input is longer than {MOST_BYTES // 2**20} MiB")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise ConfigurationError("no request was given; paste one, or see antiscrape explain --help")
    if data.lstrip().startswith((b"{", b"[")):
        return tuple(_read_json(data, given))
    return tuple(_read_heads(data, given))


def _wrong(line: int, words: str) -> NoReturn:
    raise ConfigurationError(f"line {line}: {words}")


def _read_heads(data: bytes, given: Given) -> Iterator[Asked]:
    lines = [(number, line.rstrip(b"\r")) for number, line in enumerate(data.split(b"\n"), 1)]
    sent = [(number, line[1:].removeprefix(b" ")) for number, line in lines if line.startswith(b">")]
    heads = list(_heads(sent or lines))
    # After a blank line comes the body, unless these are curl's ">" lines: it shows no bodies among them.
    for head in heads if sent else heads[:1]:
        yield _read_head(_paired(head), given)


def _heads(lines: list[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    head: list[tuple[int, bytes]] = []
    for number, line in lines:
        if line.strip():
            head.append((number, line))
        elif head:
            yield head
            head = []
    if head:
        yield head


def _paired(head: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Join names and values that a browser's tools copy as lines in turn."""
    if head[0][1].strip().rstrip(b":") not in _PSEUDO:
        return head
    if len(head) % 2:
        _wrong(head[-1][0], "a header field without a value")
    return [
        (number, name.strip().rstrip(b":") + b": " + value.strip())
        for (number, name), (_, value) in zip(head[::2], head[1::2], strict=True)
    ]


def _read_head(head: list[tuple[int, bytes]], given: Given) -> Asked:
    first, line = head[0]
    if line.startswith(b":"):
        return _read_http2(head, given)
    match = _REQUEST_LINE.fullmatch(line.strip())
    if match is None:
        _wrong(first, f"{_cut(line)} is not a request line; expected one such as GET /photos/1 HTTP/1.1")
    method, target, version = match.groups()
    headers = [_read_field(number, field) for number, field in head[1:]]
    if version:
        given = given._replace(http_version=version.decode("ascii"))
    return _asked(first, method, target, headers, given)


def _read_http2(head: list[tuple[int, bytes]], given: Given) -> Asked:
    """Read the pseudo-header form in which browsers show HTTP/2 requests (RFC 9113 §8.3.1)."""
    pseudo: dict[bytes, bytes] = {}
    headers: list[tuple[bytes, bytes]] = []
    for number, line in head:
        if line.startswith(b":"):
            name, _, value = line[1:].partition(b":")
            if b":" + name not in _PSEUDO:
                _wrong(number, f"{_cut(line)} is not a pseudo-header of a request")
            pseudo[name] = value.strip()
        else:
            headers.append(_read_field(number, line))
    first = head[0][0]
    target = pseudo.get(b"path", b"")
    if not target:
        _wrong(first, "the request has no :path")
    if pseudo.get(b"authority"):
        headers.insert(0, (b"host", pseudo[b"authority"]))
    scheme = pseudo.get(b"scheme", b"").decode("latin-1") or given.scheme
    if scheme not in {"http", "https"}:
        _wrong(first, "the :scheme is neither http nor https")
    given = given._replace(scheme=scheme, http_version="2")
    return _asked(first, pseudo.get(b"method", b"GET"), target, headers, given)


def _read_field(number: int, line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or _TOKEN.fullmatch(name) is None:
        _wrong(number, f"{_cut(line)} is not a header field; expected a name, a colon and a value")
    value = value.strip(b" \t")
    if _CONTROL.search(value):
        _wrong(number, f"the value of {name.decode('ascii')} holds a control character")
    return name.lower(), value


def _asked(
    line: int, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], given: Given
) -> Asked:
    target = target.partition(b"#")[0]  # as httptools does: a fragment is never sent
    absolute = _ABSOLUTE.match(target)
    if absolute is not None:
        target = target[absolute.end() :] or b"/"
        target = target if target.startswith(b"/") else b"/" + target
        given = given._replace(scheme="https" if absolute[1].lower() in {b"https", b"wss"} else "http")
        if not any(name == b"host" for name, _ in headers):
            headers.insert(0, (b"host", absolute[2]))
    return Asked(line, method.decode("ascii"), target, tuple(headers), *given)


def _read_json(data: bytes, given: Given) -> Iterator[Asked]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        _wrong(data.count(b"\n", 0, error.start) + 1, "is not UTF-8, which JSON is written in")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > 1 and not _is_whole(lines[0][1]):
        lines = [(lines[0][0], text)]
    for number, line in lines:
        yield _read_object(number, _load(number, line), given)


def _is_whole(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return line.rstrip().endswith("}")  # meant to be whole, so that its own line is told
    return True


def _load(number: int, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        _wrong(number + error.lineno - 1, f"is not JSON: {error.msg}, at column {error.colno}")
    except (ValueError, RecursionError):
        _wrong(number, "is not JSON that anybody writes: a number too long, or too many brackets")
    if not isinstance(value, dict):
        _wrong(
            number, 'expected one JSON object a line, such as {"method": "GET", "target": "/", "headers": {}}'
        )
    unknown = sorted(set(value) - set(_KEYS))
    if unknown:
        _wrong(
            number,
            f"{_cut(unknown[0].encode('utf-8', 'replace'))} is not a key; expected some of {', '.join(_KEYS)}",
        )
    return value


def _read_object(number: int, value: dict[str, Any], given: Given) -> Asked:
    def text(key: str, default: str) -> str:
        found = value.get(key, default)
        if not isinstance(found, str):
            _wrong(number, f"{key} is not a text")
        return found

    if "target" not in value:
        _wrong(number, "the request has no target")
    target, method = _bytes(number, text("target", "")), _bytes(number, text("method", "GET"))
    if not target or re.search(rb"[\x00-\x20\x7f]", target):
        _wrong(number, "the target is empty, or holds a space or a control character")
    if _TOKEN.fullmatch(method) is None:
        _wrong(number, "the method is not a word such as GET")
    scheme, version = text("scheme", given.scheme), text("http_version", given.http_version)
    if scheme not in {"http", "https"}:
        _wrong(number, "scheme is neither http nor https")
    if re.fullmatch(r"[0-9](?:\.[0-9])?", version, re.ASCII) is None:
        _wrong(number, "http_version is not a version such as 1.1 or 2")
    answer = text("answer", "")
    if answer and answer not in ANSWERS:
        _wrong(number, f"answer is none of {', '.join(ANSWERS)}")
    headers = [_read_field(number, name + b":" + field) for name, field in _pairs(number, value)]
    given = Given(scheme, version, text("peer", given.peer)[:64])
    asked = _asked(number, method, target, headers, given)
    return asked._replace(time=_time(number, value.get("time")), answer=answer)


def _pairs(number: int, value: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    headers = value.get("headers", {})
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    if not isinstance(pairs, list):
        _wrong(number, "headers is neither an object nor a list of pairs")
    for pair in pairs:
        if not isinstance(pair, list | tuple) or [type(part) for part in pair] != [str, str]:
            _wrong(number, "headers holds something that is no pair of texts")
        name = _bytes(number, pair[0])
        if _TOKEN.fullmatch(name) is None:
            _wrong(number, f"{_cut(name)} is not the name of a header field")
        yield name, _bytes(number, pair[1])


def _bytes(number: int, text: str) -> bytes:
    """Return the bytes that ``text`` stands for: those of its characters where all are below 256, else UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        pass
    try:
        return text.encode()
    except UnicodeEncodeError:
        _wrong(number, "holds half of a surrogate pair, which stands for no character")


def _time(number: int, value: object) -> float | None:
    if value is None:
        return None
    # bool is an int in Python, but true is no time
    if isinstance(value, bool) or not isinstance(value, int | float):
        _wrong(number, "time is not a number of seconds")
    if not 0 <= value < 2**40:  # nan is not, either
        _wrong(number, "time is not a number of seconds between 0 and 2^40")
    return float(value)


def _cut(line: bytes) -> str:
    """Return the start of a line, quoted, in characters that a terminal may show."""
    return ascii(line[:60].decode("utf-8", "replace"))
