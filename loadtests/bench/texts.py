"""What rewriting a page costs: a listing, and pages of 100 kB with and without protected pictures, and with something put in."""

from __future__ import annotations

import random
import secrets
import statistics
import time
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING

from antiscrape import clock
from antiscrape.asgi.rewriting import HtmlSigner, XmlSigner
from antiscrape.asgi.skimming import PATTERNS, SKIMMER
from antiscrape.core.grant_tokens import Holder
from antiscrape.core.grants import Grants
from antiscrape.core.rules import GrantRules
from antiscrape.core.tokens import KeyRing
from loadtests.bench.costs import Cost
from loadtests.bench.site import gallery
from loadtests.bench.visitors import HOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.skimming import Skimmer
    from antiscrape.asgi.texts import BodyWriter

    Make = Callable[[Callable[[str], str]], BodyWriter]

_CHUNK = 1 << 16
_PAGE = 100_000
_PREFIXES = ("/media/",)
#: As much as a page is given of the check and of the traps.
_PUT = (
    b'<script type="module" async src="/_antiscrape/check.js" data-visitor="0123456789abcdef"></script>'
    b'<template><img src="/people/0123456789abcdef.jpg" alt=""><a href="/people/archive-0123456789abcdef" rel="nofollow">all</a></template>'
)
_WORDS = [
    "people",
    "show",
    "each",
    "other",
    "pictures",
    "of",
    "days",
    "that",
    "they",
    "spent",
    "together",
    "and",
    "of",
    "what",
    "they",
    "saw",
    "there",
]


def listing(pictures: int, size: int = _PAGE) -> bytes:
    """Return a page of ``size`` bytes, give or take a card, with ``pictures`` protected URLs among others."""
    dice, cards, length = random.Random(pictures), [], 0
    while length < size:
        words = " ".join(dice.choices(_WORDS, k=20))
        number = dice.randrange(9999)
        cards.append(
            f'<div class="card c-{number % 9}"><a href="/people/{number}">{dice.choice(_WORDS)}</a><p>{words}</p>'
            f'<img class="photo" src="/static/{number}.jpg" alt="{words[:20]}" loading="lazy"></div>\n'
        )
        length += len(cards[-1])
    for place in range(pictures):
        at = place * len(cards) // pictures
        cards[at] = cards[at].replace("/static/", "/media/")
    return f'<!doctype html><html lang="en"><head><title>Days</title></head><body>{"".join(cards)}</body></html>'.encode()


def feed(pictures: int, size: int = _PAGE) -> bytes:
    """Return an RSS feed of ``size`` bytes, give or take an entry, each with a picture."""
    dice = random.Random(pictures)
    words = " ".join(dice.choices(_WORDS, k=size // pictures))[: size // pictures - 210]
    items = "".join(
        f"<item><title>{dice.choice(_WORDS)}</title><link>https://{HOST}/people/{number}</link>"
        f"<description>&lt;p class=&quot;day&quot;&gt;{words}&lt;/p&gt;</description>"
        f'<enclosure url="https://{HOST}/media/{number}.jpg" length="1" type="image/jpeg"/></item>\n'
        for number in range(pictures)
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel>{items}</channel></rss>'.encode()


def texts(rounds: int) -> list[Cost]:
    """Measure signing pages as they stream by, the first against hashing the same bytes."""
    page, bare, hundred = gallery(400), listing(0), listing(100)
    cost = statistics.median(_signing(page, rounds, _page()))
    hashes = [_cpu_ms(lambda: blake2b(page).digest()) for _ in range(rounds)]

    def speed(name: str, title: str, text: bytes, make: Make, *, alone: bool = False) -> Cost:
        taken = statistics.median(_signing(text, 10 * rounds, make, alone=alone))
        return Cost(f"{name}_mb_per_s", title, len(text) / taken / 1000, "MB/s")

    put, slow = _page(put=_PUT), "  without the accelerator"
    return [
        Cost("html_mb_per_s", "signing the pictures of an HTML listing", len(page) / cost / 1000, "MB/s"),
        Cost("html_us_per_url", "  per URL signed", cost * 1000 / (page.count(b"/media/")), "µs"),
        Cost("html_blake2b_ratio", "  over hashing the page", cost / statistics.median(hashes), "x"),
        speed("html_bare", "  a page of 100 kB with no such URL", bare, _page()),
        speed("html_put", "  with the check's script and a trap put into it", bare, put),
        speed("html_put_patterns", slow, bare, _page(put=_PUT, skimmer=PATTERNS)),
        speed("html_100", "  a page of 100 kB with 100 of them", hundred, _page()),
        speed("html_100_patterns", slow, hundred, _page(skimmer=PATTERNS)),
        speed("html_100_put", "  with script and trap put into it", hundred, put),
        speed("html_100_alone", "  with URLs of one visitor alone", hundred, _page(), alone=True),
        speed("html_100_alone_patterns", slow, hundred, _page(skimmer=PATTERNS), alone=True),
        speed("feed_100", "  a feed of 100 kB with 100 of them", feed(100), _feed),
    ]


def _page(*, put: bytes = b"", skimmer: Skimmer = SKIMMER) -> Make:
    def make(sign: Callable[[str], str]) -> BodyWriter:
        return HtmlSigner(sign, _PREFIXES, HOST, insert=put, within=1 << 20, skimmer=skimmer)

    return make


def _feed(sign: Callable[[str], str]) -> BodyWriter:
    return XmlSigner(sign, _PREFIXES, HOST)


def _signing(body: bytes, rounds: int, make: Make, *, alone: bool = False) -> list[float]:
    """Return the CPU ms that it takes to sign ``body``, so many times; ``alone``: each for a visitor with URLs of their own."""
    rules = GrantRules(prefixes=_PREFIXES, binding="clearance" if alone else "none")
    grants = Grants(KeyRing((secrets.token_bytes(40),)), rules, "bench")
    chunks = range(0, len(body), _CHUNK)
    visitors = count()

    def sign() -> list[bytes]:
        holder = Holder("203.0.113.0/24", clearance=f"{next(visitors):024}")
        writer = make(lambda url: grants.sign(url, now=clock.wall(), holder=holder))
        return [writer.feed(body[at : at + _CHUNK], last=at + _CHUNK >= len(body)) for at in chunks]

    if (b"?as=" in b"".join(sign())) is not (b"/media/" in body):
        raise RuntimeError("what was to be signed was not, or the other way round")
    return [_cpu_ms(sign) for _ in range(rounds)]


def _cpu_ms(work: Callable[[], object]) -> float:
    start = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - start) / 1e6
