"""Fault 31: whatever stage of the policy raises, nobody gets more for it, nobody sees it, and it is counted."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.verdict import Mode
from antiscrape.gate import gate as gates
from tests.house import House, answers, house, person, photo, policy_of, scope_of, tool
from tests.swift import using

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.house import Answer

PHOTO = photo()
PAGE = b"<!doctype html><title>A page</title>"


class BugError(Exception):
    """What nobody foresaw, with words that no client may read."""


def raising(*_: object, **__: object) -> object:
    raise BugError("secret words of the inside")


def everywhere(home: House) -> None:
    """Leave no remembered client, place or look, so that every stage is gone through."""
    home.gate.forget_networks()


def in_reading(home: House) -> None:
    home.app._read = raising  # type: ignore[assignment]  # the fault


def in_places(home: House) -> None:
    home.gate._places.clear()
    home.gate.place = raising  # type: ignore[assignment]  # the fault


def in_clients(home: House) -> None:
    home.gate._history = raising  # type: ignore[assignment]  # the fault


def in_faces(home: House) -> None:
    home.gate._face = raising  # type: ignore[assignment]  # the fault


def in_charging(home: House) -> None:
    home.gate._store.charge = home.gate._charge = home.gate._charge_request = raising  # type: ignore[assignment,method-assign]  # the fault


def in_consequences(home: House) -> None:
    home.gate._consequences.follow = raising  # type: ignore[assignment,method-assign]  # the fault


STAGES = [in_places, in_clients, in_faces, in_charging, in_consequences]


async def broken(stage: Callable[[House], None], mode: Mode = Mode.ENFORCE) -> tuple[Answer, Answer, House]:
    """Return what is answered to a picture and to a page, once a stage raises."""
    bodies = {"/photos/1.jpg": (PHOTO, b"image/jpeg"), "/": (PAGE, b"text/html")}
    got: list[Answer] = []
    for path, (body, kind) in bodies.items():
        async with house(answers(body, kind), policy_of(mode=mode)) as home:
            home.app.way = (
                home.app._serve
            )  # the accelerator asks the same stages, and leaves what raises to us
            everywhere(home)
            stage(home)
            # of a plain verdict there are no consequences
            got.append(await home.ask(path, tool() if stage is in_consequences else person()))
    return got[0], got[1], home


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_raises_gives_nothing_away(stage: Callable[[House], None]) -> None:
    async def run() -> None:
        picture, page, home = await broken(stage)
        assert picture.status == page.status == 200
        assert picture.body != PHOTO
        assert page.body == PAGE
        for answer in (picture, page):
            assert b"secret words" not in answer.body + repr(answer.fields).encode()
        assert home.recorder.faults >= 1
        causes = [event["problems"] for event in home.ledger.events if event["event"] == "fault"]
        assert causes
        assert "BugError at test_unjudged.py" in str(causes[0])
        assert "secret words" not in str(home.ledger.events)

    asyncio.run(run())


def test_a_request_that_cannot_even_be_read_is_answered_by_a_page_of_ours() -> None:
    async def run() -> None:
        picture, page, home = await broken(in_reading)
        assert picture.status == page.status == 500
        assert picture.body == page.body == b"The site could not answer this request.\n"
        assert home.recorder.faults == 1

    asyncio.run(run())


def test_a_picture_whose_second_judgement_raises_is_not_shown_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No route tells what /a is; that it is a picture is known when it comes, and judged then."""
    monkeypatch.setattr(gates.Gate, "judge_image", raising)

    async def run() -> None:
        async with house(answers(PHOTO)) as home:
            answer = await home.ask("/a")
            assert answer.status == 200
            assert answer.body != PHOTO
            assert home.recorder.faults == 1

    asyncio.run(run())


def test_in_shadow_it_changes_nothing() -> None:
    async def run() -> None:
        picture, page, home = await broken(in_faces, Mode.SHADOW)
        assert picture.body == PHOTO
        assert page.body == PAGE
        assert home.recorder.faults == 1

    asyncio.run(run())


def test_the_swift_way_leaves_what_raises_to_the_other(accelerator: Any) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            with using(accelerator):
                home = await stack.enter_async_context(house(answers(PAGE, b"text/html")))
            way: Any = home.app.way
            way.begin = raising
            assert (await home.ask("/", person(kind="page"))).body == PAGE
            assert home.recorder.faults == 0

    asyncio.run(run())


def test_a_handshake_that_cannot_be_judged_is_declined() -> None:
    async def run() -> None:
        async with house(answers(PAGE)) as home:
            in_faces(home)
            everywhere(home)
            sent: list[object] = []

            async def receive() -> dict[str, object]:
                return {"type": "websocket.connect"}

            async def send(message: object) -> None:
                sent.append(message)

            await home.app(scope_of("/live", person(), kind="websocket"), receive, send)
            assert sent == [{"type": "websocket.close", "code": 1008}]
            assert home.recorder.faults == 1

    asyncio.run(run())
