"""Templates and views sign the URLs that policy covers, and no others."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

from antiscrape import signing
from antiscrape.core.grants import GrantState
from antiscrape.core.rules import GrantRules, Policy
from antiscrape.errors import SecretError
from antiscrape.signing import add_jinja_filter, grants_of, sign_url
from tests.costs import calls_of

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
    assert "as=1." in sign_url("https://Photos.Example:443/photos/1", named, now=NOW)
    assert "as=1." in sign_url("//photos.example/photos/1", named, now=NOW)
    assert "as=1." in sign_url("/photos/1", named, now=NOW)
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
    assert plain.startswith('<img src="/photos/1.jpg?w=1&amp;h=2&amp;as=1.')
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
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60, check=False).returncode == 0


def test_a_url_that_was_signed_in_this_window_costs_a_small_part_of_a_new_one() -> None:
    new = calls_of(lambda: sign_url("/photos/cost/1.jpg?w=640", POLICY, now=NOW))
    known = calls_of(lambda: sign_url("/photos/cost/1.jpg?w=640", POLICY, now=NOW))
    assert known * 2 < new
