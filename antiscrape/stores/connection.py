"""The way to a shared store: scripts that are run there, and messages to the other workers.

A call ends within its deadline and is never repeated after a pause: either the store has answered,
or the worker decides for itself (SECURITY I1). What goes wrong comes out as a ``StoreError``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha1
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from redis.exceptions import NoScriptError, RedisError

from antiscrape.core.store_address import Kind
from antiscrape.errors import StoreError
from antiscrape.stores.cluster import Nodes
from antiscrape.stores.faults import told
from antiscrape.stores.line import Command, Line, converse, dial
from antiscrape.stores.sentinel import find_master

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from antiscrape.core.store_address import StoreAddress
    from antiscrape.stores.line import Reply, Wire

#: Seconds after which a listener that heard nothing asks whether anybody is there: a cut network says nothing.
SILENCE = 3.0
#: Seconds between a listener's attempts to reconnect: at first, and at most (SECURITY I1).
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Script:
    """A Lua script, known to servers by the SHA-1 of its source."""

    __slots__ = ("digest", "source")

    def __init__(self, source: bytes) -> None:
        self.source: Final = source
        self.digest: Final = sha1(source, usedforsecurity=False).hexdigest().encode()


class Call(NamedTuple):
    """One run of a script. All keys share a slot: the same hash tag stands in each (``{…}``)."""

    script: Script
    keys: Sequence[bytes]
    arguments: Sequence[bytes]

    def command(self, name: bytes, script: bytes) -> Command:
        """Return it as a command: ``EVALSHA`` with the digest or ``EVAL`` with the source."""
        parts = (name, script, b"%d" % len(self.keys), *self.keys, *self.arguments)
        return Command(parts, self.keys[0] if self.keys else None)


class Servers(Protocol):
    """One server or many: what carries commands to where their keys are."""

    async def exchange(self, commands: Sequence[Command], replies: list[Reply | Exception | None]) -> None:
        """Put the reply of each command, or the error in its place, where ``replies`` has room for it."""
        ...

    async def dial(self) -> Wire:
        """Return a new connection to listen on."""
        ...

    async def forget(self) -> None:
        """Hold what was learned for wrong, after a time-out: whoever answered may have been replaced."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class One:
    """A single server, or the master that Sentinels name."""

    def __init__(self, address: StoreAddress, *, timeout: float) -> None:
        self._address, self._timeout = address, timeout
        self._line = Line(self.dial)

    async def dial(self) -> Wire:
        """Return a new connection to the server, or to whatever is the master now."""
        address = self._address
        if address.kind is Kind.UNIX:
            return await dial(address, None)
        if address.kind is Kind.SENTINEL:
            return await dial(address, await find_master(address, within=self._timeout))
        return await dial(address, address.servers[0])

    async def exchange(self, commands: Sequence[Command], replies: list[Reply | Exception | None]) -> None:
        """Send all commands in one write, and read their replies in order."""
        got: list[Reply | Exception] = []
        try:
            await self._line.exchange(commands, got)
        finally:
            replies[: len(got)] = got

    async def forget(self) -> None:
        """Open new connections from now on."""
        await self._line.forget()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._line.aclose()


class Connection:
    """A shared store, as ``address`` names it. ``timeout`` (seconds) bounds every call.

    The address is never shown with its password. A call that is cancelled or late has its connection
    closed, so that no reply reaches anybody else (SECURITY I2).
    """

    def __init__(self, address: StoreAddress, *, timeout: float = 0.25) -> None:
        self.address, self.timeout = address, timeout
        is_cluster = address.kind is Kind.CLUSTER
        self._servers: Servers = (Nodes if is_cluster else One)(address, timeout=timeout)

    async def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Reply:
        """Run a script and return what it answers; raise ``StoreError``."""
        (reply,) = await self.run_many([Call(script, keys, arguments)])
        if isinstance(reply, StoreError):
            raise reply
        return reply

    async def run_many(self, calls: Sequence[Call]) -> list[Reply | StoreError]:
        """Run scripts in one round trip to each server, and return for each its answer or what was wrong with it.

        Never raise ``StoreError``. Calls that a server never saw, or never answered, have an error;
        whether such a call was carried out is not known.
        """
        if not calls:
            return []
        commands = [call.command(b"EVALSHA", call.script.digest) for call in calls]
        replies: list[Reply | Exception | None] = [_UNANSWERED] * len(calls)
        cause: BaseException = _UNANSWERED
        try:
            async with asyncio.timeout(self.timeout):
                await self._servers.exchange(commands, replies)
                await self._load(calls, replies)
        except Exception as error:  # noqa: BLE001  garbage makes the parser raise anything
            cause = error
            if isinstance(error, TimeoutError):
                await self._servers.forget()
        return [
            told(cause if reply is _UNANSWERED else reply, self.address, timeout=self.timeout)
            if isinstance(reply, Exception)
            else reply
            for reply in replies
        ]

    async def _load(self, calls: Sequence[Call], replies: list[Reply | Exception | None]) -> None:
        """Repeat the calls whose script a server did not know (a restart empties it), with the source.

        Such a call did nothing, so that it is carried out once; EVAL keeps the script for EVALSHA.
        """
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if not unknown:
            return
        again = [calls[at].command(b"EVAL", calls[at].script.source) for at in unknown]
        second: list[Reply | Exception | None] = [_UNANSWERED] * len(again)
        try:
            await self._servers.exchange(again, second)
        finally:
            for at, reply in zip(unknown, second, strict=True):
                replies[at] = reply

    async def publish(self, channel: bytes, message: bytes) -> None:
        """Send a message to all who listen to ``channel`` now; raise ``StoreError``."""
        replies: list[Reply | Exception | None] = [_UNANSWERED]
        try:
            async with asyncio.timeout(self.timeout):
                await self._servers.exchange([Command((b"PUBLISH", channel, message))], replies)
        except Exception as error:  # noqa: BLE001  as above
            raise told(error, self.address, timeout=self.timeout) from None
        if isinstance(replies[0], Exception):
            raise told(replies[0], self.address, timeout=self.timeout) from None

    async def listen(self, channel: bytes) -> AsyncGenerator[bytes | None, None]:
        """Yield the messages of ``channel``, and None whenever it begins to be heard: what came before was missed.

        It goes on until it is closed or cancelled, on a connection of its own, which it opens again
        after ``FIRST_PAUSE`` to ``LONGEST_PAUSE`` seconds. Use ``contextlib.aclosing`` around it.
        """
        pause = FIRST_PAUSE
        while True:
            wire: Wire | None = None
            with suppress(Exception):  # whatever is said by whoever is there, it is left and tried again
                try:
                    async with asyncio.timeout(self.timeout):
                        wire = await self._servers.dial()
                        await converse(wire, [Command((b"SUBSCRIBE", channel))], [])
                    pause = FIRST_PAUSE
                    yield None
                    while (message := await _heard(wire)) is not None:
                        yield message
                finally:
                    if wire is not None:
                        await wire.disconnect(nowait=True)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def aclose(self) -> None:
        """Close every connection. Listeners are closed by whoever listens."""
        await self._servers.aclose()


#: Reading is not enough: a replica reads, too, and a server without memory.
_TRIAL: Final = Script(b"return redis.call('SET', KEYS[1], '', 'PX', 1000)")


async def try_out(address: StoreAddress, prefix: bytes, *, seconds: float = 2.0) -> StoreError | None:
    """Write a key that lasts a second, and return what stands in the way of it, or None."""
    connection = Connection(address, timeout=seconds)
    try:
        await connection.run(_TRIAL, [prefix + b"trial"], [])
    except StoreError as error:
        return error
    finally:
        await connection.aclose()
    return None


_TIME: Final = Script(b"return redis.call('TIME')[1]")


async def tell_time(address: StoreAddress, *, seconds: float = 10.0) -> float:
    """Return the store's clock in whole seconds since 1970; raise ``StoreError`` where it cannot be asked."""
    connection = Connection(address, timeout=seconds)
    try:
        reply = await connection.run(_TIME, [b"{time}"], [])
    finally:
        await connection.aclose()
    if not isinstance(reply, bytes) or not reply.isdigit():
        raise StoreError("the store tells no time", fault="nonsense", away=False)
    return float(reply)


async def _heard(wire: Wire) -> bytes | None:
    """Return the next message, or None where the other side has nothing to say to a PING either."""
    asked = False
    while True:
        said = await wire.read_response(timeout=SILENCE)
        if said is None:
            if asked:
                return None
            await wire.send_packed_command(b"*1\r\n$4\r\nPING\r\n", check_health=False)
            asked = True
        elif said[0] == b"message":
            message: bytes = said[2]
            return message
        else:  # the answer to the PING
            asked = False


#: Stands where no reply has come yet.
_UNANSWERED: Final = RedisError("no answer")
