"""HTTP message signatures (RFC 9421): from a message and a label to the exact bytes that were signed.

A signature names what it covers, and everything is rebuilt here from the message as it came: method,
authority, path, query, fields. Nothing is looked up that the signature does not name, and nothing it
names is guessed at: an unknown component, an unknown parameter, the same component twice, a field
that is not there or whose lines were lost, a value with a line break or a byte beyond ASCII leave no
signature base, so no signature either (§2.5: "produce an error").

Whether a signature covers *enough* is its reader's own decision (§3.2.1). A signature over nothing,
``sig1=()``, is well-formed, and true of every request there is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from antiscrape.core.structured import (
    InnerList,
    Item,
    read_dictionary,
    write_dictionary,
    write_item,
    write_member,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from antiscrape.core.structured import Bare, Member

    #: Dictionary fields that were read for one base, by their bytes.
    _Parsed = dict[bytes, dict[str, Member]]

#: Bytes of Signature-Input and of Signature: a line that nginx passes on (``large_client_header_buffers``),
#: room for some thirty labels where two are seen.
LONGEST_FIELD: Final = 8192
#: Commas, semicolons, quotes and parentheses in one of them: what reading costs grows with these (SECURITY H8).
MOST_MARKS: Final = 768
#: Components of one signature; RFC 9421's own examples have eight.
MOST_COMPONENTS: Final = 32
#: Bytes of a signature base: as much as the whole head of a request may have.
LONGEST_BASE: Final = 65_536

_MARKS: Final = (b",", b";", b'"', b"(")
_FIELD_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 §5.1, in the lower case that §2.1 demands
_VALUE = re.compile(rb"[\t -~]*")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
#: A websocket's handshake is a request of http: RFC 6455 §3 and §4.1.
_HTTP: Final = {"ws": "http", "wss": "https"}
#: What is left as it is in a query parameter: all that ``encodeURIComponent`` leaves (RFC 9421 §2.2.8).
_PLAIN: Final = "!'()*-._~"
#: Fields that are dictionaries, for ``;sf`` (§2.1.1): of no other do we know the type.
_DICTIONARIES: Final = frozenset(
    {"signature", "signature-input", "signature-agent", "content-digest", "repr-digest", "priority"}
)


class Message(NamedTuple):
    """What a signature may cover of a request.

    ``scheme`` and ``authority`` (the Host field, port included) are those that the client used,
    whatever a proxy made of them. ``path`` and ``query`` are bytes as received. ``fields`` maps
    lower-case names to values, the lines of a repeated field joined by a comma and a space; ``lost``
    names those of which a line was dropped instead. A target of ``/?`` is the same to ASGI as
    ``/``, so what was signed over the former does not verify.
    """

    method: str
    scheme: str
    authority: str
    path: bytes
    query: bytes
    fields: Mapping[bytes, bytes]
    lost: frozenset[bytes] = frozenset()


class Response(NamedTuple):
    """What a signature may cover of the response to a request."""

    status: int
    fields: Mapping[bytes, bytes]
    lost: frozenset[bytes] = frozenset()


class Signature(NamedTuple):
    """One labelled signature, as its sender describes it: nothing of it is verified."""

    label: str
    covered: InnerList
    value: bytes

    def text(self, name: str) -> str | None:
        """Return a parameter that is a string (``keyid``, ``tag``, ``nonce``, ``alg``), else None."""
        found = self.covered.params.get(name)
        return found if isinstance(found, str) else None

    def second(self, name: str) -> int | None:
        """Return a parameter that is a time in seconds since 1970 (``created``, ``expires``), else None."""
        found = self.covered.params.get(name)
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    def covers(self, *names: str) -> bool:
        """Tell whether all of these are covered whole, not by a parameter's narrower meaning."""
        return all(Item(name, {}) in self.covered.items for name in names)


def join_lines(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Fold header lines into the mapping that signatures are made over (§2.1: OWS off, joined by ``, ``)."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        lower, stripped = name.lower(), value.strip(b" \t")
        fields[lower] = fields[lower] + b", " + stripped if lower in fields else stripped
    return fields


def read_signatures(fields: Mapping[bytes, bytes]) -> list[Signature]:
    """Return the signatures of a message in the order of Signature-Input (§4.1, §4.2).

    A label that has no signature, or a signature no label, is passed over. Raise ``ValueError``
    where either field is not what the RFC says, or longer than is reasonable.
    """
    inputs = read_bounded(fields.get(b"signature-input", b""))
    values = read_bounded(fields.get(b"signature", b""))
    found: list[Signature] = []
    for label, covered in inputs.items():
        if not isinstance(covered, InnerList):
            raise ValueError(f"{label} of Signature-Input is no inner list")  # noqa: TRY004  bad input, not a caller's mistake
        value = values.get(label)
        if isinstance(value, Item) and isinstance(value.value, bytes):
            found.append(Signature(label, covered, value.value))
    return found


def signature_base(signature: Signature, request: Message, response: Response | None = None) -> bytes:
    """Return the bytes that ``signature`` is over (§2.5); raise ``ValueError`` where there are none.

    With a ``response`` the signature is over that, and reaches the request by ``;req`` (§2.4).
    """
    components = signature.covered.items
    if len(components) > MOST_COMPONENTS:
        raise ValueError(f"more than {MOST_COMPONENTS} components")
    parsed: _Parsed = {}
    lines: dict[tuple[Bare, frozenset[tuple[str, Bare]]], bytes] = {}
    for component in components:
        # §2.5: no identifier twice, whatever the order of its parameters
        identity = component.value, frozenset(component.params.items())
        if identity in lines:
            raise ValueError(f"{write_item(component)} twice")
        value = _component(component, request, response, parsed)
        lines[identity] = write_item(component).encode() + b": " + value
    last = b'"@signature-params": ' + write_member(signature.covered).encode()
    base = b"\n".join([*lines.values(), last])
    if len(base) > LONGEST_BASE:
        raise ValueError(f"more than {LONGEST_BASE} bytes are covered")
    return base


def read_bounded(field: bytes) -> dict[str, Member]:
    """Read a dictionary field that anybody may have sent; raise ``ValueError`` for a bad or an unreasonable one."""
    if len(field) > LONGEST_FIELD or sum(map(field.count, _MARKS)) > MOST_MARKS:
        raise ValueError("more than a field of signatures has use for")
    return read_dictionary(field)


def _component(component: Item, request: Message, response: Response | None, parsed: _Parsed) -> bytes:
    """Return the value of one component; raise ``ValueError`` for what is unknown, missing or unclear."""
    name, params = component.value, dict(component.params)
    if not isinstance(name, str):
        raise ValueError("a component's name is a string")  # noqa: TRY004  bad input, not a caller's mistake
    message: Message | Response = request
    if response is not None:
        if params.get("req") is True:
            del params["req"]
        else:
            message = response
    value = _derived(name, params, message) if name.startswith("@") else _field(name, params, message, parsed)
    if _VALUE.fullmatch(value) is None:
        raise ValueError(f"{name} has bytes that no signature base can hold")
    return value


def _derived(name: str, params: Mapping[str, Bare], message: Message | Response) -> bytes:
    if isinstance(message, Response):
        if name != "@status" or params:
            raise ValueError(f"{name} is no component of a response")
        return b"%d" % message.status
    if name == "@query-param" and params.keys() == {"name"}:
        return _query_param(message, params["name"])
    derive = _DERIVED.get(name)
    if derive is None or params:
        raise ValueError(f"{name} with {list(params)} is no component of a request")
    return derive(message)


def _field(name: str, params: Mapping[str, Bare], message: Message | Response, parsed: _Parsed) -> bytes:
    raw = name.encode("ascii")  # its error is a ValueError
    if _FIELD_NAME.fullmatch(name) is None or raw not in message.fields or raw in message.lost:
        raise ValueError(f"{name!r} is no field of this message, or came in lines that were not kept")
    value = message.fields[raw].strip(b" \t")
    if not params:
        return value
    key = params.get("key")
    if params.keys() == {"key"} and isinstance(key, str):
        members = _read_once(value, parsed)
        if key not in members:
            raise ValueError(f"{name} has no member {key!r}")
        return write_member(members[key]).encode()
    if params.keys() == {"sf"} and params["sf"] is True and name in _DICTIONARIES:
        return write_dictionary(_read_once(value, parsed)).encode()
    # ;bs wants the lines one by one and ;tr the trailers (§2.1.3, §2.1.4): neither is kept.
    raise ValueError(f"{name} with {list(params)} cannot be told")


def _read_once(value: bytes, parsed: _Parsed) -> dict[str, Member]:
    """Read a field once for all the members of it that are covered."""
    if value not in parsed:
        parsed[value] = read_bounded(value)
    return parsed[value]


def _authority(request: Message) -> bytes:
    """§2.2.3: in lower case, and without the port that its scheme has anyway."""
    lower = request.authority.lower()
    return lower.removesuffix(_DEFAULT_PORTS.get(_scheme_of(request), "")).encode()


def _scheme_of(request: Message) -> str:
    lower = request.scheme.lower()
    return _HTTP.get(lower, lower)


def _path(request: Message) -> bytes:
    """§2.2.6: the absolute path, not decoded; an empty one is a slash."""
    if request.path and not request.path.startswith(b"/"):
        raise ValueError("the target is not a path")
    return request.path or b"/"


def _request_target(request: Message) -> bytes:
    """§2.2.5, for the origin-form, the only one that a site behind a server gets to see."""
    return _path(request) + (b"?" + request.query if request.query else b"")


def _target_uri(request: Message) -> bytes:
    """§2.2.2."""
    return _scheme_of(request).encode() + b"://" + _authority(request) + _request_target(request)


def _query_param(request: Message, wanted: Bare) -> bytes:
    """§2.2.8: of a parameter that comes once, its value decoded and encoded again."""
    found = [
        value
        for name, _, value in (piece.partition(b"=") for piece in request.query.split(b"&") if piece)
        if _encoded(name) == wanted
    ]
    if len(found) != 1:
        raise ValueError(f"the query has {len(found)} parameters {wanted!r}; expected one")
    return _encoded(found[0]).encode()


def _encoded(piece: bytes) -> str:
    # WHATWG URL 5.1, the parser of forms: a plus is a space, and what is no UTF-8 becomes U+FFFD.
    return quote(unquote_to_bytes(piece.replace(b"+", b" ")).decode("utf-8", "replace"), safe=_PLAIN)


_DERIVED: Final[Mapping[str, Callable[[Message], bytes]]] = {
    "@method": lambda request: request.method.encode(),  # §2.2.1: case counts
    "@target-uri": _target_uri,
    "@authority": _authority,
    "@scheme": lambda request: _scheme_of(request).encode(),
    "@request-target": _request_target,
    "@path": _path,
    "@query": lambda request: b"?" + request.query,  # §2.2.7: the question mark even where there is no query
}
