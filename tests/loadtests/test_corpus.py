"""Recordings are judged again on their own clock."""

from __future__ import annotations

import gzip
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.verdict import Standing
from antiscrape.lookups.agents import AgentBook
from antiscrape.settings import load_policy
from loadtests import chrome, corpus
from loadtests.corpus import corpus_folder, read, replay

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy

_META = {"meta": 1, "label": "human", "tool": "made", "wall": 1_795_000_000.0}
_TOOL = [["Host", "127.0.0.1:9"], ["User-Agent", "curl/8.5.0"], ["Accept", "*/*"]]


@pytest.fixture(scope="module")
def policy() -> Policy:
    path = Path(corpus.__file__).with_name("corpus.toml")
    return load_policy(path, environ={"ANTISCRAPE_SECRET": secrets.token_urlsafe(48)})


@pytest.fixture(scope="module")
def agents() -> AgentBook:
    return AgentBook()


def _row(at: float, path: str, headers: list[list[str]], **more: Any) -> dict[str, Any]:
    row = {"t": at, "ver": "1.1", "method": "GET", "path": path, "query": "", "headers": headers, "port": 1}
    kind = "image/jpeg" if path.startswith("/media") else "text/html; charset=utf-8"
    return {**row, "status": 200, "ctype": kind, **more}


def _browser(dest: str) -> list[list[str]]:
    fields = chrome.fields(dest, referer="http://127.0.0.1:9/")
    return [["Host", "127.0.0.1:9"], *[[name, value] for name, value in fields], ["Cookie", "sid=1; vp=2"]]


def _write(folder: Path, rows: list[dict[str, Any]], label: str = "human") -> Path:
    path = folder / "made.jsonl.gz"
    lines = [{**_META, "label": label}, {"ev": "conn", "conn": 0, "open": 0.0}, *rows]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return path


def test_a_tool_is_a_bot_from_its_first_request_and_gets_no_original(
    tmp_path: Path, policy: Policy, agents: AgentBook
) -> None:
    rows = [_row(number / 10, f"/media/{1300 - number}.jpg", _TOOL) for number in range(12)]
    outcome = replay(read(_write(tmp_path, rows, "scraper")), policy, agents)
    assert (outcome.requests, len(outcome.asked), len(outcome.granted)) == (12, 12, 0)
    assert outcome.at_tenth is Standing.BOT
    assert outcome.fell_at == 1
    assert not outcome.ordinary


def test_a_person_gets_what_they_ask_for(tmp_path: Path, policy: Policy, agents: AgentBook) -> None:
    rows = [_row(0, "/", _browser("document"))]
    rows += [_row(1 + n, f"/media/{1300 - n}-320.jpg", _browser("image")) for n in range(8)]
    rows += [_row(20, "/p/1290", _browser("document")), _row(21, "/media/1290.jpg", _browser("image"))]
    outcome = replay(read(_write(tmp_path, rows)), policy, agents)
    assert outcome.ordinary
    assert outcome.asked == outcome.granted == {"/media/1290.jpg"}
    assert outcome.lowest is Standing.BROWSER


def test_a_recording_runs_on_its_own_clock(tmp_path: Path, policy: Policy, agents: AgentBook) -> None:
    """Forty originals fit into ten minutes, and forty more into the next ten, but for the day's sixty."""
    quick = [_row(n, f"/media/{1000 + 7 * n}.jpg", _browser("image")) for n in range(50)]
    slow = [{**row, "t": 30.0 * row["t"]} for row in quick]
    page = _row(0, "/", _browser("document"))
    rows = [page, *[_row(0.1, f"/media/{n}-320.jpg", _browser("image")) for n in range(9)]]
    assert len(replay(read(_write(tmp_path, [*rows, *quick])), policy, agents).granted) == 40
    assert len(replay(read(_write(tmp_path, [*rows, *slow])), policy, agents).granted) == 50


def test_the_recorder_s_own_field_is_not_held_against_anybody() -> None:
    scope = corpus.scope_of(_row(0, "/", [["Host", "a"], ["X-Http-Version", "HTTP/2.0"]]))
    assert scope["headers"] == [(b"host", b"a")]


def test_addresses_of_one_visitor_lie_in_networks_of_their_own() -> None:
    peers = {corpus.scope_of(_row(0, "/", [], ip=place))["client"][0] for place in range(12)}
    assert len({peer.rpartition(".")[0] for peer in peers}) == 12


@pytest.mark.parametrize(("name", "lowest"), [("curl", Standing.BOT), ("human-firefox", Standing.BROWSER)])
def test_real_recordings_are_read(name: str, lowest: Standing, policy: Policy, agents: AgentBook) -> None:
    path = corpus_folder() / "http1" / f"{name}.jsonl.gz"
    if not path.is_file():
        pytest.skip("the recordings are not here: ANTISCRAPE_SHARED names the folder that holds them")
    assert replay(read(path), policy, agents).lowest is lowest


def test_without_recordings_the_replay_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTISCRAPE_SHARED", str(tmp_path))
    assert corpus.main([]) == 2
    assert "no recordings" in capsys.readouterr().out


def test_a_feed_reader_is_counted_as_neither_person_nor_scraper(
    tmp_path: Path, policy: Policy, agents: AgentBook
) -> None:
    path = _write(tmp_path, [_row(1, "/feed.xml", _TOOL)])
    lines = gzip.decompress(path.read_bytes()).decode().replace('"tool": "made"', '"tool": "liferea"')
    path.write_bytes(gzip.compress(lines.encode()))
    assert replay(read(path), policy, agents).label == "feed-reader"
