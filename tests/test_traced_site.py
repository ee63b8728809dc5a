"""From a copy on somebody's disk back to the line of the log that tells who took it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from antiscrape.cli import main
from antiscrape.core.verdict import Rendition
from tests.house import SECRET, Clock, answers, house, photo, policy_of, tool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("rendition", [Rendition.MARKED, Rendition.PREVIEW])
def test_a_copy_leads_to_the_event_of_its_taker(rendition: Rendition, tmp_path: Path) -> None:
    """Of two who fetched the same picture, the copy names one; the log's client, hashed, is the principal to compare."""
    pytest.importorskip("numpy", reason="reading traces needs numpy")
    policy = policy_of()
    standings = {
        standing: replace(allowance, rendition=rendition) for standing, allowance in policy.standings.items()
    }
    found = tmp_path / "found.jpg"
    told: list[dict[str, object]] = []

    async def visits() -> None:
        site = answers(photo(1600, 1200))
        async with house(site, replace(policy, standings=standings), Clock(), traced=True) as protected:
            for peer in ("203.0.113.7", "198.51.100.9"):
                answer = await protected.ask("/media/1.jpg", tool(), peer=peer)
            found.write_bytes(answer.body)
            told.extend(protected.ledger.events)

    asyncio.run(visits())
    clients = tmp_path / "clients.txt"
    clients.write_text("\n".join(str(event["client"]) for event in told))
    arguments = ["trace", "read", "--among", str(clients), str(found)]
    result = CliRunner().invoke(main, arguments, env={"ANTISCRAPE_SECRET": SECRET})
    assert result.exit_code == 0, result.output
    other, taker = told
    assert f"taken by {str(taker['trace'])[-8:]}" in result.output
    assert str(taker["client"]) in result.output
    assert str(other["client"]) not in result.output
