"""A request's body on its way to the site, byte for byte, at the pace of the slower side."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from antiscrape.errors import AntiscrapeError, RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiscrape.core.forwarding import UpstreamRules
    from antiscrape.upstream.connection import Connection


class BodyError(Exception):
    """What a body raises to say that its client left in the middle of it."""


async def send_body(
    connection: Connection,
    body: AsyncIterator[bytes],
    length: int | None,
    rules: UpstreamRules,
    *,
    expects: bool,
) -> None:
    """Send a body of ``length`` bytes, or in chunks where nobody told its length; never raise for what goes wrong.

    The exchange fails instead. Where the client ``expects`` to be asked for it, nothing is read before
    the site asks, or has been silent for a while (RFC 9110 §10.1.1), and nothing at all where it answers.
    """
    try:
        if expects and not await _asked_for(connection, rules.continue_timeout):
            return
        connection.begun = True
        sent = 0
        async for piece in body:
            sent += len(piece)
            if connection.gone:
                return
            if length is None:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)  # noqa: PLW2901  the same piece, framed
            elif sent > length:
                break
            connection.write(piece)
            await connection.drain(rules.send_timeout)
        if length is None:
            connection.write(b"0\r\n\r\n")
        elif sent != length:
            # A body that is not as long as it says would make the site take the next request for its rest.
            raise RequestError(f"a body of {length} bytes has {'more' if sent > length else 'fewer'}")
        connection.finish()
    except AntiscrapeError as error:
        connection.fail(error)
    except BodyError:
        connection.fail(RequestError("the client left in the middle of its body"))


async def _asked_for(connection: Connection, patience: float) -> bool:
    """Wait for a 100 (Continue); return whether the body is to be sent."""
    if connection.go_ahead is not None and not connection.go_ahead.done():
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.shield(connection.go_ahead)
    return connection.reader.head is None and not connection.gone
