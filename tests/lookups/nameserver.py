"""A DNS server on loopback, over UDP and TCP: it says what a zone says, and misbehaves where told to."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset

from antiscrape.lookups.resolver import Resolver
from tests.house import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    Job = Callable[[Resolver], Coroutine[Any, Any, "T"]]

T = TypeVar("T")

#: A crawler's address and its name.
ADDRESS, NAME = "66.249.66.1", "crawl-66-249-66-1.googlebot.com"

#: What a name may be made to do instead of being answered. "cut" is truncated over UDP and whole over TCP;
#: "cut-short" is truncated over both; "forged" comes with another question's number; "overtaken" is answered rightly,
#: but somebody else's garbage, refusal and forgery are there first (CVE-2023-29483).
MISBEHAVIOURS = frozenset(
    {"servfail", "refused", "silent", "cut", "cut-short", "garbage", "forged", "overtaken"}
)


@dataclass
class Zone:
    """Everything that the server knows: records by name and type, the misdeeds of names, and what it was asked."""

    records: dict[tuple[str, str], tuple[int, list[str]]] = field(default_factory=dict)
    misdeeds: dict[str, str] = field(default_factory=dict)
    silent: bool = False  # about everything
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # name, type, "udp" or "tcp"

    def add(self, name: str, kind: str, *values: str, ttl: int = 3600) -> Zone:
        self.records[name.lower().rstrip("."), kind] = (ttl, list(values))
        return self

    def point(self, address: str, *names: str, ttl: int = 3600) -> Zone:
        """Give an address its names."""
        return self.add(reverse(address), "PTR", *names, ttl=ttl)

    def spoil(self, name: str, how: str) -> Zone:
        assert how in MISBEHAVIOURS
        self.misdeeds[name.lower().rstrip(".")] = how
        return self

    def kinds(self, kind: str) -> list[str]:
        """Return the names that were asked for by type, in order."""
        return [name for name, asked, _ in self.asked if asked == kind]

    def answer(self, wire: bytes, transport: str) -> list[bytes]:
        """Return the wire form of what is sent in answer to a query, most often one message."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, transport))
        how = "silent" if self.silent else self.misdeeds.get(name, "")
        reply = dns.message.make_response(query, recursion_available=True)
        if how == "silent":
            return []
        if how == "garbage":
            return [b"\x00" * 11]
        if how in {"servfail", "refused"}:
            reply.set_rcode(dns.rcode.SERVFAIL if how == "servfail" else dns.rcode.REFUSED)
            return [reply.to_wire()]
        if how == "forged":
            reply.id = query.id ^ 1
        if how == "cut-short" or (how == "cut" and transport == "udp"):
            reply.flags |= dns.flags.TC
            return [reply.to_wire()]
        self._fill(reply, name, kind)
        if transport == "udp" and len(reply.to_wire(max_size=65535)) > max(query.payload, 512):
            reply.answer.clear()
            reply.flags |= dns.flags.TC
        sent = reply.to_wire(max_size=65535)
        return [b"\x00" * 11, *_forgeries(query), sent] if how == "overtaken" else [sent]

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        followed: set[str] = set()
        while True:
            if (name, kind) in self.records:
                ttl, values = self.records[name, kind]
                reply.answer.append(
                    dns.rrset.from_text_list(dns.name.from_text(name), ttl, "IN", kind, values)
                )
                return
            ttl, values = self.records.get((name, "CNAME"), (0, []))
            if not values or name in followed:
                break
            followed.add(name)
            reply.answer.append(dns.rrset.from_text(dns.name.from_text(name), ttl, "IN", "CNAME", values[0]))
            name = values[0].lower().rstrip(".")
        if not reply.answer and not any(known == name for known, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)


def _forgeries(query: dns.message.Message) -> list[bytes]:
    """Return a refusal and an answer to ``query`` by somebody who has to guess its number."""
    refusal = dns.message.make_response(query)
    refusal.set_rcode(dns.rcode.NXDOMAIN)
    refusal.id = query.id ^ 1
    forgery = dns.message.make_response(query)
    forgery.id = query.id ^ 2
    return [refusal.to_wire(), forgery.to_wire()]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for wire in self._zone.answer(data, "udp"):
            self._transport.sendto(wire, addr)


@asynccontextmanager
async def serving(zone: Zone) -> AsyncIterator[int]:
    """Serve ``zone`` on a port of loopback, the same for both transports; yield the port."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            length = int.from_bytes(await reader.readexactly(2), "big")
            for wire in zone.answer(await reader.readexactly(length), "tcp"):
                writer.write(len(wire).to_bytes(2, "big") + wire)
            await writer.drain()
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    server = await asyncio.start_server(converse, sock=listener)
    datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(zone), ("127.0.0.1", port))
    try:
        yield port
    finally:
        datagrams.close()
        server.close()
        await server.wait_closed()


def reverse(address: str) -> str:
    """Return the name under which an address keeps its PTR records."""
    return dns.reversename.from_address(address).to_text(omit_final_dot=True)


def during(zone: Zone, job: Job[T], *, lifetime: float = PATIENCE, most: int = 64, queue: int = 256) -> T:
    """Run ``job`` with a resolver whose only nameserver speaks for ``zone``."""

    async def run() -> T:
        async with serving(zone) as port:
            resolver = Resolver(
                nameservers=["127.0.0.1"], port=port, lifetime=lifetime, most=most, queue=queue
            )
            try:
                return await job(resolver)
            finally:
                await resolver.aclose()

    return asyncio.run(asyncio.wait_for(run(), PATIENCE))


def genuine(ttl: int = 3600) -> Zone:
    """Return a zone in which Googlebot's address and name lead to each other."""
    return Zone().point(ADDRESS, NAME + ".", ttl=ttl).add(NAME, "A", ADDRESS, ttl=ttl)
