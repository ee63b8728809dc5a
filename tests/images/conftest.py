"""Pictures to work on, and renderers that end with their test."""

from __future__ import annotations

import asyncio
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

from antiscrape.core.rules import ImageRules
from antiscrape.images.renderer import PillowRenderer
from tests.house import PATIENCE
from tests.pools import LentRenderer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from PIL import Image

T = TypeVar("T")


class Encode(Protocol):
    """Encodes a picture in a format that Pillow writes."""

    def __call__(self, picture: Image.Image, kind: str, **options: Any) -> bytes: ...


class Using(Protocol):
    """Runs a coroutine function on a fresh renderer in a fresh loop, and closes both.

    ``own``: with workers of its own, to be stopped, killed or counted.
    """

    def __call__(
        self, job: Callable[[PillowRenderer], Coroutine[Any, Any, T]], *, own: bool = False, **settings: Any
    ) -> T: ...


@pytest.fixture(scope="session")
def encode() -> Encode:
    def encoder(picture: Image.Image, kind: str, **options: Any) -> bytes:
        out = io.BytesIO()
        picture.save(out, kind, **options)
        return out.getvalue()

    return encoder


@pytest.fixture(scope="session")
def photo() -> bytes:
    """Grace Hopper's portrait (public domain), a JPEG of 512 x 600."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        pytest.skip("matplotlib, which carries the portrait, is not installed")
    return (Path(found.origin).parent / "mpl-data/sample_data/grace_hopper.jpg").read_bytes()


@pytest.fixture
def using() -> Using:
    def user(
        job: Callable[[PillowRenderer], Coroutine[Any, Any, Any]], *, own: bool = False, **settings: Any
    ) -> Any:
        kind = PillowRenderer if own else LentRenderer

        async def main() -> Any:
            renderer = kind(ImageRules(**settings))
            try:
                async with asyncio.timeout(PATIENCE):
                    return await job(renderer)
            finally:
                await renderer.aclose()

        return asyncio.run(main())

    return user
