"""Reverse proxies in front of one site, each in a process of its own: ``python -m loadtests.bench.forwarders NAME SITE``.

The rivals copy the fields of a request less those between two hops, stream the answer and do nothing else,
as the examples of their client libraries do. ``SITE`` is the port of the site on loopback.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import uvicorn

from loadtests.bench.variants import protected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    App = Callable[[Any, Any, Any], Awaitable[None]]

_HOPS: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"te", b"upgrade", b"host"})
_CONNECTIONS: Final = 64


class Forwarder(NamedTuple):
    """One contender: ``build`` makes the application that uvicorn serves; servers of their own have ``config``.

    ``rival``: whether it is a proxy in Python, which ours is measured against.
    """

    name: str
    title: str
    build: Callable[[int], App] | None = None
    program: str = ""
    config: str = ""
    rival: bool = False


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def _by_aiohttp(site: int) -> App:
    import aiohttp  # noqa: PLC0415  only its own process pays for it

    clients: list[aiohttp.ClientSession] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await _lifespan(receive, send)
            return
        if not clients:
            clients.append(
                aiohttp.ClientSession(
                    auto_decompress=False,
                    connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                )
            )
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"] if n not in _HOPS]
        url = f"http://127.0.0.1:{site}{scope['path']}"
        async with clients[0].request(scope["method"], url, headers=headers, allow_redirects=False) as got:
            passed = [(n.lower(), v) for n, v in got.raw_headers if n.lower() not in _HOPS]
            await send({"type": "http.response.start", "status": got.status, "headers": passed})
            async for piece in got.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    return app


def _by_httpx(site: int) -> App:
    import httpx  # noqa: PLC0415  only its own process pays for it

    clients: list[httpx.AsyncClient] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await _lifespan(receive, send)
            return
        if not clients:
            limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
            clients.append(httpx.AsyncClient(base_url=f"http://127.0.0.1:{site}", limits=limits, timeout=30))
        headers = [(n, v) for n, v in scope["headers"] if n not in _HOPS]
        asked = clients[0].build_request(scope["method"], scope["path"], headers=headers)
        got = await clients[0].send(asked, stream=True)
        try:
            passed = [(n.lower(), v) for n, v in got.headers.raw if n.lower() not in _HOPS]
            await send({"type": "http.response.start", "status": got.status_code, "headers": passed})
            async for piece in got.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await got.aclose()

    return app


def _ours(site: int) -> Any:
    from antiscrape.asgi.proxy import ReverseProxy  # noqa: PLC0415  a rival's process must not pay for it
    from antiscrape.upstream import Upstream  # noqa: PLC0415  the same
    from antiscrape.upstream.memory import keep_memory  # noqa: PLC0415  the same

    keep_memory()
    return ReverseProxy(Upstream(f"http://127.0.0.1:{site}"))


def _ours_judging(site: int) -> App:
    app: App = protected(_ours(site))
    return app


_NGINX = """worker_processes 1; daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 100000000; proxy_buffers 16 16k;
upstream site {{ server 127.0.0.1:{site}; keepalive 64; keepalive_requests 100000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://site; proxy_http_version 1.1;
proxy_set_header Connection ''; proxy_set_header X-Forwarded-For $remote_addr; }} }} }}
"""
_HAPROXY = """global
  nbthread 1
  maxconn 1024
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option forwardfor
frontend front
  bind 127.0.0.1:{port}
  default_backend site
backend site
  server one 127.0.0.1:{site} pool-max-conn 64
"""

FORWARDERS: Final = {
    one.name: one
    for one in (
        Forwarder("ours", "antiscrape's proxy alone", _ours),
        Forwarder("judging", "antiscrape serve, the whole default policy", _ours_judging),
        Forwarder("aiohttp", "uvicorn, ASGI with aiohttp", _by_aiohttp, rival=True),
        Forwarder("httpx", "uvicorn, ASGI with httpx", _by_httpx, rival=True),
        Forwarder("nginx", "nginx proxy_pass", program="nginx", config=_NGINX),
        Forwarder("haproxy", "HAProxy", program="haproxy", config=_HAPROXY),
    )
}


def command_of(forwarder: Forwarder, site: int, port: int, folder: str) -> list[str]:
    """Return how a server that is not ours is started; raise ``FileNotFoundError`` where it is not installed."""
    found = shutil.which(forwarder.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise FileNotFoundError(f"{forwarder.program} is not installed")
    file = os.path.join(folder, f"{forwarder.name}.conf")  # noqa: PTH118  a line's worth
    with open(file, "w", encoding="ascii") as out:  # noqa: PTH123  the same
        out.write(forwarder.config.format(site=site, port=port, folder=folder))
    return [found, "-c", file] if forwarder.program == "nginx" else [found, "-db", "-f", file]


def main(name: str, site: int) -> None:
    """Serve one contender on a port of the system's choice, which goes to stdout, until stdin ends."""
    build = FORWARDERS[name].build
    if build is None:
        raise ValueError(f"{name} is a program of its own")
    if name == "judging" or name == "ours":  # noqa: PLR1714  as antiscrape serve does
        from antiscrape.serving.config import configure  # noqa: PLC0415

        config: uvicorn.Config = configure(build(site))
    else:
        config = uvicorn.Config(
            build(site), loop="uvloop", http="httptools", interface="asgi3", proxy_headers=False,
            server_header=False, access_log=False, log_level="error", lifespan="on",
        )  # fmt: skip
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def _end_with_stdin(server: uvicorn.Server) -> None:
    sys.stdin.buffer.read()
    server.should_exit = True


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
