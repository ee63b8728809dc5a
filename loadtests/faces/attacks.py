"""What a harvester does to a rendition before it looks for a face: restorations without any training.

Each takes the pixels of a rendition and returns others, of any size but of the same view. They are given what a
determined harvester finds out: where a face was (``Known.ovals``), and which pixels of every rendition are a mark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Mask = NDArray[np.bool_]

#: Pixels of the long side that restorations work at: a preview's, so that nothing is lost; a marked picture is reduced.
WORKING = 480
_LANCZOS, _BOX, _BICUBIC = Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.BICUBIC
#: The same where a picture is taken apart into waves: what is to be brought back is blurred, so that this loses nothing.
WAVES = 160
#: Noise to signal of the Wiener filter, and rounds of Richardson and Lucy's.
_NOISE, _ROUNDS = 2e-3, 8
#: A pixel that stands out by so much, in the mean over many renditions, belongs to their mark.
_STANDS_OUT = 6.0


class Known(NamedTuple):
    """What the harvester knows of one rendition: faces as boxes in shares of width and height, and the marks' pixels.

    ``mark`` is a mask of the size that the rendition has at :data:`WORKING`, or ``None``.
    """

    ovals: tuple[tuple[float, float, float, float], ...] = ()
    mark: Mask | None = None


def working(picture: Image.Image, most: int = WORKING) -> Image.Image:
    """Return ``picture`` in RGB with a long side of at most ``most`` pixels."""
    scale = min(1.0, most / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.convert("RGB").resize(size, _BOX) if scale < 1 else picture.convert("RGB")


def served(picture: Image.Image, _: Known) -> Image.Image:
    """Return the rendition as it came."""
    return picture.convert("RGB")


def enlarged(picture: Image.Image, _: Known) -> Image.Image:
    """Reduce to what little there may be and enlarge by Lanczos' filter, which some upscalers begin with."""
    small = working(picture)
    small = small.resize((max(1, small.width // 4), max(1, small.height // 4)), _BOX)
    return small.resize((small.width * 8, small.height * 8), _LANCZOS)


def sharpened(picture: Image.Image, _: Known) -> Image.Image:
    """Sharpen twice, coarsely and finely."""
    small = working(picture)
    radius = max(small.size) / 40
    return small.filter(ImageFilter.UnsharpMask(radius, 200, 0)).filter(
        ImageFilter.UnsharpMask(radius / 4, 150, 0)
    )


def median(picture: Image.Image, _: Known) -> Image.Image:
    """Take away what is thin: letters, stripes, noise."""
    return working(picture).filter(ImageFilter.MedianFilter(7))


def depixelated(picture: Image.Image, _: Known) -> Image.Image:
    """Average cells of a mosaic, whose size is told by where the steps are, and enlarge them smoothly."""
    small = working(picture)
    cells = mosaic_of(np.asarray(small.convert("L"), np.float64))
    size = tuple(max(2, round(length / cells)) for length in small.size)
    return small.resize((size[0], size[1]), _BOX).resize(small.size, _BICUBIC)


def mosaic_of(luminance: Values) -> int:
    """Return the side in pixels of a mosaic's cells: the distance at which steps between columns recur; 8 where none do."""
    steps = np.abs(np.diff(luminance, axis=1)).mean(0)
    steps -= steps.mean()
    power = (steps**2).sum()
    if power <= 0:
        return 8
    likely = {lag: (steps[lag:] * steps[:-lag]).sum() / power for lag in range(3, min(120, len(steps) // 3))}
    best = max(likely, key=lambda lag: likely[lag], default=8)
    return best if likely.get(best, 0) > 0.5 else 8


def wiener(share: float) -> Callable[[Image.Image, Known], Image.Image]:
    """Undo a Gaussian blur whose sigma is ``share`` of the long side (Wiener, 1949)."""

    def attack(picture: Image.Image, _: Known) -> Image.Image:
        pixels = _padded(np.asarray(working(picture, WAVES), np.float64))
        kernel = _gaussian(pixels.shape, share * max(pixels.shape) / 2)
        spectrum = np.fft.rfft2(pixels, axes=(0, 1)) * (kernel / (kernel**2 + _NOISE))[..., None]
        return _unpadded(np.fft.irfft2(spectrum, pixels.shape[:2], axes=(0, 1)))

    return attack


def richardson_lucy(share: float) -> Callable[[Image.Image, Known], Image.Image]:
    """Undo the same blur in rounds that keep values positive (Richardson, 1972; Lucy, 1974)."""

    def attack(picture: Image.Image, _: Known) -> Image.Image:
        seen = _padded(np.asarray(working(picture, WAVES), np.float64)) + 1
        kernel = _gaussian(seen.shape, share * max(seen.shape) / 2)[..., None]

        def blurred(values: Values) -> Values:
            spectrum = np.fft.rfft2(values, axes=(0, 1)) * kernel
            return np.fft.irfft2(spectrum, values.shape[:2], axes=(0, 1))

        guess = seen.copy()
        for _round in range(_ROUNDS):
            guess = guess * blurred(seen / np.maximum(blurred(guess), 1))
        return _unpadded(guess - 1)

    return attack


def inpainted(picture: Image.Image, known: Known) -> Image.Image:
    """Fill the marks' pixels from around them; without any, fill the faces' ovals."""
    small = working(picture)
    mask = known.mark
    if mask is None or mask.shape != (small.height, small.width):
        drawn = Image.new("L", small.size)
        for left, top, right, bottom in known.ovals:
            box = (left * small.width, top * small.height, right * small.width, bottom * small.height)
            ImageDraw.Draw(drawn).ellipse(box, fill=255)
        mask = np.asarray(drawn) > 0
    return _image(filled(np.asarray(small, np.float64), mask))


def filled(pixels: Values, mask: Mask) -> Values:
    """Return ``pixels`` where those of ``mask`` are means of known ones around, from ever farther away."""
    if mask.all() or not mask.any():
        return pixels
    weight = (~mask).astype(np.float64)[..., None]
    if min(pixels.shape[:2]) < 4:
        mean = (pixels * weight).sum((0, 1)) / weight.sum()
        return np.where(mask[..., None], mean, pixels)
    # A pyramid: what is unknown at this size is asked of the picture at half the size.
    known, seen = _halved(weight), _halved(pixels * weight)
    coarse = filled(seen / np.maximum(known, 1e-6), known[..., 0] < 1e-6)
    height, width = pixels.shape[:2]
    channels = [
        np.asarray(Image.fromarray(coarse[..., i].astype(np.float32)).resize((width, height), _BICUBIC))
        for i in range(pixels.shape[2])
    ]
    return np.where(mask[..., None], np.stack(channels, axis=-1), pixels)


def mark_of(pictures: Sequence[Image.Image]) -> Mask | None:
    """Return the pixels that stand out in the mean of many renditions of one size: their mark (Dekel and others, 2017)."""
    small = [working(picture) for picture in pictures]
    alike = [picture for picture in small if picture.size == small[0].size]
    if len(alike) < 8:
        return None
    total = np.zeros((alike[0].height, alike[0].width))
    for picture in alike:
        grey = picture.convert("L")
        total += np.asarray(grey, np.float64) - np.asarray(
            grey.filter(ImageFilter.GaussianBlur(6)), np.float64
        )
    mask = np.abs(total / len(alike)) > _STANDS_OUT
    return mask if mask.any() else None


ATTACKS: dict[str, Callable[[Image.Image, Known], Image.Image]] = {
    "as served": served,
    "Lanczos": enlarged,
    "unsharp": sharpened,
    "median": median,
    "de-pixelate": depixelated,
    "Wiener 2 %": wiener(0.02),
    "Wiener 5 %": wiener(0.05),
    "Richardson-Lucy 4 %": richardson_lucy(0.04),
    "inpaint": inpainted,
}


def _gaussian(shape: tuple[int, ...], sigma: float) -> Values:
    rows, columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    passed: Values = np.exp(-2 * (np.pi * sigma) ** 2 * (rows**2 + columns**2))
    return passed


def _padded(pixels: Values) -> Values:
    """Return the picture with its mirror image below and beside it, so that its edges do not ring."""
    wide = np.concatenate([pixels, pixels[:, ::-1]], axis=1)
    return np.concatenate([wide, wide[::-1]], axis=0)


def _unpadded(pixels: Values) -> Image.Image:
    return _image(pixels[: pixels.shape[0] // 2, : pixels.shape[1] // 2])


def _halved(values: Values) -> Values:
    height, width = values.shape[0] // 2 * 2, values.shape[1] // 2 * 2
    even = values[:height, :width]
    halved: Values = even.reshape(height // 2, 2, width // 2, 2, -1).mean((1, 3))
    return halved


def _image(values: Values) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
