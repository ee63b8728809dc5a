"""What a key draws: which spot of a picture carries which part of a word, and the waves that tell its geometry.

The mark is made of *chips*, squares of four pixels, in a sheet of 256 x 256 that begins anew every 1,024 pixels.
Each block of 64 x 64 chips holds 4,096 *slots* in an order of its own: 256 for each of a word's 15 symbols and 256
that are always the same. A symbol of value ``v`` is row ``v`` of a Hadamard matrix, laid over its 256 slots; rows
are orthogonal, so a reader weighs all 256 values of a symbol at once. Every chip has a sign drawn by the key,
without which the rest is noise, and no two blocks are alike: nothing is there for an attacker to fold.

Over the chips lie *waves*, cosines of frequencies and phases drawn by the key. A picture that was scaled, turned
or squeezed shows them elsewhere in its spectrum, and from where they are the reader knows what was done to it.

All of this needs Pillow and nothing more, so that a worker can write marks without numpy.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from math import cos, hypot, tau
from operator import itemgetter
from random import Random
from typing import Final, NamedTuple

from PIL import Image

from antiscrape.images.trace.code import SYMBOLS

#: Pixels of a chip's side.
CHIP: Final = 4
#: Chips of a block's side, and of the sheet's.
BLOCK: Final = 64
SHEET: Final = 256
#: Values of a symbol, and slots that it has in a block.
VALUES: Final = 256
#: Slots of a block: 15 symbols, and one more that never changes.
SLOTS: Final = VALUES * (SYMBOLS + 1)

#: Waves; fewer are lost among a picture's own, more take strength from one another.
WAVES: Final = 24
# Turns per sheet. Below the first the picture's own spectrum is too strong, above the last a chip cannot show them.
_SLOWEST, _FASTEST = 38, 112
# A wave along an axis would be taken for a picture's edges, its frame or a screen's text.
_OFF_AXIS = 10
# Two waves nearer than this would be one peak in the spectrum of a small picture.
_APART = 12

#: Shares of the mark's full swing (127): a chip's sign, and each wave's amplitude.
CHIP_SWING: Final = 62.0
WAVE_SWING: Final = 13.5


class Wave(NamedTuple):
    """A cosine over the sheet: turns per 256 chips to the right and down, and its phase in 256ths of a turn."""

    across: int
    down: int
    phase: int


class Pattern(NamedTuple):
    """What one key draws. ``slots`` and ``signs`` hold the sheet row by row."""

    slots: tuple[int, ...]
    signs: bytes  # 0 or 1
    waves: tuple[Wave, ...]

    def signs_of_chips(self) -> list[float]:
        """Return what a slot that holds 0 adds to each chip, 1 or -1, row by row."""
        return [1.0 - 2.0 * sign for sign in self.signs]

    def chip_sheets(self) -> tuple[Image.Image, Image.Image]:
        """Return the sheet where every slot is 0, and where every slot is 1; 128 stands for no change."""
        middle = [128.0 + wave for wave in self.wave_sheet()]
        up, down = (_levels([value + swing for value in middle]) for swing in (CHIP_SWING, -CHIP_SWING))
        zeros = bytes(map(_chosen, self.signs, up, down))
        ones = bytes(map(_chosen, self.signs, down, up))
        return Image.frombytes("L", (SHEET, SHEET), zeros), Image.frombytes("L", (SHEET, SHEET), ones)

    def wave_sheet(self) -> list[float]:
        """Return the sum of the waves at every chip's middle, row by row."""
        # Phases in 512ths of a turn, since a chip's middle is half a step from its edge.
        turn = [WAVE_SWING * cos(tau * step / 512) for step in range(512)] * 2
        # A wave takes the same steps in every row, and begins them elsewhere.
        steps = [
            itemgetter(*(2 * wave.across * column % 512 for column in range(SHEET))) for wave in self.waves
        ]
        sheet: list[float] = []
        for row in range(SHEET):
            begin = ((2 * wave.phase + wave.down * (2 * row + 1) + wave.across) % 512 for wave in self.waves)
            lines = [take(turn[start : start + 512]) for take, start in zip(steps, begin, strict=True)]
            sheet += map(sum, zip(*lines, strict=True))
        return sheet


def _levels(values: list[float]) -> list[int]:
    return [0 if level < 0 else min(level, 255) for level in map(round, values)]


def _chosen(sign: int, plus: int, minus: int) -> int:
    return minus if sign else plus


@lru_cache(maxsize=8)
def pattern(key: bytes) -> Pattern:
    """Draw the pattern of ``key``; takes some 30 ms, once."""
    random = Random(hashlib.sha256(b"antiscrape trace 1" + key).digest())  # noqa: S311 - seeded by a keyed hash; what it draws is the secret, and nobody sees it drawn
    blocks = SHEET // BLOCK
    orders = [random.sample(range(SLOTS), SLOTS) for _ in range(blocks * blocks)]
    slots: list[int] = []
    for row in range(SHEET):
        start = row % BLOCK * BLOCK
        for order in orders[row // BLOCK * blocks :][:blocks]:
            slots += order[start : start + BLOCK]
    signs = bytes(byte & 1 for byte in random.randbytes(SHEET * SHEET))
    return Pattern(tuple(slots), signs, _waves(random))


def _waves(random: Random) -> tuple[Wave, ...]:
    """Draw frequencies that spread over the half plane and keep their distance."""
    waves: list[Wave] = []
    while len(waves) < WAVES:
        across, down = random.randint(-_FASTEST, _FASTEST), random.randint(0, _FASTEST)
        speed = hypot(across, down)
        crowded = any(
            min(hypot(across - w.across, down - w.down), hypot(across + w.across, down + w.down)) < _APART
            for w in waves
        )
        if _SLOWEST <= speed <= _FASTEST and min(abs(across), down) >= _OFF_AXIS and not crowded:
            waves.append(Wave(across, down, random.randrange(256)))
    return tuple(waves)


def word_bits(word: bytes) -> bytes:
    """Return the 4,096 slots of ``word``, each 0 or 255: rows of Sylvester's Hadamard matrix, and zeros."""
    rows = b"".join(_hadamard_row(symbol) for symbol in word)
    return rows + bytes(VALUES)


@lru_cache(maxsize=VALUES)
def _hadamard_row(value: int) -> bytes:
    # J. J. Sylvester, 1867: the sign at (row, column) is the parity of the bits that both have.
    return bytes(255 * ((value & column).bit_count() & 1) for column in range(VALUES))
