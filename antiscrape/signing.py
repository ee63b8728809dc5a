"""Signed image URLs for the site's own templates and views, as functions of a policy.

A page that signs its own URLs needs no rewriting of its body, and a URL that only a script ever
sees (in a web socket, a push message, an e-mail) cannot be signed in any other way.
"""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING, Any, Final, Protocol

from antiscrape.clock import wall
from antiscrape.core.grants import Grants, path_of
from antiscrape.core.tokens import KeyRing

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from antiscrape.core.rules import Policy


class Environment(Protocol):
    """What is needed of a ``jinja2.Environment``."""

    @property
    def filters(self) -> MutableMapping[str, Any]:
        """The filters by name."""
        ...


#: Policies whose grants are kept: those of a few sites in one process, and the ones before a reload.
_KEPT: Final = 4
# A policy has no hash (it holds mappings) and no weak references (it has slots). Its id is good for a
# key exactly as long as the policy lives, so the entry holds it.
_grants: dict[int, tuple[Policy, Grants]] = {}


def grants_of(policy: Policy) -> Grants:
    """Return the grants of ``policy``, made once for each policy object.

    Raise ``SecretError`` where its secrets cannot be used, ``ConfigurationError`` where its rules cannot.
    """
    known = _grants.get(id(policy))
    if known is None:
        made = Grants(KeyRing(policy.secrets), policy.grants, policy.site, ignore_case=policy.ignore_case)
        for oldest in list(_grants)[: 1 - _KEPT]:
            _grants.pop(oldest, None)
        known = _grants[id(policy)] = (policy, made)
    return known[1]


def sign_url(url: str, policy: Policy, *, now: float | None = None) -> str:
    """Return ``url`` signed, if ``policy`` asks for a grant there; any other URL as it is.

    ``url`` is path-absolute, scheme-relative or absolute. Where the policy names its hosts, URLs of
    other hosts are not signed: a grant belongs to nobody else. ``now`` is seconds since 1970, by
    default the wall clock. Raise ``ValueError`` for a covered URL that a browser, a proxy and a
    site may read differently (an encoded slash, a dot segment, a control).
    """
    grants = grants_of(policy)
    host, path = path_of(url)
    if not path or not grants.covers(path.encode()):
        return url
    if host and policy.hosts and host not in policy.hosts:
        return url
    return grants.sign(url, now=wall() if now is None else now)


def add_jinja_filter(environment: Environment, policy: Policy, *, name: str = "signed") -> None:
    """Give a Jinja2 ``environment`` the filter ``{{ photo.url | signed }}``.

    It is ``sign_url``, but a URL that cannot be signed stays as it is: such a picture shows its
    preview, and the page does not break. The result is escaped as any other string is.
    """
    grants_of(policy)

    def signed(url: object) -> str:
        # what autoescaping holds for safe already was escaped, and signing is about the URL itself
        plain = unescape(url) if isinstance(url, str) and hasattr(url, "__html__") else str(url)
        try:
            return sign_url(plain, policy)
        except ValueError:
            return plain

    environment.filters[name] = signed
