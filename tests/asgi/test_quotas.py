"""Quotas in admitted answers: where the policy says so, of requests only, and in no answer that others may get."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.budgets import parse_limits
from antiscrape.core.quota import Tell
from antiscrape.core.verdict import Mode, Standing
from tests.house import answers, changed, house, person, photo, policy_of, tool, visitor

if TYPE_CHECKING:
    from antiscrape.asgi.types import ASGIApp
    from antiscrape.core.rules import Policy
    from tests.house import Answer, Pairs

READER = visitor("firefox page")
TOLD = (b"ratelimit", b"ratelimit-policy")


def policy(tell: Tell = Tell.ALWAYS, originals: str = "1/day", **changes: Any) -> Policy:
    known = policy_of()
    row = replace(
        known.standings[Standing.BROWSER],
        requests=parse_limits("10/min"),
        originals=parse_limits(originals),
    )
    return replace(known, standings={**known.standings, Standing.BROWSER: row}, tell=tell, **changes)


async def get(
    app: ASGIApp, policy: Policy, path: str = "/api/photos", headers: Pairs | None = None
) -> Answer:
    async with house(app, policy) as site:
        return await site.ask(path, READER if headers is None else headers)


def fields_of(answer: Answer) -> list[bytes]:
    return [answer.get(name) for name in TOLD]


HTML, JSON = answers(b"<p>", b"text/html"), answers(b"{}", b"application/json")
NOTHING = [b"", b""]
FIRST = [b'"requests-min";r=9', b'"requests-min";q=10;w=60']


@pytest.mark.parametrize(("app", "path"), [(HTML, "/"), (JSON, "/"), (JSON, "/api/photos"), (HTML, "/u/ada")])
@pytest.mark.parametrize("tell", list(Tell))
def test_pages_and_api_answers_tell_what_is_left_where_the_policy_says_so(
    app: ASGIApp, path: str, tell: Tell
) -> None:
    got = asyncio.run(get(app, policy(tell), path))
    assert got.status == 200
    assert fields_of(got) == (FIRST if tell is Tell.ALWAYS else NOTHING)


def test_it_counts_down() -> None:
    async def main() -> None:
        async with house(JSON, policy()) as site:
            left = [(await site.ask("/api/photos", READER)).get(b"ratelimit") for _ in range(10)]
            assert left == [b'"requests-min";r=%d' % number for number in range(9, 0, -1)] + [
                b'"requests-min";r=0;t=6'
            ]
            site.clock.tick(6.0)
            assert (await site.ask("/api/photos", READER)).status == 200

    asyncio.run(main())


SILENT = [
    ("a suspect's", JSON, "/api/photos", tool()),
    ("a picture's", answers(photo()), "/media/1.jpg", person()),
    ("an untold picture's", answers(photo()), "/x/1", person()),
    ("a style's", answers(b"p{}", b"text/css"), "/static/site.css", READER),
    ("an exempt one's", answers(b"", b"text/plain"), "/robots.txt", READER),
    ("a redirect's", answers(b"", b"text/html", (b"location", b"/b"), status=302), "/u/ada", READER),
    (
        "what shared caches keep",
        answers(b"", b"text/html", (b"cache-control", b"max-age=60, Public")),
        "/u/a",
        READER,
    ),
    ("what CDNs keep", answers(b"", b"text/html", (b"cache-control", b"s-maxage=60")), "/u/a", READER),
]


@pytest.mark.security("J1")
@pytest.mark.parametrize(
    ("app", "path", "headers"), [row[1:] for row in SILENT], ids=[row[0] for row in SILENT]
)
def test_these_answers_tell_nothing(app: ASGIApp, path: str, headers: Pairs) -> None:
    got = asyncio.run(get(app, policy(), path, headers))
    assert got.status in {200, 302}
    assert fields_of(got) == NOTHING


def test_a_site_with_limits_of_its_own_speaks_for_itself() -> None:
    app = answers(b"{}", b"application/json", (b"RateLimit", b'"site";r=3'))
    assert asyncio.run(get(app, policy())).get(b"ratelimit") == b'"site";r=3'


def test_pictures_beyond_the_budget_do_not_tell_where_the_line_was() -> None:
    async def main() -> None:
        async with house(answers(photo()), policy()) as site:
            headers = changed(person(), (b"cookie", b"a=1"))
            for number in (1, 2, 3):
                got = await site.ask(f"/media/{number}.jpg", headers)
                assert fields_of(got) == NOTHING
                assert got.get(b"retry-after") == b""
                assert (got.get(b"cache-control") == b"private, no-store") is (number > 1)

    asyncio.run(main())


def test_shadow_adds_nothing() -> None:
    assert fields_of(asyncio.run(get(JSON, policy(mode=Mode.SHADOW)))) == NOTHING


def test_by_default_the_site_is_called_directly() -> None:
    """So nothing is paid by those who tell nothing."""

    async def main() -> None:
        for tell in Tell:
            async with house(JSON, policy(tell)) as site:
                assert (site.app.app is JSON) is (tell is not Tell.ALWAYS)

    asyncio.run(main())
