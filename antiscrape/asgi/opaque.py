"""Puts the path of a picture in the place of its opaque one, before anything is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.types import Scope
    from antiscrape.core.grants import Grants

Head = TypeVar("Head")


def opening(read: Callable[[Scope], Head], grants: Grants) -> Callable[[Scope], Head]:
    """Return ``read``, a reader of scopes, for a site whose pictures have opaque paths.

    The scope itself is changed, so that what is judged, told of and served is one and the same (SECURITY P0). What
    is no path that the site sealed stays as it is, and the site will not know it.
    """

    def opened(scope: Scope) -> Head:
        raw: bytes | None = scope.get("raw_path")
        path = None if raw is None else grants.opened(raw)
        if path is not None:
            scope["raw_path"] = path
            scope["path"] = unquote(path.decode("ascii"))
        return read(scope)

    return opened
