"""A cluster's servers: which of them holds a key's slot, learned from any of them and learned anew when it moves.

A slot that has moved is answered MOVED, and one that is moving ASK (Valkey's cluster
specification): the call is sent on once, to where the answer points. Everything else is the
caller's to fall back from.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, TryAgainError

from antiscrape.core.store_address import Server
from antiscrape.stores.line import Command, Line, converse, dial

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from antiscrape.core.store_address import StoreAddress
    from antiscrape.stores.line import Reply, Wire

SLOTS = 16_384
ASKING: Final = Command((b"ASKING",))


class Nodes:
    """The masters of a cluster, found from the servers that ``address`` names."""

    def __init__(self, address: StoreAddress, *, timeout: float) -> None:
        self._address, self._timeout = address, timeout
        self._lines: dict[Server, Line] = {}
        self._holder: list[Server | None] = []  # by slot; empty until it is learned
        self._learning = asyncio.Lock()

    async def exchange(self, commands: Sequence[Command], replies: list[Reply | Exception | None]) -> None:
        """Send each command to the node of its key, all of a node's in one write; send on what moved, once."""
        if not self._holder:
            await self._learn(self._holder)
        places: dict[Server, list[int]] = {}
        for at, (_, key) in enumerate(commands):
            holder = self._holder[0 if key is None else key_slot(key)]
            if holder is None:
                replies[at] = ClusterDownError("no node holds the slot")
            else:
                places.setdefault(holder, []).append(at)
        await self._send(places, commands, replies)
        await self._send_on(commands, replies)

    async def _send(
        self,
        places: dict[Server, list[int]],
        commands: Sequence[Command],
        replies: list[Reply | Exception | None],
        *,
        asking: bool = False,
    ) -> None:
        """Ask all nodes at once; one that fails gives its error to its own commands."""
        sent = [self._ask(server, at, commands, replies, asking=asking) for server, at in places.items()]
        if len(sent) == 1:
            await sent[0]
        else:
            await asyncio.gather(*sent)

    async def _ask(
        self,
        server: Server,
        places: list[int],
        commands: Sequence[Command],
        replies: list[Reply | Exception | None],
        *,
        asking: bool,
    ) -> None:
        every = 2 if asking else 1
        wanted = [commands[at] for at in places]
        if asking:
            wanted = [part for command in wanted for part in (ASKING, command)]
        got: list[Reply | Exception] = []
        try:
            await self._line(server).exchange(wanted, got)
        except Exception as error:  # noqa: BLE001  garbage makes the parser raise anything, and the other nodes' replies count
            self._holder = []  # who is gone may have been replaced
            got += [error] * (len(wanted) - len(got))
        finally:
            for at, reply in zip(places, got[every - 1 :: every], strict=False):
                replies[at] = reply

    async def _send_on(self, commands: Sequence[Command], replies: list[Reply | Exception | None]) -> None:
        moved: dict[Server, list[int]] = {}
        asked: dict[Server, list[int]] = {}
        for at, reply in enumerate(replies):
            if isinstance(reply, AskError) and reply.host:
                to = moved if isinstance(reply, MovedError) else asked
                to.setdefault(Server(reply.host, reply.port), []).append(at)
        if moved:
            self._holder = []  # one slot that moved is seldom alone: the next call learns them all
            await self._send(moved, commands, replies)
        if asked:
            await self._send(asked, commands, replies, asking=True)
        for at, reply in enumerate(replies):
            if isinstance(reply, AskError):
                replies[at] = TryAgainError("its slots are on the move")

    def _line(self, server: Server) -> Line:
        line = self._lines.get(server)
        if line is None:
            line = self._lines[server] = Line(lambda: dial(self._address, server))
        return line

    async def _learn(self, known: list[Server | None]) -> None:
        """Learn who holds which slot from the first server that says so; raise the last one's error."""
        async with self._learning:
            if self._holder is not known:  # somebody else has learned it meanwhile
                return
            servers = list(dict.fromkeys((*self._lines, *self._address.servers)))
            failed: Exception = ClusterDownError("no node holds a slot")
            for server in servers:
                try:
                    async with asyncio.timeout(self._timeout / (2 * len(servers))):
                        holder = await self._map_of(server)
                except (RedisError, OSError) as error:
                    failed = error
                    continue
                if holder:
                    self._holder = holder
                    await self._forget_lines({one for one in holder if one is not None})
                    return
            raise failed

    async def _map_of(self, server: Server) -> list[Server | None]:
        wire = await dial(self._address, server)
        replies: list[Reply | Exception] = []
        try:
            await converse(wire, [Command((b"CLUSTER", b"SLOTS"))], replies)
        finally:
            await wire.disconnect(nowait=True)
        if isinstance(replies[0], Exception):
            raise replies[0]
        return _slots(replies[0], server)

    async def _forget_lines(self, masters: Iterable[Server]) -> None:
        for server in self._lines.keys() - masters:
            await self._lines.pop(server).aclose()

    async def dial(self) -> Wire:
        """Return a connection to a master: what is published at any node is heard at all."""
        if not self._holder:
            await self._learn(self._holder)
        server = next(one for one in self._holder if one is not None)
        try:
            return await dial(self._address, server)
        except (RedisError, OSError):
            self._holder = []
            raise

    async def forget(self) -> None:
        """Learn the slots anew with the next call, over new connections."""
        self._holder = []
        for line in self._lines.values():
            await line.forget()

    async def aclose(self) -> None:
        """Close the connections to all nodes."""
        await self._forget_lines(())


def _slots(reply: Reply, asked: Server) -> list[Server | None]:
    """Read the answer to CLUSTER SLOTS; a node without a name of its own is the one that was asked."""
    holder: list[Server | None] = [None] * SLOTS
    found = False
    for row in reply if isinstance(reply, list) else ():
        match row:
            case [int() as first, int() as last, [host, int() as port, *_], *_] if 0 <= first <= last < SLOTS:
                name = host.decode() if isinstance(host, bytes) and host else asked.host
                if name != "?":  # the node does not know it yet
                    holder[first : last + 1] = [Server(name, port)] * (last + 1 - first)
                    found = True
    return holder if found else []
