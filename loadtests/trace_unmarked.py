"""Pictures that nobody marked, each read as if somebody had: how often a reader names a taker who took nothing."""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, ImageOps

from antiscrape.images.trace.reading import read
from antiscrape.images.trace.words import BELIEVED, Seen
from loadtests.trace_attacks import encoded
from loadtests.trace_photos import all_photos

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Pictures that are read under one key. Drawing a key takes longer than reading a picture.
_UNDER_ONE_KEY = 500
#: One of so many pictures is read as large as its photograph is.
_WHOLE = 20
_SHORTEST = 64


class One(NamedTuple):
    """A picture that was read: the nearest word and shift, in deviations, and whether the reader believed them."""

    at: int
    source: str
    width: int
    height: int
    word: float
    shift: float
    seconds: float
    false: bool


def unmarked(keys: bytes, *, count: int, seconds: float, longest: int, log: Path | None = None) -> list[One]:
    """Return what reading the first ``count`` pictures came to, of which as many are read as take ``seconds``.

    Each is another one, but many are of one photograph: first come all photographs as they are, then their crops,
    scaled to up to ``longest`` pixels, mirrored, and encoded anew. Those that ``log`` tells of have been read, and are
    not read again; what is read is added to it, so that a run can be broken off.
    """
    begun, found = time.monotonic(), list(_told(log, longest)) if log is not None else []
    known = {one.at for one in found}
    sources = list(all_photos())
    for at in range(count):
        if at in known:
            continue
        if time.monotonic() - begun > seconds:
            break
        photo = sources[at % len(sources)]
        chance = random.Random(f"unmarked {at}")
        picture = photo.pixels if at < len(sources) else _varied(photo.pixels, chance, longest)
        one = _read(at, photo.name, picture, keys + bytes((at // _UNDER_ONE_KEY % 256,)))
        found.append(one)
        if log is not None:
            with log.open("a") as out:
                print(json.dumps({"longest": longest, **one._asdict()}), file=out)
        if one.false:
            print(f"  false: {one}", file=sys.stderr, flush=True)
        if len(found) % _UNDER_ONE_KEY == 0:
            print(f"  {len(found)} unmarked, {sum(each.false for each in found)} false", file=sys.stderr)
    return found


def _read(at: int, source: str, picture: Image.Image, key: bytes) -> One:
    seen, begun = Seen(), time.process_time()
    reading = read(picture, [key], seen=seen)
    taken = round(time.process_time() - begun, 3)
    return One(
        at, source, *picture.size, round(seen.word, 3), round(seen.shift, 3), taken, reading is not None
    )


def _told(log: Path, longest: int) -> Iterator[One]:
    """Yield what a log tells; raise ``ValueError`` where it is of pictures of another size."""
    for line in log.read_text().splitlines() if log.exists() else ():
        told: dict[str, Any] = json.loads(line)
        if told.pop("longest") != longest:
            raise ValueError(f"{log} tells of pictures of another size")
        yield One(**told)


def _varied(source: Image.Image, chance: random.Random, longest: int) -> Image.Image:
    share = chance.uniform(0.4, 1.0)
    width, height = (max(_SHORTEST, int(side * share)) for side in source.size)
    left, top = (
        chance.randint(0, max(0, source.width - width)),
        chance.randint(0, max(0, source.height - height)),
    )
    picture = source.crop((left, top, left + width, top + height))
    if chance.randrange(_WHOLE):
        scale = chance.uniform(0.5, 1.0) * min(1.0, longest / max(picture.size))
        size = max(_SHORTEST, int(width * scale)), max(_SHORTEST, int(height * scale))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    if chance.random() < 0.3:
        picture = ImageOps.mirror(picture)
    return encoded(picture, chance.choice(("JPEG", "JPEG", "JPEG", "WEBP")), chance.randint(40, 95))


def told(found: list[One]) -> dict[str, float]:
    """Return how many there were, and how far the nearest was from being believed."""
    if not found:
        return {"unmarked": 0, "false": 0}
    return {
        "unmarked": len(found),
        "false": sum(one.false for one in found),
        "sources": len({one.source for one in found}),
        "weighed": sum(one.word > 0 for one in found),
        "largest_word": max(one.word for one in found),
        "believed_from": BELIEVED,
        "median_shift": statistics.median(one.shift for one in found),
        "largest_shift": max(one.shift for one in found),
        "unmarked_seconds": statistics.median(one.seconds for one in found),
        "unmarked_seconds_longest": max(one.seconds for one in found),
    }
