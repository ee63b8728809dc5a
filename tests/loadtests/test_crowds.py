"""Small crowds before the real gate: machines are one machine, and people are left alone."""

from __future__ import annotations

import re

import pytest

from antiscrape.core.verdict import Standing
from loadtests import crowds
from loadtests.crowds import behind_nat, both, botnet, dress, one_link, people, play
from tests.fuzz import FACTOR


@pytest.mark.security("A11")
@pytest.mark.parametrize("every", [60.0, 600.0, 2400.0])
def test_a_botnet_with_one_face_gets_one_ration(every: float) -> None:
    """A hundred addresses, no two in one network: at any pace they get less than one browser does."""
    crowd = list(botnet(100, every=every))
    before, after = play(crowd, spread=False), play(crowd, spread=True)
    assert before.asked == after.asked == 900
    assert after.granted <= 40 < before.granted


@pytest.mark.security("A11")
def test_rotated_faces_are_one_stretch_or_one_site() -> None:
    faces = [dress(language=f"en-US,en;q=0.{place + 1}") for place in range(100)]
    walking = play(botnet(100, faces=faces.__getitem__, ordered=True), spread=True)
    shuffled = play(botnet(100, faces=faces.__getitem__), spread=True)
    assert walking.granted <= 40
    assert shuffled.granted <= 60


def test_a_claim_that_others_led_there_gains_two_pictures_an_address() -> None:
    after = play(botnet(100, linked=True), spread=True)
    assert after.granted <= 3 * 100


def test_pages_are_seen_through_where_the_site_shows_more_to_people() -> None:
    crowd = both(botnet(60, pages=True, start=1800.0), people(600))
    before, after = play(crowd, spread=False), play(crowd, spread=True)
    assert after.granted < before.granted
    assert after.people_lost == 0


def test_people_with_one_browser_are_left_alone() -> None:
    after = play(people(1200), spread=True)
    assert after.people_asked > 1000
    assert (after.people_lost, after.people_grouped, after.lowest) == (0, 0, Standing.BROWSER)


def test_people_who_follow_one_link_are_left_alone() -> None:
    after = play(one_link(3000), spread=True)
    assert (after.people_asked, after.people_lost, after.people_grouped) == (3000, 0, 0)


def test_people_who_follow_one_link_keep_it_while_a_botnet_with_their_face_is_stopped() -> None:
    after = play(both(botnet(100), one_link(3000)), spread=True)
    assert after.granted <= 40
    assert after.people_lost == 0


def test_nothing_is_held_against_people_behind_a_nat(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("ANTISCRAPE_SHARED", str(tmp_path))
    crowd = behind_nat(120)
    assert len({request.address for request in crowd}) == 4
    after = play(crowd, spread=True)
    assert after.people_asked > 50
    assert (after.people_lost, after.people_grouped) == (0, 0)


def test_recorded_people_behind_a_nat_lose_nothing_to_spread() -> None:
    if not crowds._recorded():
        pytest.skip("no recordings: ANTISCRAPE_SHARED names no folder that holds redteam/corpus")
    after = play(behind_nat(30), spread=True)
    assert after.people_asked > 20
    assert after.people_grouped == 0


@pytest.mark.parametrize("seed", [13] if FACTOR == 1 else [13, 16, 21])
def test_five_hundred_recorded_people_behind_four_addresses_lose_no_picture(seed: int) -> None:
    if not crowds._recorded():
        pytest.skip("no recordings: ANTISCRAPE_SHARED names no folder that holds redteam/corpus")
    after = play(behind_nat(500, seed=seed), spread=True)
    assert after.people_asked > 1000
    assert (after.people_lost, after.people_grouped) == (0, 0)


def test_people_behind_a_nat_who_like_different_pictures_ask_for_different_pictures() -> None:
    """Replays that all ask for the same would spend one person's budget together."""
    same, apart = behind_nat(60), behind_nat(60, apart=True)
    assert len(same) == len(apart)
    originals = [re.fullmatch(r"/media/\d+\.jpg", request.path) for request in apart]
    assert len({found[0] for found in originals if found}) > 2 * len(
        {asked.path for asked in same if "-" not in asked.path and "/media/" in asked.path}
    )


def test_the_table_is_printed_and_people_decide_the_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crowds.main(["--scale", "0.02", "--only", "ag"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[0] for line in lines[2:-1]] == ["a", "a", "a", "g"]
    assert lines[-1].endswith("nobody")
    monkeypatch.setattr(crowds, "_PEOPLE", "ak")
    monkeypatch.setattr(crowds, "one_link", lambda _: botnet_of_people(40))
    assert crowds.main(["--scale", "0.02", "--only", "k"]) == 1


def botnet_of_people(count: int) -> list[crowds.Request]:
    """Return a crowd of people that do what a botnet does, so that they lose what a botnet loses."""
    return [request._replace(person=True) for request in botnet(count)]
