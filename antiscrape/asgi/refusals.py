"""Refusals: what a request is answered that is not admitted, in the form that its client reads.

A browser that asks for a page gets a small one, whoever asks for JSON a problem (RFC 9457), everybody else a
line of text. Nothing that a client sent is repeated in any of them, and none is stored by any cache.

A wait that is told is honest: whoever asks again when it is over is answered. It is said once for programs
(Retry-After, RFC 9110 §10.2.3) and once for people. What else a client may know of its budgets is the policy's to
say (``core.quota``).
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.browser.page import POLICY, small_page
from antiscrape.core.budgets import LONGEST_WINDOW
from antiscrape.core.quota import left_field, policy_field
from antiscrape.core.resource import Kind
from antiscrape.core.verdict import Action

if TYPE_CHECKING:
    from antiscrape.asgi.types import Headers, Send
    from antiscrape.core.quota import Quota
    from antiscrape.core.request import RequestHead
    from antiscrape.core.verdict import Verdict

#: Registered by draft-ietf-httpapi-ratelimit-headers-10 §5.
_QUOTA: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_ANY: Final = "about:blank"
#: Kinds that a browser shows as a page by themselves.
_PAGES: Final = frozenset({Kind.PAGE, Kind.SUBJECT, Kind.TRAP, Kind.UNTOLD})
#: Browsers send up to 140 bytes of Accept; a longer one than this is no browser's.
_LONGEST_ACCEPT: Final = 1024
# RFC 9110 §12.4.2: a weight has three digits at most.
_WEIGHT: Final = re.compile(r"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", re.IGNORECASE | re.ASCII)
_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_PAGE_FIELDS: Final = [(b"content-security-policy", POLICY), (b"referrer-policy", b"no-referrer")]


class Words(NamedTuple):
    """A refusal in words: a title, and sentences, the last of which may stand around a link to the same page."""

    title: str
    sentences: tuple[str, ...]
    again: bool = False


_REFUSED: Final = Words(
    "This request was refused", ("If you are a person, please try again with a current browser.",)
)
_NEVER: Final = Words("This request was refused", ("The site does not answer requests like this one.",))


async def send_verdict(
    send: Send, verdict: Verdict, head: RequestHead, kind: Kind, quotas: tuple[Quota, ...] = ()
) -> None:
    """Answer a request that is not admitted; ``quotas`` are told beside the wait."""
    if verdict.action is not Action.LIMIT:
        await _send(send, head, kind, _Refusal(403, _REFUSED, _ANY))
        return
    spent = verdict.exceeded
    wait = 1.0 if spent is None else spent.wait
    if not wait <= LONGEST_WINDOW or (spent is not None and "0" in spent.limit.split(", ")):
        await _send(send, head, kind, _Refusal(429, _NEVER, _QUOTA))
        return
    seconds = max(1, math.ceil(wait))
    fields = [(b"retry-after", b"%d" % seconds)]
    if quotas:
        fields.append((b"ratelimit-policy", policy_field(quotas)))
        fields.append((b"ratelimit", left_field(quotas)))
    violated = tuple(quota.name for quota in quotas if not quota.left)
    words = _limited(seconds, shared=spent is not None and spent.shared)
    await _send(send, head, kind, _Refusal(429, words, _QUOTA, tuple(fields), violated))


def _limited(seconds: int, *, shared: bool) -> Words:
    whose = "from the network that you share with others" if shared else "from you"
    return Words(
        f"Please wait {spoken(seconds)}",
        (
            f"There were more requests {whose} than this site answers in one go.",
            "Nothing is wrong with your device, and you need not do anything but wait.",
            f"In {spoken(seconds)} you can go on.",
        ),
        again=True,
    )


def spoken(seconds: int) -> str:
    """Return a wait in words, never shorter than it is: ``12 seconds``, ``5 minutes``, ``2 hours``."""
    if seconds < 120:
        return f"{seconds} second" + "s" * (seconds != 1)
    if seconds <= 7200:
        return f"{math.ceil(seconds / 60)} minutes"
    if seconds <= 172_800:
        return f"{math.ceil(seconds / 3600)} hours"
    return f"{math.ceil(seconds / 86_400)} days"


class _Refusal(NamedTuple):
    status: int
    words: Words
    problem: str
    fields: tuple[tuple[bytes, bytes], ...] = ()
    violated: tuple[str, ...] = ()


async def _send(send: Send, head: RequestHead, kind: Kind, refusal: _Refusal) -> None:
    form = form_of(head, kind)
    extra: Headers = []
    if form == "html":
        body, content_type, extra = _page(refusal.words), b"text/html; charset=utf-8", _PAGE_FIELDS
    elif form == "json":
        body, content_type = _problem(refusal), b"application/problem+json"
    else:
        body = (f"{refusal.words.title}. " + " ".join(refusal.words.sentences) + "\n").encode()
        content_type = b"text/plain; charset=utf-8"
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"private, no-store"),
        (b"x-content-type-options", b"nosniff"),
        *refusal.fields,
        *extra,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    body = b"" if head.method == "HEAD" else body
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _page(words: Words) -> bytes:
    *most, last = words.sentences
    if (
        words.again
    ):  # an empty reference is the page itself (RFC 3986 §4.4): nothing of the request is repeated
        last += ' <a href="">Load the page again</a>'
    return small_page(words.title, "\n".join([f"<p>{sentence}</p>" for sentence in (*most, last)]))


def _problem(refusal: _Refusal) -> bytes:
    told = {"type": refusal.problem, "title": refusal.words.title, "status": refusal.status}
    told["detail"] = " ".join(refusal.words.sentences)
    if refusal.violated:
        told["violated-policies"] = list(refusal.violated)
    return json.dumps(told).encode()


def form_of(head: RequestHead, kind: Kind) -> str:
    """Return in which form a client reads a refusal: ``html``, ``json`` or ``text``.

    Only what Accept names counts (RFC 9110 §12.5.1), for "*/*" is said by everybody. A page is for who asked
    for one: a picture or a script that is answered with HTML is only broken in another way (SECURITY G11).
    """
    field = head.value(b"accept") or b""
    if len(field) > _LONGEST_ACCEPT:
        return "text"
    html = json_ = 0.0
    for part in field.decode("latin-1").split(","):
        name, *parameters = part.lower().split(";")
        name, weight = name.strip(), 1.0
        for parameter in parameters:
            match = _WEIGHT.fullmatch(parameter)
            weight = float(match[1]) if match else weight
        if name in _HTML:
            html = max(html, weight)
        elif name == "application/json" or name.endswith("+json"):
            json_ = max(json_, weight)
    asked = kind in _PAGES or head.value(b"sec-fetch-dest") == b"document"
    if html and asked and html >= json_:
        return "html"
    return "json" if json_ else "text"
