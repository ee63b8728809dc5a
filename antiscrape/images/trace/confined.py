"""Opening a file that was found somewhere: in a process of its own, which then can do nothing else.

A copy found on the net is a stranger's file. It is decoded as a visitor's pictures are (``images.worker``): by a
process without a secret, that has given up files, sockets and children, with bounds on memory and time. What comes
back is a width, a height, and that many bytes of brightness, in which nothing can hide.
"""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from struct import Struct
from typing import Final

from PIL import Image, features

from antiscrape.images.decode import Refused, decode, limit_pixels
from antiscrape.images.formats import Format
from antiscrape.images.steps import upright
from antiscrape.images.worker import check_libraries, confine

_SIZE: Final = Struct("!II")
#: Seconds and bytes of address space that one file may take.
TIMEOUT: Final = 60.0
MEMORY: Final = 2**30
_CARD: Final = 32

_BOOTSTRAP: Final = "import sys; sys.path += sys.argv[1:3]; from antiscrape.images.trace.confined import main; main(sys.argv[3])"


def open_confined(source: bytes, *, max_pixels: int) -> Image.Image:
    """Return the brightness (mode L) of the encoded picture ``source``, upright, decoded in a confined process.

    Raise :class:`~antiscrape.images.decode.Refused` where that fails, for whatever reason.
    """
    pillow = importlib.util.find_spec("PIL")
    if pillow is None or pillow.origin is None:
        raise Refused("Pillow is not installed")
    ours, pillows = Path(__file__).resolve().parents[3], Path(pillow.origin).resolve().parents[1]
    command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, str(ours), str(pillows), str(max_pixels)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, no shell, no client text
            command,
            input=source,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            cwd="/",
            env={"LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"decoding takes longer than {TIMEOUT:.0f} s") from None
    size, plane = done.stdout[: _SIZE.size], done.stdout[_SIZE.size :]
    if done.returncode or len(size) < _SIZE.size:
        raise Refused("not a picture that can be decoded")
    width, height = _SIZE.unpack(size)
    if not 0 < width * height == len(plane) <= max_pixels:
        raise Refused("the decoder talks nonsense")
    return Image.frombytes("L", (width, height), plane)


def main(max_pixels: str) -> None:
    """Decode what stands on standard input and write its brightness to standard output; exit with 1 where it cannot."""
    most = int(max_pixels)
    try:
        check_libraries()
        limit_pixels(most)
        _rehearse()
        confine(MEMORY)
        picture = upright(decode(sys.stdin.buffer.read(), max_pixels=most, enough=most))
        grey = picture.pixels.convert("RGB").convert("L")
        sys.stdout.buffer.write(_SIZE.pack(*grey.size) + grey.tobytes())
    except Exception:  # noqa: BLE001 - decoders raise anything at hostile bytes, and the caller asks no more than whether
        sys.exit(1)


def _rehearse() -> None:
    """Decode a card in every format, for no codec can be loaded after :func:`confine`."""
    card = Image.linear_gradient("L").resize((_CARD, _CARD)).convert("RGB")
    for kind in Format:
        if kind in {Format.WEBP, Format.AVIF} and not features.check(kind.value.lower()):
            continue
        sample = io.BytesIO()
        card.save(sample, kind.value)
        upright(decode(sample.getvalue(), max_pixels=_CARD**2, enough=_CARD))
