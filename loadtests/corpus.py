"""``make trial-corpus``: recorded scrapers and people, judged again on their own clock.

The recordings were made against a site without protection, so every request of each visitor is
there, and what the judge says to each can be read off. What a visitor would have done next, had it
been answered a preview, cannot. Exit status 1 where a person is ever taken for a bot or banned. Feed
readers are a class of their own: people sit behind them, but a program asks, says so, and gets its
pages and previews as a bot.

The recordings are not part of the project; ``ANTISCRAPE_SHARED`` names the folder that holds
``redteam/corpus``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import secrets
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from antiscrape.asgi.head import HeadReader
from antiscrape.asgi.media import KINDS, Media, read_media
from antiscrape.core.probes import judge_probes
from antiscrape.core.resource import Kind, Size
from antiscrape.core.verdict import Action, Rendition, Standing
from antiscrape.errors import RequestError
from antiscrape.gate import Gate
from antiscrape.lookups.agents import AgentBook
from antiscrape.settings import load_policy
from antiscrape.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from antiscrape.core.probes import Probes
    from antiscrape.core.rules import Policy
    from antiscrape.gate import Passage

_LAYOUT: Final = Path(__file__).with_name("corpus.toml")
#: From least to most; those beside the ladder are not met in recordings.
_LADDER: Final = (Standing.BANNED, Standing.BOT, Standing.UNKNOWN, Standing.BROWSER)
#: The original at which a scraper should have been told: no harvest has begun by then.
_TENTH: Final = 10
#: Seconds on the monotonic clock at which a recording begins; any number but nought.
_EPOCH: Final = 10_000.0
#: Programs among the recorded people that ask by themselves, by the clock.
_FEED_READERS: Final = frozenset({"liferea"})
#: What the recorder's TLS proxy added for its own use.
_RECORDERS: Final = frozenset({"x-http-version"})


class Recording(NamedTuple):
    """One visitor: its name, what it is, its requests in their order.

    It is a "human", a "feed-reader", a "scraper" or a "goodbot-claim".
    """

    name: str
    label: str
    wall: float
    rows: list[dict[str, Any]]

    @property
    def ordinary(self) -> bool:
        """Tell whether its browser returned cookies and ran the site's script."""
        cookies = [value for row in self.rows for name, value in row["headers"] if name.lower() == "cookie"]
        ran = any("vp=" in value for value in cookies)
        return bool(cookies) and (ran or any(row["path"].startswith("/api/") for row in self.rows))


@dataclass(slots=True)
class Outcome:
    """What a visitor was judged to be, and what it would have got."""

    name: str
    label: str
    ordinary: bool
    requests: int = 0
    asked: set[str] = field(default_factory=set)
    granted: set[str] = field(default_factory=set)
    at_tenth: Standing | None = None
    lowest: Standing = Standing.BROWSER
    last: Standing = Standing.BROWSER
    fell_at: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    malformed: int = 0

    def take(self, passage: Passage) -> None:
        """Add one verdict."""
        verdict, resource = passage.verdict, passage.resource
        if resource.kind is Kind.EXEMPT:
            return
        self.last = verdict.standing
        if _LADDER.index(verdict.standing) < _LADDER.index(self.lowest):
            self.lowest = verdict.standing
            self.fell_at = self.requests
        for finding in verdict.findings:
            self.signals[finding.name] += finding.weight
        if resource.kind is Kind.IMAGE and resource.size is Size.ORIGINAL and passage.method == "GET":
            self.asked.add(resource.path)
            if verdict.action is Action.ADMIT and verdict.rendition is Rendition.ORIGINAL:
                self.granted.add(resource.path)
            if len(self.asked) == _TENTH and self.at_tenth is None:
                self.at_tenth = verdict.standing


def read(path: Path) -> Recording:
    """Read one recording; lines about connections are left out."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        meta, *rows = (json.loads(line) for line in lines)
    requests = sorted((row for row in rows if "method" in row), key=lambda row: float(row["t"]))
    label = "feed-reader" if meta["tool"] in _FEED_READERS else meta["label"]
    return Recording(path.name.removesuffix(".jsonl.gz"), label, float(meta["wall"]), requests)


def scope_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ASGI scope of a recorded request; each address of a visitor lies in a network of its own."""
    place = int(row.get("ip", 0))
    return {
        "type": "http",
        "http_version": row["ver"],
        "method": row["method"],
        "scheme": "http",
        "path": row["path"],
        "raw_path": row["path"].encode("latin-1"),
        "query_string": row["query"].encode("latin-1"),
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in row["headers"]
            if name.lower() not in _RECORDERS
        ],
        "client": (f"198.{18 + place % 2}.{place}.7", int(row["port"])),
    }


def replay(
    recording: Recording, policy: Policy, agents: AgentBook, *, probes: Probes | None = None
) -> Outcome:
    """Judge every request of a recording at its own time, on an empty store.

    ``probes``: what the browser check's script, which the recorded site had not, would have told after the first page.
    """
    now = _EPOCH
    store = MemoryStore(max_principals=1000, rollup_factor=policy.identity.rollup_factor)
    gate = Gate(
        policy,
        store=store,
        agents=agents,
        grants=None,
        clock=lambda: now,
        wall=lambda: recording.wall + now - _EPOCH,
    )
    reader = HeadReader(policy.hosts, chain=policy.identity.header)
    outcome = Outcome(recording.name, recording.label, recording.ordinary)
    for row in recording.rows:
        now = _EPOCH + float(row["t"])
        outcome.requests += 1
        try:
            passage = gate.judge(reader.read(scope_of(row)))
        except RequestError:
            outcome.malformed += 1
            continue
        _answer(gate, passage, row)
        outcome.take(passage)
        if probes is not None and read_media((row.get("ctype") or "").encode("latin-1")) is Media.HTML:
            agent = agents.read(passage.value(b"user-agent"))
            passage.habits.note_probes(judge_probes(probes, agent))
            probes = None
    return outcome


def _answer(gate: Gate, passage: Passage, row: Mapping[str, Any]) -> None:
    """Tell the gate what the site answered, as the responder does."""
    if row["path"] == "/sitemap.xml":
        passage.habits.note_sitemap()
    if passage.verdict.action is Action.LIMIT:
        passage.habits.note_refused(passage.resource)
    status, media = int(row["status"] or 0), read_media((row.get("ctype") or "").encode("latin-1"))
    html = media is Media.HTML and status in {200, 304}
    offered = html and not any("sid=" in v for n, v in row["headers"] if n.lower() == "cookie")
    if offered or status == 404:
        passage.habits.note_answer(found=status != 404, cookie_offered=offered)
    untold = passage.resource.kind is Kind.UNTOLD
    if untold and media in KINDS and media is not Media.OTHER and 0 < status < 300:
        gate.note_kind(passage, KINDS[media])
        gate.learn(passage, KINDS[media])


def corpus_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where recordings are looked for."""
    shared = environ.get("ANTISCRAPE_SHARED", str(Path(__file__).parents[1].parent / "shared"))
    return Path(shared, "redteam", "corpus")


def recordings(folder: Path) -> Iterator[Path]:
    """Yield the recordings' files, in order."""
    yield from sorted(folder.glob("*/*.jsonl.gz"))


def main(arguments: list[str] | None = None) -> int:
    """Replay, print, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.corpus")
    parser.add_argument("--policy", default=str(_LAYOUT), metavar="FILE")
    parser.add_argument("--only", default="", metavar="TEXT", help="recordings whose name holds TEXT")
    options = parser.parse_args(arguments)
    folder = corpus_folder()
    files = [path for path in recordings(folder) if options.only in path.name]
    if not files:
        print("no recordings: set ANTISCRAPE_SHARED to the folder that holds redteam/corpus")
        return 2
    policy = load_policy(options.policy, environ={"ANTISCRAPE_SECRET": secrets.token_urlsafe(48)})
    agents = AgentBook()
    outcomes = [replay(read(path), policy, agents) for path in files]
    print(
        f"{'visitor':34s}{'label':14s}{'requests':>9s}{'asked':>7s}{'granted':>8s}  {'at tenth':9s}{'lowest':9s}{'at':>4s}  signals"
    )
    for outcome in sorted(outcomes, key=lambda outcome: (outcome.label, outcome.name)):
        print(_line(outcome))
    return _sum_up(outcomes)


def _line(outcome: Outcome) -> str:
    top = ", ".join(f"{name}" for name, _ in outcome.signals.most_common(4))
    tenth = outcome.at_tenth.value if outcome.at_tenth else "-"
    return (
        f"{outcome.name:34.34s}{outcome.label:14s}{outcome.requests:9d}{len(outcome.asked):7d}"
        f"{len(outcome.granted):8d}  {tenth:9s}{outcome.lowest.value:9s}{outcome.fell_at:4d}  {top}"
    )


def _sum_up(outcomes: list[Outcome]) -> int:
    people = [outcome for outcome in outcomes if outcome.label == "human"]
    readers = [outcome for outcome in outcomes if outcome.label == "feed-reader"]
    others = [outcome for outcome in outcomes if outcome.label not in {"human", "feed-reader"}]
    takers = [outcome for outcome in others if len(outcome.asked) >= _TENTH]
    known = [outcome for outcome in takers if outcome.at_tenth in {Standing.BOT, Standing.BANNED}]
    stopped = [outcome for outcome in takers if outcome.at_tenth is not Standing.BROWSER]
    hurt = [outcome for outcome in people if outcome.lowest in {Standing.BOT, Standing.BANNED}]
    doubted = [outcome for outcome in people if outcome.lowest is not Standing.BROWSER]
    asked = sum(len(outcome.asked) for outcome in others)
    granted = sum(len(outcome.granted) for outcome in others)
    lost = sum(len(outcome.asked) - len(outcome.granted) for outcome in people)
    print(f"\nscrapers: {len(others)} runs, {len(takers)} asked for ten originals or more")
    print(
        f"  a bot (or banned) at their tenth original: {len(known)} of {len(takers)}; no browser any more: {len(stopped)}"
    )
    print(f"  originals granted: {granted} of {asked} asked for")
    print(
        "  still a browser at the tenth: " + (", ".join(o.name for o in takers if o not in stopped) or "none")
    )
    print(f"people: {len(people)} sessions; originals they asked for and did not get: {lost}")
    print("  ever a bot or banned: " + (", ".join(o.name for o in hurt) or "nobody"))
    print("  ever less than a browser: " + (", ".join(o.name for o in doubted) or "nobody"))
    ordinary = [o.name for o in doubted if o.ordinary]
    print("  of these with cookies and JavaScript: " + (", ".join(ordinary) or "nobody"))
    told = [f"{o.name} ({o.lowest.value}, {len(o.granted)} of {len(o.asked)} originals)" for o in readers]
    print(f"feed readers: {len(readers)}; " + (", ".join(told) or "none"))
    return 1 if hurt else 0


if __name__ == "__main__":
    sys.exit(main())
