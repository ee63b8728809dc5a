"""Tells how much of an original a picture still shows, from its pixels and not from what was said of it.

Both pictures are looked at in bands of detail, from coarse to fine: what is seen at n cells along the
long side and not at the next coarser count. A picture shows a band when its pixels go along with the
original's there, and the finest band shown is the detail that is left: 16 cells of a portrait are a
patch of skin colour, 100 are a face that a matcher knows.

With the extra ``faces`` a preview shows the scene at more than 16 cells and hides the faces, so then
the faces are looked at: those that the site's own detector is sure of, each for itself.
"""

from __future__ import annotations

import warnings
from enum import Enum
from functools import lru_cache
from io import BytesIO
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from antiscrape.core.rules import ImageRules
from antiscrape.images.faces.finding import open_finder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from antiscrape.images.faces.finding import FaceFinder

#: Cells along the long side, coarse to fine; each band lies between two neighbours, and each divides the last.
CELLS = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 384)
#: From 24 cells on, faces of reduced portraits are matched again (rank-1 0.18 to 0.33 of 60 people,
#: 0.03 to 0.07 at 16), so more than this counts as an original.
SAFE_CELLS = 16
#: Of a face so many cells along its own long side tell a matcher nothing (rank-1 0.02), and where none is found
#: that is what a face that was missed may be wide at most, in pixels.
SAFE_FACE_CELLS, SAFE_FACE_PIXELS = 4, 8
#: From this score on a find is a face to the comparison, which is to judge real ones.
_SURE = 0.3
#: Photos blown up from n cells, with words laid over them, agree with the original by 0.27 to 0.9 in the
#: bands up to n; in the next ones interpolation alone agrees by 0.21 at most, square cells by up to 0.35.
_AGREES = 0.26
#: In the bands beyond 128 the sharp edges of a wall of bricks agree by up to 0.45 in a preview that shows 128
#: pixels; pictures of 160 and 192 pixels agree by 0.74 to 0.88 in the band up to 192.
_FINE, _AGREES_FINELY = 128, 0.5
#: A band whose contrast is under this many grey levels has nothing to agree on.
_FLAT = 0.4


class Likeness(Enum):
    """What a picture is to the original."""

    SAME = "same"  # the original's bytes
    NEAR = "near"  # other bytes, and enough detail to match a face by
    REDUCED = "reduced"  # the scene, and nothing of a face
    OTHER = "other"  # nothing of the picture, or no picture


class Comparison(NamedTuple):
    """How a picture compares: ``cells`` of detail left along the long side, 0 for none."""

    likeness: Likeness
    cells: int

    @property
    def is_original(self) -> bool:
        """Whether a face matcher could work with it."""
        return self.likeness in {Likeness.SAME, Likeness.NEAR}


def compare(original: Path, body: bytes) -> Comparison:
    """Compare an encoded picture with the file of its original."""
    source = original.read_bytes()
    if body == source:
        return Comparison(Likeness.SAME, CELLS[-1])
    got = _open(body)
    if got is None:
        return Comparison(Likeness.OTHER, 0)
    known = _open(source)
    if known is None:
        msg = f"{original.name} of the site is not a picture"
        raise ValueError(msg)
    cells = detail_left(known, got)
    if cells > SAFE_CELLS and not _nothing_of_faces(original, known, got, cells):
        return Comparison(Likeness.NEAR, cells)
    return Comparison(Likeness.REDUCED if cells else Likeness.OTHER, cells)


def _nothing_of_faces(original: Path, known: Image.Image, got: Image.Image, cells: int) -> bool:
    """Return whether the site's detector would have it so: faces found are gone, others too small to be matched."""
    finder = _finder()
    # A band is shown by what reaches into it: a picture of 128 pixels, enlarged, into that of 128 to 192.
    reached = CELLS[max(0, CELLS.index(cells) - 1)]
    if finder is None or reached * finder.least > SAFE_FACE_PIXELS:
        return False
    across, down = (new / old for new, old in zip(got.size, known.size, strict=True))
    for x, y, right, bottom in _faces(original):
        box = (x * known.width, y * known.height, right * known.width, bottom * known.height)
        face = known.crop((round(box[0]), round(box[1]), round(box[2]), round(box[3])))
        seen = got.crop(
            (round(box[0] * across), round(box[1] * down), round(box[2] * across), round(box[3] * down))
        )
        if detail_left(face, seen) > SAFE_FACE_CELLS:
            return False
    return True


@lru_cache(maxsize=1)
def _finder() -> FaceFinder | None:
    return open_finder(ImageRules())


@lru_cache(maxsize=1000)
def _faces(original: Path) -> tuple[tuple[float, float, float, float], ...]:
    """Return the faces in a photo that the detector is sure of: left, top, right and bottom, as shares of its sides."""
    finder, known = _finder(), _open(original.read_bytes())
    if finder is None or known is None:
        return ()
    return tuple(
        (x / known.width, y / known.height, (x + width) / known.width, (y + height) / known.height)
        for x, y, width, height, score in finder.find(known)
        if score >= _SURE
    )


def detail_left(original: Image.Image, got: Image.Image) -> int:
    """Return the finest of ``CELLS`` to which ``got`` agrees with ``original``; 0 if to none.

    The two may differ in size; they are laid over each other as wholes.
    """
    left = 0
    known, seen = (_cells(picture.convert("F"), original.size, CELLS[-1]) for picture in (original, got))
    for coarse, fine in zip((1, *CELLS), CELLS, strict=False):
        agreement = _agreement(_band(known, coarse, fine), _band(seen, coarse, fine))
        if agreement >= (_AGREES if fine <= _FINE else _AGREES_FINELY):
            left = fine
    return left


def _open(body: bytes) -> Image.Image | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(BytesIO(body), formats=("JPEG", "PNG", "WEBP", "GIF"))
            picture.draft("L", (CELLS[-1], CELLS[-1]))
            return picture.convert("L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def _band(picture: Image.Image, coarse: int, fine: int) -> NDArray[np.float32]:
    """Return what ``picture`` shows at ``fine`` cells and not at ``coarse``."""
    small = _cells(picture, picture.size, fine)
    rough = _cells(picture, picture.size, coarse).resize(small.size, Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.float32) - np.asarray(rough, dtype=np.float32)


def _cells(picture: Image.Image, shape: tuple[int, int], count: int) -> Image.Image:
    """Average ``picture`` over ``count`` cells along the long side of ``shape``, whose proportions it takes."""
    factor = count / max(shape)
    size = (max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor)))
    return picture.resize(size, Image.Resampling.BOX)


def _agreement(known: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    """Return how far ``got`` goes along with ``known`` in one band, from -1 to about 1.

    This is the geometric mean of their correlation and of the share of the original's contrast that
    is kept: interpolating between coarse cells makes edges that correlate, but faint ones. It is 0
    where the original shows nothing in this band.
    """
    known, got = known - known.mean(), got - got.mean()
    contrast, other = float(known.std()), float(got.std())
    if contrast < _FLAT or not other:
        return 0.0
    return float((known * got).mean()) / (contrast * sqrt(contrast * other))
