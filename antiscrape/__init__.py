"""antiscrape keeps photo and social sites open to people and worthless to harvesters.

Three questions are asked of every request and answered by one pure function (``core.judge.decide``):
*who is asking* (a principal), *what are they trusted with* (a standing, from signals), and *how much
have they had* (budgets). The answer, a verdict, says whether the request is admitted and which
rendition of an image it gets. ::

    scope -> RequestHead -> Resource, Principal -> Observation -> Verdict -> rendition, page, or refusal
             asgi.head      core.routes, identity   gate           judge      asgi.responder

A principal is an account where the site names one, else a network. Beside the ladder of standings are
roles, which have to be proven: verified crawlers, each with a purpose, and partners. Nothing that has to
be asked of others (DNS, published lists, key directories) is waited for: until it is known, it is unproven.

``core`` does no I/O and reads no clock; ``gate`` gathers what it needs and writes down what it said;
``asgi`` alone knows scopes and messages, ``serving`` alone sockets and workers, ``upstream`` the way to the site
behind the reverse proxy; ``app`` puts the rooms together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiscrape.version import __version__

if TYPE_CHECKING:
    from antiscrape.app import AntiscrapeMiddleware
    from antiscrape.core.account import Account
    from antiscrape.core.rules import Policy
    from antiscrape.settings import load_policy
    from antiscrape.signing import add_jinja_filter, sign_url, sign_urls

__all__ = [
    "Account",
    "AntiscrapeMiddleware",
    "Policy",
    "__version__",
    "add_jinja_filter",
    "load_policy",
    "sign_url",
    "sign_urls",
]

_HOMES = {
    "Account": "antiscrape.core.account",
    "AntiscrapeMiddleware": "antiscrape.app",
    "Policy": "antiscrape.core.rules",
    "add_jinja_filter": "antiscrape.signing",
    "load_policy": "antiscrape.settings",
    "sign_url": "antiscrape.signing",
    "sign_urls": "antiscrape.signing",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for: an image worker imports this package and needs none."""
    from importlib import import_module  # noqa: PLC0415  kept off the path of the workers' start

    if name not in _HOMES:
        raise AttributeError(f"module 'antiscrape' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
