"""What server and worker say to each other."""

from __future__ import annotations

import pytest

from antiscrape.images.formats import EVERY, Format
from antiscrape.images.frames import MEDIA_TYPES, ORDER, Order, Outcome, Task


@pytest.mark.parametrize("task", Task)
def test_an_order_arrives_as_it_was_given(task: Task) -> None:
    given = Order(task, formats=Format.AVIF.bit, seed=bytes(range(16)), payload=2**64 - 1)
    packed = given.pack()
    assert len(packed) == ORDER.size == 25
    assert Order.unpack(task, packed) == given


def test_a_task_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="99"):
        Order.unpack(99, Order(Task.PREVIEW).pack())


def test_every_format_has_a_bit_of_its_own_and_an_outcome() -> None:
    assert sum(kind.bit for kind in Format) == EVERY == 2 ** len(Format) - 1
    assert {MEDIA_TYPES[Outcome[kind.name]] for kind in Format} == set(MEDIA_TYPES.values())
