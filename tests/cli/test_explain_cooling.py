"""``antiscrape explain``: a standing that was lowered for repeated excess is told with its way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.heads import explain, paragraphs, request, story

if TYPE_CHECKING:
    from pathlib import Path

FEW = '[standing.browser]\nrequests = "3/min"\n[cooling]\nstrikes = 2\n'


@pytest.fixture
def few(tmp_path: Path) -> tuple[str, str]:
    path = tmp_path / "few.toml"
    path.write_text(FEW)
    return "--config", str(path)


def styles(*times: int) -> list[str]:
    """Return four requests at each of ``times``: one more than there is room for."""
    return [request(f"/static/{number}.css", time=time) for time in times for number in range(4)]


def last_of(output: str) -> dict[str, str]:
    return paragraphs(output[output.index("\nGET https") + 1 :])


def test_a_cooling_is_told_with_what_it_was_and_when_it_ends(few: tuple[str, str]) -> None:
    asked = [*styles(0, 200), request("/media/1.jpg", time=260)]
    told = last_of(explain("\n".join(asked), *few))
    assert told["standing"].startswith(
        "unknown: lowered from browser for another 840 s, for it spent its request budget again and again score 0"
    )
    assert told["image"] == "A preview, with nothing of a face left."
    assert "Waiting 840 s, until it is browser again." in told["change"]
    verdict = story("\n".join(asked), *few)["verdict"]
    assert isinstance(verdict, dict)
    assert (verdict["instead_of"], verdict["cooling_left"]) == ("browser", 840.0)
    later = last_of(explain("\n".join([*asked, request("/media/1.jpg", time=1100)]), *few))
    assert later["standing"].startswith("browser: looks like a browser")


def test_strikes_are_told_before_they_cost_anything(few: tuple[str, str]) -> None:
    told = last_of(explain("\n".join([*styles(0), request("/media/1.jpg", time=260)]), *few))
    assert "It spent the request budget once lately; 2 times lower its standing" in told["budgets"]
    fresh = paragraphs(explain(request("/media/1.jpg"), *few))
    assert "lately" not in fresh["budgets"]
