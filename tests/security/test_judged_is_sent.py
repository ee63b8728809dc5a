"""SECURITY P0: what reaches the site is what was judged, one request for one, whatever is sent to the proxy."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from antiscrape.app import protect
from antiscrape.settings import load_policy
from tests.asgi.proxied import Asked, proxied

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE = 60.0
#: How long a client waits for more; those that were refused hear the end of their connection at once.
SILENCE = 0.5
MUTANTS = 150


class Request(NamedTuple):
    """A request as one side saw it; ``body`` is None where it did not come to its end."""

    method: bytes
    target: bytes
    host: bytes
    body: bytes | None = None


class Judged:
    """Stands between the judge and the proxy, and writes down what was let through."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.bodies: list[Request] = []

    def over(self, app: ASGIApp) -> ASGIApp:
        """Return the protected proxy."""

        async def between(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            query: bytes = scope["query_string"]
            target = scope["raw_path"] + (b"?" + query if query else b"")
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            seen = Request(scope["method"].encode(), target, b",".join(hosts))
            self.requests.append(seen)
            body = bytearray()

            async def told() -> Message:
                message = await receive()
                if message["type"] == "http.request":
                    body.extend(message.get("body", b""))
                    if not message.get("more_body", False):
                        self.bodies.append(seen._replace(body=bytes(body)))
                return message

            await app(scope, told, send)

        environment = {"ANTISCRAPE_SECRET": "of-this-test-only-and-long-enough-to-sign-with"}
        return protect(between, load_policy(environ=environment))


class Echo:
    """The site: it writes down what it received, strictly, and answers little."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.bodies: list[Request] = []

    async def serve(self, asked: Asked) -> None:
        method, target, version = asked.line.split(b" ")
        assert version == b"HTTP/1.1"
        assert b"\n" not in asked.head.replace(b"\r\n", b"")
        assert len(asked.all(b"content-length")) + len(asked.all(b"transfer-encoding")) <= 1
        seen = Request(method, target, b",".join(asked.all(b"host")))
        self.requests.append(seen)
        body = await asked.body()
        if asked.all(b"content-length") or asked.all(b"transfer-encoding"):
            self.bodies.append(seen._replace(body=body))
        await asked.reply(
            b"HTTP/1.1 200 OK\r\nContent-Length: ", b"0\r\n\r\n" if method == b"HEAD" else b"2\r\n\r\nok"
        )


async def tell(port: int, payload: bytes) -> None:
    """Send bytes as they are, and listen until there is silence."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(payload)
        async with asyncio.timeout(SILENCE):
            while await reader.read(65_536):
                pass
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()


def compare(payloads: list[bytes]) -> int:
    """Send everything; return how many requests reached the site, each of which was judged."""
    judged, site = Judged(), Echo()

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), proxied(site.serve, wrap=judged.over, limit=256) as setup:
            await asyncio.gather(*(tell(setup.port, payload) for payload in payloads))

    asyncio.run(main())
    assert not Counter(site.requests) - Counter(judged.requests)
    assert not Counter(site.bodies) - Counter(judged.bodies)
    return len(site.requests)


@pytest.mark.slow
@pytest.mark.security("P0")
@pytest.mark.security("C2")
def test_a_corpus_of_odd_requests(shared: Path) -> None:
    lines = (shared / "corpora/http1-raw/llhttp-requests.jsonl").read_text(encoding="utf-8").splitlines()
    assert compare([base64.b64decode(json.loads(line)["payload_b64"]) for line in lines]) > 10


SEEDS = [
    b"GET /a%2Fb?x=1;y HTTP/1.1\r\nHost: site.test\r\nUser-Agent: x\r\nConnection: keep-alive, X-A\r\nX-A: 1\r\n\r\n",
    b"POST /form HTTP/1.1\r\nHost: site.test\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /up HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
    b"GET /one HTTP/1.1\r\nHost: site.test\r\n\r\nGET /two HTTP/1.1\r\nHost: site.test\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: site.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
]
SPICE = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"#", b"?", b"\xff", b"Content-Length: 3\r\n", b"Host: a\r\n", b"Transfer-Encoding: chunked\r\n", b"GET /x HTTP/1.1\r\n"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.security("P0")
@pytest.mark.security("C2")
def test_requests_with_a_byte_or_two_gone_wrong() -> None:
    dice = random.Random(40)
    payloads = []
    for _ in range(MUTANTS):
        sent = bytearray(dice.choice(SEEDS))
        for _ in range(dice.randint(1, 2)):
            at = dice.randrange(len(sent))
            if dice.random() < 0.5:
                sent[at:at] = dice.choice(SPICE)
            else:
                sent[at] = dice.randrange(256)
        payloads.append(bytes(sent))
    assert compare(payloads) > MUTANTS // 20
