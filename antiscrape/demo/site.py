"""A small photo site, as somebody might run one: it knows nothing of antiscrape.

Listings, profiles, photo pages with what link cards and search engines read (og:image, JSON-LD),
a feed for its own script, robots.txt, a sitemap and an Atom feed; pictures in four sizes.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from antiscrape.demo.photos import ORIGINAL, SIZES, Library, Photo

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.types import Scope

NAME = "Open Shutter"
PER_PAGE = 16
SESSION_COOKIE = "session"
_HERE = Path(__file__).parent
_DAY = 86_400


class _Files(StaticFiles):
    """Files with ETag, Last-Modified, Range and 304, as Starlette serves them, and a day in the cache."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Answer with the file, or with 304."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = f"public, max-age={_DAY}"
        return response


def create_site(library: Library) -> Starlette:
    """Return the site that shows ``library``."""
    return Starlette(routes=_Pages(library).routes(), exception_handlers={404: _not_found(library)})


class _Pages:
    """The site's pages; each method answers one route."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.templates = _environment()

    def routes(self) -> list[Route | Mount]:
        """Return the route table."""
        return [
            Route("/", self.gallery),
            Route("/u/{name}", self.profile),
            Route("/p/{photo_id:int}", self.photo),
            Route("/credits", self.credits),
            Route("/api/feed", self.feed),
            Route("/robots.txt", self.robots),
            Route("/sitemap.xml", self.sitemap),
            Route("/feed.xml", self.atom),
            Mount("/media", _Files(directory=self.library.folder), name="media"),
            Mount("/static", _Files(directory=_HERE / "static"), name="static"),
        ]

    async def gallery(self, request: Request) -> Response:
        """Show one page of all photos, newest first."""
        page, pages, shown = self._page_of(request, self.library.photos)
        return self._html(
            request, "gallery.html", photos=shown, page=page, pages=pages, profiles=self._faces(), title=NAME
        )

    async def profile(self, request: Request) -> Response:
        """Show whom photos belong to, and all of them."""
        name = request.path_params["name"]
        profile = next((row for row in self.library.profiles if row.name == name), None)
        if profile is None:
            raise HTTPException(404)
        photos = self.library.of_profile(name)
        return self._html(request, "profile.html", profile=profile, photos=photos, title=profile.title)

    async def photo(self, request: Request) -> Response:
        """Show one photo, large, with its neighbours and what machines read about it."""
        photo = self.library.by_id.get(request.path_params["photo_id"])
        if photo is None:
            raise HTTPException(404)
        profile = next(row for row in self.library.profiles if row.name == photo.profile)
        more = tuple(other for other in self.library.of_profile(profile.name) if other is not photo)[:6]
        return self._html(
            request,
            "photo.html",
            photo=photo,
            profile=profile,
            source=self.library.source(photo.source),
            more=more,
            older=self.library.by_id.get(photo.id - 1),
            newer=self.library.by_id.get(photo.id + 1),
            linked=self._linked_data(request, photo),
            title=photo.title,
        )

    async def credits(self, request: Request) -> Response:
        """Name author and licence of every photograph."""
        samples = {photo.source: photo for photo in reversed(self.library.photos)}
        return self._html(
            request, "credits.html", sources=self.library.sources, samples=samples, title="Credits"
        )

    async def feed(self, request: Request) -> Response:
        """Answer the site's own script with one more page of photos."""
        page, pages, shown = self._page_of(request, self.library.photos)
        rows = [
            {
                "id": photo.id,
                "title": photo.title,
                "alt": photo.alt,
                "url": f"/p/{photo.id}",
                "width": photo.width,
                "height": photo.height,
                "pictures": [
                    {"url": f"/media/{name}", "width": width} for name, width in _widths(photo, SIZES[:2])
                ],
            }
            for photo in shown
        ]
        return JSONResponse({"page": page, "pages": pages, "photos": rows})

    async def robots(self, request: Request) -> Response:
        """Say what crawlers may read (RFC 9309)."""
        return PlainTextResponse(
            f"User-agent: *\nDisallow: /api/\n\nSitemap: {request.base_url}sitemap.xml\n"
        )

    async def sitemap(self, request: Request) -> Response:
        """List every page."""
        return self._xml(request, "sitemap.xml", "application/xml")

    async def atom(self, request: Request) -> Response:
        """List the newest photos (Atom, RFC 4287)."""
        return self._xml(request, "feed.xml", "application/atom+xml")

    def _html(self, request: Request, template: str, **values: object) -> Response:
        text = self.templates.get_template(template).render(base=str(request.base_url), site=NAME, **values)
        response = Response(text, media_type="text/html", headers={"cache-control": "no-cache"})
        if SESSION_COOKIE not in request.cookies:
            response.set_cookie(SESSION_COOKIE, secrets.token_urlsafe(12), httponly=True, samesite="lax")
        return response

    def _xml(self, request: Request, template: str, media_type: str) -> Response:
        made = datetime.fromtimestamp(self.library.made, UTC).isoformat(timespec="seconds")
        text = self.templates.get_template(template).render(
            base=str(request.base_url), site=NAME, library=self.library, made=made, per_page=PER_PAGE
        )
        return Response(text, media_type=media_type)

    def _page_of(self, request: Request, photos: Sequence[Photo]) -> tuple[int, int, Sequence[Photo]]:
        """Return the page asked for, how many there are, and its photos; a page that is not there is a 404."""
        pages = -(-len(photos) // PER_PAGE)
        asked = request.query_params.get("page", "1")
        page = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 0  # noqa: PLR2004  five digits are plenty
        if not 1 <= page <= pages:
            raise HTTPException(404)
        return page, pages, photos[(page - 1) * PER_PAGE : page * PER_PAGE]

    def _faces(self) -> list[tuple[object, Photo]]:
        """Return each profile with its newest photo."""
        return [(profile, self.library.of_profile(profile.name)[0]) for profile in self.library.profiles]

    def _linked_data(self, request: Request, photo: Photo) -> dict[str, Any]:
        """Return the schema.org ImageObject that image search reads."""
        source = self.library.source(photo.source)
        return {
            "@context": "https://schema.org",
            "@type": "ImageObject",
            "name": photo.title,
            "contentUrl": f"{request.base_url}media/{photo.filename}",
            "thumbnailUrl": f"{request.base_url}media/{photo.sized(SIZES[0])}",
            "width": photo.width,
            "height": photo.height,
            "creditText": source.author,
            "license": source.licence_url or f"{request.base_url}credits",
            "acquireLicensePage": f"{request.base_url}credits",
        }


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=select_autoescape(("html", "xml")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["srcset"] = _srcset
    environment.globals.update(sizes=SIZES)
    return environment


def _widths(photo: Photo, sizes: Sequence[int]) -> list[tuple[str, int]]:
    """Return the files of a photo's sizes and their widths in pixels."""
    long_side = max(photo.width, photo.height)
    return [
        (photo.filename if size == ORIGINAL else photo.sized(size), round(photo.width * size / long_side))
        for size in sizes
    ]


def _srcset(photo: Photo, sizes: Sequence[int] = (*SIZES, ORIGINAL)) -> str:
    """Return the photo's sizes as HTML's ``srcset`` lists them."""
    return ", ".join(f"/media/{name} {width}w" for name, width in _widths(photo, sizes))


def _not_found(library: Library) -> Callable[[Request, Exception], Response]:
    template = _environment().get_template("missing.html")

    def answer(request: Request, _error: Exception) -> Response:
        text = template.render(
            base=str(request.base_url), site=NAME, title="Not here", count=len(library.photos)
        )
        return Response(text, status_code=404, media_type="text/html")

    return answer
