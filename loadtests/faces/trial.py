"""The faces trial itself: each rendition in every scene, after every attack.

Scenes are portraits (one of each person), five pictures of each person, groups, long strips, turned pictures, and real
group photos in which each face is held against itself in the mirror, the easiest probe that there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from antiscrape.core.rules import ImageRules
from antiscrape.core.verdict import Rendition
from antiscrape.images.faces.finding import open_finder
from loadtests.faces import learned, metrics
from loadtests.faces.attacks import ATTACKS, Known, mark_of, sharpened, working
from loadtests.faces.matching import Matcher, Side, known_chips
from loadtests.faces.photos import Photo, composed
from loadtests.faces.recognisers import chip
from loadtests.faces.renditions import Sample, averaged, sampled, served, sharpest, ten_crops, ten_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from antiscrape.images.faces.finding import FaceFinder
    from loadtests.faces.renditions import Variant

#: Pixels of the long side at which the harvester's detector looks at renditions: portraits, groups.
_LOOK, _LOOK_GROUP = 480, 1200
#: Attacks that group photos are tried with, for the faces in them are small and restorations bring back nothing more, and
#: after which the detector is tried; after the others, a harvester who knows where the face was does no worse.
_BRIEFLY = ("as served", "unsharp")
#: What else counts as a face where likeness is measured: dlib misses those that are turned away or far off. The
#: preview's own detector, which must be sure of it, sees nearly four times as many pixels across then.
_CLOSELY = ImageRules(face_look=704, face_score=0.5)
#: Degrees by which photos are turned that nobody set upright.
_TURNS = (90, 180, 270, 35, -35)


@dataclass(slots=True)
class Trial:
    """What is tried and with whom; ``matcher`` collects the figures.

    ``likeness`` becomes the similarity outside faces by variant, ``placeholders`` how many renditions showed nothing.
    ``note`` is told how far it is, ``done`` called after every scene.
    """

    matcher: Matcher
    people: dict[str, list[Photo]]
    groups: list[Photo]
    attacks: tuple[str, ...] = tuple(ATTACKS)
    scenes: tuple[str, ...] = ()
    note: Callable[[str], None] = lambda _: None
    done: Callable[[], None] = lambda: None
    likeness: dict[str, metrics.Likeness] = field(default_factory=dict)
    placeholders: dict[str, int] = field(default_factory=dict)

    def run(self, variant: Variant) -> None:
        """Try one rendition in every scene."""
        scenes: dict[str, Callable[[Variant], None]] = {"same photo": self._same}
        if self.people:
            scenes["portraits"] = self._portraits
        if self.people and variant.rendition is not Rendition.ORIGINAL:
            scenes |= {
                "alike": self._alike,
                "ten copies": self._ten,
                "five of each": self._five,
                "groups": self._groups,
                "turned": self._turned,
            }
        for name, scene in scenes.items():
            if not self.scenes or name in self.scenes:
                self.note(f"{variant.name}: {name}")
                scene(variant)
                self.done()

    @property
    def _gallery(self) -> list[Photo]:
        return [photos[0] for photos in self.people.values()]

    def _portraits(self, variant: Variant) -> None:
        got = self._served(variant, self._gallery)
        if variant.rendition is Rendition.ORIGINAL:
            self._against_clean(variant, "portraits", "as served", got)
            return
        if not variant.blank and variant.name not in self.likeness:
            with_groups = [*got, *self._served(variant, self.groups)]
            self.likeness[variant.name] = likeness(with_groups, open_finder(_CLOSELY))
        mark = mark_of([sample.picture for sample in got])
        for attack in self.attacks:
            look = _LOOK if attack in _BRIEFLY else 0
            self._against_clean(variant, "portraits", attack, _attacked(got, attack, mark), look=look)

    def _ten(self, variant: Variant) -> None:
        """Ask ten times, in ten sizes or cuts, and take the mean, or the one in which most of the face is left."""
        gallery = self._gallery
        for name, made in (("ten sizes", ten_sizes), ("ten crops", ten_crops)):
            several = made(variant, gallery)
            means = [
                Sample(photo, sharpened(averaged(ten), Known()))
                for photo, ten in zip(gallery, several, strict=True)
            ]
            self._against_clean(variant, "portraits", f"{name}, mean", means)
            best = [sharpest(ten) for ten in several]
            self._against_clean(variant, "portraits", f"{name}, sharpest", best)

    def _alike(self, variant: Variant) -> None:
        """Let the harvester have its probes treated as the gallery was, and learn from photos of other people."""
        gallery = self._served(variant, self._gallery)
        others = self._served(variant, [photo for photos in self.people.values() for photo in photos[1:]])
        mine, theirs = self.matcher.look(gallery, 0), self.matcher.look(others, 0)
        for one in self.matcher.recognisers:
            # Renditions are all alike, so that the threshold of clean photos would take any for any other.
            self.matcher.add(
                one,
                variant,
                "portraits",
                "probes alike",
                probes=self.matcher.side(one, theirs),
                gallery=self.matcher.side(one, mine),
                own=True,
            )
        self._learned(variant, gallery, others)

    def _learned(self, variant: Variant, gallery: Sequence[Sample], others: Sequence[Sample]) -> None:
        samples = [*gallery, *others]
        people = [sample.photo.subjects[0].person for sample in samples]
        half = learned.halves(people)
        if half.all() or not half.any():
            return
        known, given = slice(0, len(gallery)), half[: len(gallery)]
        for one in self.matcher.recognisers:
            features = learned.features(known_chips(samples, one))
            clear = [chip(each.photo.picture, each.photo.subjects[0].points, one) for each in samples]
            pixels = learned.across(
                features, learned.targets(clear), features[known], first=half, given_first=given
            )
            restored = self.matcher.nets.embed(one, learned.pictured(pixels, one.size))
            vectors = self.matcher.nets.embed(one, clear, keep=True)
            guessed = learned.across(features, vectors, features[known], first=half, given_first=given)
            for name, rows in (("learned pixels", restored), ("learned vectors", guessed)):
                self.matcher.add(
                    one,
                    variant,
                    "portraits",
                    name,
                    probes=self.matcher.probes(one, but=1),
                    gallery=Side([row[None] for row in rows], people[known]),
                    # Guesses lie between all faces, nearer to any than faces are to each other.
                    own=rows is guessed,
                )

    def _five(self, variant: Variant) -> None:
        """Give the gallery five pictures of each person: two photos, their mirrors, a tighter cut of the first."""
        pictures = [
            picture
            for photos in self.people.values()
            if len(photos) > 2
            for first, second in [photos[:2]]
            for picture in (
                first,
                second,
                first.mirrored(),
                second.mirrored(),
                first.cropped(0.1, 0.08, 0.06, 0.1),
            )
        ]
        if pictures:
            self._against_clean(variant, "five of each", "as served", self._served(variant, pictures), but=2)

    def _groups(self, variant: Variant) -> None:
        """Put twelve people in a picture: in rows, and in one long strip."""
        for scene, columns in (("groups", 4), ("strips", 12)):
            got = self._served(variant, composed(self._gallery, columns=columns))
            for attack in _BRIEFLY:
                self._against_clean(
                    variant, scene, attack, _attacked(got, attack, None), look=3 * columns * 100
                )

    def _turned(self, variant: Variant) -> None:
        """Turn every photo, as cameras do that are held askew; the harvester turns them back."""
        photos = [photo.turned(_TURNS[place % len(_TURNS)]) for place, photo in enumerate(self._gallery)]
        self._against_clean(variant, "turned", "as served", self._served(variant, photos), look=0)

    def _same(self, variant: Variant) -> None:
        photos = [photo for photo in self.groups if photo.subjects]
        if not photos:
            return
        got = self._served(variant, photos)
        mirrors = [photo.mirrored() for photo in photos]
        for attack in _BRIEFLY[: 1 if variant.rendition is Rendition.ORIGINAL else None]:
            faces = self.matcher.look(_attacked(got, attack, None), _LOOK_GROUP)
            for one in self.matcher.recognisers:
                chips = [
                    chip(each.picture, subject.points, one) for each in mirrors for subject in each.subjects
                ]
                rows = self.matcher.nets.embed(one, chips, keep=True)
                self.matcher.add(
                    one,
                    variant,
                    "same photo",
                    attack,
                    probes=Side([row[None] for row in rows], faces.people),
                    gallery=self.matcher.side(one, faces),
                    seen=faces.seen,
                    ranked=False,
                )

    def _against_clean(
        self,
        variant: Variant,
        scene: str,
        attack: str,
        gallery: Sequence[Sample],
        *,
        look: int = _LOOK,
        but: int = 1,
    ) -> None:
        """Add a cell for each recogniser: probes are each person's photos but the first."""
        faces = self.matcher.look(gallery, look)
        for one in self.matcher.recognisers:
            probes, mine = self.matcher.probes(one, but=but), self.matcher.side(one, faces)
            self.matcher.add(one, variant, scene, attack, probes=probes, gallery=mine, seen=faces.seen)

    def _served(self, variant: Variant, photos: Sequence[Photo]) -> list[Sample]:
        got = served(variant, photos)
        lost = sum(one.placeholder for one in got)
        if lost:
            self.placeholders[variant.name] = self.placeholders.get(variant.name, 0) + lost
        return [sampled(variant, photo, one.picture) for photo, one in zip(photos, got, strict=True)]


def _attacked(got: Sequence[Sample], attack: str, mark: NDArray[np.bool_] | None) -> list[Sample]:
    made = []
    for sample in got:
        width, height = sample.photo.picture.size
        boxes = [subject.box() for subject in sample.photo.subjects]
        ovals = tuple((box[0] / width, box[1] / height, box[2] / width, box[3] / height) for box in boxes)
        made.append(Sample(sample.photo, ATTACKS[attack](sample.picture, Known(ovals, mark))))
    return made


def likeness(got: Sequence[Sample], closely: FaceFinder | None = None) -> metrics.Likeness:
    """Return the structural similarity of renditions with their originals, at the size they are served, outside faces.

    Whatever else was done counts against a rendition: its encoding, the site's badge, and veils over what is no face.
    Faces are the photo's known ones and what ``closely`` finds in the original. A picture that is all face has none.
    """
    values = []
    for sample in got:
        small = working(sample.picture)
        original = sample.photo.picture.resize(small.size, Image.Resampling.BOX)
        found = closely.find(sample.photo.picture) if closely else []
        boxes = [(face.x, face.y, face.x + face.width, face.y + face.height) for face in found]
        hidden = sample.photo.hidden(small.size, boxes)
        values.append(metrics.similarity_outside(np.asarray(original), np.asarray(small), hidden))
    return metrics.likeness_of(values)
