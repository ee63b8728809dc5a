"""Settings from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from antiscrape.core.resource import Kind
from antiscrape.core.rules import Policy, SignalRule
from antiscrape.core.verdict import Mode, Standing
from antiscrape.errors import ConfigurationError
from antiscrape.settings import load_policy
from antiscrape.settings.overrides import read_value

if TYPE_CHECKING:
    from pathlib import Path


def policy_of(**variables: str) -> Policy:
    return load_policy(
        environ={f"ANTISCRAPE__{name}": value for name, value in variables.items()}, require_secret=False
    )


def problems_of(**variables: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        policy_of(**variables)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("320", 320),
        ("true", True),
        ('"320"', "320"),
        ("20/10min", "20/10min"),
        ("", ""),
        ("[1, 2]", [1, 2]),
        ('{ a = "b" }', {"a": "b"}),
        ("1\n[site]\nname = 2", "1\n[site]\nname = 2"),
        ("1 # one", 1),
        ("enforce", "enforce"),
    ],
)
def test_a_value_is_toml_or_else_text(text: str, value: object) -> None:
    assert read_value(text) == value


def test_numbers_texts_lists_and_tables_can_be_set() -> None:
    policy = policy_of(
        IMAGES__PREVIEW_SIZE="320",
        STANDING__BROWSER__ORIGINALS="20/10min",
        SITE__MODE="shadow",
        SITE__HOSTS='["photos.example"]',
        ROUTES='[{ pattern = "/x", kind = "page" }]',
        GRANTS='{ prefixes = ["/media/"], window = "30min" }',
        GRANTS__WINDOW="10min",
    )
    assert policy.images.preview_size == 320
    assert policy.standings[Standing.BROWSER].originals[0].text == "20/10min"
    assert (policy.mode, policy.hosts) == (Mode.SHADOW, ("photos.example",))
    assert [route.pattern for route in policy.routes if route.kind is Kind.PAGE] == ["/x"]
    assert (policy.grants.prefixes, policy.grants.window) == (("/media/",), 600.0)


def test_underscores_stand_for_the_hyphens_of_a_signal() -> None:
    policy = policy_of(SIGNALS__ACCEPT_MISSING__WEIGHT="35", SIGNALS__ACCEPT_MISSING__MODE="shadow")
    assert policy.signals["accept-missing"] == SignalRule(35, Mode.SHADOW)


def test_an_error_names_the_variable() -> None:
    assert problems_of(STANDING__BROWSER__SUBJECTS="many", SITE__NMAE="x") == [
        'ANTISCRAPE__SITE__NMAE: site.nmae: unknown setting; did you mean "name"?',
        "ANTISCRAPE__STANDING__BROWSER__SUBJECTS: standing.browser.subjects: 'many' is not a limit; expected an amount per window, such as \"40/10min\"",
    ]


def test_an_error_in_a_table_names_the_variable_that_wrote_it() -> None:
    assert problems_of(GRANTS='{ window = "1s" }', SITE="5") == [
        "ANTISCRAPE__SITE: site: 5 is not a table",
        'ANTISCRAPE__GRANTS: grants.window: "1s" is not between 1min and 7d',
    ]


def test_an_override_takes_the_blame_from_the_line_that_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("[images]\nworkers = 0\nqueue = 0\n[[routes]]\npattern = '/a'\nkind = 'x'\n")
    environ = {"ANTISCRAPE__ROUTES": "[{ pattern = 'a' }]", "ANTISCRAPE__IMAGES": "{ workers = -1 }"}
    with pytest.raises(ConfigurationError) as caught:
        load_policy(path, environ=environ, require_secret=False)
    assert list(caught.value.problems) == [
        'ANTISCRAPE__ROUTES: routes[0].pattern: "a" is not a route; expected a path that starts with "/"',
        "ANTISCRAPE__ROUTES: routes[0].kind: is missing",
        "ANTISCRAPE__IMAGES: images.workers: -1 is less than 1, the least allowed",
        f"{path}:3: images.queue: 0 is less than 1, the least allowed",
    ]


def test_a_default_that_a_variable_contradicts_names_the_variable() -> None:
    assert problems_of(SCORE__UNKNOWN_AT="90") == [
        "ANTISCRAPE__SCORE__UNKNOWN_AT: score.bot_at: 40 is not above unknown_at, which is 90"
    ]


@pytest.mark.parametrize("name", ["", "__", "SITE____NAME", "__SITE"])
def test_a_variable_without_a_name_is_refused(name: str) -> None:
    (problem,) = problems_of(**{name: "1"})
    assert problem.startswith(f"ANTISCRAPE__{name}: is not the name of a setting")


def test_lists_and_values_are_set_whole() -> None:
    problems = problems_of(SITE__HOSTS="[]", SITE__HOSTS__0="a", IMAGES__WORKERS="1", IMAGES__WORKERS__X="2")
    assert [problem.partition(":")[0] for problem in problems] == [
        "ANTISCRAPE__IMAGES__WORKERS__X",
        "ANTISCRAPE__SITE__HOSTS__0",
    ]


def test_other_variables_of_the_name_are_left_alone() -> None:
    environ = {"ANTISCRAPE_SHARED": "x", "ANTISCRAPE": "y", "antiscrape__site__name": "z"}
    assert load_policy(environ=environ, require_secret=False).site == "site"


def test_bytes_that_are_no_text_are_refused_in_words() -> None:
    (problem,) = problems_of(SITE__NAME="\udcff")
    assert problem.startswith("ANTISCRAPE__SITE__NAME: site.name: ")
    assert problem.isascii()
