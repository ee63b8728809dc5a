"""The harvester's face recognisers: landmarks, aligned chips, and vectors from a process of their own.

Each recogniser sees a face the way that its makers trained it: turned upright and cropped by where eyes, nose and mouth
are. Where these are comes either from the rendition itself, or from the original, which a harvester could know too.
"""

from __future__ import annotations

import json
import os
import subprocess
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Points = NDArray[np.float64]

#: Of the 68 landmarks (iBUG 300-W), those of the left and right eye; the picture's left.
_LEFT, _RIGHT = slice(36, 42), slice(42, 48)
#: Chips that one request carries; two dozen of 150 x 150 are 1.6 MB.
_BATCH = 24


class Recogniser(NamedTuple):
    """How one recogniser wants its faces, and how it compares them.

    ``template`` are the places, as shares of the chip's side ``size``, that the points ``landmarks`` are brought to.
    ``usual`` is the distance that one pair in a thousand of different people is nearer than, measured on clean photos of
    60 people: what counts where there are no such photos to measure it on.
    """

    name: str
    size: int
    landmarks: str
    template: tuple[tuple[float, float], ...]
    cosine: bool
    usual: float


#: Eye corners and the base of the nose in the mean face of dlib's ``get_face_chip_details``, a quarter padded.
_DLIB = tuple(
    ((0.25 + x) / 1.5, (0.25 + y) / 1.5)
    for x, y in (
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    )
)
#: Eyes, tip of the nose and corners of the mouth of ArcFace's 112 x 112 chips (Deng and others, 2019).
_ARCFACE = tuple(
    (x / 112, y / 112)
    for x, y in (
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    )
)
#: FaceRes was trained on loose crops of a detector's box: the same five points, nearer to the middle.
_LOOSE = tuple((0.5 + 0.85 * (x - 0.5), 0.5 + 0.85 * (y - 0.56)) for x, y in _ARCFACE)

RECOGNISERS = (
    Recogniser("dlib", 150, "corners", _DLIB, cosine=False, usual=0.55),
    Recogniser("mobilefacenet", 112, "centres", _ARCFACE, cosine=True, usual=0.5),
    Recogniser("faceres", 224, "centres", _LOOSE, cosine=True, usual=0.44),
)


class Found(NamedTuple):
    """A face that a detector found: its box and 68 landmarks, in pixels of the picture it was given."""

    box: tuple[float, ...]
    score: float
    points: Points


class Nets:
    """The process that holds the detector and the nets; a context manager.

    ``missing`` tells by name why a part cannot be had. Vectors that are asked for with ``keep`` are kept under
    ``memory`` by their chips' content, so that the originals are looked at once and not once a trial.
    """

    def __init__(self, python: str, weights: Path, *, memory: Path) -> None:
        alone = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [python, "-m", "loadtests.faces.nets", str(weights)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=alone,
        )
        self._memory = memory
        try:
            offer = self._answer()
        except ChildProcessError:
            self.close()
            raise
        self.missing: dict[str, str] = offer["missing"]
        self.finds: bool = offer["finder"]
        self.names: tuple[str, ...] = tuple(offer["nets"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up and wait for the process to end, half a minute at most."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def find(self, picture: Image.Image, *, look: int, more: int = 0, keep: bool = False) -> list[Found]:
        """Return the faces found in ``picture`` reduced to ``look`` pixels on the long side, the surest first.

        ``more`` doublings of what is looked at find smaller faces; ``keep`` is as for vectors.
        """
        scale = min(1.0, look / max(picture.size))
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        small = picture.convert("RGB").resize(size, Image.Resampling.BOX)
        pixels = np.asarray(small)
        back = picture.width / small.width
        found = [
            Found(tuple(edge * back for edge in face["box"]), face["score"], np.array(face["points"]) * back)
            for face in self._faces(pixels, more, keep=keep)
        ]
        return sorted(found, key=lambda face: -face.score)

    def _faces(self, pixels: NDArray[np.uint8], more: int, *, keep: bool) -> list[dict[str, Any]]:
        name = blake2b(pixels.tobytes(), digest_size=16, key=repr((pixels.shape, more)).encode()).hexdigest()
        place = self._memory / "finder" / f"{name}.json"
        if keep and place.exists():
            known: list[dict[str, Any]] = json.loads(place.read_bytes())
            return known
        found: list[dict[str, Any]] = self._call({"call": "find", "more": more}, pixels)["faces"]
        if keep:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(found))
        return found

    def embed(
        self, recogniser: Recogniser, chips: Sequence[NDArray[np.uint8]], *, keep: bool = False
    ) -> Floats:
        """Return a row for each chip."""
        rows: list[Floats | None] = [None] * len(chips)
        paths = [self._place(recogniser, chip) for chip in chips] if keep else []
        for index, path in enumerate(paths):
            if path.exists():
                rows[index] = np.load(path)
        lacking = [index for index, row in enumerate(rows) if row is None]
        for start in range(0, len(lacking), _BATCH):
            part = lacking[start : start + _BATCH]
            order = {"call": "embed", "net": recogniser.name}
            made = self._vectors(order, np.stack([chips[index] for index in part]))
            for index, row in zip(part, made, strict=True):
                rows[index] = row
                if keep:
                    paths[index].parent.mkdir(parents=True, exist_ok=True)
                    np.save(paths[index], row)
        return np.stack([row for row in rows if row is not None])

    def _place(self, recogniser: Recogniser, chip: NDArray[np.uint8]) -> Path:
        name = blake2b(chip.tobytes(), digest_size=16, key=recogniser.name.encode()).hexdigest()
        return self._memory / recogniser.name / f"{name}.npy"

    def _vectors(self, order: dict[str, Any], pixels: NDArray[np.uint8]) -> Floats:
        shape = self._call(order, pixels)["shape"]
        stream = self._process.stdout
        raw = stream.read(4 * shape[0] * shape[1]) if stream else b""
        return np.frombuffer(raw, "<f4").reshape(shape)

    def _call(self, order: dict[str, Any], pixels: NDArray[np.uint8]) -> dict[str, Any]:
        stream = self._process.stdin
        if stream is None:
            raise ChildProcessError("the recognisers' process has no standard input")
        stream.write(json.dumps({**order, "shape": pixels.shape}).encode() + b"\n" + pixels.tobytes())
        stream.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise ChildProcessError("the recognisers' process has ended")
        told: dict[str, Any] = json.loads(line)
        return told


def chip(picture: Image.Image, points: Points, recogniser: Recogniser) -> NDArray[np.uint8]:
    """Return the face whose 68 landmarks are ``points`` as ``recogniser`` wants it."""
    wanted = np.array(recogniser.template) * recogniser.size
    given = _corners(points) if recogniser.landmarks == "corners" else _centres(points)
    # From the chip to the picture: the direction that Pillow's affine transform asks for.
    turn, shift = fitted(wanted, given)
    reduced = max(1, int(np.sqrt(abs(np.linalg.det(turn)))))
    if reduced > 1:
        picture = picture.reduce(reduced)
        turn, shift = turn / reduced, shift / reduced
    matrix = (turn[0, 0], turn[0, 1], shift[0], turn[1, 0], turn[1, 1], shift[1])
    side = (recogniser.size, recogniser.size)
    return np.asarray(picture.transform(side, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC))


def fitted(source: Points, target: Points) -> tuple[Points, Points]:
    """Return the turn with scale and the shift that bring ``source`` nearest to ``target`` (Umeyama, 1991)."""
    mean_source, mean_target = source.mean(0), target.mean(0)
    left, right = source - mean_source, target - mean_target
    u, stretch, v = np.linalg.svd(right.T @ left)
    keep = np.array([1.0, np.sign(np.linalg.det(u @ v))])
    turn = (u * keep) @ v * ((stretch * keep).sum() / (left**2).sum())
    return turn, mean_target - turn @ mean_source


def _corners(points: Points) -> Points:
    return points[[45, 42, 36, 39, 33]]


def _centres(points: Points) -> Points:
    return np.stack([points[_LEFT].mean(0), points[_RIGHT].mean(0), points[30], points[48], points[54]])
