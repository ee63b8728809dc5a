"""A real nginx with a real ``proxy_cache`` in front: nobody's rendition reaches anybody else through it."""

from __future__ import annotations

import asyncio
import io
import os
import random
import shutil
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from PIL import Image

from tests.asgi.proxied import serving
from tests.conftest import missing
from tests.house import PATIENCE, House, house, person, policy_of, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from antiscrape.asgi.types import Receive, Scope, Send
    from tests.house import Pairs


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
REQUESTS: Final = 1800
CONNECTIONS: Final = 6

#: As the handbooks have it: nothing of what we say is ignored, and what says nothing is kept for a minute. The second
#: server shares the first one's cache and hands conditions, ranges and HEAD on, for which the first asks GET.
CONFIG: Final = """\
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=photos:1m inactive=5m;
    upstream site {{ server 127.0.0.1:{port}; keepalive 8; }}
    set_real_ip_from unix:; real_ip_header X-Client;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header X-Client "";
    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto https;
    proxy_cache photos; proxy_cache_valid any 1m; proxy_cache_revalidate on;
    proxy_cache_use_stale error timeout updating; proxy_cache_background_update on;
    add_header X-Cache $upstream_cache_status always;
    server {{
        listen unix:{folder}/0;
        location / {{ proxy_pass http://site; }}
    }}
    server {{
        listen unix:{folder}/1;
        location / {{
            proxy_pass http://site;
            proxy_set_header Connection ""; proxy_set_header X-Client ""; proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https;
            proxy_set_header If-None-Match $http_if_none_match; proxy_set_header If-Range $http_if_range;
            proxy_set_header Range $http_range; proxy_cache_convert_head off;
        }}
    }}
}}
"""


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the pictures for everybody to keep, as a site that knows of no harvesters does."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": message["type"] + ".complete"})
        return
    path = scope["path"]
    body, etag = PICTURES.get(path, STYLE), ETAGS.get(path, b'"style"')
    kind = b"image/jpeg" if path in PICTURES else b"text/css"
    fields = [(b"etag", etag), (b"cache-control", b"public, max-age=3600"), (b"vary", b"Accept")]
    if dict(scope["headers"]).get(b"if-none-match") == etag:
        await send({"type": "http.response.start", "status": 304, "headers": fields})
        await send({"type": "http.response.body"})
        return
    fields += [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class Reply(NamedTuple):
    """What nginx answered."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


@dataclass
class Line:
    """One connection to nginx that stays open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, method: str, path: str, client: str, headers: Pairs) -> Reply:
        lines = [f"{method} {path} HTTP/1.1".encode(), b"x-client: " + client.encode()]
        lines += [name + b": " + value for name, value in headers]
        self.writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *rest = head[:-4].split(b"\r\n")
        fields = {name.lower(): value for name, value in (line.split(b": ", 1) for line in rest)}
        status = int(first.split(b" ")[1])
        length = 0 if method == "HEAD" or status == 304 else int(fields[b"content-length"])
        return Reply(status, fields, await self.reader.readexactly(length))


def nginx() -> str:
    """Return where nginx is, or skip."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        missing("nginx", "nginx is not installed")
    return str(found)


@asynccontextmanager
async def cached(folder: Path) -> AsyncIterator[tuple[House, list[Line]]]:
    """Start the site behind antiscrape behind nginx; give the house and some open connections."""
    program = nginx()
    settings = {
        "ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.1"]',
        "ANTISCRAPE__IMAGES__ORIGINAL_FROM": "64",
    }
    async with (
        house(site, replace(policy_of(settings), spread=False)) as protected,
        serving(protected.app) as port,
    ):
        (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port))
        command = [
            program,
            "-p",
            str(folder),
            "-c",
            str(folder / "nginx.conf"),
            "-e",
            str(folder / "error.log"),
        ]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        lines: list[Line] = []
        try:
            while len(lines) < CONNECTIONS:
                lines.append(await _connect(process, folder, str(len(lines) % 2)))
            yield protected, lines
        finally:
            for line in lines:
                line.writer.close()
            process.terminate()
            await process.wait()


async def _connect(process: asyncio.subprocess.Process, folder: Path, server: str) -> Line:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return Line(*await asyncio.open_unix_connection(str(folder / server)))
            except OSError:
                assert process.returncode is None, (folder / "error.log").read_text()
                await asyncio.sleep(0)


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
@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_is_shown_what_another_was(seed: int, short: Path) -> None:
    """People and harvesters ask for the same pictures in any order and in every way; each gets its own."""
    counted: Counter[tuple[str, str]] = Counter()

    async def main() -> None:
        async with cached(short) as (_, lines):
            previews: dict[str, Shown] = {}
            for path in PICTURES:
                got = await lines[0].ask("GET", path, "203.0.113.1", tool())
                previews[path] = Shown(got.body, got.fields[b"etag"])
            everything = {*(shown.body for shown in previews.values()), *PICTURES.values()}
            assert len(everything) == 2 * len(PICTURES)

            async def visits(number: int, line: Line) -> None:
                chance = random.Random(f"{seed} {number}")
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


def test_what_is_everybodys_is_kept_by_nginx(short: Path) -> None:
    """The cache works: it would have kept the pictures, had we not said whose they are."""

    async def main() -> None:
        async with cached(short) as (_, (line, *_rest)):
            for expected in (b"MISS", b"HIT"):
                got = await line.ask("GET", "/static/site.css", "203.0.113.1", person(kind="page"))
                assert (got.status, got.body, got.fields[b"x-cache"]) == (200, STYLE, expected)

    asyncio.run(main())
