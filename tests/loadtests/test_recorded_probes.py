"""Recorded browsers before the check: no person's is suspected, and each driven one that its probes can tell is told at once.

The recordings hold requests and no scripts' findings. What a script finds in each is known all the same: WebDriver's
browsers say so (W3C WebDriver §4), and a Chromium that calls itself an iPhone's has the traits of a Chromium.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.agent import Engine
from antiscrape.core.probes import DENIED, Found, Probes, judge_probes
from antiscrape.core.verdict import Standing
from antiscrape.lookups.agents import AgentBook
from antiscrape.settings import load_policy
from loadtests import corpus
from loadtests.corpus import corpus_folder, read, recordings, replay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.rules import Policy

#: By the first word of a person's recording, the engine that runs its scripts. Text browsers and NetSurf run none of ours.
ENGINES = {
    "chromium": Engine.CHROMIUM, "qutebrowser": Engine.CHROMIUM, "firefox": Engine.GECKO,
    "epiphany": Engine.WEBKIT, "minibrowser": Engine.WEBKIT,
}  # fmt: skip
#: What drives by WebDriver, or by CDP with the switch that says so, and hides nothing of it.
WEBDRIVER = {
    "marionette": Engine.GECKO, "marionette-headed": Engine.GECKO, "playwright-headed": Engine.CHROMIUM,
    "seleniumbase": Engine.CHROMIUM,
}  # fmt: skip


def clean(engine: Engine) -> Probes:
    told = {
        "driven": False,
        "languages": True,
        "window": True,
        "pointer": True,
        "named": True,
        "watched": False,
    }
    return Probes("", engine=engine, **told)


@pytest.fixture(scope="module")
def files() -> list[Path]:
    found = list(recordings(corpus_folder()))
    if not found:
        pytest.skip("the recordings are not here: ANTISCRAPE_SHARED names the folder that holds them")
    return found


@pytest.fixture(scope="module")
def agents() -> AgentBook:
    return AgentBook()


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(Path(corpus.__file__).with_name("corpus.toml"), environ={}, require_secret=False)


def named(files: list[Path], name: str) -> Path:
    return next(path for path in files if path.name == f"{name}.jsonl.gz")


def people_of(files: list[Path]) -> Iterator[tuple[Path, Engine]]:
    """Yield the recordings of people whose engine is known, each with it."""
    for path in files:
        kind, _, rest = path.name.removesuffix(".jsonl.gz").partition("-")
        engine = ENGINES.get(rest.partition("@")[0].partition("-")[0])
        if kind == "human" and engine is not None:
            yield path, engine


def test_no_persons_browser_has_anything_found_against_it(files: list[Path], agents: AgentBook) -> None:
    people = 0
    for path, engine in people_of(files):
        people += 1
        texts = {
            value for row in read(path).rows for name, value in row["headers"] if name.lower() == "user-agent"
        }
        for text in texts:
            assert judge_probes(clean(engine), agents.read(text.encode())) == Found(0), (path.name, text)
    assert people > 20


def test_a_driven_browser_is_told_apart_at_its_first_page(
    files: list[Path], agents: AgentBook, policy: Policy
) -> None:
    for name, engine in WEBDRIVER.items():
        outcome = replay(
            read(named(files, name)),
            policy,
            agents,
            probes=clean(engine)._replace(bot="webdriver", driven=True),
        )
        assert (outcome.last, len(outcome.granted)) == (Standing.BOT, 0), name
        assert outcome.fell_at < 10, name


def test_an_engine_under_anothers_name_costs_no_clearance_and_is_held_against_the_visit(
    files: list[Path], agents: AgentBook, policy: Policy
) -> None:
    recording = read(named(files, "playwright-iphone"))
    text = next(value for name, value in recording.rows[0]["headers"] if name.lower() == "user-agent")
    found = judge_probes(clean(Engine.CHROMIUM), agents.read(text.encode()))
    assert found == Found.CONTRADICTS
    assert not found & DENIED, "a person's User-Agent switcher does the same"
    before = replay(recording, policy, agents)
    after = replay(recording, policy, agents, probes=clean(Engine.CHROMIUM))
    assert len(after.granted) < len(before.granted)


def test_a_person_who_did_the_check_is_no_worse_off(
    files: list[Path], agents: AgentBook, policy: Policy
) -> None:
    for name in ("human-chromium", "human-firefox-rfp", "human-epiphany"):
        engine = ENGINES[name.split("-")[1]]
        outcome = replay(read(named(files, name)), policy, agents, probes=clean(engine))
        assert outcome.lowest is Standing.BROWSER, name


def test_what_people_have_as_well_costs_no_recorded_person_anything(
    files: list[Path], agents: AgentBook, policy: Policy
) -> None:
    """No mouse, another's name and a debugger all together, added to whatever else was unusual about them."""
    people = 0
    for path, engine in people_of(files):
        people += 1
        recording = read(path)
        plain, odd = (
            replay(recording, policy, agents, probes=probes)
            for probes in (clean(engine), clean(engine)._replace(pointer=False, named=False, watched=True))
        )
        assert (odd.lowest, len(odd.granted)) == (plain.lowest, len(plain.granted)), path.name
    assert people > 20
