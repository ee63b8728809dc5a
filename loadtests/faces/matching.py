"""How renditions are held against photos: chips of every face, vectors of chips, figures of vectors.

The gallery is what a harvester got, the probes are photos that it meets later. A face of the gallery is looked at twice: where
the detector finds it in the rendition, and where it was in the original, which a harvester could know. A face that the
rendition failed to hide therefore counts with all that it leaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from loadtests.faces import metrics
from loadtests.faces.recognisers import RECOGNISERS, Nets, Recogniser, chip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from loadtests.faces.metrics import Floats, Share
    from loadtests.faces.photos import Photo
    from loadtests.faces.renditions import Sample, Variant

    Chip = NDArray[np.uint8]
    Points = NDArray[np.float64]

#: Pairs of different people that may pass for one, of those of clean photos.
FALSE_ACCEPTS = 1e-3
#: People from which on clean photos set a threshold.
ENOUGH = 10


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


class Side(NamedTuple):
    """The gallery or the probes: a picture's vectors, a row for each look at it, and whose face it is."""

    vectors: list[Floats]
    people: list[str]


class Faces(NamedTuple):
    """The chips of each face by recogniser, whose face it is, and how many a detector found (of none: not tried)."""

    chips: list[dict[str, list[Chip]]]
    people: list[str]
    seen: Share


def summed(cells: Sequence[Cell]) -> list[Cell]:
    """Return one figure for those of several galleries."""
    sums: dict[tuple[str, ...], Cell] = {}
    for cell in cells:
        key = cell.scene, cell.variant, cell.attack, cell.recogniser
        before = sums.get(key)
        sums[key] = (
            cell
            if before is None
            else cell._replace(
                rank=before.rank.plus(cell.rank),
                match=before.match.plus(cell.match),
                apart=before.apart.plus(cell.apart),
                seen=before.seen.plus(cell.seen),
            )
        )
    return list(sums.values())


@dataclass(slots=True)
class Matcher:
    """The recognisers, what they know of clean photos, and the ``cells`` that came of it."""

    nets: Nets
    recognisers: tuple[Recogniser, ...] = RECOGNISERS
    cells: list[Cell] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    _clean: dict[str, dict[str, list[Floats]]] = field(default_factory=dict)

    def learn(self, people: Mapping[str, list[Photo]]) -> None:
        """Look at the originals, and set each recogniser's threshold by pairs of different people."""
        for recogniser in self.recognisers:
            rows = {
                person: [self._clean_vector(recogniser, photo) for photo in photos]
                for person, photos in people.items()
            }
            self._clean[recogniser.name] = rows
            self.limits[recogniser.name] = recogniser.usual
            vectors = [row for those in rows.values() for row in those]
            who = [person for person, those in rows.items() for _ in those]
            if len(rows) >= ENOUGH:
                matrix = metrics.distances(vectors, vectors, cosine=recogniser.cosine)
                upper = np.triu(~metrics.same(who, who), 1)
                self.limits[recogniser.name] = metrics.threshold(matrix[upper], FALSE_ACCEPTS)

    def look(self, samples: Sequence[Sample], look: int) -> Faces:
        """Return every face of ``samples``; ``look`` is where the detector works, in pixels of the long side, 0: nowhere."""
        entries, who, hits = [], [], 0
        for sample in samples:
            found = [one.points for one in self.nets.find(sample.picture, look=look)] if look else []
            scale = np.array(sample.picture.size) / np.array(sample.photo.picture.size)
            for subject in sample.photo.subjects:
                known = subject.points * scale
                mine = [known, *(points for points in found if overlap(points, known))][:2]
                hits += len(mine) > 1
                entries.append(
                    {
                        one.name: [chip(sample.picture, points, one) for points in mine]
                        for one in self.recognisers
                    }
                )
                who.append(subject.person)
        return Faces(entries, who, metrics.Share(hits, len(who) if look else 0))

    def side(self, recogniser: Recogniser, faces: Faces) -> Side:
        """Return the vectors of faces."""
        rows = self.nets.embed(recogniser, [one for entry in faces.chips for one in entry[recogniser.name]])
        ends = np.cumsum([len(entry[recogniser.name]) for entry in faces.chips])
        return Side(np.split(rows, ends[:-1]), faces.people)

    def probes(self, recogniser: Recogniser, *, but: int) -> Side:
        """Return the clean photos of each person but the first so many."""
        rows = self._clean[recogniser.name]
        pairs = [(row, person) for person, those in rows.items() for row in those[but:]]
        return Side([row for row, _ in pairs], [person for _, person in pairs])

    def add(
        self,
        recogniser: Recogniser,
        variant: Variant,
        scene: str,
        attack: str,
        *,
        probes: Side,
        gallery: Side,
        seen: Share | None = None,
        ranked: bool = True,
        own: bool = False,
    ) -> None:
        """Add a figure; with ``own``, matches are counted at the renditions' own threshold."""
        matrix = metrics.distances(probes.vectors, gallery.vectors, cosine=recogniser.cosine)
        alike = metrics.same(probes.people, gallery.people)
        limit = self.limits[recogniser.name]
        theirs = metrics.threshold(matrix[~alike], FALSE_ACCEPTS) if (~alike).any() else limit
        nothing = metrics.Share(0, 0)
        self.cells.append(
            Cell(
                scene,
                variant.name,
                attack,
                recogniser.name,
                metrics.rank_one(matrix, alike) if ranked else nothing,
                metrics.verified(matrix, alike, theirs if own else limit),
                metrics.verified(matrix, alike, theirs),
                seen or nothing,
                variant.judged,
            )
        )

    def _clean_vector(self, recogniser: Recogniser, photo: Photo) -> Floats:
        one = chip(photo.picture, photo.subjects[0].points, recogniser)
        return self.nets.embed(recogniser, [one], keep=True)


def known_chips(samples: Sequence[Sample], recogniser: Recogniser) -> list[Chip]:
    """Return the chip of each sample's first face, where it was in the original."""
    chips = []
    for sample in samples:
        scale = np.array(sample.picture.size) / np.array(sample.photo.picture.size)
        chips.append(chip(sample.picture, sample.photo.subjects[0].points * scale, recogniser))
    return chips


def overlap(points: Points, known: Points) -> bool:
    """Tell whether found landmarks are those of a known face: their middles are within half the face's width."""
    apart = float(np.linalg.norm(points.mean(0) - known.mean(0)))
    return apart < 0.5 * float(np.ptp(known[:, 0]))
