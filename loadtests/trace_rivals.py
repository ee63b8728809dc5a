"""Others' invisible marks, where they are installed: 64 bits written and read as their documentation says."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

BITS = 64


class Rival(NamedTuple):
    """Somebody else's mark: ``write`` lays eight bytes into a picture, ``read`` returns eight that it finds there."""

    name: str
    write: Callable[[Image.Image, bytes], Image.Image]
    read: Callable[[Image.Image], bytes]


def rivals() -> tuple[list[Rival], list[str]]:
    """Return those that are installed, and what to say of the others."""
    found, missing = [], []
    for name, package, open_ in (
        ("invisible-watermark dwtDctSvd", "imwatermark", _invisible_watermark),
        ("blind-watermark", "blind_watermark", _blind_watermark),
    ):
        if importlib.util.find_spec(package) is None:
            missing.append(f"{name}: not installed")
            continue
        try:
            found.append(open_(name))
        except (ImportError, AttributeError) as error:
            missing.append(f"{name}: cannot be imported ({error})")
    return found, missing


def _invisible_watermark(name: str) -> Rival:
    # The package imports torch for a method that is not used here.
    if importlib.util.find_spec("torch") is None:
        sys.modules.setdefault("torch", ModuleType("torch"))
    package: Any = importlib.import_module("imwatermark")

    def write(picture: Image.Image, payload: bytes) -> Image.Image:
        encoder = package.WatermarkEncoder()
        encoder.set_watermark("bytes", payload)
        return _from_bgr(encoder.encode(_to_bgr(picture), "dwtDctSvd"))

    def read(picture: Image.Image) -> bytes:
        return bytes(package.WatermarkDecoder("bytes", BITS).decode(_to_bgr(picture), "dwtDctSvd"))

    return Rival(name, write, read)


def _blind_watermark(name: str) -> Rival:
    package: Any = importlib.import_module("blind_watermark")
    package.bw_notes.close()

    def write(picture: Image.Image, payload: bytes) -> Image.Image:
        mark = package.WaterMark(password_img=1, password_wm=1)
        mark.read_img(img=_to_bgr(picture))
        mark.read_wm(np.unpackbits(np.frombuffer(payload, np.uint8)).astype(bool), mode="bit")
        return _from_bgr(np.clip(mark.embed(), 0, 255).astype(np.uint8))

    def read(picture: Image.Image) -> bytes:
        mark = package.WaterMark(password_img=1, password_wm=1)
        bits = mark.extract(embed_img=_to_bgr(picture), wm_shape=BITS, mode="bit")
        return np.packbits(np.asarray(bits) > 0.5).tobytes()

    return Rival(name, write, read)


def _to_bgr(picture: Image.Image) -> Any:
    return np.asarray(picture)[:, :, ::-1].copy()


def _from_bgr(pixels: Any) -> Image.Image:
    return Image.fromarray(pixels[:, :, ::-1].copy())
