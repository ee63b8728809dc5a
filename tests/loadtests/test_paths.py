"""The rarer requests are measured by doing them."""

from __future__ import annotations

import io

from PIL import Image

from loadtests.bench.paths import memory
from loadtests.bench.site import gallery, photograph


def test_a_remembered_client_takes_some_hundred_bytes() -> None:
    once, viewer = memory(10_000)
    assert 100 < once.value < 5000
    assert 100 < viewer.value < 10_000


def test_the_photograph_has_the_size_of_one() -> None:
    picture = photograph(1280, 960)
    assert 60_000 < len(picture) < 400_000
    with Image.open(io.BytesIO(picture)) as opened:
        assert opened.size == (1280, 960)
    assert photograph(320, 240, seed=1) != photograph(320, 240, seed=2)


def test_the_gallery_names_four_pictures_or_links_a_card() -> None:
    assert gallery(3).count(b"/media/") == 12
