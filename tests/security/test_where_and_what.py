"""What decides is the path as it came and nothing beside it: no Host (B1), no mount (B10), no body of the site's (D2)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from antiscrape.errors import RequestError
from tests.asgi.checked import BASE, checking, fields
from tests.house import answers, changed, drive, house, person, photo, policy_of, scope_of, tool

if TYPE_CHECKING:
    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send

ORIGINAL = photo(700, 520)
#: Paths that look like what is exempt, like an asset, like a picture with a told size, and like nothing.
INNER = ["/robots.txt", "/.well-known/acme-challenge/x", "/static/1.jpg", "/media/1.jpg", "/a/b", "/"]


def asked_at(host: bytes, *, path: str = "/media/1.jpg") -> Scope:
    return scope_of(path, changed(person(), (b"host", host)))


@pytest.mark.security("B1")
@pytest.mark.parametrize(
    "host",
    [
        b"photos.example/robots.txt?", b"photos.example/static/app.css#", b"x/admin?", b"photos.example?/robots.txt",
        b"a@photos.example", b"photos.example\\robots.txt", b"photos.example:443/robots.txt", b"[::1]/robots.txt?",
    ],
)  # fmt: skip
def test_a_host_that_holds_a_path_is_refused_and_no_part_of_any(host: bytes) -> None:
    """``request.url`` of frameworks is Host and path in one string, which such a Host cuts elsewhere (CVE-2026-48710)."""

    async def main() -> None:
        async with house(answers(ORIGINAL)) as home:
            with pytest.raises(RequestError):
                await home.app.judge(asked_at(host))
            refused = await drive(home.app, asked_at(host))
            assert (refused.status, ORIGINAL in refused.body) == (400, False)

    asyncio.run(main())


@pytest.mark.security("B1")
def test_whatever_host_is_asked_for_the_path_is_judged_alike() -> None:
    async def main() -> None:
        async with house(answers(ORIGINAL)) as home:
            found = set()
            for host in (
                b"photos.example",
                b"robots.txt",
                b"static",
                b"well-known.example:8443",
                b"127.0.0.1",
            ):
                _, passage = await home.app.judge(asked_at(host))
                found.add((passage.resource.path, passage.resource.kind, passage.verdict.rendition))
            assert len(found) == 1

    asyncio.run(main())


@pytest.mark.security("B10")
def test_inside_twelve_mounts_nobody_is_served_more_than_at_the_top() -> None:
    """No route is written for where it was mounted: what an answer holds is then told by its type, as strictly."""

    async def main() -> None:
        async with house(answers(ORIGINAL), policy_of()) as home:
            mounted: ASGIApp = home.app
            for number in range(12):
                mounted = Starlette(routes=[Mount(f"/m{number}", mounted)])
            prefix = "".join(f"/m{number}" for number in reversed(range(12)))
            for number, path in enumerate(INNER):
                asked = scope_of(prefix + path, tool(), peer=f"198.51.{number}.7")
                got = await drive(mounted, asked)
                assert got.status == 200
                assert got.body != ORIGINAL, path
            got = await drive(mounted, scope_of(prefix + "/media/1.jpg", person()))
            assert got.body == ORIGINAL

    asyncio.run(main())


@pytest.mark.security("B10")
def test_mounts_that_are_named_like_what_is_exempt_exempt_nothing() -> None:
    async def main() -> None:
        async with house(answers(ORIGINAL), policy_of()) as home:
            for number, name in enumerate(("/robots.txt", "/robots.txt/..", "/x/.well-known", "/static/x")):
                mounted = Starlette(routes=[Mount(name, home.app)])
                asked = scope_of(name + "/media/1.jpg", tool(), peer=f"198.51.{number}.7")
                got = await drive(mounted, asked)
                assert got.body != ORIGINAL, name

    asyncio.run(main())


PARTS = b"".join(b'--x\r\nContent-Disposition: form-data; name="%d"\r\n\r\n1\r\n' % n for n in range(20_000))


@pytest.mark.security("D2")
@pytest.mark.parametrize(
    "body",
    [PARTS + b"--x--\r\n", b"--x" + b"\r\n" * 50_000, b"--x\r\nA" + b"a" * 500_000, b"\r\n--x\r\n;" * 40_000],
    ids=["20,000 parts", "empty lines", "an endless header", "half parts"],
)
def test_a_form_for_the_site_passes_as_the_bytes_it_is(body: bytes) -> None:
    """CVE-2023-30798, CVE-2024-24762, CVE-2024-53981 and their kin are of parsers; nothing of it is parsed."""
    received = bytearray()

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            received.extend(message.get("body", b""))
            more = message.get("more_body", False)
        await answers(b"taken", b"text/plain")(scope, receive, send)

    async def main() -> None:
        headers = [*person(), (b"content-type", b"multipart/form-data; boundary=x"), (b"content-length", b"%d" % len(body))]  # fmt: skip
        async with house(site) as home:
            assert (await home.ask("/upload", headers, method="POST", body=body)).body == b"taken"
        assert bytes(received) == body

    asyncio.run(main())


@pytest.mark.security("D2")
@pytest.mark.parametrize("path", ["challenge", "answer"])
def test_our_own_ends_take_no_forms_and_nothing_long(path: str) -> None:
    async def main() -> None:
        async with house(answers(b""), checking()) as home:
            for kind, body, expected in (
                (b"multipart/form-data; boundary=x", b"--x\r\n\r\n{}\r\n--x--\r\n", 400),
                (b"multipart/form-data; boundary=x", PARTS, 413),
                (b"application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(100)), 400),
                (b"application/json", json.dumps({"a": "x" * 16_384}).encode(), 413),
            ):
                headers = fields((b"content-type", kind))
                got = await home.ask(f"{BASE}/{path}", headers, method="POST", body=body)
                assert (got.status, got.get(b"set-cookie")) == (expected, b""), kind

    asyncio.run(main())
