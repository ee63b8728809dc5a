"""The trial's account of a visit, and its verdict on one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.staticfiles import StaticFiles

from antiscrape.core.verdict import Action, Finding, Rendition, Standing, Verdict
from antiscrape.demo.photos import Library
from loadtests.ledger import Got, Ledger
from loadtests.trial import VISITORS, Visitor, judge, lines_of, run

if TYPE_CHECKING:
    from pathlib import Path

_HARVESTER = next(visitor for visitor in VISITORS if visitor.name == "curl")
_PERSON = next(visitor for visitor in VISITORS if visitor.person)


def _ask(ledger: Ledger, path: str, method: str = "GET", *, told: str = "http.request") -> None:
    async def send(_message: Any) -> None:
        pass

    async def receive() -> Any:
        return {"type": told, "body": b"", "more_body": False}

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"user-agent", b"x")], "state": {}}
    asyncio.run(ledger(scope, receive, send))


_IN_A_HURRY = Finding("pages-in-a-hurry", 20, "Pages are opened faster than anybody reads.")
_ALL = Verdict(Action.ADMIT, Rendition.ORIGINAL, Standing.BROWSER, 0)
_LESS = Verdict(Action.ADMIT, Rendition.PREVIEW, Standing.UNKNOWN, 20, (_IN_A_HURRY,))


def _judged(app: Any, verdict: Verdict) -> Any:
    async def judged(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["antiscrape"] = SimpleNamespace(verdict=verdict)
        await app(scope, receive, send)

    return judged


def _leave(ledger: Ledger, path: str, *, after: int) -> None:
    """Ask for a file and leave when ``after`` messages of the answer are sent; the next is never taken."""

    async def visit() -> None:
        left, taken = asyncio.Event(), 0

        async def send(_message: Any) -> None:
            nonlocal taken
            if taken == after:
                left.set()
                await asyncio.Event().wait()  # a full connection: its drain ends with the task
            taken += 1

        async def receive() -> Any:
            await left.wait()
            return {"type": "http.disconnect"}

        asked = {"type": "http", "method": "GET", "path": path, "root_path": "", "query_string": b"as=1"}
        await ledger({**asked, "headers": [], "state": {}}, receive, send)

    asyncio.run(asyncio.wait_for(visit(), 60))


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
    ("after", "begun"),
    [(0, set()), (1, {"1002.jpg"}), (2, {"1002.jpg"})],
    ids=["at the head", "at the first bytes", "in the midst"],
)
def test_a_picture_whose_client_leaves_is_neither_original_nor_preview(
    after: int, begun: set[str], photos: Path
) -> None:
    folder = photos / "media"
    folder.mkdir()
    for name in ("1002.jpg", "1002-320.jpg"):
        (folder / name).write_bytes(bytes(range(256)) * 1024)
    ledger = Ledger(_judged(StaticFiles(directory=photos), _ALL), folder)
    _leave(ledger, "/media/1002-320.jpg", after=after)
    _leave(ledger, "/media/1002.jpg", after=after)
    assert [answer.got for answer in ledger.answers] == [Got.CUT, Got.CUT]
    assert (ledger.previews, ledger.parts, ledger.asked, ledger.begun) == (0, 2, set(), begun)
    ledger.asked = ledger.originals = {"1001.jpg"}
    assert judge(_PERSON, ledger, "").wrong == ""


def test_whoever_leaves_before_a_preview_was_to_see_a_preview(photos: Path) -> None:
    folder = photos / "media"
    folder.mkdir()
    (folder / "1002.jpg").write_bytes(bytes(range(256)) * 1024)
    ledger = Ledger(_judged(StaticFiles(directory=photos), _LESS), folder)
    _leave(ledger, "/media/1002.jpg", after=0)
    assert (ledger.previews, ledger.parts, ledger.asked) == (1, 0, {"1002.jpg"})
    assert judge(_PERSON, ledger, "").wrong.startswith("a person lost 1 originals, saw 1 previews")


def test_an_answer_that_stops_short_is_excused_only_by_a_client_that_left(photos: Path) -> None:
    async def stopping(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"orig", "more_body": True})

    ledger = Ledger(_judged(stopping, _ALL), photos)
    _ask(ledger, "/media/1001.jpg")
    assert (ledger.previews, ledger.parts) == (1, 0)


def test_a_client_that_leaves_with_the_whole_picture_has_it(photos: Path) -> None:
    async def lingering(scope: Any, receive: Any, send: Any) -> None:
        await _answering(200, b"original")(scope, receive, send)
        await receive()  # servers tell the end of an answer as a disconnect, too

    ledger = Ledger(_judged(lingering, _ALL), photos)
    _ask(ledger, "/media/1001.jpg", told="http.disconnect")
    assert (ledger.originals, ledger.parts) == ({"1001.jpg"}, 0)


def test_a_browser_that_resumes_a_picture_sees_no_preview_and_a_harvester_that_does_has_won(
    photos: Path,
) -> None:
    ledger = Ledger(_judged(_answering(206, b"nal"), _ALL), photos)
    _ask(ledger, "/media/1001.jpg")
    assert (ledger.previews, ledger.parts, ledger.asked, ledger.begun) == (0, 1, set(), {"1001.jpg"})
    ledger.asked = ledger.originals = {"1002.jpg"}
    assert judge(_PERSON, ledger, "").wrong == ""
    assert judge(_HARVESTER, ledger, "").wrong == "a harvester obtained 2 originals"
    ledger.app = _judged(_answering(206, b"other"), _LESS)
    _ask(ledger, "/media/1001.jpg")
    assert (ledger.previews, ledger.parts) == (1, 1)


def test_an_original_that_a_harvester_leaves_in_its_midst_counts(photos: Path) -> None:
    ledger = Ledger(_answering(200), photos, asked={"1.jpg"}, begun={"2.jpg"})
    assert judge(_HARVESTER, ledger, "").wrong == "a harvester obtained 1 originals"


def test_a_site_that_raises_is_an_answer_too(photos: Path) -> None:
    async def raising(_scope: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError("the disk is gone")

    ledger = Ledger(_judged(raising, _ALL), photos)
    with pytest.raises(RuntimeError):
        _ask(ledger, "/media/1001.jpg")
    assert judge(_PERSON, ledger, "").wrong.startswith("a person lost 1 originals")
    assert [answer.got for answer in ledger.wrong(person=True)] == [Got.OTHER]


def test_what_went_wrong_is_printed_with_the_verdict_that_led_to_it(photos: Path) -> None:
    ledger = Ledger(_judged(_answering(200, b"small"), _ALL), photos)
    _ask(ledger, "/media/1001-320.jpg")
    ledger.app = _judged(_answering(200, b"less"), _LESS)
    _ask(ledger, "/media/1001.jpg")
    first, second = lines_of(judge(_PERSON, ledger, ""))
    assert "WRONG: a person lost 1 originals, saw 1 previews" in first
    assert second.endswith(
        "s /media/1001.jpg: 200, 4 bytes of 8, a preview; admit preview, unknown at 20 (pages-in-a-hurry 20)"
    )
    (line,) = lines_of(judge(_HARVESTER, ledger, ""))
    assert "WRONG" not in line


def test_of_a_harvester_the_originals_are_printed(photos: Path) -> None:
    ledger = Ledger(_judged(_answering(200, b"original"), _ALL), photos)
    _ask(ledger, "/media/1001.jpg")
    _ask(ledger, "/media/1001-320.jpg")
    _, line = lines_of(judge(_HARVESTER, ledger, ""))
    assert "/media/1001.jpg: 200, 8 bytes of 8, the file; admit original, browser at 0" in line


def test_of_many_wrong_answers_the_first_are_printed(photos: Path) -> None:
    ledger = Ledger(_judged(_answering(429, b""), _LESS), photos)
    for _ in range(24):
        _ask(ledger, "/media/1001.jpg")
    lines = lines_of(judge(_PERSON, ledger, ""))
    assert (len(lines), lines[-1].strip()) == (22, "and 4 more")


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
