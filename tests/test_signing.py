"""Templates and views sign the URLs that policy covers, and no others."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from markupsafe import Markup

from antiscrape import signing
from antiscrape.core.grant_tokens import Holder
from antiscrape.core.grants import GrantState
from antiscrape.core.rules import GrantRules, Policy
from antiscrape.core.verdict import Rendition
from antiscrape.errors import SecretError
from antiscrape.signing import UnboundError, add_jinja_filter, grants_of, sign_url, sign_urls
from tests.costs import calls_of
from tests.house import answers, house, person, policy_of

SECRET = b"Zr1c0l8-gJ5dVQ2nXw9yT4uHs7bKfEaM3pN6oLiRtYq"
NOW = 1_800_000_123.0


def policy(*, secret: bytes = SECRET, hosts: tuple[str, ...] = (), ignore_case: bool = False) -> Policy:
    rules = GrantRules(prefixes=("/photos/",))
    return Policy((secret,), {}, (), {}, grants=rules, hosts=hosts, ignore_case=ignore_case)


POLICY = policy()


def test_a_signed_url_is_valid_and_opens_with_the_wall_clock_too() -> None:
    path, _, query = sign_url("/photos/1.jpg?w=2", POLICY).partition("?")
    assert grants_of(POLICY).check(path.encode(), query.encode(), now=time.time()) is GrantState.VALID


@pytest.mark.parametrize(
    "url",
    ["/about", "/photosets/1", "photos/1.jpg", "", "#top", "data:image/png;base64,AA", "mailto:a@b", "https://a.example", "javascript:x"],
)  # fmt: skip
def test_what_is_not_covered_stays_as_it_is(url: str) -> None:
    assert sign_url(url, POLICY, now=NOW) == url


def test_only_the_hosts_of_the_policy_are_signed_where_it_names_them() -> None:
    named = policy(hosts=("photos.example",))
    assert "as=2" in sign_url("https://Photos.Example:443/photos/1", named, now=NOW)
    assert "as=2" in sign_url("//photos.example/photos/1", named, now=NOW)
    assert "as=2" in sign_url("/photos/1", named, now=NOW)
    assert sign_url("https://cdn.example/photos/1", named, now=NOW) == "https://cdn.example/photos/1"
    assert sign_url("//photos.example.evil/photos/1", named, now=NOW) == "//photos.example.evil/photos/1"


@pytest.mark.security("F8")
def test_a_covered_url_with_two_readings_is_refused() -> None:
    with pytest.raises(ValueError, match="more than one way"):
        sign_url("/photos/a%2Fb", POLICY, now=NOW)


@pytest.mark.security("B4")
def test_a_policy_that_ignores_case_signs_every_case_alike() -> None:
    folding = policy(ignore_case=True)
    one, another = (sign_url(url, folding, now=NOW) for url in ("/photos/A.jpg", "/Photos/a.jpg"))
    assert one.partition("?")[2] == another.partition("?")[2] != ""


@pytest.mark.security("F2")
def test_a_policy_without_a_real_secret_signs_nothing() -> None:
    with pytest.raises(SecretError):
        sign_url("/photos/1", policy(secret=b""), now=NOW)
    with pytest.raises(SecretError):
        add_jinja_filter(jinja2.Environment(autoescape=True), policy(secret=b"short"))


def test_every_policy_object_has_grants_of_its_own_even_where_ids_are_used_again() -> None:
    """A policy that died must not lend its keys to the next object at its address."""
    seen = set()
    for number in range(8):
        fresh = policy(secret=SECRET + str(number).encode())
        assert grants_of(fresh) is grants_of(fresh)
        seen.add(sign_url("/photos/1", fresh, now=NOW))
        del fresh
        gc.collect()
    assert len(seen) == 8
    assert len(signing._grants) <= 4


def test_a_template_signs_and_escapes_once() -> None:
    environment = jinja2.Environment(autoescape=True)
    add_jinja_filter(environment, POLICY)
    template = environment.from_string('<img src="{{ url | signed }}">')
    plain = template.render(url="/photos/1.jpg?w=1&h=2")
    assert plain.startswith('<img src="/photos/1.jpg?w=1&amp;h=2&amp;as=2')
    assert template.render(url=Markup("/photos/1.jpg?w=1&amp;h=2")) == plain
    assert template.render(url='/about"x') == '<img src="/about&#34;x">'
    assert template.render() == '<img src="">'


def test_a_picture_that_cannot_be_signed_does_not_break_the_page() -> None:
    environment = jinja2.Environment(autoescape=True)
    add_jinja_filter(environment, POLICY, name="grant")
    assert environment.from_string("{{ '/photos/a%2Fb' | grant }}").render() == "/photos/a%2Fb"


def test_a_missing_variable_is_still_an_error_where_the_site_asks_for_that() -> None:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    add_jinja_filter(environment, POLICY)
    with pytest.raises(jinja2.UndefinedError):
        environment.from_string("{{ nothing | signed }}").render()


def test_jinja_is_not_imported() -> None:
    code = "import sys, antiscrape.signing; sys.exit('jinja2' in sys.modules)"
    root = Path(__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=120, check=False).returncode == 0


def test_a_url_that_was_signed_in_this_window_costs_a_small_part_of_a_new_one() -> None:
    new = calls_of(lambda: sign_url("/photos/cost/1.jpg?w=640", POLICY, now=NOW))
    known = calls_of(lambda: sign_url("/photos/cost/1.jpg?w=640", POLICY, now=NOW))
    assert known * 2 < new


BOUND = replace(POLICY, grants=replace(POLICY.grants, binding="network"))


def test_a_policy_that_binds_is_told_for_whom() -> None:
    ann, bob = Holder("192.0.2.0/24"), Holder("198.51.100.0/24")
    with pytest.raises(UnboundError, match="holder"):
        sign_url("/photos/1", BOUND, now=NOW)
    url = sign_url("/photos/1", BOUND, now=NOW, holder=ann)
    path, _, query = url.partition("?")
    states = [
        grants_of(BOUND).check(path.encode(), query.encode(), now=NOW, visitor=who) for who in (ann, bob)
    ]
    assert states == [GrantState.VALID, GrantState.FOREIGN]
    assert sign_url("/photos/1", BOUND, now=NOW, holder=bob) != url


def test_a_request_that_came_through_the_middleware_says_whose_it_is() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(sign_url("/photos/1", BOUND, scope=scope, now=NOW))
        environment = jinja2.Environment(autoescape=True)
        add_jinja_filter(environment, BOUND)
        template = environment.from_string("{{ '/photos/1' | signed }}")
        seen.append(template.render(request=SimpleNamespace(scope=scope)))
        seen.append(template.render())
        await answers(b"ok", b"text/plain")(scope, receive, send)

    async def go() -> None:
        async with house(app, policy_of(grants=BOUND.grants)) as put:
            await put.ask("/page", person(kind="page"), peer="192.0.2.7")

    asyncio.run(go())
    assert seen[0] == sign_url("/photos/1", BOUND, now=NOW, holder=Holder("192.0.2.0/24"))
    assert "as=2" in seen[1]
    assert seen[2] == "/photos/1", "for nobody nothing is signed, and the page does not break"


def test_a_lasting_url_is_for_everybody_and_opens_less() -> None:
    url = sign_url("/photos/1", BOUND, lasting=True, now=NOW)
    path, _, query = url.partition("?")
    grant = grants_of(BOUND).read(path.encode(), query.encode(), now=NOW + 7 * 86_400)
    assert (grant.state, grant.ceiling) == (GrantState.VALID, Rendition.MARKED)
    none = replace(POLICY, grants=replace(POLICY.grants, cards=None))
    assert sign_url("/photos/1", none, lasting=True, now=NOW) == "/photos/1"


def test_an_answer_of_an_api_is_signed_where_it_holds_urls() -> None:
    values = {
        "/photos/name": ["/photos/1", "/about", "see /photos/2", 3, None, True, 0.5],
        "nested": ({"url": "/photos/3?w=1"}, "/photos/a%2Fb"),
    }
    signed = sign_urls(values, POLICY)
    plain = json.dumps(signed)
    assert json.loads(re.sub(r"[?&]as=2[A-Za-z0-9_-]{35}", "", plain)) == json.loads(json.dumps(values))
    assert plain.count("as=2") == 2
    assert values["nested"][0] == {"url": "/photos/3?w=1"}, "what was given stays as it was"
