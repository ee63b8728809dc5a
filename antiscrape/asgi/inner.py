"""What the site is given of a request: its scope, without what is between the client and us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.asgi.types import SHORTCUTS
from antiscrape.core.partner import keys_within

if TYPE_CHECKING:
    from antiscrape.asgi.bodies import Rewriters
    from antiscrape.asgi.check import Desk
    from antiscrape.asgi.inspection import Inspection
    from antiscrape.asgi.types import Headers, Scope
    from antiscrape.core.grants import Grants
    from antiscrape.core.partner import PartnerBook
    from antiscrape.gate import Passage

_CONDITIONS: Final = frozenset({b"if-none-match", b"if-modified-since", b"accept-encoding"})


def unconditioned(scope: Scope, rewriters: Rewriters, passage: Passage, *, style: bool) -> Headers:
    """Return a request's fields such that the site's answer can be signed: uncompressed, and of this window.

    Most style sheets are not changed, so they may come compressed, in a coding that can be looked into.
    """
    kept = []
    for name, value in scope["headers"]:
        if name not in _CONDITIONS:
            kept.append((name, value))
        elif name == b"if-none-match":
            tags = rewriters.condition(value, passage)
            if tags:
                kept.append((name, tags))
        elif style and name == b"accept-encoding" and b"gzip" in value:
            kept.append((name, b"gzip"))
    return kept


def asks_for_style(passage: Passage) -> bool:
    """Tell whether a browser fetches a style sheet: all of them say so (Fetch §4.1, "style")."""
    return (passage.value(b"accept") or b"").startswith(b"text/css")


def without_key(scope: Scope, partners: PartnerBook) -> Scope:
    """Return the scope without a partner's key, which is between the partner and us."""
    headers = scope["headers"]
    kept = [pair for pair in headers if not any(partners.holds(key) for key in keys_within(*pair))]
    return scope if len(kept) == len(headers) else {**scope, "headers": kept}


def without_shortcuts(scope: Scope) -> Scope:
    """Return the scope without the extensions by which a body goes around us."""
    extensions = scope.get("extensions") or {}
    if SHORTCUTS.isdisjoint(extensions):
        return scope
    return {**scope, "extensions": {name: extensions[name] for name in extensions if name not in SHORTCUTS}}


def paths_of_ours(
    check: Desk | None, grants: Grants | None, inspection: Inspection | None
) -> tuple[bytes, ...]:
    """Return where the paths begin of which the site itself knows nothing."""
    sealed = b"" if grants is None else grants.opaque.encode()
    told = b"" if inspection is None else inspection.path
    return tuple(filter(None, (b"" if check is None else check.below, sealed, told)))
