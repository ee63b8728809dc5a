"""Whoever attacks the check and the grants over the wire: ``antiscrape serve`` with two workers before a folder of photographs.

The site behind is the standard library's server of files, which undoes escapes, dots and doubled slashes of a path as
many do. Everything is tried as somebody without a browser does it: by sockets, and with ALTCHA's own solver.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pytest

from antiscrape.stores.extras import has_private
from tests.asgi.checked import BASE, PROBES, form, solved
from tests.cli.test_serve import BROWSER, serving
from tests.core.test_returning import HOSTILE
from tests.house import PATIENCE, photo

if TYPE_CHECKING:
    from collections.abc import Iterator

PHOTOS = 3
#: Originals that a clearance has a day, and how many times that its network has.
RATION, FACTOR = 8, 3
#: Clearances that one address mints, and pictures that it asks for with each.
COOKIES, TRIED = 6, 10
POLICY = f"""
[identity]
trusted_proxies = ["127.0.0.1"]
rollup_factor = {FACTOR}
[standing.proven]
originals = "{RATION}/day"
[standing.browser]
originals = "2/day"
[clearance]
enabled = true
wait = "1s"
[grants]
prefixes = ["/media/"]
binding = "clearance"
[store]
mode = "strict"
timeout = "5s"
[images]
faces = "off"
[record]
events = "off"
[[routes]]
pattern = "/media/**"
kind = "image"
size = "original"
"""
HOME = "203.0.113.7"
PAGE = BROWSER | {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
FETCH = BROWSER | {
    "Accept": "*/*",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Content-Type": "application/json",
}
_addresses = itertools.count(1)


class Got(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def cookie(self) -> str:
        return (self.headers["set-cookie"] or "").partition(";")[0]


class Front(NamedTuple):
    """The site as an attacker has it; ``originals`` are its files."""

    host: str
    originals: dict[bytes, int]

    def ask(
        self,
        path: str,
        fields: dict[str, str],
        *,
        peer: str = HOME,
        cookie: str = "",
        body: bytes | None = None,
    ) -> Got:
        """Send one request on a connection of its own, which either worker may take."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.putrequest("GET" if body is None else "POST", path, skip_accept_encoding=True)
            told = {
                **fields,
                "X-Forwarded-For": peer,
                "Connection": "close",
                **({"Cookie": cookie} if cookie else {}),
            }
            if body is not None:
                told["Content-Length"] = str(len(body))
            for name, value in told.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Got(answer.status, answer.headers, answer.read())

    def post(self, path: str, told: object, *, peer: str = HOME, cookie: str = "", **fields: str) -> Got:
        return self.ask(
            f"{BASE}/{path}", FETCH | fields, peer=peer, cookie=cookie, body=json.dumps(told).encode()
        )

    def solve(self, probes: object = PROBES, *, peer: str = HOME, **fields: str) -> dict[str, Any]:
        return solved(json.loads(self.post("challenge", {}, peer=peer, **fields).body), probes)

    def clear(self, probes: object = PROBES, *, peer: str = HOME) -> str:
        return self.post("answer", self.solve(probes, peer=peer), peer=peer).cookie

    def shown(self, path: str = "/", *, peer: str = HOME, cookie: str = "") -> list[str]:
        page = self.ask(path, PAGE, peer=peer, cookie=cookie)
        return [url.decode() for url in re.findall(rb'src="(/media/[^"]+)"', page.body)]

    def number(self, path: str, *, peer: str = HOME, cookie: str = "") -> int:
        """Return which original is had at a path, 0 for none."""
        return self.originals.get(self.ask(path, BROWSER, peer=peer, cookie=cookie).body, 0)


class Files(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    if not has_private():
        pytest.skip("no valkey-server; install the extra workers")
    folder = tmp_path_factory.mktemp("site")
    (folder / "site" / "media").mkdir(parents=True)
    originals = {}
    for number in range(1, PHOTOS + 1):
        body = photo(seed=number)
        (folder / "site" / "media" / f"{number}.jpg").write_bytes(body)
        originals[body] = number
    for number in range(PHOTOS + 1, PHOTOS + COOKIES * TRIED + 1):
        (folder / "site" / "media" / f"{number}.jpg").write_bytes(photo(seed=1))
    for name, first, last in (("index", 1, PHOTOS), ("album", PHOTOS + 1, PHOTOS + COOKIES * TRIED)):
        images = "".join(f'<img src="/media/{number}.jpg">' for number in range(first, last + 1))
        (folder / "site" / f"{name}.html").write_text(f"<html><body>{images}</body></html>")
    (folder / "policy.toml").write_text(POLICY)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder / "site")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            policy = str(folder / "policy.toml")
            up = f"http://127.0.0.1:{server.server_port}"
            with serving("--upstream", up, "--config", policy, "--workers", "2") as url:
                yield Front(url.removeprefix("http://"), originals)
        finally:
            server.shutdown()
            thread.join(PATIENCE)


def somebody() -> str:
    """Return an address whose network nobody used before."""
    return f"198.18.{next(_addresses)}.7"


def ungranted(number: int) -> list[str]:
    """Return ways to write a picture's path, of which the site behind reads most as the picture."""
    name = f"/media/{number}.jpg"
    return [
        name, f"/media//{number}.jpg", f"//media/{number}.jpg", f"/media/./{number}.jpg", f"/x/../media/{number}.jpg",
        f"/media/%2e/{number}.jpg", f"/m%65dia/{number}.jpg", f"/media%2f{number}.jpg", f"/media/{number}.jp%67", f"/media/{number}%2ejpg",
        f"{name};x", f"{name}%00", f"{name}?", f"{name}?x=1", f"{name}#x", f"/media\\{number}.jpg", f"{name}/", f"/MEDIA/{number}.jpg",
        f"http://elsewhere.example{name}", f"{BASE}/../..{name}", f"{BASE}/%2e%2e/%2e%2e{name}", f"{BASE}%2f..%2f..{name}",
        f"{BASE}/..%2f..{name}", f"/.well-known/%61ntiscrape/../..{name}", f"{BASE}/step/../../..{name}", f"/robots.txt/..{name}",
        f"/favicon.ico/..{name}",
    ]  # fmt: skip


@pytest.mark.security("F8", "P0", "B5")
def test_no_spelling_leads_around_a_grant_or_takes_one_to_another_picture(front: Front) -> None:
    cookie = front.clear()
    first, second, *_ = front.shown(cookie=cookie)
    assert (front.number(first, cookie=cookie), front.number(second, cookie=cookie)) == (1, 2)
    grant = first.partition("?")[2]
    for path in ungranted(3):
        assert front.number(path, cookie=cookie) == 0, path
        joined = f"{path}{'&' if '?' in path else '?'}{grant}"
        assert front.number(joined, cookie=cookie) == 0, joined


@pytest.mark.security("F1", "F4")
def test_no_two_grants_make_a_third(front: Front) -> None:
    cookie = front.clear()
    one, two = (url.partition("=")[2] for url in front.shown(cookie=cookie)[:2])
    spliced = {one[:at] + two[at:] for at in range(1, len(one))} | {
        one + two,
        f"{one}&as={two}",
        f"{one}%00",
        one.swapcase(),
    }
    for token in sorted(spliced - {one, two})[::3]:
        for number in (1, 2):
            assert front.number(f"/media/{number}.jpg?as={token}", cookie=cookie) == 0, token


@pytest.mark.security("G6", "F4")
def test_no_two_clearances_make_a_third_and_none_serves_another_browser(front: Front) -> None:
    peer = somebody()
    one, two = front.clear(peer=peer), front.clear(peer=peer)
    payload, seal = one.split(".")[0], two.split(".")[1]
    url = front.shown(peer=peer, cookie=one)[0]
    assert front.number(url, peer=peer, cookie=one) == 1
    for cookie in (
        f"{payload}.{seal}",
        two,
        one[:-1],
        one + "A",
        one.upper(),
        f"x{one}",
        "clearance=" + "A" * 57,
    ):
        assert front.number(url, peer=peer, cookie=cookie) == 0, cookie
    assert front.number(url, peer=peer, cookie=f"clearance=x; {two}; {one}") == 0, (
        "the first that is one's own counts"
    )
    assert front.number(url, peer=peer, cookie=f"clearance=x; {one}") == 1, "and nobody can hide it"
    chrome = BROWSER | {
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0.0.0 Safari/537.36"
    }
    assert front.ask(url, chrome, peer=peer, cookie=one).body not in front.originals
    assert (
        front.ask(url, BROWSER | {"Host": "elsewhere.example"}, peer=peer, cookie=one).body
        not in front.originals
    )


@pytest.mark.security("G2")
def test_two_hundred_posts_of_one_solution_are_one_clearance_over_both_workers(front: Front) -> None:
    peer = somebody()
    told = front.solve(peer=peer)
    with ThreadPoolExecutor(20) as crowd:
        got = list(crowd.map(lambda _: front.post("answer", told, peer=peer), range(200)))
    assert [one.status for one in got] == [200] * 200
    assert sum(bool(one.cookie) for one in got) == 1
    assert not front.post("answer", told, peer=peer).cookie, "and later, too"


@pytest.mark.security("G4", "G6")
def test_work_is_for_whom_it_was_given_to(front: Front) -> None:
    peer = somebody()
    told = front.solve(peer=peer)
    assert not front.post("answer", told, peer=somebody()).cookie, "another network"
    assert not front.post("answer", told, peer=peer, Host="elsewhere.example").cookie, "another host"
    chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0.0.0 Safari/537.36"
    assert not front.post("answer", told, peer=peer, **{"User-Agent": chrome}).cookie, "another browser"
    assert front.post("answer", told, peer=peer).cookie, "none of which has spent it"


@pytest.mark.security("G6")
def test_a_cookie_that_many_share_is_revoked_in_both_workers(front: Front) -> None:
    network = somebody().rpartition(".")[0]
    cookie = front.clear(peer=f"{network}.1")
    url = front.shown(peer=f"{network}.1", cookie=cookie)[0]
    assert front.number(url, peer=f"{network}.1", cookie=cookie) == 1
    # Either worker counts the addresses that it sees, so after some turns one of them has seen nine.
    refused, end = 0, time.monotonic() + 2 * PATIENCE
    for last in itertools.cycle(range(1, 13)):
        refused = refused + 1 if front.number(url, peer=f"{network}.{last}", cookie=cookie) == 0 else 0
        if refused == 24:  # by whichever worker took them
            break
        assert time.monotonic() < end


@pytest.mark.security("G7")
def test_whoever_mints_clearances_has_no_more_than_a_network_over_both_workers(front: Front) -> None:
    """With each cookie it asks for pictures that it has not had; a strict store, which no worker overshoots, counts them."""
    peer, got = somebody(), []
    cookies = [front.clear(peer=peer) for _ in range(COOKIES)]
    assert all(cookies)
    for number, cookie in enumerate(cookies):
        urls = front.shown("/album.html", peer=peer, cookie=cookie)[number * TRIED :][:TRIED]
        got.append(sum(front.number(url, peer=peer, cookie=cookie) > 0 for url in urls))
    assert max(got) <= RATION, got
    assert RATION < sum(got) <= RATION * FACTOR, got


@pytest.mark.security("G1")
def test_a_solver_without_a_browser_has_a_browsers_budget_at_most(front: Front) -> None:
    """It does the work with ALTCHA's library, and has no probes to tell; under its own name it is given nothing at all."""
    peer = somebody()
    cookie = front.clear(probes=None, peer=peer)
    assert cookie
    again = json.loads(front.post("challenge", {}, peer=peer, cookie=cookie).body)
    assert "parameters" in again, "there is more to earn, which a proven browser is not told"
    proven = front.clear(peer=peer)
    assert "seconds" in json.loads(front.post("challenge", {}, peer=peer, cookie=proven).body)
    other = somebody()
    name = {"User-Agent": "python-requests/2.32.3", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
    assert not front.post("answer", front.solve(peer=other, **name), peer=other, **name).cookie


@pytest.mark.security("G3", "G5", "G10")
def test_the_form_is_all_that_a_text_browser_needs_and_leads_nowhere_else(front: Front) -> None:
    peer, name = (
        somebody(),
        {"User-Agent": "w3m/0.5.3+git20230121", "Accept": "text/html, */*", "Accept-Language": "en"},
    )
    posted = name | {"Content-Type": "application/x-www-form-urlencoded"}

    def shown(to: str) -> str:
        page = front.ask(f"{BASE}/step?to={quote(to, safe='')}", name, peer=peer)
        assert (page.status, page.headers["cache-control"]) == (200, "private, no-store")
        found = re.search(rb'name="token" value="([^"]+)"', page.body)
        assert found is not None
        assert b"evil" not in page.body
        return found[1].decode()

    for target in HOSTILE[:20]:
        shown(target)
    token = shown("/album")
    soon = front.ask(f"{BASE}/step", posted, peer=peer, body=form(token=shown("/"), to="/"))
    assert soon.status == 422
    taken, end = soon, time.monotonic() + 2 * PATIENCE
    while taken.status == 422:
        assert time.monotonic() < end
        time.sleep(0.05)
        taken = front.ask(f"{BASE}/step", posted, peer=peer, body=form(token=token, to="//evil.example"))
    assert (taken.status, taken.headers["location"]) == (303, f"{BASE}/done?to=/")
    done = front.ask(f"{BASE}/done?to=%2Falbum", name, peer=peer, cookie=taken.cookie)
    assert (done.status, done.headers["location"]) == (303, "/album")
    assert (
        front.ask(f"{BASE}/done?to=%2F%2Fevil.example", name, peer=peer, cookie=taken.cookie).headers[
            "location"
        ]
        == "/"
    )
    again = front.ask(f"{BASE}/step", posted, peer=peer, body=form(token=token, to="/"))
    assert (again.status, again.cookie) == (422, ""), "once"
