"""The recognisers' own process and the graph that it runs, on a net made here."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from loadtests.faces.graph import Graph
from loadtests.faces.recognisers import RECOGNISERS, Nets

if TYPE_CHECKING:
    from pathlib import Path

FACERES = next(one for one in RECOGNISERS if one.name == "faceres")
KERNEL, EACH = np.arange(27, dtype="<f2").reshape(3, 3, 3, 1), np.ones((3, 3, 1, 1), "<f2")


def write_net(folder: Path, name: str, wanted: str) -> None:
    """Write a graph: a convolution with padding SAME at a stride of two, then each channel with its own, then a mean."""
    attributes = {"padding": {"s": "U0FNRQ=="}, "strides": {"list": {"i": ["1", "2", "2", "1"]}}}
    nodes: list[dict[str, Any]] = [
        {"name": "given", "op": "Placeholder"},
        *({"name": constant, "op": "Const"} for constant in ("kernel", "each", "axes")),
        {"name": "mixed", "op": "Conv2D", "input": ["given", "kernel"], "attr": attributes},
        {"name": "apart", "op": "DepthwiseConv2dNative", "input": ["mixed:0", "each"], "attr": attributes},
        {"name": wanted, "op": "Mean", "input": ["apart", "axes"]},
    ]
    half = {"dtype": "float32", "quantization": {"dtype": "float16"}}
    weights = [
        {"name": "kernel", "shape": [3, 3, 3, 1], **half},
        {"name": "each", "shape": [3, 3, 1, 1], **half},
        {"name": "axes", "shape": [2], "dtype": "int32"},
    ]
    model = {"modelTopology": {"node": nodes}, "weightsManifest": [{"weights": weights}]}
    (folder / f"{name}.json").write_text(json.dumps(model))
    axes = np.array([1, 2], "<i4")
    (folder / f"{name}.bin").write_bytes(KERNEL.tobytes() + EACH.tobytes() + axes.tobytes())


def test_a_graph_is_run_as_tensorflow_defines_it(tmp_path: Path) -> None:
    write_net(tmp_path, "net", "mean")
    given = np.arange(48, dtype=np.float32).reshape(1, 4, 4, 3)
    # An even side at a stride of two is padded below and to the right only.
    wide = np.pad(given[0], ((0, 1), (0, 1), (0, 0)))
    by_hand = [(wide[y : y + 3, x : x + 3] * KERNEL[..., 0]).sum() for y in (0, 2) for x in (0, 2)]
    graph = Graph(tmp_path / "net.json", tmp_path / "net.bin")
    assert graph.run(given, "mixed").ravel().tolist() == by_hand
    assert graph.run(given, "mean").tolist() == [[sum(by_hand)]]


def test_vectors_come_from_another_process_and_are_kept(tmp_path: Path) -> None:
    """What is kept is not asked for again: it is still there when the net has changed."""
    write_net(tmp_path, "faceres", "global_pooling/Mean")
    chance = np.random.default_rng(1)
    chips = [chance.integers(0, 255, (8, 8, 3), np.uint8) for _ in range(30)]
    with Nets(sys.executable, tmp_path, memory=tmp_path / "kept") as nets:
        assert nets.names == ("faceres",)
        rows = nets.embed(FACERES, chips, keep=True)
        assert rows.shape == (30, 1)
        assert np.array_equal(nets.embed(FACERES, chips[7:9]), rows[7:9])
    write_net(tmp_path, "faceres", "global_pooling/Mean")
    with (tmp_path / "faceres.bin").open("r+b") as weights:
        weights.write(bytes(54))
    with Nets(sys.executable, tmp_path, memory=tmp_path / "kept") as nets:
        assert np.array_equal(nets.embed(FACERES, chips, keep=True), rows)
        assert not nets.embed(FACERES, chips).any()


def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    with Nets(sys.executable, tmp_path, memory=tmp_path) as nets:
        assert nets.names == ()
        assert "faceres.json" in nets.missing["faceres"]
        if not nets.finds:
            assert "Module" in nets.missing["finder"]
            assert nets.find(Image.new("RGB", (64, 64)), look=64) == []


def test_a_process_that_ends_is_no_silence(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match="has ended"):
        Nets("false", tmp_path, memory=tmp_path)
