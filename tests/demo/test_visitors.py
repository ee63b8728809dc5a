"""A person and harvesters at the unprotected site: what they take is what is there."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from antiscrape.demo.harvesters import HARVESTERS, Order, own_addresses
from antiscrape.demo.haul import LINES, Haul, Taken, read_haul
from antiscrape.demo.results import Result, tally
from antiscrape.demo.visitors import Browser, find_chromium, read_page, screenshot, visit

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.demo.photos import Library

PERSON = Result(key="person", title="A person", how="looks", person=True)


def test_a_person_sees_originals_and_many_more_small_pictures(
    plain_url: str, library: Library, tmp_path: Path
) -> None:
    visit(plain_url, Haul(tmp_path), look=0)
    result = tally(PERSON, tmp_path, library)
    assert result.asked == result.originals == 5
    assert result.as_it_should_be
    # People load at least 2.5 smaller pictures per original.
    assert result.small >= 2.5 * result.originals
    assert {taken.status for taken in read_haul(tmp_path)} == {200}
    assert {"eileen-collins", "grace-hopper"} <= {library.by_id[number].profile for number in result.pictures}


def test_a_person_does_not_fetch_the_same_file_twice(plain_url: str, tmp_path: Path) -> None:
    visit(plain_url, Haul(tmp_path), look=0)
    files = [taken.url for taken in read_haul(tmp_path) if "/media/" in taken.url or "/static/" in taken.url]
    assert len(files) == len(set(files)) > 20


def heads_of(answer: bytes, count: int) -> tuple[str, list[bytes], threading.Thread]:
    """Serve ``answer`` to ``count`` requests on one connection; return the URL and the list of heads to come."""
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.settimeout(10)
            data = b""
            while len(heads) < count:
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536)
                head, _, data = data.partition(b"\r\n\r\n")
                heads.append(head)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/", heads, thread


PAGE = b'<link rel="stylesheet" href="/a.css"><img id="photo" src="/media/1001.jpg">'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: session=abc; HttpOnly\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE)
)


def test_requests_have_chromiums_fields_in_chromiums_order(tmp_path: Path) -> None:
    """As recorded of Chromium 156 over HTTP/1.1: the client hints move behind the User-Agent for pictures."""
    url, heads, thread = heads_of(ANSWER, 3)
    browser = Browser(url, Haul(tmp_path))
    browser.open("/")
    browser.close()
    thread.join(10)
    page, style, image = (
        [line.split(b":")[0].decode() for line in head.split(b"\r\n")[1:]] for head in heads
    )
    assert page == [
        "Host", "Connection", "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "Upgrade-Insecure-Requests",
        "User-Agent", "Accept", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-User", "Sec-Fetch-Dest",
        "Accept-Encoding", "Accept-Language",
    ]  # fmt: skip
    assert style == image == [
        "Host", "Connection", "sec-ch-ua-platform", "User-Agent", "sec-ch-ua", "sec-ch-ua-mobile", "Accept",
        "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Referer", "Accept-Encoding", "Accept-Language",
        "Cookie",
    ]  # fmt: skip
    assert b"\r\nSec-Fetch-Dest: image\r\n" in heads[2]
    assert heads[2].endswith(b"\r\nCookie: session=abc")
    assert f"\r\nReferer: {url}\r\n".encode() in heads[2]


def test_a_connection_that_breaks_is_noted_and_not_fatal(tmp_path: Path) -> None:
    url, _, thread = heads_of(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", 1)
    browser = Browser(url, Haul(tmp_path))
    browser.open("/")
    browser.close()
    thread.join(10)
    assert [(taken.url, taken.status) for taken in read_haul(tmp_path)] == [(url, 0)]


def test_signed_urls_are_followed_as_they_stand_in_the_page() -> None:
    page = read_page(
        '<img id="photo" src="/media/7.jpg?as=1.x&amp;v=2" srcset="/media/7-640.jpg?as=1.a 640w, /media/7.jpg?as=1.b 1280w">'
        '<img src="/media/8-320.jpg?as=1.c"><img src="http://elsewhere.test/x.jpg"><a href="/p/8">8</a>',
        "http://photos.test/p/7",
    )
    assert page.large == ("/media/7.jpg?as=1.b",)
    assert page.thumbnails == ("/media/8-320.jpg?as=1.c",)
    assert page.links == ("/p/8",)


def test_a_haul_that_was_cut_short_is_read_up_to_there(tmp_path: Path) -> None:
    haul = Haul(tmp_path)
    haul.keep("http://h/media/1.jpg?as=x", 200, "image/jpeg", b"body")
    with (tmp_path / LINES).open("a") as lines:
        lines.write('{"url": "http://h/med')
    (taken,) = read_haul(tmp_path)
    assert taken.picture == (1, 0)
    assert (tmp_path / taken.file).read_bytes() == b"body"


@pytest.mark.parametrize(
    ("url", "picture"),
    [
        ("http://h/media/12-320.jpg", (12, 320)),
        ("http://h/media/12.jpg?as=1.2.3", (12, 0)),
        ("http://h/p/12", None),
        ("http://h/media/x.jpg", None),
    ],
)
def test_pictures_are_known_by_their_urls(url: str, picture: tuple[int, int] | None) -> None:
    assert Taken(url, 200).picture == picture


@pytest.mark.parametrize("harvester", HARVESTERS, ids=lambda harvester: harvester.key)
def test_every_harvester_takes_originals_where_nothing_stands_in_its_way(
    harvester: object, plain_url: str, library: Library, tmp_path: Path
) -> None:
    """The control of the whole demo: without antiscrape each gets every original that it asks for."""
    (found,) = [one for one in HARVESTERS if one is harvester]
    if found.absent():
        pytest.skip(found.absent())
    source = (own_addresses(1) or ("",))[0]
    ids = [photo.id for photo in library.photos]
    assert found.run(Order(plain_url, tmp_path, source, ids, 6, 20.0)) == ""
    result = tally(Result(key=found.key, title=found.title, how=found.how), tmp_path, library)
    assert result.asked == result.originals == 6, "bounded in count, and nothing missing"
    assert not result.as_it_should_be
    assert "Took 6 originals" in result.meaning


def test_a_harvester_says_why_it_failed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    curl = HARVESTERS[0]
    if curl.absent():
        pytest.skip(curl.absent())
    fault = curl.run(Order(f"http://127.0.0.1:{port}/", tmp_path, "", [1], 1, 5.0))
    assert "exit status 7" in fault
    assert [answer.status for answer in read_haul(tmp_path)] == [0]


def test_own_addresses_can_all_be_bound_and_lie_in_networks_of_their_own() -> None:
    addresses = own_addresses(4)
    if not addresses:
        pytest.skip("this system has one loopback address")
    assert len({address.rpartition(".")[0] for address in addresses}) == 4


@pytest.mark.browser
def test_a_real_chromium_draws_the_gallery(plain_url: str, tmp_path: Path) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium is installed")
    target = tmp_path / "gallery.png"
    assert screenshot(chromium, plain_url, target) == ""
    assert target.read_bytes().startswith(b"\x89PNG")


def test_a_browser_that_cannot_start_is_a_reason_and_not_an_error(tmp_path: Path) -> None:
    missing = str(tmp_path / "chromium")
    assert screenshot(missing, "http://127.0.0.1:1/", tmp_path / "x.png").startswith("FileNotFoundError")
