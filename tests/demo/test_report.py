"""The results, the table and the report: counted from files, aligned, escaped, self-contained."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.rules import ImageRules
from antiscrape.demo.haul import Haul
from antiscrape.demo.report import Report, render, write
from antiscrape.demo.results import Held, Record, Result, read_events, tally
from antiscrape.demo.terminal import Terminal
from antiscrape.images.frames import Order, Task
from antiscrape.images.recipes import preview

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.demo.photos import Library

AWKWARD = "<script>alert(1)</script>\" onerror='x' &amp; \u202e"


def harvested(library: Library, folder: Path) -> Result:
    """Fill ``folder`` with a preview of one photo, a refusal of another, a page; return what is counted."""
    haul = Haul(folder)
    first, second = library.photos[0], library.photos[1]
    source = library.original(first).read_bytes()
    body = preview(ImageRules()).make(source, Order(Task.PREVIEW), max_pixels=10**8).body
    haul.keep(f"http://h/media/{first.filename}", 200, "image/jpeg", body)
    haul.keep(f"http://h/media/{second.filename}", 403, "text/plain", b"no")
    haul.keep("http://h/p/1001", 429, "text/plain")
    haul.keep("http://h/media/999999.jpg", 404, "text/html", b"not there")
    return tally(Result(key="curl", title="A curl loop", how="walks", address="127.0.2.22"), folder, library)


def seen(library: Library, folder: Path) -> Result:
    haul = Haul(folder)
    photo = library.photos[0]
    haul.keep(f"http://h/media/{photo.filename}", 200, "image/jpeg", library.original(photo).read_bytes())
    person = Result(key="person", title="A person", how="looks", person=True)
    return tally(person, folder, library, standing="browser")


def report_of(library: Library, *results: Result) -> Report:
    return Report(results=results, library=library, began="2026-01-01", version="1", budgets="40/10min")


def test_a_harvest_is_counted_by_what_the_files_show(library: Library, tmp_path: Path) -> None:
    result = harvested(library, tmp_path)
    assert (result.requests, result.asked, result.originals, result.previews, result.refused) == (
        4,
        2,
        0,
        1,
        2,
    )
    assert result.denied == {library.photos[1].id}
    assert result.as_it_should_be
    assert "Took 1 previews" in result.meaning


def test_an_original_is_an_original_whatever_its_url_and_type_say(library: Library, tmp_path: Path) -> None:
    """Not our own headers decide, but the pixels."""
    photo = library.photos[0]
    body = library.original(photo).read_bytes()
    Haul(tmp_path).keep(f"http://h/media/{photo.filename}", 200, "image/x-preview", body)
    result = tally(Result(key="x", title="X", how="x"), tmp_path, library)
    assert result.originals == 1
    assert not result.as_it_should_be


def test_a_person_who_missed_a_photo_is_a_failure(library: Library, tmp_path: Path) -> None:
    result = seen(library, tmp_path)
    assert result.as_it_should_be
    assert not replace(result, asked=2).as_it_should_be
    assert not replace(result, asked=0, originals=0).as_it_should_be
    assert not replace(result, absent="gone").as_it_should_be


def test_a_harvester_that_asked_for_nothing_proves_nothing(library: Library, tmp_path: Path) -> None:
    result = tally(Result(key="x", title="X", how="x", fault="exit status 1"), tmp_path, library)
    assert not result.as_it_should_be
    assert replace(result, absent="not installed").as_it_should_be


def test_events_are_read_by_client_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    signal = {"name": "agent-is-a-tool", "weight": 40, "sentence": "A program."}
    lighter = {"name": "referer-never-sent", "weight": 15, "sentence": "No page."}
    spent = {"budget": "originals", "limit": "0", "wait": 1, "shared": False}
    events = [
        {
            "event": "verdict",
            "client": "127.0.2.22",
            "standing": "banned",
            "score": 130,
            "signals": [lighter, signal],
        },
        {
            "event": "verdict",
            "client": "127.0.2.22",
            "standing": "bot",
            "score": 40,
            "signals": [signal],
            "exceeded": spent,
        },
        {"event": "verdict", "client": "127.0.3.23", "standing": "unknown", "score": 25, "signals": []},
        {"event": "malformed", "cause": "x"},
        ["not an object"],
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(map(json.dumps, events)) + '\n{"cut sho')
    records = read_events(path)
    assert set(records) == {"127.0.2.22", "127.0.3.23"}
    record = records["127.0.2.22"]
    assert (record.standing, record.score, record.events) == ("banned", 130, 2)
    assert record.held == (
        Held("agent-is-a-tool", 40, "A program.", 2),
        Held("referer-never-sent", 15, "No page.", 1),
    )
    assert record.spent == ("originals: 0",)
    assert read_events(tmp_path / "none.jsonl") == {}


def test_awkward_text_is_escaped_everywhere(library: Library, tmp_path: Path) -> None:
    """What a client or a policy says reaches the report as text, never as markup."""
    held = Held(AWKWARD, 40, AWKWARD, 1)
    result = replace(
        harvested(library, tmp_path),
        title=AWKWARD,
        how=AWKWARD,
        address=AWKWARD,
        fault=AWKWARD,
        standing=AWKWARD,
        record=Record(standing=AWKWARD, score=1, events=1, held=(held,), spent=(AWKWARD,)),
    )
    absent = Result(key="y", title=AWKWARD, how=AWKWARD, absent=AWKWARD)
    report = replace(
        report_of(library, result, absent),
        began=AWKWARD,
        budgets=AWKWARD,
        notes=(AWKWARD,),
        no_screenshot=AWKWARD,
    )
    html = render(report)
    assert "<script" not in html
    assert "onerror='" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 12


def test_a_picture_in_a_type_that_is_none_is_not_put_into_a_uri(library: Library, tmp_path: Path) -> None:
    result = seen(library, tmp_path)
    number = library.photos[0].id
    odd = result.pictures[number]._replace(content_type='text/html;"><b>')
    html = render(report_of(library, replace(result, pictures={number: odd})))
    assert "data:text/html" not in html
    assert "cannot be shown" in html


def test_the_report_loads_nothing_and_shows_both_sides(library: Library, tmp_path: Path) -> None:
    html = render(report_of(library, seen(library, tmp_path / "a"), harvested(library, tmp_path / "b")))
    assert set(re.findall(r'(?:src|href|url)[=(]"?(\w+):', html)) == {"data"}
    assert html.count('src="data:image/jpeg;base64,') == 2
    assert "the original, byte for byte" in html
    assert re.search(r"a preview: \d+ cells of detail", html)
    assert 'lang="en"' in html
    assert "<main>" in html
    assert all(' alt="' in tag for tag in re.findall(r"<img [^>]*>", html))


def test_the_report_says_who_earned_a_clearance(library: Library, tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    shot.write_bytes(b"drawn")
    report = replace(report_of(library), screenshot=shot)
    told = "earned a clearance"
    assert told not in render(report)
    assert told in render(replace(report, cleared=True))
    assert "none to the harvesters" in render(report)
    assert "2 to the harvesters" in render(replace(report, harvesters_cleared=2))


def test_the_report_says_when_a_harvester_got_an_original(library: Library, tmp_path: Path) -> None:
    thief = replace(seen(library, tmp_path), key="curl", title="A curl loop", person=False)
    report = report_of(library, thief)
    assert not report.good
    assert 'class="outcome bad"' in render(report)


def test_the_report_is_written_whole_or_not_at_all(library: Library, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.html"
    write(report_of(library), target)
    before = target.read_text()
    broken = replace(report_of(library), screenshot=tmp_path / "none.png")
    with pytest.raises(FileNotFoundError):
        write(broken, target)
    assert target.read_text() == before
    assert [entry.name for entry in target.parent.iterdir()] == ["report.html"]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_table_is_aligned_and_plain_where_nobody_watches(library: Library, tmp_path: Path) -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.bar("photos", 3, 48)
    terminal.table([seen(library, tmp_path / "a"), harvested(library, tmp_path / "b")])
    printed = stream.getvalue()
    assert "\x1b" not in printed
    assert "\r" not in printed
    head, _, first, second = printed.strip("\n").splitlines()[:4]
    column = head.index("asked for") + len("asked for")
    assert (first[:column].split()[-1], second[:column].split()[-1]) == ("1", "2")
    assert head.index("standing") == first.index("browser")


def test_colour_is_for_terminals_and_no_color_is_respected(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = seen(library, tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = Screen()
    Terminal(coloured).table([result])
    assert "\x1b[3" in coloured.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Screen()
    Terminal(plain).table([result])
    assert "\x1b" not in plain.getvalue()


def test_progress_gives_way_to_the_step_that_ends_it() -> None:
    screen = Screen()
    terminal = Terminal(screen)
    terminal.progress("curl", "walks")
    terminal.step("curl", "done")
    assert re.search(r"walks.*\r\x1b\[2K.*done", screen.getvalue(), re.DOTALL)
