"""Pixels into a file: in which format, how well, with which words about rights, and never beyond a size.

The original's format is kept wherever the client takes it, for a URL that ends in ``.png`` and
answers with something else makes some programs stumble. The exceptions save bytes: a PNG or GIF
whose picture is a photograph becomes a JPEG, and a transparent one a WebP for whoever names it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, features

from antiscrape.images.decode import Picture, Refused
from antiscrape.images.formats import CLASSIC, Format
from antiscrape.images.frames import LARGEST_REPLY, Outcome, Reply
from antiscrape.images.metadata import NOTHING_SAID, Notice, inscribed, options

if TYPE_CHECKING:
    from collections.abc import Sequence

_JPEG, _PNG, _GIF, _WEBP, _AVIF = Format.JPEG, Format.PNG, Format.GIF, Format.WEBP, Format.AVIF

#: Alpha below which a pixel counts as transparent; blown-up cells ring a little below 255.
_OPAQUE = 250
#: Colours up to which a picture is a drawing: PNG and GIF hold them exactly, in little.
_FEW_COLOURS = 256
#: Below this quality time goes before bytes. A transparent PNG has a palette, too: a soft preview takes a sixth of the bytes, and who
#: would see its bands are programs, for every browser takes WebP.
_FINE = 80
#: What is tried in turn where a file comes out larger than a reply may be: parts of the quality asked for.
_LOWER = (1.0, 0.6, 0.3)

# Formats by falling preference, by what the original was. What follows the first is for clients that do not
# take it; there is no AVIF in place of anything else, which costs 30 times a JPEG to write.
_OPAQUE_ORDER = {
    _JPEG: (_JPEG, _WEBP, _PNG, _AVIF, _GIF),
    _PNG: (_JPEG, _WEBP, _PNG, _AVIF, _GIF),
    _GIF: (_JPEG, _WEBP, _PNG, _AVIF, _GIF),
    _WEBP: (_WEBP, _JPEG, _PNG, _AVIF, _GIF),
    _AVIF: (_AVIF, _WEBP, _JPEG, _PNG, _GIF),
}
_TRANSPARENT_ORDER = {
    _JPEG: (_WEBP, _PNG, _AVIF, _GIF, _JPEG),
    _PNG: (_WEBP, _PNG, _AVIF, _GIF, _JPEG),
    _GIF: (_WEBP, _PNG, _AVIF, _GIF, _JPEG),
    _WEBP: (_WEBP, _PNG, _AVIF, _GIF, _JPEG),
    _AVIF: (_AVIF, _WEBP, _PNG, _GIF, _JPEG),
}
#: Those that Pillow can write here: its builds may lack the two new ones.
_WRITTEN = CLASSIC | sum(kind.bit for kind in (_WEBP, _AVIF) if features.check(kind.value.lower()))
_LOSSLESS = frozenset({_PNG, _GIF})

_OUTCOMES = {kind: Outcome[kind.name] for kind in Format}


class Animation(NamedTuple):
    """The frames behind a picture's first, and how long each of all is shown, in milliseconds."""

    frames: Sequence[Image.Image]
    durations: Sequence[int]


def write(
    picture: Picture, quality: int, formats: int, kind: Format | None = None, *, notice: Notice = NOTHING_SAID
) -> Reply:
    """Encode ``picture`` in the best of ``formats`` for one whose original was a ``kind`` (by default the picture's own).

    ``formats`` is a mask of the bits of :class:`Format`, ``quality`` 1 to 95 as JPEG counts it. Raise
    :class:`Refused` where no encoding is small enough to travel.
    """
    kind = kind or picture.kind
    pixels = _without_idle_alpha(picture.pixels)
    first = choose(kind, formats, transparent=pixels.mode == "RGBA")
    best = _encoded(pixels, first, quality, notice)
    # The original's own format, where it is a drawing's and so may be the smaller one.
    if kind in _LOSSLESS and kind is not first and kind.bit & formats and pixels.getcolors(_FEW_COLOURS):
        exact = _encoded(pixels, kind, quality, notice)
        if exact and (not best or len(exact) <= len(best)):
            first, best = kind, exact
    if not best:
        msg = "no encoding of this picture is small enough"
        raise Refused(msg)
    return Reply(_OUTCOMES[first], best)


def choose(kind: Format, formats: int, *, transparent: bool) -> Format:
    """Return the format for a picture whose original was a ``kind``, of those that the client takes."""
    taken = formats & _WRITTEN or CLASSIC
    order = (_TRANSPARENT_ORDER if transparent else _OPAQUE_ORDER)[kind]
    return next(candidate for candidate in order if candidate.bit & taken)


def write_animation(
    picture: Picture, rest: Animation, quality: int, formats: int, *, notice: Notice = NOTHING_SAID
) -> Reply:
    """Encode an animation as WebP or GIF, whichever the client takes and the original was; else its first frame."""
    kind = next(
        (
            kind
            for kind in (picture.kind, _WEBP, _GIF)
            if kind in {_WEBP, _GIF} and kind.bit & formats & _WRITTEN
        ),
        None,
    )
    if kind is None:
        return write(picture, quality, formats, notice=notice)
    out = io.BytesIO()
    told: dict[str, Any] = {"quality": quality, "method": 0} if kind is _WEBP else {"disposal": 2}
    told |= options(kind, notice)
    picture.pixels.save(
        out,
        kind.value,
        save_all=True,
        append_images=rest.frames,
        duration=list(rest.durations),
        loop=0,
        **told,
    )
    body = inscribed(out.getvalue(), kind, notice)
    if len(body) > LARGEST_REPLY:
        return write(picture, quality, formats, notice=notice)
    return Reply(_OUTCOMES[kind], body)


def _without_idle_alpha(pixels: Image.Image) -> Image.Image:
    """Return ``pixels`` as RGB where they are transparent nowhere."""
    if pixels.mode == "RGBA":
        least = pixels.getchannel("A").getextrema()[0]
        if isinstance(least, float | int) and least < _OPAQUE:
            return pixels
    return _rgb(pixels)


def _rgb(pixels: Image.Image) -> Image.Image:
    """Return ``pixels`` in RGB; Pillow copies what is in it already, which takes a tenth of a millisecond."""
    return pixels if pixels.mode == "RGB" else pixels.convert("RGB")


def _encoded(pixels: Image.Image, kind: Format, quality: int, notice: Notice) -> bytes:
    """Return the file, of lower quality where it would be too large to travel; empty where that does not help."""
    for part in _LOWER:
        out = io.BytesIO()
        _save(pixels, kind, max(1, round(quality * part)), out, options(kind, notice))
        body = inscribed(out.getvalue(), kind, notice)
        if len(body) <= LARGEST_REPLY:
            return body
        if kind in _LOSSLESS:
            pixels = _with_few_colours(pixels)
    return b""


def _save(pixels: Image.Image, kind: Format, quality: int, out: io.BytesIO, told: dict[str, Any]) -> None:
    if kind is _JPEG:
        # Transparent pixels have a colour, too, and often a wild one: a page's is white.
        opaque = _on_white(pixels)
        # Huffman tables of its own save a soft photograph one byte of thirty, and take as long as all the rest of writing it.
        worth = quality >= _FINE or opaque.getcolors(_FEW_COLOURS) is not None
        opaque.save(out, "JPEG", quality=quality, optimize=worth)
    elif kind is _WEBP:
        pixels.save(out, "WEBP", quality=quality, method=2, **told)
    elif kind is _AVIF:
        # One thread: a confined worker may start none.
        pixels.save(out, "AVIF", quality=quality, speed=9, max_threads=1, **told)
    elif kind is _PNG:
        soft = pixels.mode == "RGBA" and quality < _FINE
        exact = pixels.mode == "RGB" and pixels.getcolors(_FEW_COLOURS)
        (_with_few_colours(pixels) if soft or exact else pixels).save(out, "PNG")
    else:
        _without_half_tones(pixels).save(out, "GIF")


def _on_white(pixels: Image.Image) -> Image.Image:
    if pixels.mode != "RGBA":
        return _rgb(pixels)
    page = Image.new("RGB", pixels.size, "white")
    page.paste(pixels, (0, 0), pixels)
    return page


def _without_half_tones(pixels: Image.Image) -> Image.Image:
    """Return a picture that a GIF can hold, in which a pixel is either transparent or not (GIF89a, section 23)."""
    if pixels.mode != "RGBA":
        return _with_few_colours(pixels)
    clear = pixels.getchannel("A").point([0] * 128 + [255] * 128)
    out = Image.new("RGBA", pixels.size)
    out.paste(pixels.convert("RGB"), (0, 0), clear)
    return out


def _with_few_colours(pixels: Image.Image) -> Image.Image:
    """Return a picture with a palette: exact where it has as few colours, transparency kept."""
    if pixels.mode == "P":
        return pixels
    method = Image.Quantize.FASTOCTREE if pixels.mode == "RGBA" else Image.Quantize.MEDIANCUT
    return pixels.quantize(_FEW_COLOURS, method=method)
