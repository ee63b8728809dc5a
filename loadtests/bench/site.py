"""The site that is protected in the bench: a Starlette app with an answer of each kind, all from memory."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

from PIL import Image
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

_ITEMS = {"ok": True, "items": [1, 2, 3]}
_CARD = (
    '<figure class="card"><a href="/p/{0}"><img src="/media/{0}-320.jpg" srcset="/media/{0}-320.jpg 320w, '
    '/media/{0}-640.jpg 640w, /media/{0}.jpg 1280w" width="320" height="240" alt="Photo {0}" loading="lazy">'
    '</a><figcaption>Photo {0} by <a href="/u/user{1}">user{1}</a></figcaption></figure>\n'
)


def photograph(width: int, height: int, *, seed: int = 1, quality: int = 80) -> bytes:
    """Return a JPEG with the coarse shapes and the fine grain of a photograph: a blank one decodes too fast."""
    dice = random.Random(seed)
    shapes = Image.frombytes("RGB", (24, 18), dice.randbytes(24 * 18 * 3))
    grain = Image.frombytes("RGB", (width // 3, height // 3), dice.randbytes(width // 3 * (height // 3) * 3))
    size = (width, height)
    blend = Image.blend(
        shapes.resize(size, Image.Resampling.BICUBIC), grain.resize(size, Image.Resampling.BILINEAR), 0.06
    )
    out = io.BytesIO()
    blend.save(out, "JPEG", quality=quality)
    return out.getvalue()


def gallery(photos: int) -> bytes:
    """Return a listing page with ``photos`` photos, three URLs of pictures in each card."""
    cards = "".join(_CARD.format(1001 + place, place % 40) for place in range(photos))
    head = '<!doctype html><html lang="en"><head><title>Photos</title><link rel="stylesheet" href="/static/a.css">'
    return f"{head}</head><body><main>{cards}</main></body></html>".encode()


def make_site() -> Starlette:
    """Return the app: JSON of 27 bytes, a listing of 40 photos, a picture of about 100 kB."""
    picture, page = photograph(1280, 960), gallery(40)

    async def items(_request: Request) -> Response:
        return JSONResponse(_ITEMS)

    async def media(_request: Request) -> Response:
        return Response(picture, media_type="image/jpeg")

    async def listing(_request: Request) -> Response:
        return HTMLResponse(page)

    return Starlette(
        routes=[Route("/api/photos", items), Route("/media/{name}", media), Route("/", listing)],
    )
