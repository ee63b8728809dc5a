"""Verdicts that nginx keeps: whatever a verdict may hang on keeps two requests apart, on one connection and on two."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import pytest

from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from tests.edge.edges import ORIGINALS, behind, read_reply
from tests.house import answers, changed, house, person, policy_of, scope_of, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from antiscrape.core.rules import Policy
    from tests.edge.edges import Reply, Stand
    from tests.house import House, Pairs

PICTURE = next(iter(ORIGINALS))
CHROME = visitor("chromium image")
#: Values that say something else than a browser's do, of the same length as often as not.
OTHERS = {
    b"user-agent": b"curl/8.5.0", b"accept": b"*/*", b"accept-language": b"not a list;;", b"accept-encoding": b"br",
    b"sec-fetch-dest": b"empty", b"sec-fetch-mode": b"navigate", b"sec-fetch-site": b"elsewhere", b"sec-fetch-user": b"?1",
    b"sec-purpose": b"prefetch", b"sec-ch-ua": b'"Google Chrome";v="11"', b"sec-ch-ua-mobile": b"?1",
    b"sec-ch-ua-platform": b'"Nothing"', b"referer": b"https://else.example/", b"cookie": b"a=b", b"authorization": b"Bearer x",
    b"host": b"else.example", b"x-antiscrape-key": b"nobody", b"x-antiscrape-step": b"site", b"signature": b"a=:AA==:",
    b"if-none-match": b'"a"', b"if-modified-since": b"Sat, 29 Oct 1994 19:43:31 GMT", b"range": b"bytes=0-9",
}  # fmt: skip


class Line(NamedTuple):
    """One connection to the edge, which stays open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, headers: Pairs, path: str = PICTURE) -> Reply:
        lines = [f"GET {path} HTTP/1.1".encode(), *(name + b": " + value for name, value in headers)]
        self.writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
        return await read_reply(self.reader)


@asynccontextmanager
async def line_to(stand: Stand, client: str) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection(*stand.address, local_addr=(client, 0))
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


def altered(headers: Pairs) -> Iterator[tuple[str, Pairs]]:
    """Yield the head of a request with each field in turn left out, said otherwise, and said twice."""
    for name, other in OTHERS.items():
        # nginx itself refuses a request without Host, or with two
        if name != b"host" and any(pair[0] == name for pair in headers):
            yield f"{name!r} left out", changed(headers, (name, None))
            yield f"{name!r} twice", [*headers, (name, other)]
        yield f"{name!r} said otherwise", changed(headers, (name, other))


def policy() -> Policy:
    base = policy_of(
        {"ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.1"]', "ANTISCRAPE__IMAGES__FACES": "off"}
    )
    return replace(base, routes=(Route("/photos/**", Kind.IMAGE, Size.ORIGINAL), *base.routes), spread=False)


async def judged(told: House, headers: Pairs, client: str) -> object:
    """Return what would become of a request, by a judge who sees this client for the first time."""
    fields = [*headers, (b"x-forwarded-for", client.encode()), (b"x-forwarded-proto", b"http")]
    _, passage = await told.app.judge(scope_of(PICTURE, fields, peer="127.0.0.1"))
    verdict = passage.verdict
    return verdict.action, verdict.rendition, verdict.standing, verdict.score, passage.profile, passage.role


@pytest.mark.security("J1")
@pytest.mark.parametrize("headers", [person(), CHROME], ids=["firefox", "chromium"])
def test_requests_that_are_judged_differently_never_share_a_verdict(headers: Pairs, tmp_path: Path) -> None:
    """The verdict is kept for an hour here, so that none is asked for anew because it was old."""
    numbers = count(1)

    async def otherwise(told: House, head: Pairs) -> object:
        return await judged(told, head, f"198.51.{next(numbers)}.7")

    async def main() -> None:
        for_an_hour = {"proxy_cache_valid 200 1s": "proxy_cache_valid 200 1h"}
        async with (
            house(answers(b""), policy()) as told,
            behind("nginx", tmp_path, policy(), for_an_hour) as stand,
            line_to(stand, "127.1.1.1") as line,
        ):
            base = await otherwise(told, headers)
            assert (await line.ask(headers)).body == ORIGINALS[PICTURE]
            asked = stand.forward.questions
            assert (await line.ask(headers)).body == ORIGINALS[PICTURE]
            assert stand.forward.questions == asked, "the verdict was not kept"
            differ = 0
            for what, head in altered(headers):
                differs = await otherwise(told, head) != base
                refused = await stand.ask(PICTURE, head, client="127.1.1.2")
                if refused.status == 400:  # nginx itself takes some fields once only
                    continue
                before = stand.forward.questions
                await line.ask(head)
                assert stand.forward.questions == before + 1 or not differs, what
                differ += differs
            assert differ > 20
            asked = stand.forward.questions
            assert (await line.ask(headers)).body == ORIGINALS[PICTURE]
            assert stand.forward.questions == asked, "the verdict was lost meanwhile"
            async with line_to(stand, "127.1.1.1") as another:
                await another.ask(headers)
            assert stand.forward.questions == asked + 1

    asyncio.run(main())
