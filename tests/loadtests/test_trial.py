"""The trial's account of a visit, and its verdict on one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.demo.photos import Library
from loadtests.ledger import Ledger
from loadtests.trial import VISITORS, Visitor, judge, run

if TYPE_CHECKING:
    from pathlib import Path

_HARVESTER = next(visitor for visitor in VISITORS if visitor.name == "curl")
_PERSON = next(visitor for visitor in VISITORS if visitor.person)


def _ask(ledger: Ledger, path: str, method: str = "GET") -> None:
    async def send(_message: Any) -> None:
        pass

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"user-agent", b"x")], "state": {}}
    asyncio.run(ledger(scope, receive, send))


def _answering(status: int, *pieces: bytes) -> Any:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": piece is not pieces[-1]})

    return app


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "1001.jpg").write_bytes(b"original")
    (tmp_path / "1001-320.jpg").write_bytes(b"small")
    return tmp_path


def test_an_original_is_one_only_byte_for_byte(photos: Path) -> None:
    whole = Ledger(_answering(200, b"orig", b"inal"), photos)
    _ask(whole, "/media/1001.jpg")
    assert (whole.asked, whole.originals, whole.previews) == ({"1001.jpg"}, {"1001.jpg"}, 0)
    altered = Ledger(_answering(200, b"origina!"), photos)
    _ask(altered, "/media/1001.jpg")
    assert (altered.asked, altered.originals, altered.previews) == ({"1001.jpg"}, set(), 1)


def test_a_thumbnail_is_no_original_but_a_preview_of_it_is_noticed(photos: Path) -> None:
    ledger = Ledger(_answering(200, b"small"), photos)
    _ask(ledger, "/media/1001-320.jpg")
    assert (ledger.asked, ledger.originals, ledger.previews) == (set(), set(), 0)
    ledger.app = _answering(200, b"less")
    _ask(ledger, "/media/1001-320.jpg")
    assert ledger.previews == 1


def test_refusals_are_counted_and_a_head_request_takes_nothing(photos: Path) -> None:
    ledger = Ledger(_answering(429, b"wait"), photos)
    _ask(ledger, "/media/1001.jpg")
    _ask(ledger, "/", "HEAD")
    assert (ledger.requests, ledger.refused, ledger.originals) == (2, 2, set())


@pytest.mark.parametrize(
    ("visitor", "asked", "originals", "previews", "wrong"),
    [
        (_HARVESTER, 3, 0, 3, ""),
        (_HARVESTER, 3, 1, 2, "a harvester obtained 1 originals"),
        (_HARVESTER, 0, 0, 0, "asked for no original"),
        (_PERSON, 3, 3, 0, ""),
        (_PERSON, 3, 2, 1, "a person lost 1 originals"),
        (_PERSON, 3, 3, 1, "a person lost 0 originals, saw 1 previews"),
        (_PERSON, 0, 0, 0, "asked for no original"),
    ],
)
def test_a_visit_is_judged(
    visitor: Visitor, asked: int, originals: int, previews: int, wrong: str, photos: Path
) -> None:
    ledger = Ledger(_answering(200), photos, previews=previews)
    ledger.asked = {f"{number}.jpg" for number in range(asked)}
    ledger.originals = {f"{number}.jpg" for number in range(originals)}
    assert judge(visitor, ledger, "").wrong.startswith(wrong)
    assert bool(judge(visitor, ledger, "").wrong) is bool(wrong)


def test_a_harvester_that_is_taken_for_proven_has_won(photos: Path) -> None:
    ledger = Ledger(_answering(200), photos, asked={"1.jpg"}, proven=True)
    assert judge(_HARVESTER, ledger, "").wrong == "a harvester was taken for proven"


def test_a_missing_visitor_is_skipped_with_its_reason_unless_it_is_required(tmp_path: Path) -> None:
    library = Library(tmp_path, (), (), (), 0.0)
    gone = _PERSON._replace(absent=lambda: "not installed")
    skipped = run(gone, library, required=frozenset())
    assert (skipped.fault, skipped.wrong) == ("skipped: not installed", "")
    assert run(gone, library, required=frozenset({"browser"})).wrong == "required, and missing"
    assert run(gone, library, required=frozenset({gone.name})).wrong == "required, and missing"


def test_naive_harvesters_of_every_kind_and_two_browsers_take_part() -> None:
    names = {visitor.name for visitor in VISITORS}
    assert names == {
        "curl",
        "wget -r",
        "requests",
        "httpx",
        "aiohttp",
        "solver",
        "scrapy",
        "chromium",
        "firefox",
    }
    assert {visitor.name for visitor in VISITORS if visitor.person} == {"chromium", "firefox"}
