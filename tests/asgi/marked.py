"""A site of real pictures whose originals are marked, and what holds of an answer that is."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageSequence

from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import payload_for, trace_keys, unpack
from antiscrape.evidence.recorder import names_at
from antiscrape.images.splice import Token, find_tokens
from tests.house import SECRET, Clock, House, house, policy_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send
    from antiscrape.core.rules import Policy
    from tests.house import Answer, Pairs

RING = KeyRing((SECRET.encode(),))
KEYS = trace_keys(RING)[0]
ME, YOU = "203.0.113.7", "203.0.113.8"
ETAG = b'"v1"'
HOUR = 3600


def marks(**changes: Any) -> Policy:
    return replace(policy_of({"ANTISCRAPE__TRACE__ORIGINALS": "true"}), **changes)


def picture(kind: str) -> bytes:
    """Return some 20 kB of a picture, so that there is much behind what is looked at."""
    card = Image.effect_noise((120, 90), 80).convert("RGB")
    out = io.BytesIO()
    options: dict[str, Any] = {"GIF": {"save_all": True, "append_images": [card.rotate(90)], "loop": 0}}.get(
        kind, {}
    )
    if kind == "JPEG":
        tags = Image.Exif()
        tags[0x010F] = "M" * 3000
        options = {"exif": tags, "quality": 95}
    if kind == "AVIF":
        options = {"quality": 95, "speed": 10}
    card.save(out, kind, **options)
    return out.getvalue()


PICTURES = {kind: picture(kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "AVIF")}
JPEG = PICTURES["JPEG"]


@dataclass
class Site:
    """A site that keeps RFC 9110 §13 and §14: it answers conditions, HEAD and ranges, in chunks as told."""

    body: bytes = JPEG
    media_type: bytes = b"image/jpeg"
    chunk: int = 4096
    length: bool = True
    etag: bytes = ETAG
    fields: Pairs = field(default_factory=list)
    asked: list[dict[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        conditions = dict(scope["headers"])
        self.asked.append(conditions)
        fields = [(b"etag", self.etag), (b"last-modified", b"Sun, 01 Nov 2026 00:00:00 GMT"), *self.fields]
        tags = [tag.strip().removeprefix(b"W/") for tag in conditions.get(b"if-none-match", b"").split(b",")]
        if self.etag.removeprefix(b"W/") in tags or b"if-modified-since" in conditions:
            await send({"type": "http.response.start", "status": 304, "headers": fields})
            await send({"type": "http.response.body"})
            return
        body, status = self.body, 200
        wanted = conditions.get(b"range")
        if wanted is not None and conditions.get(b"if-range", self.etag) == self.etag:
            first, last = (int(at) for at in wanted.removeprefix(b"bytes=").split(b"-"))
            fields.append((b"content-range", b"bytes %d-%d/%d" % (first, last, len(body))))
            body, status = body[first : last + 1], 206
        fields += [(b"content-type", self.media_type), (b"accept-ranges", b"bytes")]
        if self.length:
            fields.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        if scope["method"] != "HEAD":
            for at in range(0, len(body), self.chunk):
                more = not self.length or at + self.chunk < len(body)
                await send(
                    {"type": "http.response.body", "body": body[at : at + self.chunk], "more_body": more}
                )
        if scope["method"] == "HEAD" or not self.length:
            await send({"type": "http.response.body"})


def visit(
    site: ASGIApp,
    visits: Callable[[House], Awaitable[None]],
    policy: Policy | None = None,
    clock: Clock | None = None,
) -> None:
    async def main() -> None:
        async with house(site, policy or marks(), clock or Clock(), traced=True) as protected:
            await visits(protected)

    asyncio.run(main())


def taker(who: str = ME, when: float = Clock.epoch) -> Token:
    name = names_at(RING, who, when)[0]
    return Token(unpack(payload_for(KEYS, name, when)), 0)


def pixels(body: bytes) -> list[bytes]:
    with Image.open(io.BytesIO(body)) as opened:
        return [frame.convert("RGBA").tobytes() for frame in ImageSequence.Iterator(opened)]


def marked(answer: Answer, source: bytes, who: str = ME) -> None:
    """Hold an answer to what a marked original is."""
    assert answer.status == 200
    assert find_tokens(answer.body, [KEYS]) == [taker(who)]
    assert pixels(answer.body) == pixels(source)
    assert answer.get(b"content-length") in {b"", b"%d" % len(answer.body)}
    assert answer.get(b"etag").startswith(ETAG[:-1] + b"~")
    assert not answer.get(b"accept-ranges") + answer.get(b"last-modified")
    assert answer.get(b"cache-control") == b"private"
