"""Where the secret comes from, and that no message ever holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from antiscrape.core.tokens import EXAMPLE_SECRET
from antiscrape.errors import ConfigurationError, SecretError
from antiscrape.settings import load_policy

if TYPE_CHECKING:
    from pathlib import Path

OLDER = "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f"
NEWER = "Zq4Tg7Hn1Vb8Xc5Rm2Ks9Jd6Lw3Py0Ef"


@pytest.mark.parametrize("between", [" ", "\n", ",", ", ", "\r\n\t"])
def test_several_secrets_run_from_oldest_to_newest(between: str) -> None:
    policy = load_policy(environ={"ANTISCRAPE_SECRET": f"{OLDER}{between}{NEWER}\n"})
    assert policy.secrets == (OLDER.encode(), NEWER.encode())


def test_a_variable_names_a_file_of_secrets(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{OLDER}\n{NEWER}\n")
    policy = load_policy(environ={"ANTISCRAPE_SECRET_FILE": str(tmp_path / "secret")})
    assert policy.secrets == (OLDER.encode(), NEWER.encode())


def test_the_settings_name_a_file_of_secrets_beside_them(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(OLDER)
    (tmp_path / "site.toml").write_text('[site]\nsecret_file = "secret"\n')
    assert load_policy(tmp_path / "site.toml", environ={}).secrets == (OLDER.encode(),)
    newer = load_policy(tmp_path / "site.toml", environ={"ANTISCRAPE_SECRET": NEWER})
    assert newer.secrets == (NEWER.encode(),)


def test_two_variables_at_once_are_refused(tmp_path: Path) -> None:
    environ = {"ANTISCRAPE_SECRET": OLDER, "ANTISCRAPE_SECRET_FILE": str(tmp_path)}
    with pytest.raises(SecretError, match="both set"):
        load_policy(environ=environ)


@pytest.mark.security("F2")
@pytest.mark.parametrize("secret", ["short", "a" * 64, EXAMPLE_SECRET.decode(), " , \n"])
def test_a_weak_secret_stops_the_start(secret: str) -> None:
    with pytest.raises(SecretError):
        load_policy(environ={"ANTISCRAPE_SECRET": secret})


@pytest.mark.security("F2")
def test_a_weak_secret_is_refused_even_where_none_is_needed() -> None:
    with pytest.raises(SecretError):
        load_policy(environ={"ANTISCRAPE_SECRET": "short"}, require_secret=False)


def test_each_of_several_weak_secrets_is_named_by_its_number() -> None:
    with pytest.raises(SecretError) as caught:
        load_policy(environ={"ANTISCRAPE_SECRET": f"short {OLDER} brief"})
    assert [problem.partition(": the")[0] for problem in caught.value.problems] == [
        "ANTISCRAPE_SECRET: secret 1 of 3",
        "ANTISCRAPE_SECRET: secret 3 of 3",
    ]


@pytest.mark.security("J9")
@pytest.mark.parametrize(
    ("text", "environ"),
    [
        (f'[site]\nsecret = "{OLDER}"\n', {}),
        (f'[site]\nsecrets = ["{OLDER}"]\n', {}),
        (f'secret = "{OLDER}"\n', {}),
        (f'[site]\nsecret_file = "{OLDER}"\n', {}),
        (f'[site]\nsecret_file = ["{OLDER}"]\n', {}),
        (f'[site]\nsecret_file = "{OLDER * 200}"\n', {}),
        (f'[site]\nsecret_key = "{OLDER}\n', {}),
        (f"[site]\nsecret = {OLDER}\n", {}),
        ("", {"ANTISCRAPE_SECRET_FILE": OLDER}),
        ("", {"ANTISCRAPE_SECRET_FILE": OLDER * 200}),
        ("", {"ANTISCRAPE__SITE__SECRET": OLDER}),
        ("", {"ANTISCRAPE__SITE__SECRET_FILE": OLDER}),
        ("[site]\nmode = 1\n", {"ANTISCRAPE_SECRET": f"{OLDER[:31]}"}),
        ("[site]\nmode = 1\n", {"ANTISCRAPE_SECRET": OLDER[:16] * 2}),
    ],
)
def test_no_error_holds_a_secret_wherever_an_operator_put_it(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_policy(path, environ=environ)
    told = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert OLDER[:8] not in told


@pytest.mark.security("J9")
def test_a_policy_does_not_show_its_secrets() -> None:
    assert OLDER[:8] not in repr(load_policy(environ={"ANTISCRAPE_SECRET": OLDER}))
