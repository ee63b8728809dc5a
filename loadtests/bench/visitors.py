"""The visitors that the bench sends: ten thousand Chromes, each with an address and a cookie of its own.

A server gets new bytes for every request it parses, and hashing a ``bytes`` object costs more the
first time. So nothing here hands the same bytes out twice: names and values are encoded anew for
each scope, as httptools does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadtests import chrome

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Known clients that a run rotates through.
CLIENTS: Final = 10_000
#: Times that a client asks before it counts as known: a picture is news at first, and when it is first fetched again.
VISITS: Final = 3
#: What is asked for, and with which header fields a browser asks for it.
API, IMAGE, PAGE = "/api/photos", "/media/1001.jpg", "/"
HOST: Final = "photos.example"
_PORT: Final = 40_000

_LANGUAGES: Final = ("en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr-FR,fr;q=0.9", "es-ES,es;q=0.9,en;q=0.7")
#: After so many clients their header fields come again, but for the address and the cookie.
LOOKS: Final = 7 * 3 * 11
_DESTS: Final = {API: "empty", IMAGE: "image", PAGE: "document"}


def address(number: int) -> str:
    """Return client ``number``'s address; neighbours lie in networks far apart. Distinct below 2**24."""
    return f"{11 + number % 89}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def fields(number: int, target: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of client ``number``'s request for ``target``, in Chromium's order.

    The last two are what a TLS proxy in front adds.
    """
    yield "host", HOST
    yield from chrome.fields(
        _DESTS[target],
        version=chrome.VERSIONS[number % 7 % 6],
        platform=tuple(chrome.PLATFORMS)[number % 3],
        language=_LANGUAGES[number % 11 % 4],
        referer=f"https://{HOST}/p/{1000 + number % 300}",
    )
    yield "cookie", f"session={number * 2654435761 & 0xFFFFFFFF:08x}{number:08x}"
    yield "x-forwarded-proto", "https"
    yield "x-forwarded-for", address(number)


def scope(number: int, target: str, *, agent: str = "") -> dict[str, Any]:
    """Return the ASGI scope of one request of client ``number``, in bytes that nobody has hashed yet.

    ``agent`` takes the place of the User-Agent.
    """
    headers = [
        (name.encode(), (agent if agent and name == "user-agent" else value).encode())
        for name, value in fields(number, target)
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", _PORT),
        "state": {},
    }


def request(number: int, target: str) -> bytes:
    """Return one request of client ``number`` as it goes over the wire."""
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields(number, target))]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
