"""Thumbnails, gain maps and second pictures: they show what was hidden, so no rendition has any; and originals keep theirs."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Literal

import pytest
from PIL import Image

from antiscrape.core.renditions import RenditionRules, RightsRules
from antiscrape.core.rules import ImageRules
from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import trace_keys
from antiscrape.images.dimensions import size
from antiscrape.images.frames import Order, Task
from antiscrape.images.recipes import recipes
from antiscrape.images.splice import LOOKED_AT, LOOKED_AT_MOST, find_tokens, reach, splice, token
from antiscrape.images.stamping import stamps
from tests.images.carriers import SECRET, SIZE, carriers, parts, second

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiscrape.images.recipes import Maker

CARRIERS = carriers()
KEYS = trace_keys(KeyRing([b"the-only-secret-of-the-site-0123456789"]))
#: All that a rendition may consist of: what a picture needs to be drawn, and JFIF's segment without a thumbnail in it.
NEEDED = {
    *("E0 JFIF\0 16", "DB", "C0", "C4", "DD", "DA"),
    *("IHDR", "PLTE", "tRNS", "IDAT", "IEND"),
    *("VP8X", "ALPH", "VP8 ", "VP8L"),
    *("picture", "F9"),
    *("ftyp", "meta", "av01", "mdat"),
}
# Of a JPEG's scan, of which another encoding has nothing.
_WITHIN = second()[-200:-170]


@functools.lru_cache(maxsize=2)
def table(faces: str) -> Mapping[Task, Maker]:
    return recipes(ImageRules(faces=faces, renditions=RenditionRules(frames=4)))  # type: ignore[arg-type]  # one of them


def mpf(body: bytes) -> tuple[int, int, int, int]:
    """Return size and place of each picture of a JPEG's index of two, from the file's beginning (CIPA DC-007, 5.2.3)."""
    start = body.index(b"MPF\0") + 4
    order: Literal["big", "little"] = "big" if body[start : start + 2] == b"MM" else "little"
    numbers = [int.from_bytes(body[start + at : start + at + 4], order) for at in (54, 58, 70, 74)]
    return numbers[0], numbers[1], numbers[2], start + numbers[3]


@pytest.mark.parametrize("name", CARRIERS)
def test_what_is_carried_is_there_to_be_found(name: str) -> None:
    """By whoever reads the file as it came: it shows one picture, and has parts that no picture needs."""
    source = CARRIERS[name]
    with Image.open(io.BytesIO(source)) as opened:
        assert opened.size == SIZE
        red, _, blue = opened.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]  # of RGB
        assert blue > 100 > red
    assert set(parts(source)) - NEEDED


@pytest.mark.security("E5")
@pytest.mark.parametrize("faces", ["off", "auto"])
@pytest.mark.parametrize("name", CARRIERS)
def test_no_rendition_has_more_than_one_picture(name: str, faces: str) -> None:
    """Nor has a copy with the trace of its taker; and what is seen in it is the first."""
    source = CARRIERS[name]
    assert size(source) == SIZE  # what a decoy is drawn from
    for task in Task.PREVIEW, Task.MARKED, Task.DECOY:
        base = table(faces)[task].make(source, Order(task), max_pixels=2**20).body
        traced = stamps(KEYS[0].pattern, RightsRules())[Task.STAMP]
        copy = traced.make(base, Order(Task.STAMP, payload=7), max_pixels=2**20).body
        for body in base, copy:
            assert set(parts(body)) <= NEEDED
            assert parts(body).count("av01") == parts(body).count("meta")
            assert SECRET not in body
            assert _WITHIN not in body
            with Image.open(io.BytesIO(body)) as opened:
                assert getattr(opened, "n_frames", 1) == 1
                assert opened.size == SIZE
                red, _, blue = opened.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]  # of RGB
            assert task is Task.DECOY or blue > red + 40


@pytest.mark.parametrize("seen", [LOOKED_AT, 2**20])
@pytest.mark.parametrize("name", CARRIERS)
def test_an_original_with_a_comment_keeps_its_second_picture(name: str, seen: int) -> None:
    source = CARRIERS[name]
    spliced = splice(source[:seen], token(KEYS[0], 7))
    assert spliced is not None
    whole = spliced.head + source[seen:] + spliced.tail
    assert len(find_tokens(whole, KEYS)) == 1
    assert whole.count(SECRET) == source.count(SECRET)
    with Image.open(io.BytesIO(source)) as before, Image.open(io.BytesIO(whole)) as after:
        assert getattr(after, "n_frames", 1) == getattr(before, "n_frames", 1)
        for frame in range(getattr(before, "n_frames", 1)):
            before.seek(frame)
            after.seek(frame)
            assert after.tobytes() == before.tobytes()


@pytest.mark.parametrize("name", [name for name, source in CARRIERS.items() if b"MPF\0" in source])
def test_an_index_of_two_pictures_tells_their_true_places_beside_a_comment(name: str) -> None:
    """Who cuts a picture out by its size and place gets it to its last byte."""
    source = CARRIERS[name]
    seen = asked(source, 1000)
    spliced = splice(source[:seen], token(KEYS[0], 7))
    assert spliced is not None
    for body in source, spliced.head + source[seen:] + spliced.tail:
        first, begins, other, at = mpf(body)
        assert begins == 0
        assert (body[first - 2 : first], body[at:]) == (b"\xff\xd9", second())
        assert (first + other, at) == (len(body), first)


def asked(source: bytes, chunk: int) -> int:
    """Return how many bytes of a file that comes in chunks are looked at."""
    held = chunk
    while held < min(reach(source[:held]), len(source)):
        held += chunk
    return reach(source[:held])


@pytest.mark.parametrize("chunk", [1, 700, 2**20])
@pytest.mark.parametrize("name", CARRIERS)
def test_as_much_is_looked_at_as_there_is_to_see_however_it_comes(name: str, chunk: int) -> None:
    """Of a JPEG up to the end of the index, or of the last application segment; of others always as much."""
    source = CARRIERS[name]
    end = source.index(b"MPF\0") + 86 if b"MPF\0" in source else 0
    seen = asked(source, chunk)
    assert seen == max(LOOKED_AT, end) or (not end and source[seen : seen + 2] in {b"\xff\xdb", b"\xff\xfe"})


def test_of_segments_without_end_no_more_is_looked_at_than_is_held() -> None:
    endless = b"\xff\xd8" + (b"\xff\xe5\xff\xff" + bytes(0xFFFD)) * 40
    assert asked(endless, 5000) == LOOKED_AT_MOST
    spliced = splice(endless[:LOOKED_AT_MOST], token(KEYS[0], 7))
    assert spliced is not None
    assert len(spliced.head) == LOOKED_AT_MOST + spliced.growth
    assert reach(b"\xff\xd8" + b"\xff\xe5\0\2" * 5000) == LOOKED_AT  # a chain that leads nowhere


@pytest.mark.parametrize("cut", range(20, 130, 3))
def test_an_index_that_is_not_all_there_is_left_as_it_is(cut: int) -> None:
    source = CARRIERS["JPEG, two pictures"]
    spliced = splice(source[:cut], token(KEYS[0], 7))
    assert spliced is not None
    whole = spliced.head + source[cut:]
    assert (
        whole[:20] + whole[20 + spliced.growth :] == source
        or mpf(whole)[0] == mpf(source)[0] + spliced.growth
    )
