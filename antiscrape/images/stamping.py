"""The last step to a rendition: the trace of whom it is made for, put into pixels that are finished otherwise.

A rendition is made once and copied for each who takes it, so this is done in workers of their own. They hold
the trace's key, which the workers that read the site's bytes do not: those read what anybody uploaded, and
whoever took one over would have the key to forge traces, or to find and remove them. What comes here has been
written by such a worker a moment ago, or by an earlier one and sealed since; it is bare pixels in one of our
own formats, without metadata. (A worker that was taken over could still write a picture to attack this one
with: it is confined as they are, and has the same decoder and nothing else.)
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, NamedTuple, Protocol

from antiscrape.images.decode import decode
from antiscrape.images.frames import Order, Reply, Task
from antiscrape.images.recipes import write

if TYPE_CHECKING:
    from PIL import Image

#: A stamped copy is written once more than its base, so a little better.
QUALITY = 88


class Embed(Protocol):
    """Puts a trace into pixels: ``antiscrape.images.trace.embed``."""

    def __call__(self, pixels: Image.Image, payload: int, key: bytes) -> Image.Image:
        """Return ``pixels`` with the 64 bits of ``payload`` in them, under ``key``."""
        ...


class Stamp(NamedTuple):
    """The recipe of a traced copy."""

    key: bytes
    embed: Embed

    def make(self, source: bytes, order: Order, *, max_pixels: int) -> Reply:
        """Decode one of our own renditions, embed ``order.payload``, and write it again; raise what either raises."""
        picture = decode(source, max_pixels=max_pixels, enough=max_pixels)
        traced = self.embed(picture.pixels, order.payload, self.key)
        return write(picture._replace(pixels=traced), QUALITY)


def stamps(key: bytes) -> dict[Task, Stamp]:
    """Return the recipe for the one task; raise ``ImportError`` where the extra ``trace`` is not installed."""
    return {Task.STAMP: Stamp(key, importlib.import_module("antiscrape.images.trace").embed)}
