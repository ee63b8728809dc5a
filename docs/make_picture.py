"""Makes ``renditions.jpg``: photographs of the demo beside the previews that the real renderer makes of them.

    .venv/bin/python docs/make_picture.py

The photographs are NASA's portrait of Eileen Collins and the U.S. Navy's of Grace Hopper (public
domain), and two of scikit-image's (CC0, public domain); the demo's credits page names them all.
"""

from __future__ import annotations

import asyncio
import io
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from antiscrape.core.rules import ImageRules
from antiscrape.core.verdict import Rendition
from antiscrape.images.renderer import PillowRenderer
from antiscrape.ports import Wanted

SOURCES = (
    ("skimage", "data/astronaut.png"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/rocket.jpg"),
)
SIDE, GAP, HEAD = 280, 12, 34
INK, PAPER = "#333333", "#ffffff"


def square(picture: Image.Image) -> Image.Image:
    """Cut the upper middle square, where faces are."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 4
    return (
        picture.convert("RGB")
        .crop((left, top, left + side, top + side))
        .resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    )


async def main() -> None:
    """Draw the picture."""
    renderer = PillowRenderer(ImageRules())
    sheet = Image.new("RGB", (len(SOURCES) * (SIDE + GAP) + GAP, 2 * (SIDE + HEAD) + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for row, words in enumerate(("A person is served", "A harvester is served")):
        draw.text((GAP, row * (SIDE + HEAD) + 8), words, fill=INK, font=font)
    for column, (package, name) in enumerate(SOURCES):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"{package} is not installed: make test first")
        with Image.open(Path(spec.origin).parent / name) as source:
            original = square(source).resize((800, 800), Image.Resampling.LANCZOS)
        encoded = io.BytesIO()
        original.save(encoded, "JPEG", quality=92)
        rendered = await renderer.render(encoded.getvalue(), Wanted(Rendition.PREVIEW))
        with Image.open(io.BytesIO(rendered.body)) as preview:
            lesser = preview.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        left = GAP + column * (SIDE + GAP)
        sheet.paste(original.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, HEAD))
        sheet.paste(lesser, (left, 2 * HEAD + SIDE))
    sheet.save(Path(__file__).with_name("renditions.jpg"), quality=86, optimize=True)
    await renderer.aclose()


if __name__ == "__main__":
    asyncio.run(main())
