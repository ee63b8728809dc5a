"""The visitors that the bench sends: ten thousand Chromes, each with an address and a cookie of its own.

A server gets new bytes for every request it parses, and hashing a ``bytes`` object costs more the
first time. So nothing here hands the same bytes out twice: names and values are encoded anew for
each scope, as httptools does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Known clients that a run rotates through.
CLIENTS: Final = 10_000
#: What is asked for, and with which header fields a browser asks for it.
API, IMAGE, PAGE = "/api/photos", "/media/1001.jpg", "/"
HOST: Final = "photos.example"
_PORT: Final = 40_000

_PLATFORMS: Final = (
    ("Windows", "Windows NT 10.0; Win64; x64"),
    ("macOS", "Macintosh; Intel Mac OS X 10_15_7"),
    ("Linux", "X11; Linux x86_64"),
)
_VERSIONS: Final = (151, 152, 153, 154, 155, 156)
_LANGUAGES: Final = ("en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr-FR,fr;q=0.9", "es-ES,es;q=0.9,en;q=0.7")
#: Accept, Sec-Fetch-Mode and Sec-Fetch-Dest by what is asked for.
_FETCHES: Final = {
    API: ("*/*", "cors", "empty"),
    IMAGE: (
        "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
        "no-cors",
        "image",
    ),
    PAGE: (
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "navigate",
        "document",
    ),
}


def address(number: int) -> str:
    """Return client ``number``'s address; neighbours lie in networks far apart. Distinct below 2**24."""
    return f"{11 + number % 89}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def fields(number: int, target: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of client ``number``'s request for ``target``, in Chromium's order.

    The last two are what a TLS proxy in front adds.
    """
    accept, mode, dest = _FETCHES[target]
    platform, system = _PLATFORMS[number % 3]
    version = _VERSIONS[number % 7 % 6]
    page = dest == "document"
    yield "host", HOST
    yield "connection", "keep-alive"
    yield "sec-ch-ua", f'"Not:A-Brand";v="8", "Chromium";v="{version}", "Google Chrome";v="{version}"'
    yield "sec-ch-ua-mobile", "?0"
    yield "sec-ch-ua-platform", f'"{platform}"'
    if page:
        yield "upgrade-insecure-requests", "1"
    yield (
        "user-agent",
        f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36",
    )
    yield "accept", accept
    yield "sec-fetch-site", "same-origin"
    yield "sec-fetch-mode", mode
    if page:
        yield "sec-fetch-user", "?1"
    yield "sec-fetch-dest", dest
    yield "referer", f"https://{HOST}/p/{1000 + number % 300}"
    yield "accept-encoding", "gzip, deflate, br, zstd"
    yield "accept-language", _LANGUAGES[number % 11 % 4]
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
