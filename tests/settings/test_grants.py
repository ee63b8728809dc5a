"""What cannot be meant in ``[grants]`` is refused at its place, and what mostly is not is said."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from antiscrape.core.verdict import Rendition
from antiscrape.settings.grants import Grants
from antiscrape.settings.model import Settings


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ({"missing": "original"}, "expired"),
        ({"missing": "marked", "expired": "marked"}, "foreign"),
        ({"ceiling": "refused"}, "ceiling"),
        ({"ceiling": "decoy"}, "ceiling"),
        ({"opaque": "p/"}, "opaque"),
        ({"opaque": "/p"}, "opaque"),
        ({"opaque": "/"}, "opaque"),
        ({"opaque": "/media/p/", "prefixes": ["/media/"]}, "opaque"),
        ({"binding": "cookie"}, "binding"),
        ({"bodies": ["svg"]}, "bodies"),
        ({"cards": "refused"}, "cards"),
        ({"outside": "100d"}, "outside"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(table: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Grants.model_validate(table)
    assert where in {error["loc"][0] for error in refused.value.errors()}


def test_a_way_to_introduce_grants_is_open() -> None:
    open_to_all = dict.fromkeys(("missing", "expired", "foreign"), "original")
    rules = Grants.model_validate({"prefixes": ["/media/"], **open_to_all}).rules()
    assert {rules.missing, rules.expired, rules.foreign} == {Rendition.ORIGINAL}


def test_a_cache_that_has_nothing_to_keep_is_doubted() -> None:
    assert [path for path, _ in Grants(shared_caches=True, binding="network").doubts()] == [
        ("shared_caches",)
    ]
    assert not [*Grants(shared_caches=True).doubts()]


def test_to_be_bound_to_clearances_they_have_to_be_given() -> None:
    with pytest.raises(ValidationError, match=r"clearance\.enabled"):
        Settings.model_validate({"grants": {"binding": "clearance"}})
    Settings.model_validate({"grants": {"binding": "clearance"}, "clearance": {"enabled": True}})
