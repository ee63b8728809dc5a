"""What each rendition is, as a recipe: how much of the source is needed, the steps, and how it is written.

::

    preview   a soft impression of the colours, at most 8 cells across, with a badge
    marked    the picture at screen size, words across all of it

No recipe lets metadata through: the decoder hands over bare pixels, and the writer is told nothing else.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

from PIL import features

from antiscrape.images.decode import Picture, decode
from antiscrape.images.frames import Order, Outcome, Reply, Task
from antiscrape.images.steps import (
    Step,
    badged,
    blown_up_to,
    quantised,
    reduced_to,
    shrunk_to,
    tiled,
    upright,
)

if TYPE_CHECKING:
    from antiscrape.core.rules import ImageRules

#: Pixels of a source that one cell of its preview covers at least. Photographs have more (256 / 8 = 32);
#: an avatar of 128 pixels, all of them face, keeps four cells across instead of sixteen.
CELL = 32
#: Values left of each channel's 256. Sixteen to a cell's three channels would band visibly; 32 do not.
LEVELS = 32
#: Pixels of the long side of a marked rendition: fills a laptop's window, prints badly.
MARKED_SIZE = 1200
#: How opaque the words of a marked rendition are: read at once, and faces are still recognised by friends.
MARKED_OPACITY = 0.42
#: Alpha below which a pixel counts as transparent; blown-up cells ring a little below 255.
_OPAQUE = 250


class Recipe(NamedTuple):
    """One rendition: ``enough`` pixels of the source's long side, the steps in order, the writer's quality."""

    enough: int
    steps: tuple[Step, ...]
    quality: int

    def make(self, source: bytes, order: Order, *, max_pixels: int) -> Reply:  # noqa: ARG002  read by recipes that choose a format
        """Decode ``source``, take the steps, write the result; raise whatever the decoder raises."""
        picture = decode(source, max_pixels=max_pixels, enough=self.enough)
        for step in self.steps:
            picture = step(picture)
        return write(picture, self.quality)


def preview(rules: ImageRules) -> Recipe:
    """Return the recipe of a preview: what a face was is averaged away, what the picture felt like stays.

    Rank-1 of two face recognisers falls to 0.03 to 0.08 (chance: 0.017) when six cells of a face are left; a
    harvester that reduces its own photos alike comes to 0.10 to 0.15, much of it colour and light.
    """
    return Recipe(
        # Twice as many, so that the cells are means of decoded pixels rather than of one block each.
        enough=2 * rules.preview_cells,
        steps=(
            reduced_to(rules.preview_cells, cell=CELL),
            upright,
            quantised(LEVELS),
            blown_up_to(rules.preview_size),
            badged(rules.mark),
        ),
        quality=72,
    )


def marked(rules: ImageRules) -> Recipe:
    """Return the recipe of a marked picture: all of it, at screen size, visibly not the original."""
    return Recipe(
        enough=MARKED_SIZE,
        steps=(
            shrunk_to(MARKED_SIZE),
            upright,
            tiled(rules.mark, opacity=MARKED_OPACITY),
        ),
        quality=84,
    )


def recipes(rules: ImageRules) -> dict[Task, Recipe]:
    """Return the recipe for every task."""
    return {Task.PREVIEW: preview(rules), Task.MARKED: marked(rules)}


def write(picture: Picture, quality: int) -> Reply:
    """Encode as JPEG, or where the picture is transparent anywhere as WebP (PNG, if Pillow lacks it)."""
    pixels = picture.pixels
    out = io.BytesIO()
    if pixels.mode == "RGBA" and min(pixels.getchannel("A").tobytes()) < _OPAQUE:
        if features.check("webp"):
            pixels.save(out, "WEBP", quality=quality, method=2)
            return Reply(Outcome.WEBP, out.getvalue())
        pixels.save(out, "PNG", optimize=True)
        return Reply(Outcome.PNG, out.getvalue())
    pixels.convert("RGB").save(out, "JPEG", quality=quality, optimize=True)
    return Reply(Outcome.JPEG, out.getvalue())
