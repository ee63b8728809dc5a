"""The doctor's questions are answered to whoever holds the secret, and are the site's for all others."""

from __future__ import annotations

import asyncio
import http.client
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from antiscrape import AntiscrapeMiddleware, clock
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from antiscrape.core.tokens import KeyRing
from antiscrape.operate.doctor.tokens import FIELD, NONCE, PATH, Passwords
from antiscrape.operate.doctor.view import View, read_view
from tests.asgi.frameworks import uvicorned
from tests.house import SECRET, answers, drive, person, policy_of, scope_of

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy
    from tests.house import Answer

SITE = b"the site's own answer"
OTHER = "nMq2v8Rk5Tz1Xc7Bd4Fg9Hj3Lp6Ws0Ya"


def password(secret: str = SECRET, site: str = "site", *, now: float | None = None) -> bytes:
    made = clock.wall() if now is None else now
    return Passwords(KeyRing([secret.encode()]), site).make(bytes(NONCE), now=made).encode()


def asked(
    said: bytes | None,
    *fields: tuple[bytes, bytes],
    policy: Policy | None = None,
    method: str = "GET",
    path: str = PATH,
) -> Answer:
    async def ask() -> Answer:
        app = AntiscrapeMiddleware(answers(SITE, b"text/plain"), policy=policy or policy_of())
        told = [] if said is None else [(FIELD.encode(), said)]
        return await drive(app, scope_of(path, [*person(), *told, *fields], method=method))

    return asyncio.run(ask())


def seen(answer: Answer) -> View:
    view = read_view(answer.body)
    assert view is not None, answer
    return view


def test_the_holder_of_the_secret_is_told() -> None:
    answer = asked(password(), (b"x-forwarded-for", b"198.51.100.1"), (b"via", b"1.1 edge"))
    view = seen(answer)
    assert (answer.get(b"cache-control"), view.nonce) == (b"private, no-store", "00" * NONCE)
    assert (view.client, view.peer, view.trusted) == ("203.0.113.7", "203.0.113.7", False)
    assert view.fields == {"x-forwarded-for": "198.51.100.1", "via": "1.1 edge"}
    assert (view.mode, view.store_away, view.limits) == ("enforce", None, False)


@pytest.mark.security("F5")
@pytest.mark.security("A8")
@pytest.mark.parametrize(
    "said",
    [None, b"", b"x", password(OTHER), password(site="another"), password(now=1_000_000_000.0)],
    ids=["nothing", "empty", "no password", "of another secret", "of another site", "of another time"],
)
def test_all_others_meet_the_site(said: bytes | None) -> None:
    assert asked(said).body == SITE


@pytest.mark.parametrize(
    ("method", "path"), [("POST", PATH), ("GET", PATH + "/"), ("GET", PATH + "/x"), ("GET", "/")]
)
def test_another_question_is_the_sites(method: str, path: str) -> None:
    assert asked(password(), method=method, path=path).body == SITE


def test_it_is_answered_whatever_the_routes_and_the_mode_say() -> None:
    routes = (Route("/**", Kind.TRAP, Size.UNTOLD),)
    assert seen(asked(password(), policy=policy_of(routes=routes))).mode == "enforce"
    shadow = policy_of({"ANTISCRAPE__SITE__MODE": "shadow"})
    assert seen(asked(password(), policy=shadow)).mode == "shadow"
    checked = policy_of({"ANTISCRAPE__CLEARANCE__ENABLED": "true"})
    assert seen(asked(password(), policy=checked)).mode == "enforce"
    assert asked(password(), policy=policy_of({"ANTISCRAPE__SITE__MODE": "off"})).body == SITE


@pytest.mark.security("F3")
def test_secrets_are_reloaded_for_it_too() -> None:
    async def ask() -> tuple[Answer, Answer]:
        policy = replace(policy_of(), secrets=(SECRET.encode(),))
        app = AntiscrapeMiddleware(answers(SITE, b"text/plain"), policy=policy)
        ids = app.reload_keys([OTHER.encode()])
        before, after = [
            await drive(app, scope_of(PATH, [*person(), (FIELD.encode(), password(secret))]))
            for secret in (SECRET, OTHER)
        ]
        assert seen(after).keys == ids
        return before, after

    assert asyncio.run(ask())[0].body == SITE


@pytest.mark.security("C1")
@pytest.mark.parametrize(("http_", "module"), [("auto", "httptools_impl"), ("h11", "h11_impl")])
def test_it_tells_what_parses_requests(http_: str, module: str) -> None:
    def get(port: int) -> bytes:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("GET", PATH, headers={FIELD: password().decode()})
            return connection.getresponse().read()

    async def ask() -> bytes:
        app = AntiscrapeMiddleware(answers(SITE, b"text/plain"), policy=policy_of())
        async with uvicorned(app, http="h11" if http_ == "h11" else "auto") as port:
            return await asyncio.to_thread(get, port)

    view = read_view(asyncio.run(ask()))
    assert view is not None
    assert (view.server, view.limits) == (f"uvicorn.protocols.http.{module}", False)
