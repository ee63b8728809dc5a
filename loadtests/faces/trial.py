"""The faces trial itself: what each recogniser makes of each rendition after each attack.

The gallery is what a harvester got, the probes are photos that it meets later. A face of the gallery is looked at twice: where
the detector finds it in the rendition, and where it was in the original, which a harvester could know. A face that the
rendition failed to hide therefore counts with all that it leaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from antiscrape.core.verdict import Rendition
from loadtests.faces import learned, metrics
from loadtests.faces.attacks import ATTACKS, Known, mark_of, sharpened, working
from loadtests.faces.photos import Photo, composed
from loadtests.faces.recognisers import RECOGNISERS, Nets, Recogniser, chip
from loadtests.faces.renditions import Variant, served, ten_copies, ten_crops

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from loadtests.faces.metrics import Floats, Share
    from loadtests.faces.renditions import Served

    Chip = NDArray[np.uint8]
    Points = NDArray[np.float64]

#: Pairs of different people that may pass for one, of those of clean photos.
FALSE_ACCEPTS = 1e-3
#: Pixels of the long side at which the harvester's detector looks at renditions: portraits, groups.
_LOOK, _LOOK_GROUP = 480, 1200
#: Attacks that group photos are tried with: the faces in them are small, and restorations bring back nothing more.
_BRIEFLY = ("as served", "unsharp")


class Cell(NamedTuple):
    """One figure: ``rank`` and ``match`` (rank-1, and true matches at the clean threshold) of one recogniser.

    ``apart`` is as ``match``, at a threshold that the renditions' own pairs set; ``seen`` how many of the faces a detector
    found in the rendition. Where no rank makes sense (each face is its own person), ``rank`` is of nothing.
    """

    scene: str
    variant: str
    attack: str
    recogniser: str
    rank: Share
    match: Share
    apart: Share
    seen: Share
    judged: bool


class Sample(NamedTuple):
    """A rendition's look, and how it was got."""

    photo: Photo
    picture: Image.Image


@dataclass(slots=True)
class Trial:
    """What is tried, with whom and by which recognisers; ``cells`` grows as it goes."""

    nets: Nets
    people: dict[str, list[Photo]]
    groups: list[Photo]
    recognisers: tuple[Recogniser, ...] = RECOGNISERS
    attacks: tuple[str, ...] = tuple(ATTACKS)
    repeated: bool = True
    note: Callable[[str], None] = lambda _: None
    cells: list[Cell] = field(default_factory=list)
    placeholders: dict[str, int] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    likeness: dict[str, float] = field(default_factory=dict)
    _clean: dict[str, dict[str, list[Floats]]] = field(default_factory=dict)

    def clean(self) -> None:
        """Look at the originals, and set each recogniser's threshold by pairs of different people."""
        for recogniser in self.recognisers:
            rows = {
                person: [self._clean_vector(recogniser, photo) for photo in photos]
                for person, photos in self.people.items()
            }
            self._clean[recogniser.name] = rows
            self.limits[recogniser.name] = recogniser.usual
            vectors = [row for those in rows.values() for row in those]
            who = [person for person, those in rows.items() for _ in those]
            if len(rows) >= 10:
                matrix = metrics.distances(vectors, vectors, cosine=recogniser.cosine)
                upper = np.triu(~metrics.same(who, who), 1)
                self.limits[recogniser.name] = metrics.threshold(matrix[upper], FALSE_ACCEPTS)

    def run(self, variant: Variant) -> None:
        """Try one rendition in every scene."""
        if self.people:
            self._portraits(variant)
        self._real_groups(variant)

    def _portraits(self, variant: Variant) -> None:
        gallery = [photos[0] for photos in self.people.values()]
        others = [photo for photos in self.people.values() for photo in photos[1:]]
        self.note(f"{variant.name}: portraits")
        got = self._served(variant, gallery)
        mark = mark_of([sample.picture for sample in got])
        if variant.rendition is Rendition.ORIGINAL:
            self._against_clean(variant, "portraits", "as served", got)
            return
        self.likeness[variant.name] = likeness(got)
        for attack in self.attacks:
            self._against_clean(variant, "portraits", attack, self._attacked(got, attack, mark))
        if self.repeated:
            for name, made in (("ten copies", ten_copies), ("ten crops", ten_crops)):
                means = made(variant, gallery)
                self._against_clean(
                    variant,
                    "portraits",
                    name,
                    list(map(Sample, gallery, (sharpened(one, Known()) for one in means))),
                )
        self.note(f"{variant.name}: probes alike, learned, five of each, groups")
        probes = self._served(variant, others)
        self._alike(variant, got, probes)
        self._learned(variant, got, probes)
        self._five(variant)
        groups = self._served(variant, composed(gallery))
        for attack in _BRIEFLY:
            self._against_clean(
                variant, "groups", attack, self._attacked(groups, attack, None), look=_LOOK_GROUP
            )

    def _served(self, variant: Variant, photos: Sequence[Photo]) -> list[Sample]:
        got: list[Served] = served(variant, photos)
        lost = sum(one.placeholder for one in got)
        if lost:
            self.placeholders[variant.name] = self.placeholders.get(variant.name, 0) + lost
        return [Sample(photo, one.picture) for photo, one in zip(photos, got, strict=True)]

    def _attacked(self, got: Sequence[Sample], attack: str, mark: NDArray[np.bool_] | None) -> list[Sample]:
        made = []
        for sample in got:
            width, height = sample.photo.picture.size
            scale = np.array([width, height, width, height])
            boxes = [np.array(subject.box()) / scale for subject in sample.photo.subjects]
            ovals = tuple((float(b[0]), float(b[1]), float(b[2]), float(b[3])) for b in boxes)
            made.append(Sample(sample.photo, ATTACKS[attack](sample.picture, Known(ovals, mark))))
        return made

    def _against_clean(
        self, variant: Variant, scene: str, attack: str, gallery: Sequence[Sample], *, look: int = _LOOK
    ) -> None:
        """Add a cell for each recogniser: probes are each person's photos but the first."""
        chips, who, seen = self._looked_at(gallery, look)
        for recogniser in self.recognisers:
            vectors = self._vectors(recogniser, chips)
            probes, owners = self._probes(recogniser, range(1, 99))
            self._add(
                variant, scene, attack, recogniser, probes=(probes, owners), gallery=(vectors, who), seen=seen
            )

    def _alike(self, variant: Variant, gallery: Sequence[Sample], probes: Sequence[Sample]) -> None:
        """Let the harvester treat its probes as the gallery was treated: by asking us."""
        chips, who, seen = self._looked_at(gallery, 0)
        probe_chips, owners, _ = self._looked_at(probes, 0)
        for recogniser in self.recognisers:
            pair = (self._vectors(recogniser, probe_chips), owners)
            vectors = (self._vectors(recogniser, chips), who)
            # Renditions are all alike, so that the threshold of clean photos would take any for any other.
            self._add(
                variant,
                "portraits",
                "probes alike",
                recogniser,
                probes=pair,
                gallery=vectors,
                seen=seen,
                own=True,
            )

    def _learned(self, variant: Variant, gallery: Sequence[Sample], others: Sequence[Sample]) -> None:
        """Restore faces, and guess vectors, by what photos and renditions of other people teach."""
        samples = [*gallery, *others]
        people = [sample.photo.subjects[0].person for sample in samples]
        half = learned.halves(people)
        given = half[: len(gallery)]
        if half.all() or not half.any():
            return
        seen = metrics.Share(0, 0)
        for recogniser in self.recognisers:
            dim = [_chips(sample, (recogniser,))[0][recogniser.name] for sample in samples]
            clear = [chip(one.photo.picture, one.photo.subjects[0].points, recogniser) for one in samples]
            features = learned.features(dim)
            known = features[: len(gallery)]
            pixels = learned.across(features, learned.targets(clear), known, first=half, given_first=given)
            restored = self.nets.embed(recogniser, learned.pictured(pixels, recogniser.size))
            vectors = self.nets.embed(recogniser, clear, keep=True)
            guessed = learned.across(features, vectors, known, first=half, given_first=given)
            pair = self._probes(recogniser, range(1, 99))
            for name, rows in (("learned pixels", restored), ("learned vectors", guessed)):
                entries = ([row[None] for row in rows], people[: len(gallery)])
                self._add(variant, "portraits", name, recogniser, probes=pair, gallery=entries, seen=seen)

    def _five(self, variant: Variant) -> None:
        """Give the gallery five pictures of each person: two photos, their mirrors, a tighter cut of the first."""
        several = {person: photos for person, photos in self.people.items() if len(photos) > 2}
        pictures = [
            picture
            for first, second, *_ in several.values()
            for picture in (
                first,
                second,
                first.mirrored(),
                second.mirrored(),
                first.cropped(0.1, 0.08, 0.06, 0.1),
            )
        ]
        if not pictures:
            return
        chips, who, seen = self._looked_at(self._served(variant, pictures), 0)
        for recogniser in self.recognisers:
            vectors = (self._vectors(recogniser, chips), who)
            pair = self._probes(recogniser, range(2, 99))
            self._add(
                variant, "five of each", "as served", recogniser, probes=pair, gallery=vectors, seen=seen
            )

    def _real_groups(self, variant: Variant) -> None:
        """Compare each face of the real photos with itself in the mirror: the easiest probe that there is."""
        photos = [photo for photo in self.groups if photo.subjects]
        if not photos:
            return
        self.note(f"{variant.name}: real groups")
        got = self._served(variant, photos)
        for attack in _BRIEFLY[: 1 if variant.rendition is Rendition.ORIGINAL else None]:
            chips, who, seen = self._looked_at(self._attacked(got, attack, None), _LOOK_GROUP)
            for recogniser in self.recognisers:
                mirrors = [
                    np.ascontiguousarray(chip(one.picture, one.subjects[i].points, recogniser))
                    for one in (photo.mirrored() for photo in photos)
                    for i in range(len(one.subjects))
                ]
                probes = [row[None] for row in self.nets.embed(recogniser, mirrors, keep=True)]
                vectors = (self._vectors(recogniser, chips), who)
                self._add(
                    variant,
                    "same photo",
                    attack,
                    recogniser,
                    probes=(probes, who),
                    gallery=vectors,
                    seen=seen,
                )

    def _looked_at(
        self, samples: Sequence[Sample], look: int
    ) -> tuple[list[dict[str, list[Chip]]], list[str], Share]:
        """Return each face's chips by recogniser, whose face it is, and how many a detector found (``look`` 0: not tried)."""
        entries, who, hits = [], [], 0
        for sample in samples:
            found = [one.points for one in self.nets.find(sample.picture, look=look)] if look else []
            for index, subject in enumerate(sample.photo.subjects):
                scale = np.array(sample.picture.size) / np.array(sample.photo.picture.size)
                known = subject.points * scale
                mine = [known, *(points for points in found if _overlap(points, known))][:2]
                hits += len(mine) > 1
                entries.append(
                    {
                        one.name: [chip(sample.picture, points, one) for points in mine]
                        for one in self.recognisers
                    }
                )
                who.append(sample.photo.subjects[index].person)
        return entries, who, metrics.Share(hits, len(who) if look else 0)

    def _vectors(self, recogniser: Recogniser, entries: Sequence[dict[str, list[Chip]]]) -> list[Floats]:
        flat = [one for entry in entries for one in entry[recogniser.name]]
        rows = self.nets.embed(recogniser, flat)
        ends = np.cumsum([len(entry[recogniser.name]) for entry in entries])
        return np.split(rows, ends[:-1])

    def _probes(self, recogniser: Recogniser, which: range) -> tuple[list[Floats], list[str]]:
        rows = self._clean[recogniser.name]
        chosen = [
            (row, person)
            for person, those in rows.items()
            for place, row in enumerate(those)
            if place in which
        ]
        return [row for row, _ in chosen], [person for _, person in chosen]

    def _clean_vector(self, recogniser: Recogniser, photo: Photo) -> Floats:
        one = chip(photo.picture, photo.subjects[0].points, recogniser)
        return self.nets.embed(recogniser, [one], keep=True)

    def _add(
        self,
        variant: Variant,
        scene: str,
        attack: str,
        recogniser: Recogniser,
        *,
        probes: tuple[list[Floats], list[str]],
        gallery: tuple[list[Floats], list[str]],
        seen: Share,
        own: bool = False,
    ) -> None:
        matrix = metrics.distances(probes[0], gallery[0], cosine=recogniser.cosine)
        alike = metrics.same(probes[1], gallery[1])
        limit = self.limits[recogniser.name]
        theirs = metrics.threshold(matrix[~alike], FALSE_ACCEPTS) if (~alike).any() else limit
        rank = metrics.rank_one(matrix, alike) if scene != "same photo" else metrics.Share(0, 0)
        cell = Cell(
            scene,
            variant.name,
            attack,
            recogniser.name,
            rank,
            metrics.verified(matrix, alike, theirs if own else limit),
            metrics.verified(matrix, alike, theirs),
            seen,
            variant.judged,
        )
        self.cells.append(cell)


def likeness(got: Sequence[Sample]) -> float:
    """Return the mean structural similarity of renditions with their originals, at their size, outside faces."""
    values = []
    for sample in got:
        small = working(sample.picture)
        original = sample.photo.picture.resize(small.size, Image.Resampling.BOX)
        hidden = sample.photo.hidden(small.size)
        values.append(metrics.similarity_outside(np.asarray(original), np.asarray(small), hidden))
    return float(np.nanmean(values))


def _chips(sample: Sample, recognisers: Sequence[Recogniser]) -> list[dict[str, Chip]]:
    """Return the chips of each face where it was in the original."""
    scale = np.array(sample.picture.size) / np.array(sample.photo.picture.size)
    return [
        {one.name: chip(sample.picture, subject.points * scale, one) for one in recognisers}
        for subject in sample.photo.subjects
    ]


def _overlap(points: Points, known: Points) -> bool:
    """Tell whether found landmarks are those of a known face: their middles are within half the face's width."""
    apart = float(np.linalg.norm(points.mean(0) - known.mean(0)))
    return apart < 0.5 * float(np.ptp(known[:, 0]))
