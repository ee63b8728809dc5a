"""The accelerator and the Python code are one judge: the same verdicts, records, charges and answers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from antiscrape.core.networks import Label, ListRule
from antiscrape.lookups.networks import NetworkBook
from tests.asgi.traces import LOOKS, POLICIES, RELAYED, TRACES, Step, walk
from tests.asgi.turns import TURNS, step
from tests.fuzz import times
from tests.house import answers, house, person, photo, policy_of
from tests.swift import using

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=times(5))
@given(trace=TRACES)
def test_both_give_the_same_verdicts_records_charges_and_answers(
    accelerator: Any, name: str, trace: list[tuple[Step, int]]
) -> None:
    policy = POLICIES[name]()
    slow, none = asyncio.run(walk(trace, policy, None))
    fast, _ = asyncio.run(walk(trace, policy, accelerator))
    assert none == 0
    assert fast == slow


@pytest.mark.parametrize("name", ["pictures", "few pictures", "pictures without bytes"])
@settings(max_examples=times(8))
@given(trace=LOOKS)
def test_both_see_the_same_in_picture_after_picture(
    accelerator: Any, name: str, trace: list[tuple[Step, int]]
) -> None:
    policy = POLICIES[name]()
    slow, _ = asyncio.run(walk(trace, policy, None))
    fast, _ = asyncio.run(walk(trace, policy, accelerator))
    assert fast == slow


@pytest.mark.parametrize("name", ["the default", "pictures", "few pictures", "few requests", "two limits"])
@settings(max_examples=times(5))
@given(trace=TRACES | LOOKS)
def test_both_tell_other_workers_the_same(accelerator: Any, name: str, trace: list[tuple[Step, int]]) -> None:
    policy = POLICIES[name]()
    slow, _ = asyncio.run(walk(trace, policy, None, shared=True))
    fast, _ = asyncio.run(walk(trace, policy, accelerator, shared=True))
    assert fast == slow


@settings(max_examples=times(5))
@given(trace=TRACES)
def test_both_find_the_same_records_of_clients_that_did_not_ask_lately(
    accelerator: Any, trace: list[tuple[Step, int]]
) -> None:
    policy = POLICIES["behind a proxy"]()
    slow, _ = asyncio.run(walk(trace, policy, None, forgetful=True))
    fast, _ = asyncio.run(walk(trace, policy, accelerator, forgetful=True))
    assert fast == slow


@pytest.mark.parametrize("turn", TURNS)
def test_both_take_the_same_turns(accelerator: Any, turn: str) -> None:
    """Each of these begins on the swift way, and one thing that is not plain makes it the Python code's."""
    name, trace = TURNS[turn]
    slow, _ = asyncio.run(walk(trace, POLICIES[name](), None))
    fast, swift_ones = asyncio.run(walk(trace, POLICIES[name](), accelerator))
    assert fast == slow
    assert swift_ones


@pytest.mark.parametrize(
    ("path", "kind", "times", "most"),
    [("/api/photos", "image", 40, 38), ("/static/a.css", "image", 40, 34), ("/p/1", "page", 7, 6)],
)
def test_a_known_client_goes_the_swift_way(
    accelerator: Any, path: str, kind: str, times: int, most: int
) -> None:
    """All but the first request, and each eighth where the visit has news: those are the Python code's."""
    step = Step(path, person(kind=kind), "203.0.113.7", "GET", "1.1", "https", 1.0)
    _, swift_ones = asyncio.run(walk([(step, times)], policy_of(), accelerator))
    assert swift_ones == most


@pytest.mark.parametrize(
    ("path", "times", "most"),
    [("/media/3.jpg", 30, 28), ("/media/1-320.jpg", 30, 29)],
)
def test_a_picture_that_was_had_goes_the_swift_way(
    accelerator: Any, path: str, times: int, most: int
) -> None:
    """All but those that are news: the first, and the first time that it is fetched again."""
    trace = [(step("/static/a.css"), 2), (step(path, pause=1), times)]
    _, swift_ones = asyncio.run(walk(trace, POLICIES["pictures"](), accelerator))
    assert swift_ones == most


def gallery(numbers: Iterable[int], *, pause: float = 20.0, paged: bool = False) -> list[tuple[Step, int]]:
    """Return a visit that opens a page with its style and a small picture, and then pictures; ``paged``: each by its page."""
    page = step("/p/1")._replace(headers=person((b"sec-fetch-site", b"same-origin"), kind="page"))
    shown = [(b"cookie", b"a=1"), (b"referer", b"https://photos.example/p/1")]
    picture = step("")._replace(headers=person(*shown, kind="image"))
    visit = [(page, 2), (step("/static/a.css"), 2), (step("/media/1-320.jpg"), 2)]
    for number in numbers:
        visit += [(page._replace(pause=pause), 1)] * paged
        visit += [(picture._replace(path=f"/media/g{number}.jpg", pause=pause * (1 + number % 9)), 1)]
    return visit


def test_new_pictures_go_the_swift_way_until_something_may_be_said_of_them(accelerator: Any) -> None:
    """The first three tell groups something, and the path of each is new to the gate once."""
    warm = gallery(range(0, 300, 10))
    policy = POLICIES["pictures"]()
    _, before = asyncio.run(walk(warm, policy, accelerator))
    other = [(one._replace(peer="198.51.100.20"), times) for one, times in warm]
    slow, _ = asyncio.run(walk(warm + other, policy, None))
    fast, both = asyncio.run(walk(warm + other, policy, accelerator))
    assert fast == slow
    assert both - before >= 26


@pytest.mark.parametrize(
    "visit",
    [
        gallery(range(18), paged=True),
        gallery(range(0, 240, 4), pause=1.0),
        gallery([*range(0, 90, 6), *range(0, 90, 6)]),
    ],
    ids=["along the numbers", "to the end of the budget", "all of it twice"],
)
def test_both_tell_of_a_visit_at_the_same_picture(accelerator: Any, visit: list[tuple[Step, int]]) -> None:
    policy = POLICIES["pictures"]()
    trace = [*visit, *((one._replace(peer="198.51.100.20"), times) for one, times in visit)]
    slow, _ = asyncio.run(walk(trace, policy, None))
    fast, _ = asyncio.run(walk(trace, policy, accelerator))
    assert fast == slow
    assert any(entry[1]["verdict"].findings or entry[1]["verdict"].exceeded for entry in slow[:-1])


@pytest.mark.parametrize("changed", [{}, RELAYED])
def test_behind_a_trusted_proxy_too(accelerator: Any, changed: dict[str, str]) -> None:
    headers = person((b"x-forwarded-for", b"198.51.100.9"))
    step = Step("/api/photos", headers, "203.0.113.7", "GET", "1.1", "https", 1.0)
    _, swift_ones = asyncio.run(walk([(step, 20)], policy_of(changed), accelerator))
    assert swift_ones == 18
    _, again = asyncio.run(walk([(step, 20)], policy_of(changed), accelerator, forgetful=True))
    assert again == 18


@pytest.mark.parametrize(
    "address",
    [
        "198.51.100.09",
        "198.51.100.9:80",
        " 198.51.100.9",
        "198.51.100.9,",
        "198.51.100",
        "1985.1.1.1",
        "2001:db8::9",
    ],
)
def test_an_address_that_is_not_the_key_of_its_record_is_read(accelerator: Any, address: str) -> None:
    headers = person((b"x-forwarded-for", address.encode()))
    trace = [(Step("/api/photos", headers, "203.0.113.7", "GET", "1.1", "https", 1.0), 9)]
    slow, _ = asyncio.run(walk(trace, policy_of(RELAYED), None, forgetful=True))
    fast, swift_ones = asyncio.run(walk(trace, policy_of(RELAYED), accelerator, forgetful=True))
    assert fast == slow
    assert swift_ones == 0


def test_a_bare_address_in_a_field_of_pairs_is_nobodys(accelerator: Any) -> None:
    """Whoever has a record, a trusted proxy that passes on such a field names nobody by it (RFC 7239 §4)."""
    policy = policy_of(RELAYED | {"ANTISCRAPE__IDENTITY__HEADER": "Forwarded"})

    def asks(peer: str, *fields: tuple[bytes, bytes]) -> tuple[Step, int]:
        return Step("/static/a.css", person(*fields), peer, "GET", "1.1", "https", 0.1), 3

    trace = [
        asks("198.51.100.9"),
        asks("203.0.113.7", (b"forwarded", b"for=192.0.2.1")),
        asks("203.0.113.7", (b"forwarded", b"198.51.100.9")),
    ]
    slow, _ = asyncio.run(walk(trace, policy, None, forgetful=True))
    fast, _ = asyncio.run(walk(trace, policy, accelerator, forgetful=True))
    assert fast == slow
    assert slow[-2][1]["history"]["key"] == "203.0.113.7"


@pytest.mark.security("A9")
def test_a_list_may_name_one_address_of_a_network_that_was_met(tmp_path: Path) -> None:
    (tmp_path / "deny.txt").write_text("2001:db8:1:2::bad/128\n", "utf-8")
    book = NetworkBook([ListRule(str(tmp_path / "deny.txt"), Label.DENY)])

    async def main() -> list[int]:
        scores = []
        async with house(answers(b"{}", b"application/json"), networks=book) as home:
            for end in ("1", "bad", "bad"):
                await home.ask("/api/photos", person(), peer=f"2001:db8:1:2::{end}")
                scores.append(next(iter(home.gate.shortcuts.records.values())).outside.score)
        return scores

    assert asyncio.run(main()) == [0, 100, 100]


def test_who_was_met_is_met_again_when_the_lists_of_networks_have_changed(accelerator: Any) -> None:
    async def visits() -> list[object]:
        with using(accelerator):
            stack = AsyncExitStack()
            home = await stack.enter_async_context(
                house(answers(b"{}", b"application/json"), networks=NetworkBook(()))
            )
        async with stack:
            marks = []
            for _ in range(3):
                await home.ask("/api/photos")
                marks.append(next(iter(home.gate.shortcuts.records.values())).met)
            home.gate.forget_networks()
            await home.ask("/api/photos")
            return [*marks, next(iter(home.gate.shortcuts.records.values())).met]

    first, second, third, last = asyncio.run(visits())
    assert first is second is third
    assert last is not first


@pytest.mark.parametrize("path", ["/api/photos", "/media/3.jpg"])
def test_a_client_whose_counts_are_shared_goes_the_swift_way(accelerator: Any, path: str) -> None:
    step = Step(path, person(kind="image"), "203.0.113.7", "GET", "1.1", "https", 1.0)
    trace = [(step, 6), (step, 30), (step._replace(pause=0.5), 1)]
    seen, swift_ones = asyncio.run(walk(trace, POLICIES["pictures"](), accelerator, shared=True))
    slow, _ = asyncio.run(walk(trace, POLICIES["pictures"](), None, shared=True))
    assert seen == slow
    assert all(entry[0] == "told" or entry[0].status == 200 for entry in seen[:-2])
    assert swift_ones >= 31
    assert sum(len(entry[1]) for entry in seen if entry[0] == "told") >= 3
    due, rests = seen[-1]
    assert rests
    assert not due


def test_both_lay_down_the_same(accelerator: Any) -> None:
    """Whom others were told of begins a journal that rests, beside those that were begun a moment ago."""
    ask = Step("/api/photos", person(), "203.0.113.7", "GET", "1.1", "https", 0.0)
    neighbour = ask._replace(peer="203.0.113.8")
    trace = [(ask, 6), (neighbour, 6), (ask, 3), (neighbour, 3), (ask._replace(pause=0.2), 1), (neighbour, 1)]
    (slow, _), (fast, swift_ones) = (
        asyncio.run(walk(trace, POLICIES["the default"](), module, shared=True))
        for module in (None, accelerator)
    )
    assert fast == slow
    assert swift_ones >= 12
    assert any(len(purses) >= 3 for _, _, purses in fast[-1][1]), "both, and the network around them"


def test_a_spent_budget_is_the_python_codes_to_refuse(accelerator: Any) -> None:
    step = Step("/api/photos", person(), "203.0.113.7", "GET", "1.1", "https", 0.0)
    seen, swift_ones = asyncio.run(walk([(step, 12)], POLICIES["few requests"](), accelerator))
    statuses = [entry[0].status for entry in seen[:-1]]
    assert statuses == [200] * 7 + [429] * 5
    assert swift_ones == 6


def test_what_the_site_answers_does_not_depend_on_it(accelerator: Any) -> None:
    async def both() -> list[object]:
        found: list[object] = []
        for module in (None, accelerator):
            with using(module):
                stack = AsyncExitStack()
                home = await stack.enter_async_context(house(answers(photo(), b"image/jpeg")))
            async with stack:
                found.append([await home.ask("/api/x") for _ in range(4)])
        return found

    first, second = asyncio.run(both())
    assert first == second
