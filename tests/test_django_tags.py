"""Django's templates sign image URLs, escape them once, and bind them to who asks."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("django")

ROOT = Path(__file__).resolve().parents[1]
#: Django's settings are one for a process, and another test has made them.
PAGE = r"""
import asyncio, dataclasses, re
import django
from django.conf import settings
from antiscrape.core.grant_tokens import Holder
from antiscrape.signing import grants_of
from tests.house import answers, house, person, policy_of
from antiscrape.core.rules import GrantRules

policy = policy_of(grants=GrantRules(prefixes=("/photos/",), binding={binding!r}))
library = {{"antiscrape": "antiscrape.django_tags"}}
settings.configure(ANTISCRAPE_POLICY=policy, TEMPLATES=[{{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {{"libraries": library}}}}])
django.setup()
from django.template import engines
from django.test import RequestFactory
from django.utils.safestring import mark_safe

page = engines["django"].from_string("{{% load antiscrape %}}{{% signed url %}}\n{{{{ url|signed }}}}\n{{% signed safe %}}\n{{{{ other|signed }}}}\n{{{{ none|signed }}}}")

async def app(scope, receive, send):
    request = RequestFactory().get("/")
    request.scope = scope
    url = "/photos/1.jpg?w=1&h=2"
    values = {{"url": url, "safe": mark_safe(url.replace("&", "&amp;")), "other": '/about"', "none": "/photos/a%2Fb"}}
    print(page.render(values, request))
    await answers(b"ok", b"text/plain")(scope, receive, send)

async def go():
    async with house(app, policy) as put:
        await put.ask("/page", person(kind="page"))

asyncio.run(go())
"""


def lines(binding: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PAGE.format(binding=binding))],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_a_tag_and_a_filter_sign_and_escape_once() -> None:
    tag, filtered, safe, other, none = lines("none")
    assert re.fullmatch(r"/photos/1\.jpg\?w=1&amp;h=2&amp;as=2[\w-]{35}", tag)
    assert tag == filtered == safe
    assert (other, none) == ("/about&quot;", "/photos/a%2Fb")


def test_the_tag_knows_who_asks_and_the_filter_does_not() -> None:
    tag, filtered, safe, _, _ = lines("network")
    assert re.fullmatch(r"/photos/1\.jpg\?w=1&amp;h=2&amp;as=2[\w-]{39}", tag)
    assert tag == safe
    assert filtered == "/photos/1.jpg?w=1&amp;h=2"
