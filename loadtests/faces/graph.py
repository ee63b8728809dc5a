"""Runs a small TensorFlow.js graph with numpy: as much of it as a MobileNet needs, and no more.

A recogniser that ships in this format (FaceRes, 1,024 numbers before its heads) would otherwise need a JavaScript
runtime. Operations and their meaning: TensorFlow's ``Conv2D``, ``DepthwiseConv2dNative``, padding ``SAME`` as in its
documentation of convolution.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4"}


class Graph:
    """A graph model: the nodes of ``topology`` (JSON) with the constants of ``weights``."""

    def __init__(self, topology: Path, weights: Path) -> None:
        model = json.loads(topology.read_bytes())
        self._nodes: dict[str, dict[str, Any]] = {
            node["name"]: node for node in model["modelTopology"]["node"]
        }
        self._constants = _constants(model["weightsManifest"], weights.read_bytes())

    def run(self, given: Floats, wanted: str) -> Floats:
        """Return the value of the node ``wanted`` for one batch of ``given`` pictures (n, height, width, 3)."""
        values: dict[str, Any] = {}
        pending = [wanted]
        while pending:
            name = pending[-1]
            node = self._nodes[name]
            inputs = [text.split(":")[0] for text in node.get("input", []) if not text.startswith("^")]
            lacking = [text for text in inputs if text not in values]
            if lacking:
                pending.extend(lacking)
                continue
            if name not in values:
                values[name] = self._value(node, [values[text] for text in inputs], given)
            pending.pop()
        return np.asarray(values[wanted], np.float32)

    def _value(self, node: dict[str, Any], inputs: list[Any], given: Floats) -> Any:
        if node["op"] == "Const":
            return self._constants[node["name"]]
        if node["op"] == "Placeholder":
            return given
        return _OPERATIONS[node["op"]](node.get("attr", {}), *inputs)


def _constants(manifest: list[dict[str, Any]], raw: bytes) -> dict[str, Floats]:
    found: dict[str, Any] = {}
    start = 0
    for weight in (weight for group in manifest for weight in group["weights"]):
        kind = weight.get("quantization", {}).get("dtype", weight["dtype"])
        count = int(np.prod(weight["shape"], dtype=int))
        part = np.frombuffer(raw, _DTYPES[kind], count, start)
        start += part.nbytes
        found[weight["name"]] = part.astype(np.int32 if kind == "int32" else np.float32).reshape(
            weight["shape"]
        )
    return found


def _strides(attributes: dict[str, Any]) -> int:
    return int(attributes["strides"]["list"]["i"][1])


def _windows(pixels: Floats, size: int, step: int, attributes: dict[str, Any]) -> Floats:
    """Return every window that a kernel of ``size`` looks at: (n, rows, columns, channels, size, size)."""
    if base64.b64decode(attributes["padding"]["s"]) == b"SAME":
        edges = []
        for length in pixels.shape[1:3]:
            lacking = max((-(-length // step) - 1) * step + size - length, 0)
            edges.append((lacking // 2, lacking - lacking // 2))
        pixels = np.pad(pixels, ((0, 0), *edges, (0, 0)))
    return sliding_window_view(pixels, (size, size), (1, 2))[:, ::step, ::step]


def _convolved(attributes: dict[str, Any], pixels: Floats, kernel: Floats) -> Floats:
    step, size = _strides(attributes), kernel.shape[0]
    if size == 1:
        mixed: Floats = pixels[:, ::step, ::step] @ kernel[0, 0]
        return mixed
    windows = _windows(pixels, size, step, attributes)
    return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))


def _depthwise(attributes: dict[str, Any], pixels: Floats, kernel: Floats) -> Floats:
    windows = _windows(pixels, kernel.shape[0], _strides(attributes), attributes)
    total = np.zeros(windows.shape[:4], np.float32)
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            total += windows[..., row, column] * kernel[row, column, :, 0]
    return total


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "Conv2D": _convolved,
    "DepthwiseConv2dNative": _depthwise,
    "Add": lambda _, left, right: left + right,
    "Mul": lambda _, left, right: left * right,
    "Minimum": lambda _, left, right: np.minimum(left, right),
    "Maximum": lambda _, left, right: np.maximum(left, right),
    "Relu": lambda _, values: np.maximum(values, 0),
    "Mean": lambda _, values, axes: values.mean(axis=tuple(int(axis) for axis in np.ravel(axes))),
}
