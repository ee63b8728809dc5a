"""The tables: every setting is described and strict, and contradictions are found where they stand."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from antiscrape.core.crawler import Purpose
from antiscrape.core.signals import SIGNALS
from antiscrape.core.verdict import Mode, Standing
from antiscrape.settings.model import Settings
from antiscrape.settings.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator


def tables(of: type[Table] = Settings, path: str = "") -> Iterator[tuple[str, type[Table]]]:
    yield path, of
    for name, field in of.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Table):
                yield from tables(kind, f"{path}.{name}".removeprefix("."))


def errors_of(tree: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(tree)
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in caught.value.errors()]


def test_every_setting_has_a_description_that_is_a_sentence() -> None:
    found = 0
    for path, table in tables():
        for name, field in table.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                continue
            found += 1
            words = field.description or ""
            assert len(words) > 20, f"{path}.{name} is not described"
            assert words.endswith((".", ":")), f"{path}.{name}: {words}"
    assert found > 130


def test_every_table_has_a_purpose_and_is_frozen_closed_and_strict() -> None:
    for path, table in tables():
        assert issubclass(table, Table)
        assert (table.__doc__ or "").strip(), path
        config = table.model_config
        assert (config["frozen"], config["extra"], config["strict"]) == (True, "forbid", True)


def test_the_defaults_are_what_an_empty_table_says_and_contradict_nothing() -> None:
    """They are made unvalidated, so that an import builds one validator and not a hundred."""
    compared = 0
    for path, table in tables():
        if any(field.is_required() for field in table.model_fields.values()):
            continue  # a line of a list, which has no default as a whole
        compared += 1
        assert table.usual() == table.model_validate({}), path
        assert not list(table.usual().contradictions()), path
    assert compared > 90


def test_an_import_builds_no_validator_of_a_table() -> None:
    """Each takes a millisecond, and everything that is started here imports them."""
    script = (
        "from antiscrape.settings.model import Settings\n"
        "from antiscrape.settings.table import Table\n"
        "def below(kind):\n    yield kind\n    for one in kind.__subclasses__():\n        yield from below(one)\n"
        "print([kind.__name__ for kind in below(Table) if kind.__pydantic_complete__])\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "['RouteLine']\n", "the default routes are lines that are checked"


def test_every_signal_and_every_standing_has_a_table_of_its_own() -> None:
    names = {path for path, _ in tables()}
    assert {f"signals.{name}" for name in SIGNALS} <= names
    ladder = set(Standing) - {Standing.CRAWLER, Standing.PARTNER}
    assert {f"standing.{standing.value}" for standing in ladder} <= names
    assert {f"crawler.{purpose.value.replace('-', '_')}" for purpose in Purpose} <= names


def test_a_signal_keeps_the_weight_of_its_row_until_it_is_given_another() -> None:
    name, row = next(iter(SIGNALS.items()))
    kept = dict(Settings.model_validate({"signals": {name: {"mode": "shadow"}}}).signals.rows())[name]
    assert (kept.weight, kept.mode) == (row.weight, Mode.SHADOW)
    changed = dict(Settings.model_validate({"signals": {name: {"weight": 5}}}).signals.rows())[name]
    assert (changed.weight, changed.mode) == (5, Mode.ENFORCE)


def test_a_standing_keeps_the_rest_of_its_defaults() -> None:
    browser = Settings.model_validate({"standing": {"browser": {"originals": "20/10min"}}}).standing.browser
    assert (browser.originals, browser.subjects, browser.beyond.value) == (
        "20/10min",
        "30/hour, 100/day",
        "preview",
    )


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("site", "ignore_case", "yes"),
        ("site", "ignore_case", 1),
        ("site", "mode", True),
        ("site", "mode", "Enforce"),
        ("site", "name", 5),
        ("site", "hosts", "photos.example"),
        ("score", "bot_at", "40"),
        ("score", "bot_at", 40.0),
        ("score", "bot_at", True),
        ("images", "workers", True),
        ("images", "timeout", True),
        ("identity", "rollup_factor", "20"),
        ("identity", "trusted_proxies", "10.0.0.0/8"),
        ("grants", "rewrite", 0),
        ("budgets", "tell", True),
        ("budgets", "tell", "Always"),
        ("cooling", "strikes", "5"),
    ],
)
def test_nothing_is_coerced(table: str, key: str, value: object) -> None:
    ((where, _),) = errors_of({table: {key: value}})
    assert where == f"{table}.{key}"


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ({"score": {"unknown_at": 40}}, "score.bot_at"),
        ({"score": {"bot_at": 260}}, "score.banned_at"),
        ({"standing": {"unknown": {"beyond": "marked"}}}, "standing.unknown.beyond"),
        ({"standing": {"banned": {"beyond": "decoy"}}}, "standing.banned.beyond"),
        ({"standing": {"browser": {"rendition": "decoy"}}}, "standing.browser.beyond"),
        ({"identity": {"ipv6_rollup": 96}}, "identity.ipv6_rollup"),
        ({"identity": {"ipv6_line": 96}}, "identity.ipv6_line"),
        ({"identity": {"ipv6_line": 40}}, "identity.ipv6_line"),
        ({"identity": {"line_factor": 21}}, "identity.line_factor"),
        ({"cooling": {"longest": "5min"}}, "cooling.longest"),
        ({"cooling": {"strikes": 6, "within": "5min"}}, "cooling.within"),
        ({"images": {"preview_cells": 64, "preview_size": 48}}, "images.preview_cells"),
        ({"images": {"max_pixels": 200_000_000}}, "images.max_pixels"),
        (
            {"routes": [{"pattern": "/a", "kind": "page"}, {"pattern": "/a", "kind": "api"}]},
            "routes.1.pattern",
        ),
        ({"routes": [{"pattern": "/a", "kind": "subject"}]}, "routes.0.pattern"),
        ({"routes": [{"pattern": "/a", "kind": "page", "size": "original"}]}, "routes.0.size"),
    ],
)
def test_a_contradiction_is_told_at_the_setting_that_makes_it(tree: dict[str, Any], where: str) -> None:
    assert [place for place, _ in errors_of(tree)] == [where]


def test_contradictions_of_several_tables_are_told_at_once_and_beside_other_errors() -> None:
    tree = {
        "score": {"unknown_at": 130, "banned_at": 20},
        "standing": {"bot": {"beyond": "original"}, "member": {"requests": "x"}},
    }
    assert [where for where, _ in errors_of(tree)] == [
        "score.bot_at",
        "score.banned_at",
        "standing.bot.beyond",
        "standing.member.requests",
    ]


@pytest.mark.security("A3")
@pytest.mark.parametrize("proxies", [["*"], ["0.0.0.0/0"], ["::/0"], ["0.0.0.0/1", "128.0.0.0/1"]])
def test_trust_in_everyone_needs_a_flag_of_its_own(proxies: list[str]) -> None:
    ((where, words),) = errors_of({"identity": {"trusted_proxies": proxies}})
    assert where == "identity.trusted_proxies"
    assert "unsafe_trust_everyone" in words
    trusting = {"trusted_proxies": proxies, "unsafe_trust_everyone": True}
    assert Settings.model_validate({"identity": trusting}).identity.trusted_proxies == tuple(proxies)


@pytest.mark.security("A3")
def test_by_default_nobody_is_trusted() -> None:
    assert Settings().identity.trusted_proxies == ()


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("Photos.Example", "photos.example"),
        ("photos.example.", "photos.example"),
        ("[::1]", "[::1]"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_hosts_are_lower_case_without_their_last_dot(written: str, host: str) -> None:
    assert Settings.model_validate({"site": {"hosts": [written]}}).site.hosts == (host,)


@pytest.mark.security("B12")
@pytest.mark.parametrize(
    "host", ["", ".", "a b", "a:80", "https://a", "good@evil", "a/x", "a,b", "bücher.example", "[::1", "[1]"]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    assert [where for where, _ in errors_of({"site": {"hosts": [host]}})] == ["site.hosts.0"]


@pytest.mark.security("A5")
@pytest.mark.parametrize("header", ["X_Forwarded_For", "x forwarded", "", "x.real.ip", "x-real-ip:", "é"])
def test_a_header_that_proxies_alias_is_refused(header: str) -> None:
    assert [where for where, _ in errors_of({"identity": {"header": header}})] == ["identity.header"]


@pytest.mark.parametrize(
    ("table", "key", "wrong", "right"),
    [
        ("grants", "prefixes", ["media/"], ["/media/"]),
        ("grants", "prefixes", ["/media?x"], ["/"]),
        ("grants", "parameter", "a=b", "token"),
        ("grants", "parameter", "", "t"),
        ("grants", "window", "30s", "1min"),
        ("traps", "path", "relative", "/secret-album"),
        ("traps", "path", "/x?y", ""),
        ("record", "admin", "localhost:80", "127.0.0.1:80"),
        ("record", "admin", "127.0.0.1:70000", "unix:/run/antiscrape.sock"),
        ("record", "admin", "::1:80", "[::1]:80"),
        ("record", "events", "a\nb", "off"),
        ("site", "name", "a\x1b[31mb", "a b"),
        ("images", "preview_cells", 2, 16),
        ("images", "faces", "on", "require"),
        ("images", "face_look", 64, 256),
        ("images", "face_score", 0.0, 0.1),
        ("images", "face_floor", 2, 6),
        ("images", "max_bytes", "1GB/hour", "1GB"),
        ("score", "ban", "10s", "10min"),
    ],
)
def test_bounds_are_kept(table: str, key: str, wrong: object, right: object) -> None:
    places = [where for where, _ in errors_of({table: {key: wrong}})]
    assert len(places) == 1
    assert places[0].startswith(f"{table}.{key}")
    Settings.model_validate({table: {key: right}})


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ({"images": {"preview_cells": 17}}, ("images", "preview_cells")),
        ({"images": {"face_floor": 9}}, ("images", "face_floor")),
        ({"images": {"face_score": 0.2}}, ("images", "face_score")),
        ({"record": {"admin": "0.0.0.0:9465"}}, ("record", "admin")),
        (
            {"standing": {"bot": {"rendition": "original", "originals": "5/day"}}},
            ("standing", "bot", "rendition"),
        ),
        ({"signals": {"accept-missing": {"weight": 250}}}, ("signals", "accept-missing", "weight")),
        (
            {"clearance": {"enabled": True}, "standing": {"proven": {"originals": "50/day"}}},
            ("standing", "proven", "originals"),
        ),
        (
            {"clearance": {"enabled": True}, "standing": {"browser": {"subjects": "30/hour"}}},
            ("standing", "proven", "subjects"),
        ),
    ],
)
def test_what_is_mostly_not_meant_is_a_doubt(tree: dict[str, Any], where: tuple[str, ...]) -> None:
    assert [place for place, _ in Settings.model_validate(tree).doubts()] == [where]


def test_the_defaults_leave_no_doubt() -> None:
    assert list(Settings().doubts()) == []
    assert list(Settings.model_validate({"clearance": {"enabled": True}}).doubts()) == []


def test_what_nobody_proves_is_in_no_doubt() -> None:
    assert list(Settings.model_validate({"standing": {"browser": {"originals": "unlimited"}}}).doubts()) == []


def test_a_copy_that_names_one_is_not_kept_for_all() -> None:
    """A CDN that keeps originals by their URL would hand everybody the mark of whoever came first."""
    (error,) = errors_of({"trace": {"originals": True}, "grants": {"shared_caches": True}})
    assert error[0] == "trace.originals"
    assert "grants.shared_caches" in error[1]
    assert Settings.model_validate({"trace": {"originals": True}}).trace.rules().originals
