"""A photograph and a key that the tests of traces share."""

from __future__ import annotations

import hashlib
import io

import pytest
from PIL import Image

PAYLOAD = 0x7A5C3E1F0B2D49
ANOTHER = 0x13579BDF02468A


@pytest.fixture(scope="session")
def key() -> bytes:
    return hashlib.sha256(b"a pattern's key").digest()


@pytest.fixture(scope="session")
def portrait(photo: bytes) -> Image.Image:
    with Image.open(io.BytesIO(photo)) as opened:
        return opened.convert("RGB")
