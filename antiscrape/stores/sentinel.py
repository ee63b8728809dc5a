"""Asking Sentinels who the master is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError, RedisError

from antiscrape.core.store_address import Server
from antiscrape.errors import StoreError
from antiscrape.stores.faults import WORDS, Fault
from antiscrape.stores.line import Command, converse, dial

if TYPE_CHECKING:
    from antiscrape.core.store_address import StoreAddress
    from antiscrape.stores.line import Reply


async def find_master(address: StoreAddress, *, within: float) -> Server:
    """Return the master that the first Sentinel to answer names; raise ``StoreError``, or the last one's error.

    All are asked within half of ``within`` (seconds), so that one that is gone leaves time for the
    others and for the master.
    """
    share = within / (2 * len(address.servers))
    failed: Exception | None = None
    for sentinel in address.servers:
        try:
            async with asyncio.timeout(share):
                named = await _ask(address, sentinel)
        except (RedisError, OSError) as error:
            failed = error
        else:
            if named is not None:
                return named
            failed = None
    if failed is not None:
        raise failed
    raise StoreError(f"the store {address} {WORDS[Fault.NO_MASTER]}", fault=Fault.NO_MASTER, away=True)


async def _ask(address: StoreAddress, sentinel: Server) -> Server | None:
    """Ask without the password first: most Sentinels have none, and refuse one."""
    bare = replace(address, database=0, username="", password="")
    try:
        return await _named(bare, sentinel, address.master)
    except AuthenticationError:
        if not address.password:
            raise
        return await _named(replace(address, database=0), sentinel, address.master)


async def _named(address: StoreAddress, sentinel: Server, master: str) -> Server | None:
    wire = await dial(address, sentinel)
    replies: list[Reply | Exception] = []
    try:
        await converse(wire, [Command((b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", master.encode()))], replies)
    finally:
        await wire.disconnect(nowait=True)
    match replies[0]:
        case [bytes() as host, bytes() as port]:
            return Server(host.decode(), int(port))
        case Exception() as error:
            raise error
    return None
