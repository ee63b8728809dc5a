"""Parts of a picture that are looked at again hold what is in doubt, and cost less than all of it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.images.faces.finding import Face
from antiscrape.images.faces.parts import Layout, Part

LAYOUT = Layout(288.0, 216.0, 32)
WHOLE = Part(0.0, 0.0, 288.0, 216.0)
MARGIN = 27.0

finds = st.builds(
    Face,
    st.floats(-100, 500),
    st.floats(-100, 400),
    st.floats(1, 300),
    st.floats(1, 300),
    st.just(0.06),
)


def around(*faces: Face, scale: float = 1.0) -> list[Part]:
    return LAYOUT.around(faces, scale=scale, margin=MARGIN)


@given(st.lists(finds, min_size=1, max_size=40), st.floats(0.1, 3))
def test_every_find_is_held_with_what_is_around_it(faces: list[Face], scale: float) -> None:
    """As far as the picture reaches; and all parts together cost no more than the picture."""
    parts = around(*faces, scale=scale)
    assert sum(part.cost(32) for part in parts) <= WHOLE.cost(32)
    for left, top, right, bottom in parts:
        assert 0 <= left < right <= 288
        assert 0 <= top < bottom <= 216
    for x, y, width, height, _ in faces:
        left, top = max(x * scale - MARGIN, 0), max(y * scale - MARGIN, 0)
        right, bottom = min((x + width) * scale + MARGIN, 288), min((y + height) * scale + MARGIN, 216)
        if right - left > 0.1 and bottom - top > 0.1:  # what is beyond the picture is nowhere
            assert any(
                part.left <= left + 0.1
                and part.top <= top + 0.1
                and part.right >= right - 0.1
                and part.bottom >= bottom - 0.1
                for part in parts
            )


def test_a_part_has_the_size_that_the_network_takes() -> None:
    (part,) = around(Face(100, 100, 10, 12, 0.06))
    assert (part.right - part.left, part.bottom - part.top) == (64, 96)
    assert part.cost(32) == 64 * 96 + 3500


def test_what_is_near_is_looked_at_together_and_what_is_far_is_not() -> None:
    one, near, far = Face(20, 20, 10, 10, 0.06), Face(26, 24, 10, 10, 0.06), Face(240, 170, 10, 10, 0.06)
    assert len(around(one, near)) == 1
    assert len(around(one, far)) == 2
    assert len(around(one, far, near)) == 2


@pytest.mark.parametrize(
    "faces",
    [
        [Face(10, 10, 250, 180, 0.06)],
        [Face(x * 40.0, y * 40.0, 12, 12, 0.06) for x, y in itertools.product(range(7), range(5))],
    ],
)
def test_where_doubts_are_everywhere_the_whole_is_looked_at(faces: list[Face]) -> None:
    assert around(*faces) == [WHOLE]
