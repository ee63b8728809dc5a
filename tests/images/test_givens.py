"""What an operator gives to draw with is told by what is in the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.renditions import RenditionRules
from antiscrape.core.rules import ImageRules
from antiscrape.core.verdict import Rendition
from antiscrape.images.givens import givens_of
from antiscrape.images.renderer import PillowRenderer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.security("E5")
@pytest.mark.parametrize("setting", ["mark_image", "mark_font", "decoys"])
def test_another_file_of_the_same_name_is_another_recipe(setting: str, tmp_path: Path) -> None:
    place = tmp_path / "given"
    file = place
    if setting == "decoys":
        place.mkdir()
        file = place / "one.png"
    given: dict[str, Any] = {setting: str(place)}
    rules = ImageRules(renditions=RenditionRules(**given))
    seen = []
    for content in (b"one", b"another", b"one"):
        file.write_bytes(content)
        etag = PillowRenderer(rules).placeholder(Rendition.PREVIEW).etag
        seen.append((givens_of(rules), etag))
    assert seen[0] == seen[2]
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_what_is_not_there_is_told_apart_and_raises_nothing(tmp_path: Path) -> None:
    """A worker that needs the file says what is wrong with it; here it would be said twice."""
    missing = str(tmp_path / "missing")
    image = givens_of(ImageRules(renditions=RenditionRules(mark_image=missing)))
    font = givens_of(ImageRules(renditions=RenditionRules(mark_font=missing)))
    decoys = givens_of(ImageRules(renditions=RenditionRules(decoys=missing)))
    assert len({image, font, decoys}) == 3
    assert decoys == givens_of(ImageRules())


def test_a_decoy_that_changes_its_name_is_another(tmp_path: Path) -> None:
    """Decoys are chosen by their place among the names."""
    rules = ImageRules(renditions=RenditionRules(decoys=str(tmp_path)))
    (tmp_path / "one").write_bytes(b"picture")
    before = givens_of(rules)
    (tmp_path / "one").rename(tmp_path / "two")
    assert givens_of(rules) != before
