"""``make trial-trace``: which attacks a mark in the pixels survives, what it costs and shows, and what reads falsely.

Every photo is marked, written as a JPEG of quality 88, attacked, and read with nothing but the key. Where two copies
are averaged, naming either taker counts, and whoever else is named is a wrong payload, as everywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from antiscrape.core.trace import shorten, unpack
from antiscrape.images.trace.embedding import embed
from antiscrape.images.trace.reading import read
from loadtests.trace_attacks import ALONE, TOGETHER, jpeg
from loadtests.trace_photos import Photo, photos
from loadtests.trace_rivals import Rival, rivals
from loadtests.trace_unmarked import One, told, unmarked

if TYPE_CHECKING:
    from PIL import Image

#: The quality at which a marked picture leaves.
QUALITY = 88
KEY = hashlib.sha256(b"the trial's own key").digest()


@dataclass(slots=True)
class Tally:
    """How often an attack was tried, survived, and answered with a payload that nobody wrote."""

    tried: int = 0
    read: int = 0
    wrong: int = 0
    lost: set[str] = field(default_factory=set)

    def share(self) -> str:
        """Return the share that was read, in words."""
        return f"{self.read}/{self.tried}" + (f", {self.wrong} WRONG" if self.wrong else "")


@dataclass(slots=True)
class Trial:
    """What was measured: attacks, gray levels, milliseconds."""

    attacks: dict[str, Tally] = field(default_factory=dict)
    psnr: list[float] = field(default_factory=list)
    psnr_of_encoding: list[float] = field(default_factory=list)
    write_ms: list[float] = field(default_factory=list)
    read_s: list[float] = field(default_factory=list)


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio of two pictures, in decibels."""
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(10 * np.log10(255**2 / (difference**2).mean()))


def payload(text: str) -> int:
    """Return 56 bits that ``text`` stands for."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def attack_all(chosen: list[Photo], attacks: set[str] | None) -> Trial:
    """Mark every photo, attack it, and read it."""
    trial = Trial()
    for photo in chosen:
        mine, another = payload(photo.name), payload(f"another of {photo.name}")
        embed(photo.pixels, mine, KEY)
        begun = time.process_time()
        marked = embed(photo.pixels, mine, KEY)
        megapixels = photo.pixels.width * photo.pixels.height / 1e6
        trial.write_ms.append(1000 * (time.process_time() - begun) / megapixels)
        served = jpeg(marked, QUALITY)
        trial.psnr.append(psnr(photo.pixels, served))
        trial.psnr_of_encoding.append(psnr(photo.pixels, jpeg(photo.pixels, QUALITY)))
        for name, attack in ALONE.items():
            if attacks is None or name in attacks:
                _count(trial, name, photo, attack(served), [mine])
        theirs = jpeg(embed(photo.pixels, another, KEY), QUALITY)
        for name, together in TOGETHER.items():
            if attacks is None or name in attacks:
                _count(trial, name, photo, together(served, theirs), [mine, another])
        lost = [name for name, tally in trial.attacks.items() if photo.name in tally.lost]
        print(
            f"  {photo.name} {photo.pixels.size}, lost: {', '.join(lost) or 'none'}",
            file=sys.stderr,
            flush=True,
        )
    return trial


def _count(trial: Trial, name: str, photo: Photo, attacked: Image.Image, written: list[int]) -> None:
    tally = trial.attacks.setdefault(name, Tally())
    begun = time.process_time()
    reading = read(attacked, [KEY])
    trial.read_s.append(time.process_time() - begun)
    tally.tried += 1
    words = reading.words if reading else ()
    right = {(value, False) for value in written} | {
        (shorten(unpack(value)).pack(), True) for value in written
    }
    tally.wrong += any((word.payload, word.short) not in right for word in words)
    if any((word.payload, word.short) in right for word in words):
        tally.read += 1
    else:
        tally.lost.add(photo.name)


def beside(chosen: list[Photo]) -> None:
    """Print what others' marks survive of five attacks, where they are installed, and what writing costs."""
    found, missing = rivals()
    for line in missing:
        print(line)
    for rival in found:
        survived = dict.fromkeys(FOR_RIVALS, 0)
        costs = []
        for photo in chosen:
            mine = payload(photo.name).to_bytes(8, "big")
            begun = time.process_time()
            marked = rival.write(photo.pixels, mine)
            megapixels = photo.pixels.width * photo.pixels.height / 1e6
            costs.append(1000 * (time.process_time() - begun) / megapixels)
            served = jpeg(marked, QUALITY)
            for name in FOR_RIVALS:
                survived[name] += _reads(rival, ALONE[name](served), mine)
        told = ", ".join(f"{name} {count}/{len(chosen)}" for name, count in survived.items())
        print(f"{rival.name}: {statistics.median(costs):.0f} ms a megapixel; {told}")


def _reads(rival: Rival, attacked: Image.Image, written: bytes) -> bool:
    try:
        return rival.read(attacked) == written
    except Exception:  # noqa: BLE001 - some raise where a picture has changed its size
        return False


def previews(chosen: list[Photo]) -> Tally:
    """Mark every photo at 256 pixels, as a JPEG, and read its short form."""
    tally = Tally()
    for photo in chosen:
        small = photo.pixels.copy()
        small.thumbnail((256, 256))
        mine = payload(photo.name)
        reading = read(jpeg(embed(small, mine, KEY), 80), [KEY])
        words = reading.words if reading else ()
        right = shorten(unpack(mine)).pack()
        tally.tried += 1
        tally.read += any(word.short and word.payload == right for word in words)
        tally.wrong += any(word.payload != right for word in words)
    return tally


def main() -> int:
    """Measure, print, write ``artifacts/trace.json``; return 1 where a payload was wrong or read from nothing."""
    options = _options().parse_args()
    chosen = list(photos())[: options.photos]
    trial = attack_all(chosen, set(options.attack) if options.attack else None)
    small = previews(chosen)
    if options.rivals:
        beside(chosen[: options.rivals])
    others = unmarked(
        KEY, count=options.unmarked, seconds=options.seconds, longest=options.longest, log=options.log
    )
    false = sum(one.false for one in others)
    print(f"{len(chosen)} photos, JPEG {QUALITY}, then:")
    for name, tally in trial.attacks.items():
        print(f"  {name:34s} {tally.share()}")
    print(f"  {'preview of 256 pixels, short form':34s} {small.share()}")
    print(f"unmarked pictures read as marked: {false} of {len(others)}")
    _print_figures(trial, others)
    return int(bool(false or small.wrong or any(tally.wrong for tally in trial.attacks.values())))


def _print_figures(trial: Trial, others: list[One]) -> None:
    figures = told(others)
    if trial.psnr:
        figures |= {
            "write_ms_per_megapixel": statistics.median(trial.write_ms),
            "psnr": statistics.mean(trial.psnr),
            "psnr_of_encoding_alone": statistics.mean(trial.psnr_of_encoding),
            "read_seconds": statistics.median(trial.read_s),
            "read_seconds_longest": max(trial.read_s),
        }
    for name, figure in figures.items():
        print(f"{name} {figure:.2f}".removesuffix(".00"))
    attacks = {name: [tally.read, tally.tried, tally.wrong] for name, tally in trial.attacks.items()}
    target = Path("artifacts/trace.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({**figures, "attacks": attacks}, indent=1))


#: What others' marks are tried with: their own documentation claims little more.
FOR_RIVALS = ("nothing", "JPEG 75", "size x 0.5, JPEG 85", "crop 10 % a side", "turned 0.5 degrees")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--photos", type=int, help="how many photos; all of them without it, and 0 for the unmarked alone"
    )
    parser.add_argument("--attack", action="append", help="only this attack; may be given more than once")
    parser.add_argument("--rivals", type=int, default=3, help="how many photos others' marks are tried with")
    parser.add_argument("--unmarked", type=int, default=10_000, help="how many unmarked pictures are read")
    parser.add_argument("--longest", type=int, default=420, help="pixels of their long side, at most")
    parser.add_argument(
        "--log",
        type=Path,
        help="a file of those that were read, to which is added, and from which a run goes on",
    )
    parser.add_argument("--seconds", type=float, default=7200.0, help="how long they may take together")
    return parser


if __name__ == "__main__":
    sys.exit(main())
