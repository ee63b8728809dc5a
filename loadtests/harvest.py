"""Two harvesters for the trial, headers as their libraries send them: ``python -m loadtests.harvest httpx BASE``.

They read the listing, open each photo's page, and take the picture that it names and the one that
its number stands for.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Fetch = Callable[[str], Awaitable[bytes]]

_PHOTO = re.compile(r'href="(/p/(\d+))"')
_ORIGINAL = re.compile(r'property="og:image" content="([^"]+)"')
_PAGES = 3


async def harvest(fetch: Fetch, base: str, *, most: int, seconds: float) -> None:
    """Take at most ``most`` photos within ``seconds``."""
    end = time.monotonic() + seconds
    photos: dict[str, str] = {}
    for page in range(1, _PAGES + 1):
        listing = await fetch(urljoin(base, f"/?page={page}"))
        photos.update(_PHOTO.findall(listing.decode("utf-8", "replace")))
    for path, number in list(photos.items())[:most]:
        if time.monotonic() > end:
            return
        page_text = (await fetch(urljoin(base, path))).decode("utf-8", "replace")
        named = _ORIGINAL.search(page_text)
        if named:
            await fetch(urljoin(base, html.unescape(named[1])))
        await fetch(urljoin(base, f"/media/{number}.jpg"))


async def by_httpx(base: str, *, most: int, seconds: float) -> None:
    """Harvest with httpx."""
    import httpx  # noqa: PLC0415  either library may be missing

    async with httpx.AsyncClient(timeout=15, trust_env=False) as client:

        async def fetch(url: str) -> bytes:
            return (await client.get(url)).content

        await harvest(fetch, base, most=most, seconds=seconds)


async def by_aiohttp(base: str, *, most: int, seconds: float) -> None:
    """Harvest with aiohttp."""
    import aiohttp  # noqa: PLC0415  either library may be missing

    async with aiohttp.ClientSession() as client:

        async def fetch(url: str) -> bytes:
            async with client.get(url, timeout=aiohttp.ClientTimeout(15)) as answer:
                return await answer.read()

        await harvest(fetch, base, most=most, seconds=seconds)


LIBRARIES = {"httpx": by_httpx, "aiohttp": by_aiohttp}


def main() -> None:
    """Harvest as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.harvest")
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("base")
    parser.add_argument("--most", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    asyncio.run(LIBRARIES[given.library](given.base, most=given.most, seconds=given.seconds))


if __name__ == "__main__":
    main()
