"""What is done to a marked picture on its way around the world, by accident and on purpose."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable

LANCZOS, BICUBIC, BILINEAR = Image.Resampling.LANCZOS, Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


def encoded(picture: Image.Image, kind: str, quality: int) -> Image.Image:
    """Return ``picture`` after it was written and read again."""
    out = io.BytesIO()
    picture.save(out, kind, quality=quality)
    with Image.open(out) as opened:
        return opened.convert("RGB")


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """Return ``picture`` as a JPEG of ``quality`` shows it."""
    return encoded(picture, "JPEG", quality)


def resized(
    picture: Image.Image, across: float, down: float | None = None, how: Image.Resampling = LANCZOS
) -> Image.Image:
    """Return ``picture`` scaled by ``across``, and its height by ``down`` where that is given."""
    size = round(picture.width * across), round(picture.height * (down or across))
    return picture.resize(size, how)


def cropped(picture: Image.Image, share: float) -> Image.Image:
    """Cut ``share`` off the width and the height, more from the left and the top than from the others."""
    width, height = int(picture.width * (1 - share)), int(picture.height * (1 - share))
    left, top = int((picture.width - width) * 0.63), int((picture.height - height) * 0.55)
    return picture.crop((left, top, left + width, top + height))


def turned(picture: Image.Image, degrees: float) -> Image.Image:
    """Turn, and keep the size: corners go black."""
    return picture.rotate(degrees, BICUBIC)


def noisy(picture: Image.Image, deviation: float) -> Image.Image:
    """Add normal noise, different in each colour."""
    pixels = np.asarray(picture, np.float32)
    noise = np.random.default_rng(5).normal(0, deviation, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def screenshot(picture: Image.Image) -> Image.Image:
    """Show the picture a little smaller in a grey window, with borders and a bar, and encode that."""
    shown = resized(picture, 0.85, how=BILINEAR)
    window = Image.new("RGB", (shown.width + 90, shown.height + 130), (238, 238, 240))
    window.paste((40, 44, 52), (0, 0, window.width, 56))
    window.paste(shown, (45, 86))
    return jpeg(window, 80)


def fold_and_subtract(picture: Image.Image, side: int = 128) -> Image.Image:
    """Average the high frequencies over tiles of ``side`` pixels, and take the average away."""
    return _without_mean_tile(picture, side)


def _without_mean_tile(picture: Image.Image, side: int) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    light = np.asarray(picture.convert("L"), np.float32)
    blurred = np.asarray(picture.convert("L").filter(ImageFilter.GaussianBlur(4)), np.float32)
    rows, columns = -(-light.shape[0] // side), -(-light.shape[1] // side)
    room = np.zeros((rows * side, columns * side), np.float32)
    room[: light.shape[0], : light.shape[1]] = np.clip(light - blurred, -12, 12)
    tile = room.reshape(rows, side, columns, side).mean((0, 2))
    estimate = np.tile(tile, (rows, columns))[: light.shape[0], : light.shape[1], None]
    return Image.fromarray(np.clip(pixels - estimate, 0, 255).astype(np.uint8))


def notched(picture: Image.Image) -> Image.Image:
    """Take out of the spectrum whatever stands out of its surroundings: who knows of the waves, does this."""
    pixels = np.asarray(picture, np.float32)
    out = np.empty_like(pixels)
    for band in range(3):
        spectrum = np.fft.fft2(pixels[:, :, band])
        loudness = Image.fromarray(np.log(np.abs(spectrum) + 1e-3).astype(np.float32))
        around = loudness.resize((96, 96), Image.Resampling.BOX).resize(loudness.size, BILINEAR)
        loud = np.asarray(loudness) > np.asarray(around) + 1.2
        wide = np.asarray(Image.fromarray(loud.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(5))) > 0
        wide[:12, :12] = wide[-12:, :12] = wide[:12, -12:] = wide[-12:, -12:] = False  # the picture itself
        softer = spectrum * np.minimum(1, np.exp(np.asarray(around)) / (np.abs(spectrum) + 1e-3))
        out[:, :, band] = np.real(np.fft.ifft2(np.where(wide, softer, spectrum)))
    return Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))


ALONE: dict[str, Callable[[Image.Image], Image.Image]] = {
    "nothing": lambda picture: picture,
    "JPEG 75": lambda picture: jpeg(picture, 75),
    "JPEG 50": lambda picture: jpeg(picture, 50),
    "JPEG 30": lambda picture: jpeg(picture, 30),
    "WebP 80": lambda picture: encoded(picture, "WEBP", 80),
    "WebP 50": lambda picture: encoded(picture, "WEBP", 50),
    "AVIF 50": lambda picture: encoded(picture, "AVIF", 50),
    "size x 0.75, JPEG 85": lambda picture: jpeg(resized(picture, 0.75), 85),
    "size x 0.5, JPEG 85": lambda picture: jpeg(resized(picture, 0.5), 85),
    "size x 0.33, JPEG 85": lambda picture: jpeg(resized(picture, 0.333), 85),
    "size x 1.5": lambda picture: resized(picture, 1.5),
    "height x 0.9": lambda picture: resized(picture, 1, 0.9),
    "crop 10 % a side": lambda picture: cropped(picture, 0.1),
    "crop 30 % a side": lambda picture: cropped(picture, 0.3),
    "crop 50 % a side": lambda picture: cropped(picture, 0.5),
    "brightness x 1.25": lambda picture: ImageEnhance.Brightness(picture).enhance(1.25),
    "contrast x 1.4": lambda picture: ImageEnhance.Contrast(picture).enhance(1.4),
    "contrast x 0.7": lambda picture: ImageEnhance.Contrast(picture).enhance(0.7),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "blur, 1 pixel": lambda picture: picture.filter(ImageFilter.GaussianBlur(1)),
    "median of 3 x 3": lambda picture: picture.filter(ImageFilter.MedianFilter(3)),
    "noise, 8 levels": lambda picture: noisy(picture, 8),
    "sharpened": lambda picture: picture.filter(ImageFilter.UnsharpMask(2, 120, 2)),
    "mirrored": ImageOps.mirror,
    "screenshot x 0.85, JPEG 80": screenshot,
    "crop 30 %, x 0.6, JPEG 70": lambda picture: jpeg(resized(cropped(picture, 0.3), 0.6), 70),
    "x 0.75, WebP 60, brighter": lambda picture: ImageEnhance.Brightness(
        encoded(resized(picture, 0.75), "WEBP", 60)
    ).enhance(1.1),
    "turned 0.5 degrees": lambda picture: turned(picture, 0.5),
    "turned 2 degrees": lambda picture: turned(picture, 2),
    "turned -3 degrees, JPEG 75": lambda picture: jpeg(turned(picture, -3), 75),
    "turned 90 degrees": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "turned 1 degree, x 0.7, height x 0.95": lambda picture: resized(turned(picture, 1), 0.7, 0.665),
    "tiles of 128 folded, subtracted": fold_and_subtract,
    "spectrum's peaks cut": notched,
    "peaks cut, x 0.8": lambda picture: resized(notched(picture), 0.8),
}


def _averaged(one: Image.Image, other: Image.Image) -> Image.Image:
    return Image.blend(one, other, 0.5)


def _halves(one: Image.Image, other: Image.Image) -> Image.Image:
    out = one.copy()
    out.paste(other.crop((one.width // 2, 0, one.width, one.height)), (one.width // 2, 0))
    return out


TOGETHER: dict[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    "two copies averaged": _averaged,
    "two averaged, JPEG 75": lambda one, other: jpeg(_averaged(one, other), 75),
    "two averaged, x 0.6, JPEG 80": lambda one, other: jpeg(resized(_averaged(one, other), 0.6), 80),
    "the darker of two, per pixel": ImageChops.darker,
    "left half of one, right of another": _halves,
}
