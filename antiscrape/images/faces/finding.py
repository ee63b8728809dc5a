"""What a face detector says and does, and the one that the rules ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from antiscrape.images.faces.extra import finds_faces

if TYPE_CHECKING:
    from PIL import Image

    from antiscrape.core.rules import ImageRules

#: A picture with more finds than this is no group photograph but a crowd, or made to keep a detector busy.
MOST_FACES = 150


class Face(NamedTuple):
    """A find: forehead to chin, ear to ear, in pixels of the picture looked at; it may reach beyond its edge.

    ``score`` is the detector's confidence, 0 to 1.
    """

    x: float
    y: float
    width: float
    height: float
    score: float


class FaceFinder(Protocol):
    """Finds faces. ``least`` is the smallest it can be relied on to find, as a share of the picture's long side."""

    @property
    def least(self) -> float:
        """Width of the smallest face found in 99 of 100 cases, over the picture's long side."""
        ...

    @property
    def look(self) -> int:
        """Pixels of a picture's long side that it has use for; with more of them it finds no more."""
        ...

    def find(self, pixels: Image.Image) -> list[Face]:
        """Return the faces of an upright picture of any size and mode, at most ``MOST_FACES + 1``."""
        ...


def open_finder(rules: ImageRules) -> FaceFinder | None:
    """Load the detector, or return None where there is to be none.

    Raise ``ConfigurationError`` where it is required and not installed, ``ImportError`` where what is
    installed cannot be used. It opens files, so it comes before the worker is confined.
    """
    if not finds_faces(rules):
        return None
    from antiscrape.images.faces.centerface import CenterFace  # noqa: PLC0415  needs the extra

    return CenterFace(look=rules.face_look, score=rules.face_score)
