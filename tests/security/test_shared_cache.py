"""Real shared caches in front: nobody's rendition reaches anybody else through them, and no refusal anybody."""

from __future__ import annotations

import asyncio
import io
import random
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from PIL import Image

from antiscrape.core.identity import Principal
from tests.fuzz import FACTOR
from tests.house import person, tool
from tests.security.caches import CACHES, CONNECTIONS, Reply, cached

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.asgi.types import Receive, Scope, Send
    from tests.house import Pairs
    from tests.security.caches import Line


def colour(number: int) -> bytes:
    """Return a JPEG whose colours are like no other's, in its preview too."""
    picture = Image.effect_noise((160, 120), 60).convert("RGB")
    picture.paste((20 * number, 240 - 20 * number, 10 * number), (0, 0, 80, 120))
    out = io.BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()


PICTURES: Final = {f"/media/{number}.jpg": colour(number) for number in range(12)}
ETAGS: Final = {path: f'"{number}-original"'.encode() for number, path in enumerate(PICTURES)}
STYLE: Final = b"body { margin: 0 }"
PAGE: Final = b"<!doctype html><title>Photos</title>"
#: In all; under ANTISCRAPE_FUZZ, as many as the requirement names.
REQUESTS: Final = CONNECTIONS * (100 if FACTOR == 1 else 1667)


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the pictures for everybody to keep, as a site that knows of no harvesters does."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": message["type"] + ".complete"})
        return
    path = scope["path"]
    body, etag = PICTURES.get(path, PAGE if path.startswith("/p/") else STYLE), ETAGS.get(path, b'"other"')
    kind = b"image/jpeg" if path in PICTURES else b"text/html" if path.startswith("/p/") else b"text/css"
    fields = [(b"etag", etag), (b"cache-control", b"public, max-age=3600"), (b"vary", b"Accept")]
    if dict(scope["headers"]).get(b"if-none-match") == etag:
        await send({"type": "http.response.start", "status": 304, "headers": fields})
        await send({"type": "http.response.body"})
        return
    fields += [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


#: The pictures are small, and originals all the same.
SIZED: Final = {"ANTISCRAPE__IMAGES__ORIGINAL_FROM": "64"}


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose name leaves room for a socket's (108 bytes with the end)."""
    folder = tmp_path_factory.mktemp("n")
    if len(str(folder)) > 90:
        pytest.skip("the temporary folder's name is too long for a unix socket")
    return folder


class Shown(NamedTuple):
    """What one class of clients is shown of a picture."""

    body: bytes
    etag: bytes


def asked_for(chance: random.Random, mine: Shown, others: Shown) -> tuple[str, Pairs]:
    """Return a method and the fields of one of the ways to ask for less than everything, or for what is another's."""
    size = len(mine.body)
    first = chance.randrange(size)
    part = chance.choice(
        [b"bytes=%d-%d" % (first, first + 99), b"bytes=-%d" % (first + 1), b"bytes=%d-" % first]
    )
    return chance.choice(
        [
            ("GET", []),
            ("GET", [(b"if-none-match", mine.etag)]),
            ("GET", [(b"if-none-match", others.etag)]),
            ("GET", [(b"if-none-match", others.etag + b", " + mine.etag)]),
            ("GET", [(b"range", part)]),
            ("GET", [(b"range", part), (b"if-range", mine.etag)]),
            ("GET", [(b"range", part), (b"if-range", others.etag)]),
            ("HEAD", []),
            ("HEAD", [(b"if-none-match", others.etag)]),
        ]
    )


def judge(method: str, headers: Pairs, mine: Shown, got: Reply) -> str:
    """Return what kind of answer this is, if it is a right one; fail where anything in it is another's."""
    asked = dict(headers)
    assert got.fields[b"etag"] == mine.etag
    assert got.fields[b"cache-control"].startswith(b"private")
    assert got.fields.get(b"x-cache") in {None, b"MISS", b"BYPASS", b"EXPIRED"}
    if got.status == 304:
        assert mine.etag in asked[b"if-none-match"]
        return "unchanged"
    if got.status == 206:
        span, _, whole = got.fields[b"content-range"].removeprefix(b"bytes ").partition(b"/")
        first, last = (int(number) for number in span.split(b"-"))
        assert int(whole) == len(mine.body)
        assert got.body == mine.body[first : last + 1]
        assert asked.get(b"if-range", mine.etag) == mine.etag
        return "part"
    assert got.status == 200
    assert int(got.fields[b"content-length"]) == len(mine.body)
    assert got.body == (b"" if method == "HEAD" else mine.body)
    return "head" if method == "HEAD" else "whole"


@pytest.mark.security("J1")
@pytest.mark.parametrize("cache", CACHES)
def test_nobody_is_shown_what_another_was(cache: str, short: Path) -> None:
    """People and harvesters ask for the same pictures in any order and in every way; each gets its own."""
    counted: Counter[tuple[str, str]] = Counter()

    async def main() -> None:
        async with cached(cache, short, site, SIZED) as (_, lines):
            previews: dict[str, Shown] = {}
            for path in PICTURES:
                got = await lines[0].ask("GET", path, "203.0.113.1", tool())
                previews[path] = Shown(got.body, got.fields[b"etag"])
            everything = {*(shown.body for shown in previews.values()), *PICTURES.values()}
            assert len(everything) == 2 * len(PICTURES)

            async def visits(number: int, line: Line) -> None:
                chance = random.Random(f"{cache} {number}")
                for turn in range(REQUESTS // CONNECTIONS):
                    path = chance.choice(list(PICTURES))
                    original, preview = Shown(PICTURES[path], ETAGS[path]), previews[path]
                    human = chance.random() < 0.5
                    mine, others = (original, preview) if human else (preview, original)
                    method, fields = asked_for(chance, mine, others)
                    # Nobody asks often enough to be suspected, and no two are of one network.
                    client = f"{20 + number}.{turn // 8}.{10 if human else 11}.7"
                    got = await line.ask(method, path, client, [*(person() if human else tool()), *fields])
                    counted["person" if human else "bot", judge(method, fields, mine, got)] += 1

            await asyncio.gather(*(visits(number, line) for number, line in enumerate(lines)))

    asyncio.run(main())
    assert sum(counted.values()) == REQUESTS
    assert {kind for _, kind in counted} == {"whole", "part", "unchanged", "head"}
    assert min(counted.values()) > REQUESTS // 100


@pytest.mark.parametrize("cache", CACHES)
def test_what_is_everybodys_is_kept(cache: str, short: Path) -> None:
    """The cache works: it would have kept the pictures, had we not said whose they are."""

    async def main() -> None:
        async with cached(cache, short, site, SIZED) as (_, (line, *_rest)):
            for expected in (b"MISS", b"HIT"):
                got = await line.ask("GET", "/static/site.css", "203.0.113.1", person(kind="page"))
                assert (got.status, got.body, got.fields[b"x-cache"]) == (200, STYLE, expected)

    asyncio.run(main())


@pytest.mark.security("J1")
@pytest.mark.security("G10")
@pytest.mark.parametrize("cache", CACHES)
def test_no_refusal_and_no_check_is_kept(cache: str, short: Path) -> None:
    """A refusal, a ban and a check's page are whoever's they are; the next one to ask gets the site."""
    settings = {
        **SIZED,
        "ANTISCRAPE__CLEARANCE__ENABLED": "true",
        "ANTISCRAPE__STANDING__BOT__REQUESTS": "2/hour",
        "ANTISCRAPE__TRAPS__INJECT": "false",
    }

    async def main() -> None:
        async with cached(cache, short, site, settings) as (protected, (line, *_rest)):
            visitor = person(kind="page")
            store, now = protected.gate._store, protected.clock.now
            banned = store.find(Principal("198.51.100.9", "198.51.100.0/24", "198.51.100.9"), now)
            store.ban(banned, now + 3600)
            for turn in range(5):
                path, steps = f"/p/{turn}", set()
                first = await line.ask("GET", path, "198.51.100.9", visitor)
                limited = await line.ask("GET", path, "203.0.113.9", tool())
                assert (first.status, limited.status) == (403, 200 if turn < 2 else 429)
                for got in (first, limited):
                    assert got.status == 200 or b"no-store" in got.fields[b"cache-control"]
                    assert got.fields[b"x-cache"] != b"HIT"
                for client in ("203.0.113.1", "203.0.113.2"):
                    page = await line.ask("GET", path, client, visitor)
                    assert (page.status, page.body.startswith(PAGE)) == (200, True)
                    step = await line.ask("GET", "/.well-known/antiscrape/step", client, visitor)
                    assert (step.status, step.fields[b"x-cache"] == b"HIT") == (200, False)
                    steps.add(step.body)
                assert len(steps) == 2

    asyncio.run(main())
