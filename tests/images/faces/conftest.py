"""A detector, loaded once, and people who may be looked at."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from antiscrape.core.rules import ImageRules
from antiscrape.images.faces.finding import open_finder

if TYPE_CHECKING:
    from antiscrape.images.faces.finding import FaceFinder


@pytest.fixture(scope="session")
def finder() -> FaceFinder:
    found = open_finder(ImageRules())
    if found is None:
        pytest.skip("the extra faces is not installed")
    return found


@pytest.fixture(scope="session")
def hopper(photo: bytes) -> Image.Image:
    """Grace Hopper's portrait, 512 x 600; her face fills about (175, 120) to (355, 340)."""
    return Image.open(io.BytesIO(photo)).convert("RGB")


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """Eileen Collins' portrait (public domain), 512 x 512; her face fills about (180, 60) to (270, 170)."""
    return _carried("astronaut.png")


@pytest.fixture(scope="session")
def rocket() -> Image.Image:
    """A launch at night (public domain), 640 x 427, with many lights and nobody in it."""
    return _carried("rocket.jpg")


@pytest.fixture(scope="session")
def moon() -> Image.Image:
    """A piece of the moon (public domain), 512 x 512."""
    return _carried("moon.png")


@pytest.fixture(scope="session")
def craters(moon: Image.Image) -> Image.Image:
    """A part of it, 240 x 160, whose shadows are taken for faces."""
    return moon.crop((0, 60, 240, 220))


def _carried(name: str) -> Image.Image:
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        pytest.skip("scikit-image, which carries the picture, is not installed")
    return Image.open(Path(found.origin).parent / "data" / name).convert("RGB")
