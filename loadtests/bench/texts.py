"""What rewriting a page costs: a listing, and pages of 100 kB with and without protected pictures, and with something put in."""

from __future__ import annotations

import random
import secrets
import statistics
import time
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING, Any

from antiscrape import clock
from antiscrape.asgi.rewriting import HtmlSigner
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

_CHUNK = 1 << 16
_PAGE = 100_000
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


def texts(rounds: int) -> list[Cost]:
    """Measure signing pages as they stream by, the first against hashing the same bytes."""
    page, bare, hundred = gallery(400), listing(0), listing(100)
    cost = statistics.median(_signing(page, rounds))
    hashes = [_cpu_ms(lambda: blake2b(page).digest()) for _ in range(rounds)]

    def speed(text: bytes, **how: Any) -> float:
        return len(text) / statistics.median(_signing(text, 4 * rounds, **how)) / 1000

    return [
        Cost("html_mb_per_s", "signing the pictures of an HTML listing", len(page) / cost / 1000, "MB/s"),
        Cost("html_us_per_url", "  per URL signed", cost * 1000 / (page.count(b"/media/")), "µs"),
        Cost("html_blake2b_ratio", "  over hashing the page", cost / statistics.median(hashes), "x"),
        Cost("html_bare_mb_per_s", "  a page of 100 kB with no such URL", speed(bare), "MB/s"),
        Cost(
            "html_put_mb_per_s",
            "  with the check's script and a trap put into it",
            speed(bare, put=_PUT),
            "MB/s",
        ),
        Cost("html_100_mb_per_s", "  a page of 100 kB with 100 of them", speed(hundred), "MB/s"),
        Cost("html_100_put_mb_per_s", "  with script and trap", speed(hundred, put=_PUT), "MB/s"),
        Cost(
            "html_100_first_mb_per_s",
            "  with URLs that are this visitor's alone",
            speed(hundred, alone=True),
            "MB/s",
        ),
        Cost(
            "html_put_patterns_mb_per_s",
            "  without the accelerator: with script and trap",
            speed(bare, put=_PUT, skimmer=PATTERNS),
            "MB/s",
        ),
        Cost(
            "html_100_patterns_mb_per_s", "  and with 100 of them", speed(hundred, skimmer=PATTERNS), "MB/s"
        ),
    ]


def _signing(
    page: bytes, rounds: int, *, put: bytes = b"", alone: bool = False, skimmer: Skimmer = SKIMMER
) -> list[float]:
    """Return the CPU ms that it takes to sign ``page``, so many times; ``alone``: each for a visitor with URLs of their own."""
    rules = GrantRules(prefixes=("/media/",), binding="clearance" if alone else "none")
    grants = Grants(KeyRing((secrets.token_bytes(40),)), rules, "bench")
    chunks = range(0, len(page), _CHUNK)
    visitors = count()

    def sign() -> int:
        holder = Holder("203.0.113.0/24", clearance=f"{next(visitors):024}")
        signer = HtmlSigner(
            lambda url: grants.sign(url, now=clock.wall(), holder=holder),
            rules.prefixes,
            HOST,
            insert=put,
            within=1 << 20,
            skimmer=skimmer,
        )
        return sum(len(signer.feed(page[at : at + _CHUNK], last=at + _CHUNK >= len(page))) for at in chunks)

    if (sign() > len(page) + len(put)) is not (b"/media/" in page):
        raise RuntimeError("what was to be signed was not, or the other way round")
    return [_cpu_ms(sign) for _ in range(rounds)]


def _cpu_ms(work: Callable[[], object]) -> float:
    start = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - start) / 1e6
