"""Originals that can tell groups nothing new: the shorter way, and what it leaves to the longer one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.habits import VISIT
from antiscrape.core.spread import ALONE, Spread, Taking

HOUR = 3600.0


def spread_of() -> Spread:
    return Spread(key=b"k" * 32, started=0.0)


def taking(place: int, image: int, *, shown: bool) -> Taking:
    return Taking(f"10.0.{place}.9", f"10.0.{place}.0/24", b"chrome", image, shown=shown)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # who
        st.integers(1, 5),  # which picture
        st.booleans(),  # whether the visit was shown something
        st.sampled_from([0.0, 1.0, 200.0, VISIT + 1]),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_what_can_tell_nothing_new_is_counted_as_any_other(steps: list[tuple[int, int, bool, float]]) -> None:
    """``passes`` is a shorter way to what ``note`` says and does, where it says that it is one."""
    short, long = spread_of(), spread_of()
    now = 0.0
    for place, image, shown, pause in steps:
        now += pause
        one = taking(place, image, shown=shown)
        told = ALONE if short.passes(one.principal, image, now, shown=shown) else short.note(one, now)
        assert told == long.note(one, now)
    assert counts_of(short) == counts_of(long)


def test_a_picture_that_was_counted_takes_the_shorter_way() -> None:
    """And none that is new, none of a visit that was shown nothing, none of one that used another's link."""
    spread = spread_of()
    for image in (1, 2, 3):
        assert not spread.passes("10.0.1.9", image, HOUR, shown=True)
        spread.note(taking(1, image, shown=True), HOUR)
    assert spread.passes("10.0.1.9", 2, HOUR, shown=True)
    assert spread.passes("10.0.1.9", 4, HOUR, shown=True)  # the first three are what counts
    assert not spread.passes("10.0.1.9", 2, HOUR, shown=False)
    assert not spread.passes("10.0.1.9", 2, HOUR + VISIT + 1, shown=True)
    spread.note_token(b"token", "10.0.1.9", "10.0.1.0/24", HOUR)
    assert not spread.passes("10.0.1.9", 2, HOUR, shown=True)


def counts_of(spread: Spread) -> list[object]:
    """Return all that is counted, of groups and of members."""
    groups = [
        (kind, key, group.half, group.seen)
        for kind, memo in sorted(spread._groups.items())
        for key, group in sorted(memo.young.items())
    ]
    members = [(key, one.images, one.last) for key, one in sorted(spread.members.young.items())]
    return [groups, members]
