"""What the doctor says of what no test can have for real: years, clocks that differ, parsers that are not ours."""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.networks import Label, ListRule, NetworkRules
from antiscrape.core.rules import CrawlerRules, IdentityRules, RecordRules, StoreRules
from antiscrape.core.store_address import read_store_address as read_store
from antiscrape.operate.doctor.checks import BLIND, CHECKS, MEND, WELL, look, status_of
from antiscrape.operate.doctor.edge import Edge, Reply
from antiscrape.operate.doctor.findings import Level
from antiscrape.operate.doctor.patient import Asked, Patient, Secret, Store
from antiscrape.operate.doctor.view import View, plan_of, read_view, write_view
from antiscrape.version import __version__
from tests.house import policy_of

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.operate.doctor.findings import Finding

NOW = 1_800_000_000.0
DAY = 86_400.0
POLICY = policy_of()
VIEW = View(
    nonce="00",
    time=NOW,
    version=__version__,
    site="site",
    mode="shadow",  # in which no picture is compared
    policy=plan_of(POLICY),
    keys=("aa",),
    client="203.0.113.7",
    peer="203.0.113.7",
    port=40_000,
    trusted=False,
    fields={},
    host="photos.example",
    secure=True,
    server="uvicorn.protocols.http.httptools_impl",
    limits=True,
    store_away=None,
)
REPLY = Reply(200, {"cache-control": "private, no-store"}, b"", 40_000)


def patient(view: View | None = None, **changes: Any) -> Patient:
    """Return a patient whose site saw ``view``; it is never asked anything."""
    edge = None if view is None else Edge("https://photos.example/")
    asked = None if view is None else Asked(REPLY, view, view.nonce, 0, NOW - 1, NOW)
    settings: dict[str, Any] = {"policy": POLICY, "secrets": [Secret("aa", NOW)], "plain": asked} | changes
    made = Patient(edge=edge, wall=lambda: NOW, **settings)
    made.unreachable = made.unreachable or "not asked in this test"
    return made


def of(check: str, who: Patient) -> list[Finding]:
    rows = look_at(check, who)
    assert all(finding.do for finding in rows if finding.level in {Level.WRONG, Level.DOUBT})
    return rows


def look_at(check: str, who: Patient) -> list[Finding]:
    assert check in {row.name for row in CHECKS}
    return [finding for finding in look(who) if finding.check == check]


def level(check: str, who: Patient) -> Level:
    return of(check, who)[0].level


@pytest.mark.parametrize(
    ("days", "expected"), [(10, Level.FINE), (400, Level.DOUBT), (800, Level.WRONG), (None, Level.DOUBT)]
)
def test_old_secrets(tmp_path: Path, days: int | None, expected: Level) -> None:
    made = None if days is None else NOW - days * DAY
    who = patient(secrets=[Secret("aa", made)], secret_file=tmp_path)
    assert level("secret's age", who) is expected


def test_lists_that_nobody_fetches(tmp_path: Path) -> None:
    file = tmp_path / "hosting.txt"
    file.write_text("192.0.2.0/24\n")
    rules = NetworkRules((ListRule(str(file), Label.HOSTING), ListRule(str(tmp_path / "mine"), Label.DENY)))
    who = patient(policy=replace(POLICY, networks=rules))
    for days, expected in ((1, Level.FINE), (8, Level.WRONG)):
        os.utime(file, (NOW - days * DAY,) * 2)
        (finding,) = of("networks", who)  # one's own list may be as old as it likes
        assert finding.level is expected
    file.unlink()
    assert level("networks", who) is Level.UNSEEN


def test_lists_of_crawlers(tmp_path: Path) -> None:
    who = patient(policy=replace(POLICY, crawlers=CrawlerRules(ranges=str(tmp_path))))
    assert level("crawlers", who) is Level.WRONG  # there are none
    for name, days in (("googlebot.json", 1), ("bingbot.json", 9)):
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, (NOW - days * DAY,) * 2)
    (finding,) = of("crawlers", who)
    assert (finding.level, "bingbot.json is 9 days old" in finding.says) == (Level.WRONG, True)


def test_a_store_with_another_time_across_the_network() -> None:
    rules = StoreRules(address=read_store("valkey://store.internal:6379"))
    who = patient(policy=replace(POLICY, store=rules), store=Store(ahead=-90.0))
    said = of("store", who)
    assert [finding.level for finding in said] == [Level.FINE, Level.WRONG, Level.DOUBT]
    assert "90 s behind" in said[1].says


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:9465", Level.FINE), ("unix:/run/a.sock", Level.FINE), ("[::1]:9465", Level.FINE),
        ("0.0.0.0:9465", Level.DOUBT), ("10.0.0.7:9465", Level.DOUBT), ("", Level.DOUBT),
    ],
)  # fmt: skip
def test_admin_addresses(address: str, expected: Level) -> None:
    who = patient(policy=replace(POLICY, record=RecordRules(admin=address)))
    assert level("admin", who) is expected


@pytest.mark.security("C1")
def test_parsers() -> None:
    assert level("server", patient(VIEW)) is Level.FINE
    assert (
        level("server", patient(replace(VIEW, limits=False, server="hypercorn.protocol.http_stream")))
        is Level.DOUBT
    )
    assert (
        level("server", patient(replace(VIEW, limits=False, server="uvicorn.protocols.http.h11_impl")))
        is Level.WRONG
    )


@pytest.mark.parametrize(("ahead", "expected"), [(1, Level.FINE), (-20, Level.DOUBT), (300, Level.WRONG)])
def test_clocks(ahead: float, expected: Level) -> None:
    assert level("clock", patient(replace(VIEW, time=NOW + ahead))) is expected


def test_a_slow_answer_is_no_slow_clock() -> None:
    asked = Asked(REPLY, VIEW, "00", 0, NOW - 40, NOW)
    assert [asked.ahead(NOW + seconds) for seconds in (-50, -40, -20, 0, 7)] == [-10, 0, 0, 0, 7]
    assert level("clock", patient(replace(VIEW, time=NOW - 30), plain=asked)) is Level.FINE


def test_policies_and_modes() -> None:
    said = of("policy", patient(VIEW))
    assert [finding.level for finding in said] == [Level.FINE, Level.DOUBT]
    assert level("policy", patient(replace(VIEW, mode="enforce", policy="other"))) is Level.DOUBT
    assert level("policy", patient(replace(VIEW, version="0.0.1"))) is Level.DOUBT


def test_what_serve_sets_in_a_policy_makes_it_no_other() -> None:
    served = replace(
        POLICY, record=replace(POLICY.record, admin=""), store=replace(POLICY.store, namespace="private")
    )
    assert plan_of(served) == plan_of(POLICY)
    assert plan_of(replace(POLICY, bot_at=41)) != plan_of(POLICY)


def test_keys_that_were_taken_off() -> None:
    assert level("keys", patient(VIEW)) is Level.FINE
    assert level("keys", patient(replace(VIEW, keys=("bb", "aa")))) is Level.WRONG
    assert level("keys", patient(replace(VIEW, keys=("bb",)))) is Level.WRONG


def test_stores_in_use() -> None:
    shared = replace(POLICY, store=StoreRules(address=read_store("valkey://127.0.0.1")))
    assert look_at("store in use", patient(VIEW)) == []
    assert look_at("store in use", patient(replace(VIEW, store_away=False), policy=shared)) == []
    assert level("store in use", patient(replace(VIEW, store_away=True), policy=shared)) is Level.WRONG
    assert level("store in use", patient(VIEW, policy=shared)) is Level.WRONG


def test_a_stranger_between_who_says_nothing() -> None:
    """Carriers translate addresses; so do load balancers that forget to say for whom."""
    between = replace(VIEW, port=1)
    assert level("client", patient(between)) is Level.DOUBT
    assert level("client", patient(replace(between, trusted=True))) is Level.WRONG


@pytest.mark.security("A2")
def test_a_doctor_who_is_trusted_cannot_tell_whether_strangers_are() -> None:
    policy = replace(POLICY, identity=IdentityRules(trusted_proxies=(ip_network("127.0.0.0/8"),)))
    view = replace(VIEW, client="127.0.0.1", peer="127.0.0.2")
    lied = replace(view, client="192.0.2.77", fields={"x-forwarded-for": "192.0.2.77, 127.0.0.1"})
    who = patient(view, policy=policy, disguised=Asked(REPLY, lied, "00", 0, NOW, NOW))
    assert level("disguise", who) is Level.UNSEEN
    lied = replace(lied, fields={"x-forwarded-for": "192.0.2.77"})  # the proxy wrote nothing itself
    who = patient(view, policy=policy, disguised=Asked(REPLY, lied, "00", 0, NOW, NOW))
    assert level("disguise", who) is Level.WRONG


def test_views_are_read_as_they_were_written() -> None:
    assert read_view(write_view(VIEW)) == VIEW
    for body in (b"", b"{}", b"[]", b"null", b"[" * 100_000, b'{"nonce": 1}', b"\xff"):
        assert read_view(body) is None


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"age": "0"}, ""), ({"x-cache": "MISS"}, ""), ({}, ""), ({"age": "x"}, ""), ({"cf-cache-status": "DYNAMIC"}, ""),
        ({"age": "7"}, "age: 7"), ({"x-cache": "Hit from cloudfront"}, "x-cache: Hit from cloudfront"),
        ({"cf-cache-status": "HIT"}, "cf-cache-status: HIT"), ({"cache-status": "edge; hit"}, "cache-status: edge; hit"),
        ({"x-cache": "STALE"}, "x-cache: STALE"),
    ],
)  # fmt: skip
def test_what_says_that_it_came_out_of_a_cache(fields: dict[str, str], kept: str) -> None:
    assert Reply(200, fields, b"", 1).kept == kept


def test_exit_statuses() -> None:
    well = patient()
    assert status_of(well, tuple(look(well))) == WELL
    blind = patient(VIEW, plain=None)
    assert status_of(blind, tuple(look(blind))) == BLIND
    ill = patient(replace(VIEW, time=0.0))
    assert status_of(ill, tuple(look(ill))) == MEND
