"""A websocket through the proxy: two ways, each at its own pace, and one end that both sides are told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from antiscrape.errors import UpstreamError
from antiscrape.upstream import Closed

if TYPE_CHECKING:
    from antiscrape.asgi.types import Receive, Send
    from antiscrape.upstream import Socket


async def converse(socket: Socket, receive: Receive, send: Send) -> None:
    """Carry messages both ways until either side ends it, then tell the other side how."""
    from_client = asyncio.create_task(_client_to_site(socket, receive))
    from_site = asyncio.create_task(_site_to_client(socket, send))
    ways = (from_client, from_site)
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        first = from_client if from_client.done() else from_site
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    end = first.result()
    if first is from_client:
        await socket.close(end.code, end.reason)
    else:
        await send({"type": "websocket.close", "code": end.code, "reason": end.reason})
        await socket.close(end.code, end.reason)  # RFC 6455 §5.5.1: a close frame is answered in kind


async def _client_to_site(socket: Socket, receive: Receive) -> Closed:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return Closed(message.get("code") or 1005, message.get("reason") or "")
        text: str | None = message.get("text")
        try:
            await socket.send(text if text is not None else message["bytes"])
        except UpstreamError:  # the other way learns how it ended, and says so
            await asyncio.Event().wait()


async def _site_to_client(socket: Socket, send: Send) -> Closed:
    while True:
        got = await socket.receive()
        if isinstance(got, Closed):
            return got
        kind = "text" if isinstance(got, str) else "bytes"
        await send({"type": "websocket.send", kind: got})
