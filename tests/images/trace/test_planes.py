"""Spectra are the usual ones, and shifts that are looked at one by one agree as they do all together."""

from __future__ import annotations

import numpy as np
import pytest

from antiscrape.images.trace import reading
from antiscrape.images.trace.geometry import PERIOD
from antiscrape.images.trace.planes import Plane, transformed

_KEY = bytes(32)


def _plane(height: int, width: int) -> Plane:
    return np.random.default_rng(3).normal(size=(height, width)).astype(np.float32)


def test_a_spectrum_is_that_of_the_plane_with_zeros_around_it() -> None:
    plane = _plane(40, 60)
    plane[:7] = plane[33:] = 0
    around = np.zeros((64, 96), np.float32)
    around[:40, :60] = plane
    found = transformed(plane, (64, 96))
    assert found.dtype == np.complex64
    assert np.allclose(found, np.fft.rfft2(around, norm="ortho"), atol=1e-5)
    assert not transformed(np.zeros((40, 60), np.float32), (64, 96)).any()


def test_shifts_near_one_agree_as_all_shifts_do() -> None:
    folded = np.zeros((PERIOD, PERIOD), np.float32)
    folded[:200, :300] = _plane(200, 300)
    level = reading._level(folded)
    every = reading._agreement(level, _KEY)
    assert abs(every.std() - 1) < 1e-3
    down, across = (int(at) for at in np.unravel_index(every.argmax(), every.shape))
    best = float(every.max())
    reach = reading._NEAR
    for shift in ((down, across), (down + reach, across - reach)):
        assert reading._agreement_near(level, _KEY, shift) == pytest.approx(best, abs=1e-3)
    assert reading._agreement_near(level, _KEY, (down + 2 * reach, across)) < best
