"""Thousands of bytes that were made to break decoders, through the real renderer."""

from __future__ import annotations

import asyncio
import io
import random
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from antiscrape.core.renditions import RenditionRules
from antiscrape.core.verdict import Rendition
from antiscrape.ports import Wanted
from tests.fuzz import times
from tests.house import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiscrape.images.renderer import PillowRenderer
    from tests.images.conftest import Encode, Using

PREVIEW = Rendition.PREVIEW


#: What no picture of these makes a worker take, in kB; with the detector it starts at some 110,000.
MEMORY = 256 * 1024


def peak_of(pid: int) -> int:
    """Return the most memory that a process ever had resident, in kB; of one that has ended, 0."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) if "VmHWM:" in status else 0


def peaks(renderer: PillowRenderer) -> list[int]:
    """Return the most memory that each worker of a renderer ever had resident, in kB."""
    living = tuple(renderer._pool._living)
    return [peak_of(worker.process.pid) for worker in living if worker.process.returncode is None]


#: Bytes of the largest rendition of these sources, and pixels of its long side; of a decoy, where it is drawn in full.
_LARGEST = {PREVIEW: (200_000, 480), Rendition.MARKED: (2_000_000, 1200), Rendition.DECOY: (600_000, 4096)}
_ACCEPTS = (b"", b"image/avif,image/webp,*/*", b"image/gif", b"image/png")


async def survives(
    renderer: PillowRenderer, sources: Iterable[bytes], rendition: Rendition = PREVIEW
) -> None:
    """Render every source; none may raise, hang, lose a worker, take too much memory or come back as it went."""
    await renderer.prepare()
    longest, size = _LARGEST[rendition]
    most = max(MEMORY, *peaks(renderer), 0)  # of workers that other tests may have given large pictures to
    for number, source in enumerate(sources):
        wanted = Wanted(rendition, _ACCEPTS[number % len(_ACCEPTS)], b"%d" % number)
        made = await renderer.render(source, wanted)
        assert made.body != source
        assert max(peaks(renderer), default=0) <= most
        assert len(made.body) < longest
        with Image.open(io.BytesIO(made.body), formats=("JPEG", "PNG", "WEBP", "AVIF", "GIF")) as picture:
            assert picture.get_format_mimetype() == made.content_type
            assert max(picture.size) <= size
    assert renderer.counts["lost"] == renderer.counts["closed"] == renderer.counts["busy"] == 0


@pytest.mark.security("E2")
@pytest.mark.parametrize("corpus", ["pillow-bad-images/Tests", "pngsuite/tests"])
@pytest.mark.parametrize("rendition", [PREVIEW, Rendition.MARKED, Rendition.DECOY])
def test_a_corpus_of_bad_pictures(corpus: str, rendition: Rendition, shared: Path, using: Using) -> None:
    files = [file for file in sorted((shared / "corpora" / corpus).rglob("*")) if file.is_file()]
    assert len(files) > 190

    async def job(renderer: PillowRenderer) -> None:
        await survives(renderer, (file.read_bytes() for file in files), rendition)
        assert renderer.counts["jpeg"] + renderer.counts["webp"] + renderer.counts["png"] > 30

    using(job, timeout=PATIENCE, renditions=RenditionRules(frames=8))


@pytest.mark.security("E2")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
@pytest.mark.parametrize("rendition", [PREVIEW, Rendition.MARKED])
def test_a_photograph_with_flipped_bits_or_cut_short(
    kind: str, rendition: Rendition, photo: bytes, encode: Encode, using: Using
) -> None:
    with Image.open(io.BytesIO(photo)) as picture:
        picture.thumbnail((300, 300))
        seed = encode(picture, kind)
    chance = random.Random(f"{kind} 1")

    async def job(renderer: PillowRenderer) -> None:
        await survives(renderer, (_damaged(seed, chance) for _ in range(times(30))), rendition)
        assert renderer.counts["unreadable"] > 3

    using(job, timeout=PATIENCE)


@pytest.mark.security("E2")
@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "AVIF"])
def test_an_animation_with_flipped_bits_or_cut_short(
    kind: str, photo: bytes, encode: Encode, using: Using
) -> None:
    with Image.open(io.BytesIO(photo)) as picture:
        picture.thumbnail((120, 120))
        turned = [picture.rotate(angle) for angle in (5, 10, 15)]
        seed = encode(picture.copy(), kind, save_all=True, append_images=turned, duration=40)
    chance = random.Random(f"{kind} 2")

    async def job(renderer: PillowRenderer) -> None:
        await survives(renderer, (_damaged(seed, chance) for _ in range(times(40))), Rendition.MARKED)
        assert renderer.counts["unreadable"] > 1
        assert renderer.counts["webp"] + renderer.counts["gif"] > 1

    using(job, timeout=PATIENCE, renditions=RenditionRules(frames=8))


def _damaged(seed: bytes, chance: random.Random) -> bytes:
    broken = bytearray(seed)
    if chance.random() < 0.3:
        return bytes(broken[: chance.randrange(1, len(broken))])
    # Half of the damage goes to the first 600 bytes, where the headers are.
    for _ in range(chance.choice((1, 3, 30))):
        at = chance.randrange(len(broken) if chance.random() < 0.5 else min(600, len(broken)))
        broken[at] ^= 1 << chance.randrange(8)
    return bytes(broken)


@pytest.mark.security("E2")
def test_bombs_are_answered_at_once_and_in_little_memory(using: Using, encode: Encode) -> None:
    """A header of 2.5 gigapixels, 900 million compressed pixels of nothing, a text chunk that unfolds to 200 MB."""
    plain = encode(Image.new("RGB", (64, 64), "teal"), "PNG")
    text = zlib.compress(bytes(200 * 2**20), 9)
    chunk = b"zTXt" + b"Comment\0\0" + text
    bombs = [
        _png(50_000, 50_000, b"\0"),
        _png(30_000, 30_000, bytes(30_000 * 500)),
        plain[:33]
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + plain[33:],
    ]

    async def job(renderer: PillowRenderer) -> None:
        await survives(renderer, bombs)
        assert 0 < max(peaks(renderer)) < 200_000

    using(job, own=True, timeout=PATIENCE)


@pytest.mark.security("E2")
def test_a_large_transparent_picture_is_shown_in_little_memory(using: Using, encode: Encode) -> None:
    """24 megapixels are 96 MB as the decoder leaves them, and a second copy of them would be too much."""
    source = encode(Image.new("RGBA", (6000, 4000), (0, 128, 128, 99)), "PNG", compress_level=1)

    async def job(renderer: PillowRenderer) -> None:
        await survives(renderer, [source])
        await survives(renderer, [source], Rendition.MARKED)
        assert renderer.counts == {"png": 2}

    using(job, own=True, timeout=PATIENCE)


def _png(width: int, height: int, rows: bytes) -> bytes:
    parts = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        parts += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return parts


@pytest.mark.slow
@pytest.mark.security("E2")
def test_a_hundred_large_photographs_at_once(using: Using, photo: bytes, encode: Encode) -> None:
    """L6: 100 JPEGs of 24 megapixels, two workers: a bounded queue, refusals at once, memory within the rules."""
    with Image.open(io.BytesIO(photo)) as picture:
        seed = encode(picture.resize((6000, 4000)), "JPEG", quality=80)

    async def job(renderer: PillowRenderer) -> None:
        refused: list[bool] = []

        async def ask(number: int) -> bool:
            made = await renderer.render(seed + bytes([number]), Wanted(PREVIEW))
            refused.append(made.placeholder)
            return made.placeholder

        await asyncio.gather(*(ask(number) for number in range(100)))
        assert renderer.counts == {"jpeg": 66, "busy": 34}
        assert all(refused[:30])  # none of them waited for a picture to be made
        assert max(peaks(renderer)) < 512 * 1024

    using(job, own=True, workers=2, timeout=PATIENCE)
