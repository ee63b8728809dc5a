"""Signed image URLs in Django templates: a tag, which knows the request, and a filter, which does not.

::

    TEMPLATES = [{..., "OPTIONS": {"libraries": {"antiscrape": "antiscrape.django_tags"}}}]

    {% load antiscrape %}
    <img src="{% signed photo.image.url %}">
    <img src="{{ photo.image.url|signed }}">

The policy is ``settings.ANTISCRAPE_POLICY``, the object that the middleware was given, or else what ``load_policy()``
finds. Where it binds grants, the tag takes the request's visitor from the context's request; the filter has
nobody to bind to, and leaves the URL as it is. Neither breaks a page over a URL that cannot be signed.
"""

from __future__ import annotations

from functools import cache
from html import unescape
from typing import TYPE_CHECKING, Any

from django import template
from django.conf import settings

from antiscrape.settings import load_policy
from antiscrape.signing import sign_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiscrape.core.rules import Policy

register = template.Library()


@register.simple_tag(name="signed", takes_context=True)  # type: ignore[untyped-decorator]  # Django has no types
def signed_for(context: Mapping[str, Any], url: object) -> str:
    """Return ``url`` signed for whoever asks for the page."""
    request = getattr(context, "request", None) or context.get(
        "request"
    )  # a RequestContext has it as its own
    return _signed(url, getattr(request, "scope", None))


@register.filter(name="signed")  # type: ignore[untyped-decorator]  # Django has no types
def signed(url: object) -> str:
    """Return ``url`` signed for everybody, where the policy lets everybody have it."""
    return _signed(url, None)


def _signed(url: object, scope: Mapping[str, Any] | None) -> str:
    # what is safe already was escaped, and signing is about the URL itself
    plain = unescape(url) if isinstance(url, str) and hasattr(url, "__html__") else str(url)
    try:
        return sign_url(plain, _policy(), scope=scope)
    except ValueError:
        return plain


def _policy() -> Policy:
    named: Policy | None = getattr(settings, "ANTISCRAPE_POLICY", None)
    return _loaded() if named is None else named


@cache
def _loaded() -> Policy:
    return load_policy()
