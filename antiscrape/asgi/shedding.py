"""Shedding: what is answered with 503 where there is more to do than can be done (``core.overload``).

Here only requests are looked at that took the slow way: those of known clean clients are cheap, and go on. A person whom
we know (an account, a clearance, a visit that was seen before, in good standing) is the last to be sent away, and
nobody is sent away from what is never judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.core.overload import REQUESTS
from antiscrape.core.resource import Kind
from antiscrape.core.verdict import Standing

if TYPE_CHECKING:
    from antiscrape.asgi.check import Desk
    from antiscrape.asgi.types import Send
    from antiscrape.core.overload import Load
    from antiscrape.gate import Passage

_EXEMPT: Final = Kind.EXEMPT
#: Who is known by more than how a request looks.
_KNOWN: Final = frozenset({Standing.MEMBER, Standing.PROVEN})


def shed_of(load: Load, passage: Passage, check: Desk | None) -> str:
    """Return what of a request is shed, as ``Load.shed`` counts it; ``""`` where it goes on."""
    kind, verdict = passage.resource.kind, passage.verdict
    if kind is _EXEMPT or verdict.shadowed:
        return ""
    if check is not None and check.owns(passage):  # its script costs nothing, and is kept by browsers
        return "checks" if passage.method == "POST" or passage.raw_path.endswith(b"/step") else ""
    if load.rung < REQUESTS or verdict.standing in _KNOWN:
        return ""
    known = verdict.standing is Standing.BROWSER and passage.habits.requests > 1
    return "" if known else "requests"


async def send_shed(send: Send, load: Load, passage: Passage, what: str) -> None:
    """Answer 503, and when to come again (RFC 9110 §15.6.4)."""
    load.shed[what] += 1
    body = b"The site is busy. Please come again in a moment.\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"private, no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"retry-after", b"%d" % load.retry),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    body = b"" if passage.method == "HEAD" else body
    await send({"type": "http.response.body", "body": body, "more_body": False})
