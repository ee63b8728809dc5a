"""``python -m loadtests.crowds``: botnets and crowds of people before the real gate, in virtual time.

One harvester over a thousand addresses must not get a thousand budgets, and people who share an address, a browser
or a link must not lose a picture. Each crowd is played twice, without ``Spread`` and with it. Exit status 1 where
a person lost an original to it in a crowd of people.

The crowds are made up, the same at each run, but for the one behind a NAT: it replays ``ANTISCRAPE_SHARED``'s recordings.
"""

from __future__ import annotations

import argparse
import random
import re
import secrets
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.asgi.head import HeadReader
from antiscrape.core.resource import Kind, Size
from antiscrape.core.spread import ALONE, Spread
from antiscrape.core.verdict import Action, Rendition, Standing
from antiscrape.errors import RequestError
from antiscrape.gate import Gate
from antiscrape.lookups.agents import AgentBook
from antiscrape.settings import load_policy
from antiscrape.stores.memory import MemoryStore
from loadtests import chrome, corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from antiscrape.core.rules import Policy
    from antiscrape.core.spread import GroupFacts, Taking
    from antiscrape.gate import Passage

Pairs = list[tuple[bytes, bytes]]

_LADDER: Final = (Standing.BANNED, Standing.BOT, Standing.UNKNOWN, Standing.BROWSER)
_HOST: Final = "photos.example"
_PHOTOS: Final = 50_000
_KEY: Final = bytes(range(32))
#: Seconds on the monotonic clock at which a crowd gathers; any number but nought.
_EPOCH: Final = 10_000.0
#: Originals that each address of a botnet takes: one less than a visit's own signals need.
_EACH: Final = 9
#: A photo's number in a path, of a recording's site and of the made ones.
_PHOTO: Final = re.compile(r"^(/media/|/p/)(\d+)")
#: The letters of crowds of people only.
_PEOPLE: Final = "efg"
#: Seconds that a botnet takes for one round over its addresses.
_ROUND: Final = 60.0


class Request(NamedTuple):
    """One request of a crowd; ``at`` is in seconds from its beginning."""

    at: float
    address: str
    path: str
    headers: Pairs
    person: bool
    version: str = "2"


@dataclass(slots=True)
class Tally:
    """What became of one crowd."""

    asked: int = 0
    granted: int = 0
    people_asked: int = 0
    people_lost: int = 0
    people_grouped: int = 0  # people's requests while a group was held against them
    lowest: Standing = Standing.BROWSER

    def take(self, passage: Passage, *, person: bool) -> None:
        """Add one verdict."""
        verdict, resource = passage.verdict, passage.resource
        original = resource.kind is Kind.IMAGE and resource.size is Size.ORIGINAL
        had = verdict.action is Action.ADMIT and verdict.rendition is Rendition.ORIGINAL
        if not person:
            self.asked += original
            self.granted += original and had
            return
        self.people_asked += original
        self.people_lost += original and not had
        if resource.kind is not Kind.EXEMPT:
            self.lowest = min(self.lowest, verdict.standing, key=_LADDER.index)


class Noted(Spread):
    """The groups, with what they last told of each client."""

    def __init__(self) -> None:
        super().__init__(key=_KEY, started=_EPOCH)
        self.told: dict[str, GroupFacts] = {}

    def note(self, taking: Taking, now: float) -> GroupFacts:
        """Count one request for an original."""
        facts = self.told[taking.principal] = super().note(taking, now)
        return facts


@cache
def _policy() -> Policy:
    path = Path(corpus.__file__).with_name("corpus.toml")
    return load_policy(path, environ={"ANTISCRAPE_SECRET": secrets.token_urlsafe(48)})


_agents = cache(AgentBook)


def play(requests: Iterable[Request], *, spread: bool) -> Tally:
    """Judge a crowd's requests in the order of time, on an empty store."""
    now, policy, tally = _EPOCH, _policy(), Tally()
    groups = Noted() if spread else None
    gate = Gate(
        policy,
        store=MemoryStore(max_principals=200_000, rollup_factor=policy.identity.rollup_factor),
        agents=_agents(),
        grants=None,
        clock=lambda: now,
        wall=lambda: 1.8e9 + now,
        spread=groups,
    )
    reader = HeadReader(policy.hosts, chain=policy.identity.header)
    for request in requests:
        now = _EPOCH + request.at
        try:
            passage = gate.judge(reader.read(_scope(request)))
        except RequestError:  # a recorded one; the site would have answered 400
            continue
        tally.take(passage, person=request.person)
        if groups is not None and request.person and groups.told.get(passage.history.key, ALONE).ration:
            tally.people_grouped += 1
    return tally


def _scope(request: Request) -> dict[str, Any]:
    return {
        "http_version": request.version,
        "method": "GET",
        "scheme": "https",
        "raw_path": request.path.encode("latin-1"),
        "query_string": b"",
        "headers": request.headers,
        "client": (request.address, 40_000),
    }


class Dress(NamedTuple):
    """One browser's fields for every kind of request."""

    page: Pairs
    asset: Pairs
    image: Pairs
    linked: Pairs  # an image that a search engine's page shows

    def with_cookie(self) -> Dress:
        """Return the same fields with the site's cookie."""
        page, asset, image = [[*fields, (b"cookie", b"sid=b7e1c2; vp=2")] for fields in self[:3]]
        return Dress(page, asset, image, self.linked)


@cache
def dress(version: int = 151, platform: str = "Windows", language: str = "en-US,en;q=0.9") -> Dress:
    """Return what a Chromium of this version, platform and language sends."""

    def fields(dest: str, referer: str) -> Pairs:
        told = chrome.fields(dest, version=version, platform=platform, language=language, referer=referer)
        return [(b"host", _HOST.encode()), *[(name.encode(), value.encode()) for name, value in told]]

    ours = f"https://{_HOST}/"
    linked = fields("image", "https://search.example/")
    linked = [(name, b"cross-site" if name == b"sec-fetch-site" else value) for name, value in linked]
    return Dress(fields("document", ours), fields("style", ours), fields("image", ours), linked)


def botnet(
    addresses: int,
    *,
    faces: Callable[[int], Dress] = lambda _: dress(),
    pages: bool = False,
    linked: bool = False,
    ordered: bool = False,
    start: float = 600.0,
    every: float = _ROUND,
) -> Iterator[Request]:
    """Yield what a botnet asks for: every address an original a round, no picture twice, each address in a /24 of its own.

    ``linked`` claims that a search engine's page led to each; ``ordered`` walks the numbers, else they are shuffled.
    """
    numbers = list(range(1, _PHOTOS))
    random.Random(7).shuffle([] if ordered else numbers)
    for turn in range(_EACH):
        for place in range(addresses):
            at = start + turn * every + place * every / addresses
            worn, address = faces(place), f"45.{place // 250}.{place % 250}.9"
            number = numbers[turn * addresses + place]
            if pages:
                yield Request(at, address, f"/p/{number}", worn.page, person=False)
            fields = worn.linked if linked else worn.image
            yield Request(at, address, f"/media/{number}.jpg", fields, person=False)


def people(count: int) -> list[Request]:
    """Return ordinary visits, in order of time: each on an address of its own, most in networks of their own.

    Of a hundred, 6 come from a search for images and take one or two originals and nothing else, 8 come back with full
    caches and ask for as few, 10 block cookies; the others open a page with all it shows and up to three photo pages.
    """
    chance, worn = random.Random(11), dress()
    visits = [_visit(place, chance.uniform(0, 3600.0), worn, chance) for place in range(count)]
    return both(*visits)


def _visit(place: int, at: float, worn: Dress, chance: random.Random) -> Iterator[Request]:
    address = f"{60 + place // 62_500}.{place // 250 % 250}.{place % 250}.{1 + place % 7}"
    sort = chance.random()
    kept = worn if chance.random() < 0.1 else worn.with_cookie()

    def ask(later: float, path: str, fields: Pairs) -> Request:
        return Request(at + later, address, path, fields, person=True)

    if sort < 0.14:
        fields = worn.linked if sort < 0.06 else kept.image
        for turn in range(chance.choice((1, 1, 1, 2))):
            yield ask(20.0 * turn, f"/media/{_liked(chance)}.jpg", fields)
        return
    yield ask(0, "/", kept.page)
    for name in ("site.css", "site.js", "logo.svg"):
        yield ask(0.1, f"/static/{name}", kept.asset)
    for turn in range(6):
        yield ask(0.2 + turn / 50, f"/media/{_liked(chance)}-320.jpg", kept.image)
    for turn in range(chance.choice((0, 1, 1, 2, 3))):
        number, later = _liked(chance), 15.0 + 20.0 * turn
        yield ask(later, f"/p/{number}", kept.page)
        yield ask(later + 0.2, f"/media/{number}.jpg", kept.image)
        for beside in range(4):
            yield ask(later + 0.3 + beside / 50, f"/media/{_liked(chance)}-320.jpg", kept.image)


def _liked(chance: random.Random) -> int:
    """Return a photo's number: few are seen by many, and many by few."""
    return 1 + int(_PHOTOS * chance.random() ** 3)


def one_link(count: int) -> Iterator[Request]:
    """Yield a crowd that follows a link to one picture, each as its only request, half of them by a web view."""
    worn = dress()
    for place in range(count):
        address = f"{70 + place // 62_500}.{place // 250 % 250}.{place % 250}.3"
        fields = worn.linked if place % 2 else worn.image
        yield Request(place * 1800.0 / count, address, "/media/4711.jpg", fields, person=True)


def behind_nat(count: int, addresses: int = 4, *, seed: int = 13, apart: bool = False) -> list[Request]:
    """Return ``count`` people behind a few addresses of one network within an hour, by their recordings where there are any.

    Replays of one recording ask for the same pictures, as if everybody came for them; ``apart`` gives each person others.
    """
    chance, visits = random.Random(seed), []
    sessions = _recorded() or [_made(place) for place in range(60)]
    for place in range(count):
        start, address = chance.uniform(0, 3600.0), f"100.64.0.{1 + place % addresses}"
        session = sessions[place % len(sessions)]
        visits += [
            asked._replace(
                at=start + asked.at, address=address, path=_moved(asked.path, place) if apart else asked.path
            )
            for asked in session
        ]
    return both(visits)


def _moved(path: str, place: int) -> str:
    return _PHOTO.sub(lambda found: f"{found[1]}{int(found[2]) + place * _PHOTOS}", path)


def _recorded() -> list[list[Request]]:
    files = [path for path in corpus.recordings(corpus.corpus_folder()) if path.name.startswith("human-")]
    people = [one for one in map(corpus.read, files) if one.label == "human"]
    return [[_again(row) for row in one.rows if row["method"] == "GET"] for one in people]


def _again(row: dict[str, Any]) -> Request:
    headers = corpus.scope_of(row)["headers"]
    return Request(float(row["t"]), "", row["path"], headers, person=True, version=row["ver"])


def _made(place: int) -> list[Request]:
    worn = dress(chrome.VERSIONS[place % 6], tuple(chrome.PLATFORMS)[place % 3])
    return list(_visit(place, 0.0, worn, random.Random(place)))


def both(*crowds: Iterable[Request]) -> list[Request]:
    """Return crowds that gather at one time."""
    return sorted([request for crowd in crowds for request in crowd], key=lambda request: request.at)


def _forty(place: int) -> Dress:
    face = place % 40
    return dress(151 + face % 4, language=f"en-US,en;q=0.{face // 4}")


def _each_its_own(place: int) -> Dress:
    return dress(language=f"en-US,en;q=0.{place + 1}")


def crowds(scale: float) -> Iterator[tuple[str, Callable[[], Iterable[Request]]]]:
    """Yield each crowd's name and what makes its requests."""
    bots, many, followers = (
        max(20, int(1000 * scale)),
        max(50, int(20_000 * scale)),
        max(100, int(50_000 * scale)),
    )
    yield "a  botnet, one face, shuffled", lambda: botnet(bots)
    yield "a' the same, in order of numbers", lambda: botnet(bots, ordered=True)
    yield 'a" the same, claims a search engine', lambda: botnet(bots, linked=True)
    yield "b  with page views", lambda: botnet(bots, pages=True)
    yield "c  40 faces, shuffled", lambda: botnet(bots, faces=_forty)
    yield "c' 40 faces, in order of numbers", lambda: botnet(bots, faces=_forty, ordered=True)
    yield 'c" a face for each address, shuffled', lambda: botnet(bots, faces=_each_its_own)
    yield "d  one in ten minutes each", lambda: botnet(bots, every=600.0)
    yield "d' one in forty minutes each", lambda: botnet(bots, every=2400.0)
    yield "e  500 people behind a NAT", lambda: behind_nat(max(20, int(500 * scale)))
    yield "e' the same, no picture twice", lambda: behind_nat(max(20, int(500 * scale)), apart=True)
    yield "f  people with one Chrome", lambda: people(many)
    yield "g  50,000 follow one link", lambda: one_link(followers)
    late = 1800.0  # the people were there before
    yield "h  a amid f, the same face", lambda: both(botnet(bots, start=late), people(many))
    yield "i  b amid f, the same face", lambda: both(botnet(bots, pages=True, start=late), people(many))
    yield 'j  c" amid f', lambda: both(botnet(bots, faces=_each_its_own, start=late), people(many))
    yield "k  a amid g", lambda: both(botnet(bots), one_link(followers))


def main(arguments: list[str] | None = None) -> int:
    """Play every crowd twice, print, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.crowds")
    parser.add_argument("--scale", type=float, default=1.0, help="1: botnets of a thousand addresses")
    parser.add_argument("--only", default="", metavar="LETTERS", help="crowds of these letters")
    options = parser.parse_args(arguments)
    print(f"{'':38s}{'machines: originals':>26s}{'people: originals lost':>24s}{'held':>7s}")
    print(
        f"{'crowd':38s}{'without':>10s}{'with':>7s}{'of':>9s}{'without':>11s}{'with':>6s}{'of':>7s}{'':7s}  lowest"
    )
    hurt = []
    for name, make in crowds(options.scale):
        if options.only and name[0] not in options.only:
            continue
        requests = list(make())
        before, after = play(requests, spread=False), play(requests, spread=True)
        print(
            f"{name:38s}{before.granted:10d}{after.granted:7d}{after.asked:9d}"
            f"{before.people_lost:11d}{after.people_lost:6d}{after.people_asked:7d}{after.people_grouped:7d}"
            f"  {after.lowest.value}",
            flush=True,
        )
        if name[0] in _PEOPLE and after.people_lost > before.people_lost:
            hurt.append(name)
    print("people who lost an original to it: " + (", ".join(hurt) or "nobody"))
    return 1 if hurt else 0


if __name__ == "__main__":
    sys.exit(main())
