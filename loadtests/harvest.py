"""Harvesters for the trial: ``python -m loadtests.harvest httpx BASE``.

Two send the headers of their libraries. The third, ``solver``, sends a browser's, and does the browser check's work
with ALTCHA's own library; it runs no script, so that it has nothing to tell of a browser. They read the listing, open each photo's page, and take the picture that it names and the one that
its number stands for.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import re
import time
from typing import TYPE_CHECKING, Any
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


#: What Firefox sends with a page, and a careful author with everything.
_FIREFOX = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.9",
    "Accept-Encoding": "gzip, deflate",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Priority": "u=0, i",
}
_IMAGE = {
    "Accept": "image/avif,image/webp,*/*",
    "Sec-Fetch-Dest": "image",
    "Sec-Fetch-Mode": "no-cors",
    "Priority": "u=5, i",
}
_ASKING = {"Accept": "*/*", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"}


async def by_solver(base: str, *, most: int, seconds: float) -> None:
    """Do the check's work without a browser, and harvest with what that gives."""
    import altcha  # noqa: PLC0415  either library may be missing
    import httpx  # noqa: PLC0415  as above

    async with httpx.AsyncClient(timeout=15, trust_env=False, headers=_FIREFOX) as client:

        async def fetch(url: str) -> bytes:
            picture = _IMAGE | {"Referer": base} if "/media/" in url else {}
            return (await client.get(url, headers=picture)).content

        async def post(path: str, told: object) -> dict[str, Any]:
            url = urljoin(base, f"/.well-known/antiscrape/{path}")
            answer: dict[str, Any] = (await client.post(url, json=told, headers=_ASKING)).json()
            return answer

        await fetch(base)
        challenge = await post("challenge", {})
        solution = altcha.solve_challenge(altcha.Challenge.from_dict(challenge))
        if solution is None:
            raise RuntimeError("the challenge has no solution")
        solved = {"counter": solution.counter, "derivedKey": solution.derived_key}
        await post("answer", {"challenge": challenge, "solution": solved})
        await harvest(fetch, base, most=most, seconds=seconds)


LIBRARIES = {"httpx": by_httpx, "aiohttp": by_aiohttp, "solver": by_solver}


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
