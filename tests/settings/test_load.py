"""Loading a policy: precedence, every error at once with its place, and nothing that is not refused in words."""

from __future__ import annotations

import logging
import os
import random
import re
from pathlib import Path

import pytest

from antiscrape.core.rules import Policy
from antiscrape.core.tokens import check_secret
from antiscrape.core.verdict import Mode, Standing
from antiscrape.errors import ConfigurationError, SecretError
from antiscrape.settings import load_policy
from antiscrape.settings.load import MOST_BYTES, load
from antiscrape.settings.positions import LONGEST_STRING, MOST_TOKENS
from tests.costs import ends
from tests.fuzz import times

ROOT = Path(__file__).parents[2]
DEFAULTS = ROOT / "config" / "antiscrape.toml"
SECRET = "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f"
NEWER = "Zq4Tg7Hn1Vb8Xc5Rm2Ks9Jd6Lw3Py0Ef"
WITH_SECRET = {"ANTISCRAPE_SECRET": SECRET}


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "site.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def problems_of(path: Path | None, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_policy(path, environ=WITH_SECRET if environ is None else environ)
    return caught.value.problems


def test_without_a_file_the_defaults_hold() -> None:
    policy = load_policy(environ=WITH_SECRET)
    assert policy.mode is Mode.ENFORCE
    assert policy.secrets == (SECRET.encode(),)
    assert [limit.text for limit in policy.standings[Standing.BROWSER].originals] == ["40/10min", "60/day"]


def test_the_file_of_every_default_is_the_default() -> None:
    assert load_policy(DEFAULTS, environ=WITH_SECRET) == load_policy(environ=WITH_SECRET)


def test_the_environment_goes_before_the_file_and_the_file_before_the_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "[images]\npreview_size = 400\npreview_cells = 12\n")
    environ = {**WITH_SECRET, "ANTISCRAPE__IMAGES__PREVIEW_SIZE": "320"}
    images = load_policy(path, environ=environ).images
    assert (images.preview_size, images.preview_cells, images.original_from) == (320, 12, 512)


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[site]\nname = "from-a-variable"\n')
    assert load_policy(environ={**WITH_SECRET, "ANTISCRAPE_CONFIG": str(path)}).site == "from-a-variable"


def test_a_path_goes_before_the_variable_that_names_one(tmp_path: Path) -> None:
    path = written(tmp_path, '[site]\nname = "given"\n')
    environ = {**WITH_SECRET, "ANTISCRAPE_CONFIG": str(tmp_path / "absent.toml")}
    assert load_policy(path, environ=environ).site == "given"


def test_the_process_environment_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTISCRAPE_SECRET", SECRET)
    monkeypatch.setenv("ANTISCRAPE__SITE__NAME", "of-the-process")
    assert load_policy(DEFAULTS).site == "of-the-process"


def test_every_problem_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "# a comment\n\n[site]\nmode = 'enforced'\n\n[standing.browser]\n"
        'originals = "x"\nbeyond = "original"\nrequests = "10/min"\n\n[[routes]]\npattern = "/a"\nkind = "image"\n\n'
        '[[routes]]\npattern = "b"\nkind = "page"\n\n[signals.agent-is-tool]\nweight = 5\n\n[score]\nunknown_at = 90\n',
    )
    environ = {"ANTISCRAPE__IMAGES__WORKERS": "many", "ANTISCRAPE_SECRET": "short"}
    with pytest.raises(SecretError) as weak:
        check_secret(b"short")
    assert [problem.replace(str(path), "FILE") for problem in problems_of(path, environ)] == [
        'FILE:4: site.mode: "enforced" is none of "enforce", "shadow" or "off"',
        'FILE:16: routes[1].pattern: "b" is not a route; expected a path that starts with "/"',
        "FILE:22: score.bot_at: 40 is not above unknown_at, which is 90",
        "FILE:7: standing.browser.originals: 'x' is not a limit; expected an amount per window, such as \"40/10min\"",
        'FILE:19: signals.agent-is-tool: unknown signal; did you mean "agent-is-a-tool"?',
        'ANTISCRAPE__IMAGES__WORKERS: images.workers: "many" is not a whole number',
        f"ANTISCRAPE_SECRET: {weak.value}",
    ]


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("[site]\nname = \n", ":2:8: ", "is not TOML"),
        ("[site]\nname = 'x'\nname = 'y'\n", ":3:11: ", "is not TOML"),
        ("[site\n", ":1:6: ", "is not TOML"),
        ('[site]\nname = """\n\n', ":4: ", "at the end of the file"),
        ("a = 2020-13-41\n", ":1:", "is not TOML"),
        (b"[site]\nname = '\xff'\n", ":2: ", "is not UTF-8"),
        (b"\xff\xfe[\x00", ":1: ", "is not UTF-8"),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line_and_column(
    tmp_path: Path, text: str | bytes, where: str, words: str
) -> None:
    path = written(tmp_path, text)
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path}{where}")
    assert words in problem


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbf[site]\r\nname = 'x'\r\n")
    assert load_policy(path, environ=WITH_SECRET).site == "x"


def test_folders_pipes_devices_and_absent_files_are_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), tmp_path / "absent", Path("a\0b")):
        (problem,) = problems_of(path)
        assert problem.startswith(f"{path}: cannot be read: ")


def test_a_file_over_a_megabyte_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "#" * MOST_BYTES + "\n")
    assert problems_of(path) == (f"{path}: is longer than {MOST_BYTES} bytes",)


@pytest.mark.security("D10")
@pytest.mark.parametrize(
    "text",
    [
        "a = " + "1" * 10**6,
        "a = 0x" + "f" * 10**6,
        "a = 1." + "1" * 10**6,
        "a = " + "[" * 10**5,
        "a = " + "[\n" * 10**5,
        "a = " + "{a=" * 10**5,
        "a" + ".a" * 10**5 + " = 1",
        "[a" + ".a" * 10**5 + "]",
        ("a" + ".a" * 500 + " = 1\n") * 900,
    ],
    ids=lambda text: f"{text[:12]!r}",
)
def test_deep_nesting_and_endless_numbers_are_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with ends():
        (problem,) = problems_of(path)
    assert len(problem) < 300


@pytest.mark.parametrize(
    "text", ['a = "' + "x" * 9000 + '"', 'a = """' + '\\"' * 400_000, "a = '''" + "''\n" * 300_000]
)
def test_an_endless_text_is_refused_where_it_begins(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, f"\n{text}")
    assert problems_of(path) == (f"{path}:2: a text of more than {LONGEST_STRING} characters",)


@pytest.mark.security("D10")
@pytest.mark.parametrize("value", ["1" * 10**6, "[" * 10**5, "0x" + "f" * 10**5, "{a=" * 10**4])
def test_a_hostile_variable_is_refused(value: str) -> None:
    with ends():
        (problem,) = problems_of(None, {**WITH_SECRET, "ANTISCRAPE__IMAGES__WORKERS": value})
    assert len(problem) < 200


def test_a_file_of_too_many_values_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a = 1\n" * (MOST_TOKENS // 4 + 1))
    (problem,) = problems_of(path)
    assert f"more than {MOST_TOKENS} names, values and signs" in problem


def test_a_thousand_mistakes_are_a_hundred_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "".join(f"x{number} = 1\n" for number in range(1000)))
    found = problems_of(path)
    assert len(found) == 101
    assert found[-1] == "and 900 more"


def test_warnings_are_logged_and_stop_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, "[images]\npreview_cells = 24\n")
    with caplog.at_level(logging.WARNING, "antiscrape.settings"):
        assert load_policy(path, environ=WITH_SECRET).images.preview_cells == 24
    (message,) = caplog.messages
    assert message.startswith(f"{path}:2: images.preview_cells: 24 cells leave enough of a face to match it")


def test_a_missing_secret_stops_the_start() -> None:
    with pytest.raises(SecretError, match="no secret is set"):
        load_policy(environ={})


def test_without_the_need_of_a_secret_each_process_has_its_own() -> None:
    first, second = (load(environ={}, require_secret=False) for _ in range(2))
    secret = first.policy.secrets[0]
    assert re.fullmatch(rb"[A-Za-z0-9_-]{43}", secret), (
        "no white space at its ends, of which a file is stripped"
    )
    assert first.policy.secrets != second.policy.secrets
    assert any("no secret is set" in warning for warning in first.warnings)


def mutations(good: str, count: int, seed: int) -> list[bytes]:
    """Return ``count`` texts that each differ from ``good`` in one to four places."""
    draw = random.Random(seed)
    lines = good.splitlines(keepends=True)
    pieces = [
        '"',
        "'",
        '"""',
        "[",
        "]",
        "[[",
        "{",
        "}",
        "=",
        ".",
        ",",
        "#",
        "\n",
        "\\",
        "\0",
        "\x1b",
        "\u2028",
        "é",
    ]
    pieces += [
        "-1",
        "0x10",
        "1e400",
        "nan",
        "true",
        "2020-01-01",
        "9" * 30,
        "0",
        '""',
        "[]",
        "{}",
        "unlimited",
        "1h",
    ]
    made = []
    for _ in range(count):
        text = "".join(lines)
        for _ in range(draw.randint(1, 4)):
            at, length = draw.randrange(len(text)), draw.choice((0, 1, 1, 3, 40))
            match draw.randrange(5):
                case 0:
                    text = text[:at] + draw.choice(pieces) + text[at:]
                case 1:
                    text = text[:at] + draw.choice(pieces) + text[at + length :]
                case 2:
                    text = text[:at] + text[at + length :]
                case 3:
                    number = draw.randrange(len(lines))
                    text = text[:at] + lines[number] + text[at:]
                case _:
                    name, _, _ = draw.choice(lines).partition(" = ")
                    text += f"\n{name} = {draw.choice(pieces)}\n"
        body = text.encode()
        if draw.random() < 0.1:
            at = draw.randrange(len(body))
            body = body[:at] + bytes([draw.randrange(256)]) + body[at + 1 :]
        made.append(body)
    return made


def check_mutations(folder: Path, texts: list[bytes]) -> tuple[int, int]:
    accepted = refused = 0
    stray: list[str] = []
    for text in texts:
        path = written(folder, text)
        try:
            policy = load_policy(path, environ=WITH_SECRET)
        except ConfigurationError as error:
            refused += 1
            stray += [line for line in error.problems or ("",) if not line.startswith(f"{path}:")]
        else:
            accepted += 1
            assert isinstance(policy, Policy)
    assert stray == []
    return accepted, refused


def test_a_mutated_file_is_a_policy_or_a_refusal_in_words(tmp_path: Path) -> None:
    for file in (DEFAULTS, ROOT / "config" / "policies" / "photo.toml"):
        accepted, refused = check_mutations(tmp_path, mutations(file.read_text("utf-8"), times(40), seed=20))
        assert accepted > 1
        assert refused > 10


@pytest.mark.slow
def test_mutations_of_short_files_are_policies_or_refusals(tmp_path: Path) -> None:
    files = sorted((ROOT / "config" / "policies").glob("*.toml"))
    count = times(60)
    for seed, file in enumerate(files):
        accepted, refused = check_mutations(tmp_path, mutations(file.read_text("utf-8"), count, seed=seed))
        assert accepted > count // 30
        assert refused > count // 4
