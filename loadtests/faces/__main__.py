"""``make trial-faces``: whether face recognisers find anybody in what harvesters get.

Prints a table, and writes ``artifacts/trial-faces/report.json`` and ``report.html``. Ends with 1 where a goal is missed.
``--quick`` takes a few minutes, a full run half an hour, most of it in the recognisers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.faces.attacks import ATTACKS, Known
from loadtests.faces.environment import CACHE, ROOT, prepared
from loadtests.faces.matching import Matcher, summed
from loadtests.faces.photos import Photo, carried, found_groups, portraits, with_faces
from loadtests.faces.recognisers import RECOGNISERS, Nets
from loadtests.faces.renditions import Variant, served, variants
from loadtests.faces.report import Results, Sheet, page, text
from loadtests.faces.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

ARTIFACTS = ROOT / "artifacts" / "trial-faces"
SCENES = ("same photo", "portraits", "alike", "ten copies", "five of each", "groups", "turned")
#: What ``--quick`` leaves: the fastest recogniser and dlib's, the attacks that did best against weak renditions, previews.
QUICK_RECOGNISERS = ("dlib", "mobilefacenet")
QUICK_ATTACKS = ("as served", "unsharp", "Wiener 2 %")
QUICK_SCENES = ("same photo", "portraits", "alike", "groups", "turned")
QUICK_VARIANTS = ("preview", "preview, no detector")
#: Attacks that the page shows.
_SHOWN = ("unsharp", "Wiener 2 %", "inpaint")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Return what was asked for on the command line, with what ``--quick`` leaves where nothing was."""
    parser = argparse.ArgumentParser(prog="make trial-faces", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--quick", action="store_true", help="fewer attacks, recognisers, scenes and renditions"
    )
    parser.add_argument("--people", type=int, default=99, help="how many people at most")
    parser.add_argument(
        "--galleries", type=int, default=1, help="how many galleries, each of another photo of each person"
    )
    quick = {
        "variants": ([one.name for one in variants()], QUICK_VARIANTS),
        "scenes": (SCENES, QUICK_SCENES),
        "attacks": (tuple(ATTACKS), QUICK_ATTACKS),
        "recognisers": ([one.name for one in RECOGNISERS], QUICK_RECOGNISERS),
    }
    for what, (names, _) in quick.items():
        told = f"with ; between: {'; '.join(names)}".replace("%", "%%")
        parser.add_argument(f"--{what}", type=_some_of(names), default=(), help=told)
    parser.add_argument(
        "--python", default="", help="a Python that has the recognisers, instead of one of its own"
    )
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="where the report goes")
    asked = parser.parse_args(given)
    for what, (names, few) in quick.items():
        setattr(asked, what, getattr(asked, what) or tuple(few if asked.quick else names))
    return asked


def _some_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Return a reader of a list of names, each of which must be ``known``."""

    def read(words: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in words.split(";") if name.strip())
        strange = set(names) - set(known)
        if strange:
            raise argparse.ArgumentTypeError(
                f"there is no {', '.join(sorted(strange))}; there are: {'; '.join(known)}"
            )
        return names

    return read


def main(given: list[str] | None = None) -> int:
    """Run the trial and write its report; return 1 where a goal is missed, 2 where nothing could be tried."""
    asked = arguments(given)
    ready = prepared()
    results = Results([], missing=dict(ready.missing))
    with Nets(asked.python or ready.python, ready.weights, memory=CACHE / "vectors") as nets:
        results.missing |= nets.missing
        if not nets.finds or not nets.names:
            print(
                "nothing can be tried:",
                *(f"{name}: {why}" for name, why in results.missing.items()),
                sep="\n  ",
            )
            return 2
        trial = _opened(asked, nets)
        trial.matcher.learn(trial.people)
        if not trial.people:
            results.missing["people"] = (
                "ANTISCRAPE_SHARED names no folder with faces/, so that ranks are not known"
            )
        results.people = len(trial.people)
        results.probes = sum(len(photos) - 1 for photos in trial.people.values())
        results.limits = trial.matcher.limits
        results.likeness, results.placeholders = trial.likeness, trial.placeholders
        chosen = variants(asked.variants)
        results.clear = tuple(variant.name for variant in chosen if variant.clear)
        results.sheets = _sheets(chosen)

        # Written as it grows: who stops a run of half an hour has what was done so far.
        def write() -> None:
            results.cells = summed(trial.matcher.cells)
            _write(results, asked.out)

        trial.done = write
        for turn in range(asked.galleries):
            if turn:
                trial.people = turned(trial.people)
                trial.matcher.learn(trial.people)
            for variant in chosen:
                trial.run(variant)
    print(text(results))
    return 1 if results.missed() else 0


def turned(people: dict[str, list[Photo]]) -> dict[str, list[Photo]]:
    """Return everybody's photos with the second one first, and the first one last."""
    return {person: [*photos[1:], *photos[:1]] for person, photos in people.items()}


def _write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(results.as_json(), indent=1))
    (folder / "report.html").write_text(page(results))


def _opened(asked: argparse.Namespace, nets: Nets) -> Trial:
    began = time.monotonic()

    def note(words: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {words}", file=sys.stderr, flush=True)

    shared = Path(os.environ.get("ANTISCRAPE_SHARED", "/nowhere")) / "faces"
    note("finding faces")
    people = portraits(shared, nets, people=asked.people) if shared.is_dir() else {}
    groups = [with_faces(photo, nets) for photo in carried()]
    chosen = tuple(one for one in RECOGNISERS if one.name in nets.names and one.name in asked.recognisers)
    return Trial(
        Matcher(nets, chosen),
        people,
        groups + (found_groups(shared, nets) if shared.is_dir() else []),
        attacks=asked.attacks,
        scenes=asked.scenes,
        note=note,
    )


def _sheets(chosen: list[Variant]) -> list[Sheet]:
    """Return a sheet for each photo that packages carry: the original, its renditions, what restorations make of them."""
    photos: list[Photo] = carried()
    sheets = []
    got = {variant.name: served(variant, photos) for variant in chosen if variant.name != "original"}
    for place, photo in enumerate(photos):
        pictures = [("original", photo.picture)]
        for name, those in got.items():
            picture = those[place].picture
            pictures.append((f"{name}, {len(those[place].body) / 1000:.1f} kB", picture))
            if name == "preview":
                pictures += [(f"{name}, {attack}", ATTACKS[attack](picture, Known())) for attack in _SHOWN]
        sheets.append(Sheet(photo.name, tuple(pictures)))
    return sheets


if __name__ == "__main__":
    sys.exit(main())
