"""antiscrape's rooms, joined as ``antiscrape.app`` joins them, so that the bench can time them one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from antiscrape import clock
from antiscrape.asgi.head import HeadReader
from antiscrape.asgi.responder import Responder, Tools
from antiscrape.asgi.swift import ways_through
from antiscrape.core.identity import Identity
from antiscrape.core.judge import PLAIN
from antiscrape.core.tokens import KeyRing
from antiscrape.core.verdict import Standing
from antiscrape.evidence.events import NoSink
from antiscrape.evidence.recorder import Recorder
from antiscrape.gate import Gate
from antiscrape.images.dimensions import long_side
from antiscrape.images.renderer import PillowRenderer
from antiscrape.lookups.agents import AgentBook
from antiscrape.stores.memory import memory_store

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy
    from loadtests.bench.variants import App


class Rooms:
    """One object of each room, by one policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.store = memory_store(policy)
        self.gate = Gate(
            policy,
            store=self.store,
            agents=AgentBook(),
            grants=None,
            clock=clock.monotonic,
            wall=clock.wall,
        )
        self.reader = HeadReader(policy.hosts, chain=policy.identity.header)
        self.identity = Identity(policy.identity)
        self.renderer = PillowRenderer(policy.images)
        self.tools = Tools(self.gate, self.renderer, long_side, None)
        self.read, self.judge, *_ = ways_through(
            self.reader, self.gate, self.tools, plain=PLAIN[Standing.BROWSER]
        )
        self.recorder = Recorder(
            NoSink(), site="bench", keys=KeyRing(policy.secrets), addresses="hashed", wall=clock.wall
        )

    def know(self, scope: Any) -> None:
        """Make the client of ``scope`` one that every room knows."""
        head = self.read(scope)
        self.judge(head)
        self.identity.find(head.peer, head.value(b"x-forwarded-for"))

    def reading(self, app: App) -> App:
        """Return ``app`` behind the first stage alone: the head is read."""
        read = self.read

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            read(scope)
            await app(scope, receive, send)

        return serve

    def judging(self, app: App) -> App:
        """Return ``app`` behind two stages: the head is read and judged."""
        read, judge = self.read, self.judge

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            head = read(scope)
            judge(head)
            await app(scope, receive, send)

        return serve

    def answering(self, app: App) -> App:
        """Return ``app`` behind three stages: the head is read and judged, the answer passes a responder."""
        read, judge, tools = self.read, self.judge, self.tools

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            head = read(scope)
            responder = Responder()
            responder.tools, responder.passage, responder.to = tools, judge(head), send
            responder.handle, responder.status, responder.news = None, 0, False
            await app(scope, receive, responder.send)

        return serve
