"""The last step to a rendition: the trace of whom it is made for, put into pixels that are finished otherwise.

A rendition is made once and copied for each who takes it, so this is done in workers of their own. They hold
the trace's key, which the workers that read the site's bytes do not: those read what anybody uploaded, and
whoever took one over would have the key to forge traces, or to find and remove them. What comes here has been
written by such a worker a moment ago, or by an earlier one and sealed since; it is in one of our own formats, with
no more metadata than our own. (A worker that was taken over could still write a picture to attack this one
with: it is confined as they are, and has the same decoder and nothing else.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from antiscrape.images.decode import decode, frames
from antiscrape.images.frames import Order, Reply, Task
from antiscrape.images.metadata import compose
from antiscrape.images.trace.embedding import embed
from antiscrape.images.writers import Animation, write, write_animation

if TYPE_CHECKING:
    from antiscrape.core.renditions import RightsRules
    from antiscrape.images.decode import Picture
    from antiscrape.images.metadata import Notice

#: A copy is written once more than its base, so a little better.
QUALITY = 88
#: Frames of an animation that are traced: as many as settings let a rendition have.
MOST_FRAMES = 60
#: Pixels of the long side from which on a picture's pixels have room for a trace.
SMALLEST = 128


class Untraceable(ValueError):  # noqa: N818 - an answer, not an error
    """The picture is too small for a trace in its pixels."""


class Stamp(NamedTuple):
    """The recipe of a traced copy; ``key`` is the trace's."""

    key: bytes
    notice: Notice

    def make(self, source: bytes, order: Order, *, max_pixels: int) -> Reply:
        """Decode one of our own renditions, embed ``order.payload`` in every frame, and write it again.

        Raise :class:`Untraceable`, or whatever the decoder raises.
        """
        shown = [
            (self._traced(frame, order.payload), time)
            for frame, time in frames(source, max_pixels=max_pixels, most=MOST_FRAMES)
        ]
        if len(shown) > 1:
            rest = Animation([frame.pixels for frame, _ in shown[1:]], [time for _, time in shown])
            first = shown[0][0]
            return write_animation(first, rest, QUALITY, first.kind.bit, notice=self.notice)
        picture = self._traced(decode(source, max_pixels=max_pixels, enough=max_pixels), order.payload)
        # The client takes what the base is written in.
        return write(picture, QUALITY, picture.kind.bit, notice=self.notice)

    def _traced(self, picture: Picture, payload: int) -> Picture:
        if picture.long_side < SMALLEST:
            raise Untraceable
        return picture._replace(pixels=embed(picture.pixels, payload, self.key))


def stamps(key: bytes, rights: RightsRules) -> dict[Task, Stamp]:
    """Return the recipe for the one task."""
    return {Task.STAMP: Stamp(key, compose(rights))}
