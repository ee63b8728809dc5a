"""Real shared caches in front of antiscrape: nginx with ``proxy_cache``, and Varnish with what it does by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.asgi.proxied import serving
from tests.conftest import missing
from tests.fuzz import FACTOR
from tests.house import PATIENCE, House, house, policy_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from antiscrape.asgi.types import ASGIApp
    from tests.house import Pairs

CONNECTIONS: Final = 6
#: A cache that never starts has failed; Varnish compiles its rules first.
_STARTS: Final = 3 * PATIENCE
#: So long may all take: a busy machine answers a few hundred requests a second.
_LASTS: Final = 6 * PATIENCE * FACTOR

#: As the handbooks have it: nothing of what we say is ignored, and what says nothing is kept for a minute. The second
#: server shares the first one's cache and hands conditions, ranges and HEAD on, for which the first asks GET.
_NGINX: Final = """\
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 128; }}
http {{
    access_log off; keepalive_requests 100000;
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
#: Varnish's built-in rules decide which answers are kept. These say whose a request is, whether it was a hit, and that
#: answers are looked up, and kept, for requests with a cookie as well: many a site is set up like that.
_VARNISH: Final = """\
vcl 4.1;
backend site {{ .host = "127.0.0.1"; .port = "{port}"; }}
sub vcl_recv {{
    set req.http.X-Forwarded-For = req.http.X-Client;
    set req.http.X-Forwarded-Proto = "https";
    unset req.http.X-Client;
    if (req.method == "GET" || req.method == "HEAD") {{ return (hash); }}
}}
sub vcl_deliver {{
    if (obj.hits > 0) {{ set resp.http.X-Cache = "HIT"; }} else {{ set resp.http.X-Cache = "MISS"; }}
}}
"""


class Reply(NamedTuple):
    """What the cache answered."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


@dataclass
class Line:
    """One connection to the cache that stays open."""

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
        if method == "HEAD" or status == 304:
            return Reply(status, fields, b"")
        if fields.get(b"transfer-encoding") == b"chunked":
            return Reply(status, fields, await self._chunks())
        return Reply(status, fields, await self.reader.readexactly(int(fields[b"content-length"])))

    async def _chunks(self) -> bytes:
        body = b""
        while length := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(length)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body


def _found(program: str, part: str) -> str:
    """Return where a program is, or skip."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        missing(part, f"{program} is not installed")
    return str(found)


def _nginx(folder: Path, port: int) -> list[str]:
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port))
    options = ["-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    return [_found("nginx", "nginx"), *options]


def _varnish(folder: Path, port: int) -> list[str]:
    (folder / "v.vcl").write_text(_VARNISH.format(port=port))
    options = [
        "-F",
        "-a",
        f"{folder}/0,mode=600",
        "-f",
        str(folder / "v.vcl"),
        "-n",
        str(folder / "v"),
        "-s",
        "malloc,32m",
    ]
    options += ["-p", "thread_pool_min=5", "-p", "thread_pools=1", "-j", "none", "-T", "none"]
    return [_found("varnishd", "varnish"), *options]


#: How each is started, and how many sockets it has.
CACHES: Final = {"nginx": (_nginx, 2), "varnish": (_varnish, 1)}


@asynccontextmanager
async def cached(
    name: str, folder: Path, site: ASGIApp, settings: Mapping[str, str]
) -> AsyncIterator[tuple[House, list[Line]]]:
    """Start a site behind antiscrape behind a cache; give the house and some open connections."""
    make, sockets = CACHES[name]
    trusted = {"ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.1"]', "ANTISCRAPE__IMAGES__FACES": "off"}
    policy = replace(policy_of({**trusted, **settings}), spread=False)
    async with house(site, policy, patience=_LASTS) as protected, serving(protected.app) as port:
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *make(folder, port), stdout=log, stderr=log, start_new_session=True
            )
            lines: list[Line] = []
            try:
                while len(lines) < CONNECTIONS:
                    lines.append(await _connect(process, folder, str(len(lines) % sockets)))
                yield protected, lines
            finally:
                for line in lines:
                    line.writer.close()
                if process.returncode is None:
                    process.terminate()
                await process.wait()


async def _connect(process: asyncio.subprocess.Process, folder: Path, server: str) -> Line:
    async with asyncio.timeout(_STARTS):
        while True:
            try:
                return Line(*await asyncio.open_unix_connection(str(folder / server)))
            except OSError:
                assert process.returncode is None, (folder / "log").read_text()
                await asyncio.sleep(0.01)  # between two looks, beside a compiler that has work to do
