"""What each rendition is, as a recipe: how much of the source is needed, the steps, and how it is written.

::

    preview   with a face detector: the scene, faces veiled, as small as a face it may have missed must be;
              without one: a soft impression of the colours, at most 6 cells across; with a badge
    marked    the picture at screen size, the site's mark across all of it or in the corner
    decoy     soft colours of the original's size, and nothing of it

No recipe lets metadata through: the decoder hands over bare pixels, and the writer is told nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from antiscrape.images.brand import brand_of
from antiscrape.images.decode import Picture, decode, frames
from antiscrape.images.decoy import DecoyRecipe, open_pool
from antiscrape.images.faces.finding import open_finder
from antiscrape.images.faces.veil import veiled
from antiscrape.images.formats import SNIFFED, Format, sniff
from antiscrape.images.frames import Order, Reply, Task
from antiscrape.images.marks import badged, marked_by
from antiscrape.images.metadata import NOTHING_SAID, Notice, compose
from antiscrape.images.steps import (
    Step,
    blown_up_to,
    enlarged_to,
    quantised,
    reduced_to,
    shrunk_to,
    upright,
)
from antiscrape.images.writers import Animation, write, write_animation

if TYPE_CHECKING:
    from antiscrape.core.rules import ImageRules
    from antiscrape.images.faces.finding import FaceFinder

#: Pixels of a source that one cell of its preview covers at least. Photographs have more; an avatar of 128
#: pixels, all of them face, keeps four cells across.
CELL = 32
#: Values left of each channel's 256, so that what copies differ by is not in their previews.
LEVELS = 16


class Maker(Protocol):
    """Makes one rendition."""

    def make(self, source: bytes, order: Order, *, max_pixels: int) -> Reply:
        """Return what ``order`` asks for of ``source``; raise whatever the decoder raises."""
        ...


class Recipe(NamedTuple):
    """One rendition: ``enough`` pixels of the source's long side, the steps in order, how it is written.

    ``frames`` is how many of an animation are kept; of a preview it is the first.
    """

    enough: int
    steps: tuple[Step, ...]
    quality: int
    notice: Notice = NOTHING_SAID
    frames: int = 1

    def make(self, source: bytes, order: Order, *, max_pixels: int) -> Reply:
        """Decode ``source``, take the steps, write the result; raise whatever the decoder raises."""
        if self.frames > 1 and sniff(source[:SNIFFED]) is not Format.JPEG:
            shown = [
                (self._through(frame), time)
                for frame, time in frames(source, max_pixels=max_pixels, most=self.frames)
            ]
            if len(shown) > 1:
                rest = Animation([frame.pixels for frame, _ in shown[1:]], [time for _, time in shown])
                return write_animation(shown[0][0], rest, self.quality, order.formats, notice=self.notice)
        picture = self._through(decode(source, max_pixels=max_pixels, enough=self.enough))
        return write(picture, self.quality, order.formats, notice=self.notice)

    def _through(self, picture: Picture) -> Picture:
        for step in self.steps:
            picture = step(picture)
        return picture


def preview(rules: ImageRules) -> Recipe:
    """Return the recipe of a preview, with the detector that the rules ask for; raise as ``open_finder`` does."""
    finder = open_finder(rules)
    return unseen(rules) if finder is None else veiling(rules, finder)


def veiling(rules: ImageRules, finder: FaceFinder) -> Recipe:
    """Return the recipe of a preview that shows the scene, and of every face found one colour.

    The whole is reduced until a face that is smaller than those which ``finder`` is relied on to find
    would be narrower than ``rules.face_floor`` pixels: at 6 pixels matchers find 3 to 7 of 100 people,
    at 9 pixels 18 to 33.
    """
    detail = min(rules.preview_size, max(rules.preview_cells, int(rules.face_floor / finder.least)))
    few, even = reduced_to(rules.preview_cells, cell=CELL), quantised(LEVELS)
    looks = rules.renditions
    return Recipe(
        enough=max(finder.look, detail),
        steps=(
            upright,
            veiled(finder, detail=detail, otherwise=lambda picture: even(few(picture))),
            blown_up_to(looks.largest if looks.keep_size else rules.preview_size),
            badged(brand_of(rules)),
        ),
        quality=72,
        notice=compose(rules.rights),
    )


def unseen(rules: ImageRules) -> Recipe:
    """Return the recipe of a preview without a detector: what a face was is averaged away wherever it is.

    Of 66 people, portraits of 1000 pixels, and 130 other photos of them, dlib's recogniser and MobileFaceNet
    name 0.03 and 0.02 rightly after a Wiener filter (chance: 0.015). A harvester that reduces its own photos
    alike comes to 0.07 and 0.09, and with four cells still to 0.05 and 0.08, for portraits of one person
    often have one backdrop; eight cells in eight levels left 0.08 and 0.08.
    """
    looks = rules.renditions
    return Recipe(
        # Twice as many, so that the cells are means of decoded pixels rather than of one block each.
        enough=2 * rules.preview_cells,
        steps=(
            reduced_to(rules.preview_cells, cell=CELL),
            upright,
            quantised(LEVELS),
            blown_up_to(looks.largest if looks.keep_size else rules.preview_size),
            badged(brand_of(rules)),
        ),
        quality=72,
        notice=compose(rules.rights),
    )


def marked(rules: ImageRules) -> Recipe:
    """Return the recipe of a marked picture: all of it, at screen size, visibly not the original."""
    looks = rules.renditions
    grown = (enlarged_to(looks.largest),) if looks.keep_size else ()
    return Recipe(
        enough=looks.marked_size,
        steps=(shrunk_to(looks.marked_size), upright, *grown, marked_by(brand_of(rules), looks.mark_layout)),
        quality=84,
        notice=compose(rules.rights),
        frames=looks.frames,
    )


def decoy(rules: ImageRules) -> DecoyRecipe:
    """Return what makes decoys; raise ``ConfigurationError`` where the operator's pictures cannot be read."""
    return DecoyRecipe(open_pool("renditions.decoys", rules.renditions.decoys), compose(rules.rights))


def recipes(rules: ImageRules) -> dict[Task, Maker]:
    """Return what makes each rendition; raise ``ConfigurationError`` for a file of the operator's that is not right."""
    return {Task.PREVIEW: preview(rules), Task.MARKED: marked(rules), Task.DECOY: decoy(rules)}
