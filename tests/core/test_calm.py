"""A calm visit is one that no signal tells of; nearly every one is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.habits import Habits, Pace
from antiscrape.core.history import History
from antiscrape.core.signals import OF_VISIT
from antiscrape.core.signals.navigation import is_calm
from tests.core.visits import ASSET, BARE, PAGE, THUMBNAIL, image, visit

#: Of a visit's habits, what is no count, or is made up below.
OTHERS = {"image", "minute", "number", "odd", "pace", "page_at", "ring"}


@given(
    st.fixed_dictionaries({name: st.integers(0, 44) for name in Habits.__slots__ if name not in OTHERS}),
    st.integers(0, 2**30 - 1),
    st.integers(0, 12),
    st.booleans(),
)
def test_a_calm_visit_is_one_that_no_signal_tells_of(
    counts: dict[str, int],
    ring: int,
    equal: int,
    returned: bool,  # noqa: FBT001 - Hypothesis gives it
) -> None:
    history = History(0.0)
    did = history.own_habits()
    for name, count in counts.items():
        setattr(did, name, count)
    did.ring, did.pace, history.cookies_returned = ring, Pace(0.0), returned
    did.pace.equal = equal
    if is_calm(history):
        assert not [signal.name for signal in OF_VISIT if signal.test(history)]


def test_nearly_every_visit_is_calm() -> None:
    """Else reading it would cost what it is there to save."""
    assert is_calm(visit((PAGE, BARE), (ASSET, BARE), *[(THUMBNAIL, BARE)] * 3, *[(image(), BARE)] * 3))
    assert is_calm(History(0.0))
