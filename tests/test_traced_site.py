"""From a copy on somebody's disk back to the line of the log that tells who took it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from antiscrape.asgi.accounts import Accounts
from antiscrape.cli import main
from antiscrape.clock import wall
from antiscrape.core.verdict import Rendition
from tests.house import SECRET, Clock, answers, house, person, photo, policy_of, tool

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.asgi.types import Scope


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


@pytest.mark.parametrize("addresses", ["hashed", "plain"])
def test_an_original_leads_to_an_address_or_account_that_left_no_event(
    addresses: str, tmp_path: Path
) -> None:
    """A plain answer is only counted, so what the site's own log has is compared, as events of that week would name it."""
    policy = policy_of({"ANTISCRAPE__TRACE__ORIGINALS": "true", "ANTISCRAPE__RECORD__ADDRESSES": addresses})
    of_person, of_member = tmp_path / "person.jpg", tmp_path / "member.jpg"
    suspects = tmp_path / "suspects.txt"
    suspects.write_text("alice\n203.0.113.8\nbob\n2001:db8::7\n203.0.113.7\n")
    clock = Clock(epoch=wall() - 20 * 86_400)

    async def visits() -> None:
        accounts = Accounts(policy.accounts, key=bytes(32), clock=clock.monotonic, account=signed_in)
        async with house(answers(photo(90, 60)), policy, clock, traced=True, accounts=accounts) as protected:
            for peer, target in (("2001:db8::7", of_person), ("203.0.113.9", of_member)):
                target.write_bytes((await protected.ask("/media/1.jpg", person(), peer=peer)).body)
            assert not protected.ledger.events

    asyncio.run(visits())
    arguments = ["trace", "read", "--json", "--among", str(suspects), str(of_person), str(of_member)]
    environment = {"ANTISCRAPE_SECRET": SECRET}
    result = CliRunner().invoke(main, arguments, env=environment)
    assert result.exit_code == 0, result.output
    takers = [[each["takers"] for each in json.loads(line)["traces"]] for line in result.stdout.splitlines()]
    assert takers == [[["2001:db8::7"]], [["alice"]]]


def signed_in(scope: Scope) -> str | None:
    return "alice" if scope["client"][0] == "203.0.113.9" else None
