"""The header fields that a desktop Chromium sends, in its order: what loads, benches and trials dress in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PLATFORMS: Final = {
    "Windows": "Windows NT 10.0; Win64; x64",
    "macOS": "Macintosh; Intel Mac OS X 10_15_7",
    "Linux": "X11; Linux x86_64",
}
VERSIONS: Final = (151, 152, 153, 154, 155, 156)
#: Accept and Sec-Fetch-Mode by Sec-Fetch-Dest (WHATWG Fetch §2.2.2; W3C Fetch Metadata §2).
_FETCHES: Final = {
    "document": (
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/jxl,image/avif,image/webp,image/apng,*/*;q=0.8",
        "navigate",
    ),
    "image": ("image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "no-cors"),
    "style": ("text/css,*/*;q=0.1", "no-cors"),
    "script": ("*/*", "no-cors"),
    "empty": ("*/*", "cors"),
}


def fields(
    dest: str,
    *,
    version: int = VERSIONS[-1],
    platform: str = "Linux",
    language: str = "en-US,en;q=0.9",
    referer: str = "",
    hints: bool = True,
) -> Iterator[tuple[str, str]]:
    """Yield the fields of one request but Host and Cookie, in order; ``hints`` false leaves Sec-CH-UA out.

    ``dest`` is the Sec-Fetch-Dest: document, image, style, script, or empty for a page's own fetch.
    """
    accept, mode = _FETCHES[dest]
    page = dest == "document"
    brands = f'"Not:A-Brand";v="8", "Chromium";v="{version}", "Google Chrome";v="{version}"'
    agent = f"Mozilla/5.0 ({PLATFORMS[platform]}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
    yield "connection", "keep-alive"
    if page:
        if hints:
            yield "sec-ch-ua", brands
            yield "sec-ch-ua-mobile", "?0"
            yield "sec-ch-ua-platform", f'"{platform}"'
        yield "upgrade-insecure-requests", "1"
        yield "user-agent", agent
    else:
        if hints:
            yield "sec-ch-ua-platform", f'"{platform}"'
        yield "user-agent", agent
        if hints:
            yield "sec-ch-ua", brands
            yield "sec-ch-ua-mobile", "?0"
    yield "accept", accept
    yield "sec-fetch-site", "same-origin" if referer else "none"
    yield "sec-fetch-mode", mode
    if page:
        yield "sec-fetch-user", "?1"
    yield "sec-fetch-dest", dest
    if referer:
        yield "referer", referer
    yield "accept-encoding", "gzip, deflate, br, zstd"
    yield "accept-language", language
