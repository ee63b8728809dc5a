"""From settings to a policy: the same defaults on both sides, and nothing left out."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_network
from itertools import pairwise
from operator import attrgetter
from typing import Any

import pytest

from antiscrape.core import rules
from antiscrape.core.crawler import Purpose
from antiscrape.core.resource import Kind, Size
from antiscrape.core.signals import SIGNALS
from antiscrape.core.verdict import Mode, Rendition, Standing
from antiscrape.settings.build import build
from antiscrape.settings.model import Settings

SECRETS = (b"kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f",)


def policy_of(tree: dict[str, Any]) -> rules.Policy:
    return build(Settings.model_validate(tree), SECRETS)


def test_the_defaults_of_the_settings_are_those_of_the_rules() -> None:
    policy = policy_of({})
    bare = rules.Policy(
        secrets=SECRETS,
        standings=policy.standings,
        routes=policy.routes,
        signals=policy.signals,
        crawlers=rules.CrawlerRules(policy.crawlers.purposes),
    )
    assert policy == bare


def test_every_standing_has_an_allowance_and_every_signal_a_rule() -> None:
    policy = policy_of({})
    assert set(policy.standings) == set(Standing) - {Standing.CRAWLER, Standing.PARTNER}
    assert set(policy.crawlers.purposes) == set(Purpose)
    assert all(row.standing is Standing.CRAWLER for row in policy.crawlers.purposes.values())
    assert all(allowance.standing is standing for standing, allowance in policy.standings.items())
    assert dict(policy.signals) == {name: rules.SignalRule(row.weight) for name, row in SIGNALS.items()}


def test_only_the_trusted_see_originals_and_only_the_banned_are_refused() -> None:
    standings = policy_of({}).standings
    originals = {
        standing for standing, allowance in standings.items() if allowance.rendition is Rendition.ORIGINAL
    }
    assert originals == {Standing.BROWSER, Standing.PROVEN, Standing.MEMBER}
    assert {standing for standing, allowance in standings.items() if allowance.refuse} == {Standing.BANNED}


def test_the_ladder_never_gives_less_further_up() -> None:
    standings = policy_of({}).standings
    ladder = [standings[standing] for standing in (Standing.BROWSER, Standing.PROVEN, Standing.MEMBER)]
    for lower, upper in pairwise(ladder):
        for name in ("requests", "originals", "subjects", "bytes"):
            pairs = zip(getattr(lower, name), getattr(upper, name), strict=True)
            assert all(less.window == more.window and less.amount < more.amount for less, more in pairs), name


def test_limits_are_compiled() -> None:
    tree = {
        "crawler": {"search": {"requests": "5/s", "originals": 0, "bytes": "1MiB/min", "beyond": "refused"}}
    }
    crawler = policy_of(tree).crawlers.purposes[Purpose.SEARCH]
    assert [(limit.amount, limit.window) for limit in crawler.requests] == [(5, 1)]
    assert [limit.amount for limit in crawler.originals] == [0]
    assert [(limit.amount, limit.window) for limit in crawler.bytes] == [(2**20, 60)]
    assert (crawler.subjects, crawler.rendition, crawler.beyond) == ((), Rendition.MARKED, Rendition.REFUSED)


def test_robots_txt_and_well_known_stay_exempt_whatever_the_routes_say() -> None:
    routes = policy_of({"routes": [{"pattern": "/**", "kind": "image", "size": "original"}]}).routes
    assert [(route.pattern, route.kind) for route in routes] == [
        ("/robots.txt", Kind.EXEMPT),
        ("/.well-known/**", Kind.EXEMPT),
        ("/**", Kind.IMAGE),
    ]
    assert routes[-1].size is Size.ORIGINAL


def test_an_exempt_path_that_the_routes_name_is_theirs() -> None:
    routes = policy_of({"routes": [{"pattern": "/robots.txt", "kind": "page"}]}).routes
    assert [(route.pattern, route.kind) for route in routes] == [
        ("/.well-known/**", Kind.EXEMPT),
        ("/robots.txt", Kind.PAGE),
    ]


def test_proxies_are_networks_each_once() -> None:
    tree = {
        "identity": {"trusted_proxies": ["10.0.0.0/8", "::ffff:10.0.0.0/104", "::1"], "header": "X-Real-IP"}
    }
    identity = policy_of(tree).identity
    assert identity.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert identity.header == "x-real-ip"


CHANGED: dict[str, dict[str, Any]] = {
    "site": {"name": "n", "mode": "off", "hosts": ["h"], "ignore_case": True},
    "identity": {
        "trusted_proxies": ["::1"],
        "trust_unix": True,
        "header": "forwarded",
        "ipv4_rollup": 20,
        "ipv6_prefix": 56,
        "ipv6_line": 48,
        "ipv6_rollup": 40,
        "line_factor": 2.5,
        "rollup_factor": 3.5,
    },
    "score": {"unknown_at": 1, "bot_at": 2, "banned_at": 3, "ban": "2h"},
    "images": {
        "faces": "require",
        "face_look": 128,
        "face_score": 0.07,
        "face_floor": 7,
        "preview_cells": 9,
        "preview_size": 99,
        "mark": "",
        "original_from": 100,
        "max_pixels": 1_000_001,
        "max_bytes": "1MB",
        "workers": 2,
        "queue": 3,
        "timeout": "4s",
        "worker_memory": "1GB",
        "cache_bytes": 0,
        "cache_folder": "cache",
        "cache_folder_bytes": "2GB",
    },
    "trace": {"renditions": ["marked"], "originals": True, "cache_bytes": 0},
    "renditions": {
        "marked_size": 900,
        "mark_layout": "corner",
        "mark_image": "logo.png",
        "mark_font": "font.ttf",
        "keep_size": True,
        "largest": 1000,
        "frames": 2,
        "decoys": "decoys",
        "svg": "placeholder",
        "other_formats": "pass",
    },
    "rights": {
        "data_mining": "only-search",
        "notice": "n",
        "credit": "c",
        "email": "e",
        "url": "https://site.example/terms",
        "terms": "t",
    },
    "grants": {
        "prefixes": ["/m"],
        "window": "2min",
        "parameter": "t",
        "rewrite": False,
        "bodies": ["json"],
        "body_bytes": "1MB",
        "binding": "network",
        "ceiling": "marked",
        "cards": "unsigned",
        "feeds": "original",
        "outside": "1d",
        "opaque": "/p/",
        "shared_caches": True,
        "missing": "refused",
        "expired": "refused",
        "foreign": "refused",
        "forged": "refused",
    },
    "traps": {"inject": True, "pictures": True, "tagged": True, "path": "/trap"},
    "signatures": {"window": "1h", "skew": "5s", "paths": True, "directory_proof": True},
    "accounts": {
        "enabled": True,
        "cookies": ["sid"],
        "account_header": "x-user",
        "created_header": "x-user-since",
        "owner_header": "x-owner",
        "ages": "0.1 in the first day",
        "age_untold": 0.5,
        "remember": "2min",
        "max_sessions": 1234,
    },
    "store": {
        "max_principals": 1234,
        "max_bytes": "5MiB",
        "url": "valkey://store",
        "mode": "strict",
        "interval": 1.0,
        "timeout": 1.0,
        "workers": 8,
        "namespace": "photos",
    },
    "record": {"events": "off", "addresses": "plain", "admin": ""},
}


def changed_for(table: str) -> dict[str, dict[str, Any]]:
    """Return every setting changed, but for what contradicts those of ``table``: originals that name one, kept for all."""
    apart = "grants" if table == "trace" else "trace"
    return {name: rows for name, rows in CHANGED.items() if name != apart}


@pytest.mark.parametrize(
    ("table", "part"),
    [("identity", "identity"), ("images", "images"), ("renditions", "images.renditions"),
     ("rights", "images.rights"), ("trace", "trace"), ("grants", "grants"), ("traps", "traps"), ("store", "store"),
     ("record", "record"), ("accounts", "accounts"), ("signatures", "signatures")],
)  # fmt: skip
def test_every_setting_reaches_its_rule(table: str, part: str) -> None:
    before, after = attrgetter(part)(policy_of({})), attrgetter(part)(policy_of(changed_for(table)))
    same = [
        field.name for field in fields(before) if getattr(before, field.name) == getattr(after, field.name)
    ]
    assert same == []
    renamed = {"url": "address"} if table == "store" else {}  # with the password that stands elsewhere
    tables = {"renditions", "rights"} if table == "images" else set()  # rows of their own here
    names = {field.name for field in fields(before)} - tables
    assert names == {renamed.get(name, name) for name in CHANGED[table]}


@pytest.mark.parametrize(
    "tree", [{}, {"grants": {"window": "90.4s"}, "images": {"timeout": 5}, "identity": {"rollup_factor": 5}}]
)
def test_every_rule_is_of_the_type_that_the_core_expects(tree: dict[str, Any]) -> None:
    policy = policy_of(tree)
    for part in (policy.identity, policy.images, policy.grants, policy.traps, policy.store, policy.record):
        bare = type(part)()
        other = [
            field.name
            for field in fields(bare)
            if type(getattr(part, field.name)) is not type(getattr(bare, field.name))
        ]
        assert other == []


def test_site_and_score_reach_the_policy() -> None:
    policy = policy_of(changed_for("site"))
    assert (policy.site, policy.mode, policy.hosts, policy.ignore_case) == ("n", Mode.OFF, ("h",), True)
    assert (policy.unknown_at, policy.bot_at, policy.banned_at, policy.ban_seconds) == (1, 2, 3, 7200.0)


def test_a_policy_cannot_be_changed() -> None:
    policy = policy_of({})
    with pytest.raises(TypeError):
        policy.signals["accept-missing"] = rules.SignalRule(0)  # type: ignore[index]  # that it is refused is the fact
