"""The photographs that the trial of marks is made with: those of installed packages, and of the shared folder."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageOps

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = Path(os.environ.get("ANTISCRAPE_SHARED", "shared"))
#: Pixels of the short side that a mark, and so a picture without one, has at least.
_SHORTEST = 64
_SKIMAGE = ("astronaut", "coffee", "chelsea", "rocket")


class Photo(NamedTuple):
    """A photograph and where it is from."""

    name: str
    pixels: Image.Image


def photos() -> Iterator[Photo]:
    """Yield the photographs that marks are tried on."""
    folder = _folder("skimage")
    if folder is not None:
        for path in (folder / "data").iterdir():
            if path.stem in _SKIMAGE:
                yield Photo(f"scikit-image {path.stem}", upright(path))
    folder = _folder("sklearn")
    if folder is not None:
        for name in ("china", "flower"):
            yield Photo(f"scikit-learn {name}", upright(folder / f"datasets/images/{name}.jpg"))
    folder = _folder("matplotlib")
    if folder is not None:
        yield Photo("matplotlib hopper", upright(folder / "mpl-data/sample_data/grace_hopper.jpg"))
    for path in sorted((SHARED / "faces/azure/group").glob("*.jpg")):
        yield Photo(path.name, upright(path))


def all_photos() -> Iterator[Photo]:
    """Yield these, and everything else that shows something: textures, scans, drawings, portraits of each person."""
    yield from photos()
    folder = _folder("skimage")
    if folder is not None:
        for path in sorted((folder / "data").iterdir()):
            if path.suffix in {".png", ".jpg"} and path.stem not in _SKIMAGE:
                pixels = upright(path)
                if min(pixels.size) >= _SHORTEST:
                    yield Photo(f"scikit-image {path.stem}", pixels)
    for path in sorted((SHARED / "faces").rglob("*.jpg")):
        if path.parent.name != "group":
            yield Photo(path.name, upright(path))


def upright(path: Path) -> Image.Image:
    """Return the picture of a file as it is meant to be seen."""
    with Image.open(path) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


def _folder(package: str) -> Path | None:
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent if found is not None and found.origin is not None else None
