"""Signed image URLs for the site's own templates and views, as functions of a policy.

A page that signs its own URLs needs no rewriting of its body, and a URL that only a script ever
sees (in a web socket, a push message, an e-mail) cannot be signed in any other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import unescape
from typing import TYPE_CHECKING, Any, Final, Protocol

from antiscrape.clock import wall
from antiscrape.core.grant_tokens import NOBODY, Binding, Holder
from antiscrape.core.grants import Grants
from antiscrape.core.locations import path_of
from antiscrape.core.tokens import KeyRing

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from antiscrape.core.rules import Policy

#: What ``json.dumps`` takes.
Json = Any


class UnboundError(ValueError):
    """A grant that the policy binds was asked for without saying for whom."""


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


def sign_url(
    url: str,
    policy: Policy,
    *,
    scope: Mapping[str, Any] | None = None,
    holder: Holder = NOBODY,
    lasting: bool = False,
    now: float | None = None,
) -> str:
    """Return ``url`` signed, if ``policy`` asks for a grant there; any other URL as it is.

    ``url`` is path-absolute, scheme-relative or absolute. Where the policy names its hosts, URLs of
    other hosts are not signed: a grant belongs to nobody else. ``now`` is seconds since 1970, by
    default the wall clock.

    Where the policy binds grants, say whom this one is for: ``scope`` is the ASGI scope of a request that came
    through the middleware, ``holder`` names somebody outright. ``lasting`` makes it one for an e-mail or a
    card: good for ``grants.outside``, opening ``grants.cards``, and bound to nobody.

    Raise ``ValueError`` for a covered URL that a browser, a proxy and a site may read differently (an encoded
    slash, a dot segment, a control), and ``UnboundError``, which is one, where nobody says for whom it is.
    """
    grants = grants_of(policy)
    host, path = path_of(url)
    if not path or not grants.covers(path.encode()):
        return url
    if host and policy.hosts and host not in policy.hosts:
        return url
    manner = grants.cards if lasting else grants.manner
    if manner is None:
        return url
    if manner.binding:
        holder = _holder(scope) if scope is not None else holder
        if holder.best(manner.binding) is Binding.NONE:
            raise UnboundError("the policy binds grants: say for whom, by the scope or the holder")
    return grants.sign(url, now=wall() if now is None else now, holder=holder, manner=manner)


def sign_urls(values: Json, policy: Policy, *, scope: Mapping[str, Any] | None = None) -> Json:
    """Return what an API is to answer, with every string in it that is a covered URL signed.

    ``values`` is what ``json.dumps`` takes: mappings and sequences of strings, numbers and None. Names stay, and
    so does a URL that cannot be signed. ``scope`` is that of ``sign_url``.
    """
    if isinstance(values, str):
        return _signed(values, policy, scope)
    if isinstance(values, Mapping):
        return {name: sign_urls(value, policy, scope=scope) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [sign_urls(value, policy, scope=scope) for value in values]
    return values


def _signed(url: str, policy: Policy, scope: Mapping[str, Any] | None) -> str:
    try:
        return sign_url(url, policy, scope=scope)
    except ValueError:
        return url


def _holder(scope: Mapping[str, Any]) -> Holder:
    """Return whom the middleware found behind a request."""
    passage = (scope.get("state") or {}).get("antiscrape")
    holder = getattr(passage, "holder", NOBODY)
    return holder if isinstance(holder, Holder) else NOBODY


def add_jinja_filter(environment: Environment, policy: Policy, *, name: str = "signed") -> None:
    """Give a Jinja2 ``environment`` the filter ``{{ photo.url | signed }}``.

    It is ``sign_url`` for the ``request`` of the template's context, which Starlette and FastAPI put there, but
    a URL that cannot be signed stays as it is: such a picture shows its preview, and the page does not break.
    The result is escaped as any other string is.
    """
    from jinja2 import pass_context  # noqa: PLC0415  only who has an environment has the package

    grants_of(policy)

    def signed(context: Mapping[str, Any], url: object) -> str:
        # what autoescaping holds for safe already was escaped, and signing is about the URL itself
        plain = unescape(url) if isinstance(url, str) and hasattr(url, "__html__") else str(url)
        return _signed(plain, policy, getattr(context.get("request"), "scope", None))

    environment.filters[name] = pass_context(signed)
