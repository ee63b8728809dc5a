"""The edges of ``config/edge``, as they are shipped, in front of a small photo site and of the real middleware.

Only what an operator changes is changed in their files: addresses, and the folder of the site. Each listens at an
address of its own in 127.0.0.0/8, and so does every client, so that each client has budgets of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from antiscrape.asgi.edges import BY_STATUS
from antiscrape.asgi.forward_auth import ForwardAuth
from antiscrape.asgi.lengths import Lengths
from antiscrape.core.handover import Handovers
from antiscrape.core.tokens import KeyRing
from antiscrape.stores.once import Once
from tests.asgi.proxied import serving
from tests.conftest import missing
from tests.house import house, photo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send
    from antiscrape.core.rules import Policy
    from tests.house import House, Pairs

CONFIG = Path(__file__).parents[2] / "config" / "edge"
#: Seconds after which an edge that does not answer has failed.
PATIENCE = 60.0
ORIGINALS = {f"/photos/{number}.jpg": photo(700, 520, number) for number in range(1, 5)}
#: What is under a route that tells no size.
UNSIZED = {f"/media/{number}.jpg": photo(640, 480, number) for number in range(5, 7)}
FILES = {**ORIGINALS, **UNSIZED, "/style/site.css": b"body { margin: 0 }"}
_TYPES = {".jpg": b"image/jpeg", ".css": b"text/css"}


@dataclass
class Site:
    """The site as an application; ``asked`` names what it was asked for, and how."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    fields: list[dict[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": message["type"] + ".complete"})
            return
        sent = b""
        while (message := await receive()).get("more_body") or message["type"] == "http.request":
            sent += message.get("body", b"")
            if not message.get("more_body"):
                break
        path, method = scope["path"], scope["method"]
        self.asked.append((method, path))
        self.fields.append(dict(scope["headers"]))
        body = FILES.get(path)
        kind = _TYPES.get(Path(path).suffix, b"text/plain")
        if path == "/api/echo":
            body = method.encode() + b" " + sent
        status = 404 if body is None else 200
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body or b""))]
        headers += [(b"cache-control", b"public, max-age=3600"), (b"etag", b'"' + path.encode() + b'"')]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body or b""})


class Reply(NamedTuple):
    """What an edge answered."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


@dataclass
class Switch:
    """Stands before an application, counts questions and who asks them, and takes it away."""

    app: ASGIApp
    off: bool = False
    questions: int = 0
    peers: set[object] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("raw_path") == BY_STATUS.path:
            self.questions += 1
            self.peers.add(scope["client"])
        if self.off and scope["type"] == "http":
            await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self.app(scope, receive, send)


@dataclass
class Stand:
    """An edge in front of the site: ``house`` is who gives verdicts, ``asked`` the site as antiscrape asks it."""

    house: House
    address: tuple[str, int]
    asked: Site
    direct: Site
    forward: Switch
    folder: Path

    async def ask(
        self, path: str, headers: Pairs, *, client: str = "127.1.1.1", method: str = "GET", body: bytes = b""
    ) -> Reply:
        """Send one request from an address in 127.0.0.0/8, on a connection of its own."""
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(*self.address, local_addr=(client, 0))
            lines = [f"{method} {path} HTTP/1.1".encode(), *(name + b": " + value for name, value in headers)]
            if body:
                lines.append(b"content-length: %d" % len(body))
            writer.write(b"\r\n".join([*lines, b"connection: close", b"", b""]) + body)
            answer = await read_reply(reader, head_only=method == "HEAD")
            writer.close()
            await writer.wait_closed()
        return answer


async def read_reply(reader: asyncio.StreamReader, *, head_only: bool = False) -> Reply:
    """Read one answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *rest = head[:-4].split(b"\r\n")
    fields: dict[bytes, bytes] = {}
    for line in rest:
        name, _, value = line.partition(b":")
        known = fields.get(name.lower())
        fields[name.lower()] = value.strip() if known is None else known + b", " + value.strip()
    status = int(first.split(b" ")[1])
    if head_only or status in {204, 304}:
        return Reply(status, fields, b"")
    if fields.get(b"transfer-encoding") == b"chunked":
        body = b""
        while length := int(await reader.readline(), 16):
            body += await reader.readexactly(length)
            await reader.readexactly(2)
        return Reply(status, fields, body)
    return Reply(status, fields, await reader.readexactly(int(fields[b"content-length"])))


def find(program: str, part: str) -> str:
    """Return where a program is, or skip."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        missing(part, f"{program} is not installed")
    return str(found)


def free() -> tuple[str, int]:
    """Return an address that nobody else has: its 127.x.y.z is this process's own."""
    number = os.getpid()
    host = f"127.{100 + number % 100}.{number // 100 % 250 + 1}.{number // 25_000 % 250 + 1}"
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return host, port


class Made(NamedTuple):
    """How an edge is started, and what is changed in its file."""

    command: list[str]
    file: str
    changes: dict[str, str]


def _nginx(folder: Path, address: str, verdicts: int, origin: int, spare: str) -> Made:
    (folder / "main.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;\n"
        "events { worker_connections 256; }\nhttp {\n access_log off;\n types { image/jpeg jpg; text/css css; }\n"
        + "".join(f" {name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + f" include {folder}/nginx.conf;\n}}\n"
    )  # fmt: skip
    command = [find("nginx", "nginx"), "-p", str(folder), "-c", str(folder / "main.conf"), "-e", str(folder / "error.log")]  # fmt: skip
    changes = {
        "127.0.0.1:8079": f"127.0.0.1:{verdicts}",
        "listen 80;": f"listen {address};",
        "127.0.0.1:8078": spare,
    }
    changes |= {"/srv/site": f"{folder}/www", "/run/antiscrape-verdicts": f"{folder}/verdicts"}
    return Made(command, "nginx.conf", changes)


def _nginx_before_a_port(folder: Path, address: str, verdicts: int, origin: int, spare: str) -> Made:
    """Run nginx as its file's comments have it for a site behind a port."""
    made = _nginx(folder, address, verdicts, origin, spare)
    changes = {
        "        root /srv/site;\n\n": "",
        "        add_header Cache-Control $antiscrape_cache;\n": "",
        "        #   ": "        ",
        "127.0.0.1:8000": f"127.0.0.1:{origin}",
    }
    return made._replace(changes={**changes, **made.changes})


def _caddy(folder: Path, address: str, verdicts: int, origin: int, spare: str) -> Made:
    options = f"{{\n\tadmin off\n\tauto_https off\n\tstorage file_system {folder}\n}}\n\n(antiscrape) {{"
    changes = {
        "127.0.0.1:8079": f"127.0.0.1:{verdicts}",
        "(antiscrape) {": options,
        ":80 {": f"http://:{address.rpartition(':')[2]} {{\n\tbind {address.rpartition(':')[0]}",
        "http://:8078": f"http://:{spare.rpartition(':')[2]}",
        "bind 127.0.0.1\n": f"bind {spare.rpartition(':')[0]}\n",
        "/srv/site": f"{folder}/www",
    }
    command = [find("caddy", "caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    return Made(command, "Caddyfile", changes)


def _haproxy(folder: Path, address: str, verdicts: int, origin: int, spare: str) -> Made:
    (folder / "antiscrape.lua").write_text((CONFIG / "antiscrape.lua").read_text())
    changes = {
        "/etc/haproxy/antiscrape.lua": f"{folder}/antiscrape.lua",
        "127.0.0.1 8077": spare.replace(":", " "),
        "127.0.0.1:8077": spare,
        "bind :80": f"bind {address}",
        "127.0.0.1:8079": f"127.0.0.1:{verdicts}",
        "127.0.0.1:8000": f"127.0.0.1:{origin}",
    }
    return Made(
        [find("haproxy", "haproxy"), "-db", "-f", str(folder / "haproxy.cfg")], "haproxy.cfg", changes
    )


def _varnish(folder: Path, address: str, verdicts: int, origin: int, spare: str) -> Made:
    command = [
        find("varnishd", "varnish"), "-F", "-a", address, "-f", str(folder / "varnish.vcl"), "-n", str(folder / "v"),
        "-s", "malloc,16m", "-p", "thread_pool_min=5", "-p", "thread_pools=1", "-j", "none", "-T", "none",
    ]  # fmt: skip
    changes = {'.port = "8000"': f'.port = "{origin}"', '.port = "8079"': f'.port = "{verdicts}"'}
    return Made(command, "varnish.vcl", changes)


MAKERS = {
    "nginx": _nginx,
    "nginx-before-a-port": _nginx_before_a_port,
    "caddy": _caddy,
    "haproxy": _haproxy,
    "varnish": _varnish,
}


@asynccontextmanager
async def behind(
    name: str, folder: Path, policy: Policy, changes: Mapping[str, str] | None = None
) -> AsyncIterator[Stand]:
    """Start an edge with its shipped file, and what it asks; end both. ``changes`` are made in its file besides."""
    for path, body in FILES.items():
        file = folder / "www" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    asked, direct = Site(), Site()
    async with house(asked, policy, patience=3 * PATIENCE) as protected:
        forward = Switch(forward_auth(protected, asked))
        async with serving(forward) as verdicts, serving(direct) as origin:
            address, spare = free(), free()
            made = MAKERS[name](folder, "{}:{}".format(*address), verdicts, origin, "{}:{}".format(*spare))
            text = (CONFIG / made.file).read_text()
            for old, new in {**made.changes, **(changes or {})}.items():
                assert old in text, f"{made.file} has no {old!r} any more"
                text = text.replace(old, new)
            (folder / made.file).write_text(text)
            async with running(made.command, folder, address):
                asked.asked.clear()
                direct.asked.clear()
                yield Stand(protected, address, asked, direct, forward, folder)


def forward_auth(protected: House, site: Site) -> ForwardAuth:
    """Return what answers edges, in front of a house whose site is ``site``."""
    keys, clock = KeyRing(protected.gate.policy.secrets), protected.clock
    return ForwardAuth(
        protected.app,
        lambda: protected.app,
        handovers=Handovers(keys),
        once=Once(lasts=60.0, clock=clock.monotonic),
        lengths=Lengths(site, clock=clock.monotonic),
    )


@asynccontextmanager
async def running(command: list[str], folder: Path, address: tuple[str, int]) -> AsyncIterator[None]:
    """Run an edge until it is left; wait until it takes connections."""
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "edge.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True
        )
        try:
            async with asyncio.timeout(PATIENCE):
                while not await _listens(address):
                    assert process.returncode is None, (folder / "edge.log").read_text()
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _listens(address: tuple[str, int]) -> bool:
    try:
        _, writer = await asyncio.open_connection(*address)
    except OSError:
        await asyncio.sleep(0.02)
        return False
    writer.close()
    await writer.wait_closed()
    return True
