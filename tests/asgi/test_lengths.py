"""What an edge serves is charged by its length, which the site is asked for once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from antiscrape.asgi.lengths import Lengths
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from tests.house import Clock, gate_of, head_of, person, policy_of, scope_of

if TYPE_CHECKING:
    from antiscrape.asgi.types import Receive, Scope, Send
    from antiscrape.gate import Passage

PICTURE = "/photos/1.jpg"


@dataclass
class Site:
    """A site that answers heads when it may."""

    fields: list[tuple[bytes, bytes]] = field(default_factory=lambda: [(b"Content-Length", b"1000")])
    status: int = 200
    asked: list[Scope] = field(default_factory=list)
    may: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b""
        self.asked.append(scope)
        await self.may.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": self.fields})
        await send({"type": "http.response.body", "body": b""})


class Stand:
    """Lengths before a gate whose charges are written down."""

    def __init__(self, site: Site) -> None:
        routes = (Route("/photos/**", Kind.IMAGE, Size.ORIGINAL),)
        self.clock, self.charged = Clock(), list[int]()
        self.gate = gate_of(policy_of(routes=routes, spread=False), self.clock)
        self.gate.note_bytes = lambda passage, amount: self.charged.append(amount)  # type: ignore[method-assign]
        self.lengths = Lengths(site, clock=self.clock.monotonic)

    def ask(
        self, path: str = PICTURE, *more: tuple[bytes, bytes], method: str = "GET", peer: str = "203.0.113.7"
    ) -> None:
        headers = person(*more)
        passage: Passage = self.gate.judge(head_of(path, headers, method=method, peer=peer))
        self.lengths.charge(self.gate, passage, scope_of(path, headers, method=method, peer=peer))

    async def settle(self) -> None:
        await asyncio.gather(*self.lengths._tasks)


def test_a_picture_is_asked_for_once_however_many_wait() -> None:
    async def main() -> None:
        site = Site()
        stand = Stand(site)
        for _ in range(5):
            stand.ask()
        assert stand.charged == []  # nobody waits for a verdict meanwhile
        site.may.set()
        await stand.settle()
        stand.ask()
        assert stand.charged == [1000] * 6
        (asked,) = site.asked
        assert (asked["method"], asked["raw_path"]) == ("HEAD", b"/photos/1.jpg")
        assert {name for name, _ in asked["headers"]} <= {b"host", b"accept", b"cookie", b"authorization"}
        stand.clock.tick(3601)
        stand.ask()
        await stand.settle()
        assert len(site.asked) == 2

    asyncio.run(main())


def test_what_is_not_sent_is_not_charged() -> None:
    async def main() -> None:
        site = Site([(b"content-length", b"1000"), (b"etag", b'"a"')])
        site.may.set()
        stand = Stand(site)
        stand.ask()
        await stand.settle()
        stand.charged.clear()
        stand.ask(PICTURE, (b"range", b"bytes=10-19"))
        stand.ask(PICTURE, (b"if-none-match", b'"a"'))
        stand.ask(PICTURE, (b"range", b"bytes=5000-"))
        stand.ask(method="HEAD")
        stand.ask(PICTURE, (b"if-none-match", b'"b"'))
        assert stand.charged == [10, 1000]

    asyncio.run(main())


def test_a_site_that_does_not_tell_is_asked_again_later() -> None:
    async def main() -> None:
        site = Site([], status=404)
        site.may.set()
        stand = Stand(site)
        for _ in range(3):
            stand.ask()
            await stand.settle()
        assert (len(site.asked), stand.charged, stand.lengths.uncharged) == (1, [], 3)
        stand.clock.tick(61)
        site.status, site.fields = 200, [(b"content-length", b"7")]
        stand.ask()
        await stand.settle()
        assert stand.charged == [7]

    asyncio.run(main())


def test_few_heads_are_asked_for_at_once() -> None:
    async def main() -> None:
        site = Site()
        stand = Stand(site)
        for number in range(40):
            stand.ask(f"/photos/{number}.jpg", peer=f"203.0.{number}.7")
        for _ in range(2000):
            stand.ask("/photos/0.jpg")
        assert len(stand.lengths._tasks) == 16
        assert stand.lengths.uncharged == 24 + 2000 - (1024 - 16)
        await stand.lengths.aclose()
        assert not stand.lengths._tasks

    asyncio.run(main())
