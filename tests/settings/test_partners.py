"""The tables of partners: what is written is granted, what cannot be meant is refused, and no key is ever shown."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from antiscrape.core.budgets import parse_limits
from antiscrape.core.partner import PartnerBook, hash_key, new_key
from antiscrape.core.rules import Allowance
from antiscrape.core.verdict import Rendition, Standing
from antiscrape.settings import report
from antiscrape.settings.origins import Origins
from antiscrape.settings.partners import (
    MOST_IDENTITIES,
    MOST_KEYS,
    PartnerLine,
    PartnerLines,
    doubts,
    end_of,
    partners,
    write_hash,
)
from antiscrape.settings.positions import index, scan
from antiscrape.settings.table import Table

if TYPE_CHECKING:
    from antiscrape.core.partner import Partner

KEY = new_key(bytes(range(32)))
HASH = write_hash(KEY.encode())
OTHER = write_hash(b"another")
BOUND = 'originals = "5/day"'
NAMES = 'expected up to 64 lower-case letters, digits, ".", "_" or "-"'


class File(Table):
    """A settings file of partners alone."""

    partners: PartnerLines = ()


def compiled(text: str) -> tuple[Partner, ...]:
    return partners(File.model_validate(tomllib.loads(text)).partners)


def table(name: str = "museum", *lines: str, key: str = HASH) -> str:
    shown = f'keys = ["{key}"]\n' if key else ""
    return "\n".join(["[[partners]]", f'name = "{name}"', 'purpose = "a catalogue"', *lines, shown])


def problems_of(text: str) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        File.model_validate(tomllib.loads(text))
    return report.problems(caught.value, Origins("FILE", index(scan(text))))


def words_of(text: str) -> str:
    (problem,) = problems_of(text)
    return problem


def test_without_partners_there_are_none() -> None:
    assert compiled("") == ()


def test_all_of_a_partner_is_what_its_table_says() -> None:
    (found,) = compiled(
        f"""
[[partners]]
name = "museum.berlin-2"
purpose = "Katalog der Porträts"
until = 2027-12-31
keys = ["{HASH}", "{OTHER}"]
identities = ["https://museum.example", "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"]
requests = "10/min"
originals = "5/min, 40/day"
subjects = 0
bytes = "3MB/hour"
rendition = "original"
beyond = "refused"
"""
    )
    assert found.name == "museum.berlin-2"
    assert found.purpose == "Katalog der Porträts"
    assert found.until == datetime(2028, 1, 1, tzinfo=UTC).timestamp()
    assert found.key_hashes == (hash_key(KEY.encode()), hash_key(b"another"))
    assert found.identities == ("https://museum.example", "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U")
    assert found.allowance == Allowance(
        Standing.PARTNER,
        Rendition.ORIGINAL,
        Rendition.REFUSED,
        requests=parse_limits("10/min"),
        originals=parse_limits("5/min, 40/day"),
        subjects=parse_limits("0"),
        bytes=parse_limits("3MB/hour", sizes=True),
    )
    assert found.allowance.only is found.allowance.requests[0]


def test_what_is_left_out_is_without_a_limit_and_without_an_end() -> None:
    (found,) = compiled(table())
    assert found.allowance == Allowance(Standing.PARTNER, Rendition.ORIGINAL, Rendition.PREVIEW)
    assert (found.until, found.identities) == (None, ())


@pytest.mark.parametrize("within", list(Rendition))
@pytest.mark.parametrize("beyond", list(Rendition))
def test_a_spent_budget_never_gives_more_than_an_unspent_one(within: Rendition, beyond: Rendition) -> None:
    both = table("museum", f'rendition = "{within.value}"', f'beyond = "{beyond.value}"')
    if list(Rendition).index(beyond) < list(Rendition).index(within):
        words = f'"{beyond.value}" is better than rendition, which is "{within.value}"'
        assert words_of(both) == f"FILE:5: partners[0].beyond: {words}"
    else:
        (found,) = compiled(both)
        assert (found.allowance.rendition, found.allowance.beyond) == (within, beyond)


def test_the_printed_hash_of_a_key_opens_with_that_key() -> None:
    book = PartnerBook(compiled(table()))
    assert book.by_key(KEY.encode(), 0.0) is book.partners[0]
    assert book.by_key(HASH.encode(), 0.0) is None


def test_a_hash_may_be_written_in_capitals() -> None:
    assert compiled(table(key="sha256:" + HASH.removeprefix("sha256:").upper())) == compiled(table())


@pytest.mark.parametrize(
    ("written", "second"),
    [
        ("2026-12-31", 1_798_761_600),
        ("2028-02-28", 1_835_395_200),
        ("2028-02-29", 1_835_481_600),
        ("1970-01-01", 86_400),
        ("1969-12-31", 0),
        ("9999-12-31", 253_402_300_800),
    ],
)
def test_a_grant_lasts_through_its_last_day_in_utc(written: str, second: int) -> None:
    bare, quoted = (compiled(table("museum", f"until = {one}"))[0] for one in (written, f'"{written}"'))
    assert bare.until == quoted.until == second
    assert not bare.ended(second - 0.001)
    assert bare.ended(second)


@given(st.dates(max_value=date(9998, 12, 31)))
def test_the_end_of_a_day_is_the_midnight_that_follows(day: date) -> None:
    """As the standard library reckons it, leap years and all."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    assert end_of(day) == midnight + 86_400


NO_DAYS = (
    "2026-12-31T00:00:00Z", "2026-12-31T10:00:00", "10:00:00", "20261231", "true", '""', '"2026-02-30"', '"20261231"',
    '"2026-W01-1"', '"31.12.2026"', '"2026-12-31 "', '"\\uff12026-12-31"', '"tomorrow"', "[2026-12-31]",
)  # fmt: skip


@pytest.mark.parametrize("written", NO_DAYS)
def test_what_is_no_day_is_refused(written: str) -> None:
    problem = words_of(table("museum", f"until = {written}"))
    assert problem.startswith("FILE:4: partners[0].until: ")
    assert problem.endswith(" is not a day; expected one such as 2027-12-31, without a time")


def test_every_problem_is_told_with_its_line() -> None:
    text = f"""
[[partners]]
name = "Museum"
purpose = ""
keys = []

[[partners]]
name = "press"
purpose = "news\\u001b[2J"
keys = ["{HASH}", 5]
originals = "5 a day"
"""
    assert problems_of(text) == [
        'FILE:3: partners[0].name: "Museum" is not a partner\'s name; ' + NAMES,
        'FILE:4: partners[0].purpose: "" is empty',
        'FILE:9: partners[1].purpose: "news\\u001b[2J" holds a character that cannot be shown',
        "FILE:10: partners[1].keys[1]: 5 is not text; put it in quotes",
        "FILE:11: partners[1].originals: '5 a day' is not a limit; expected an amount per window, such as \"40/10min\"",
    ]


@pytest.mark.parametrize("field", ["name", "purpose"])
def test_a_partner_without_a_name_or_purpose_is_refused(field: str) -> None:
    lines = [line for line in table().splitlines() if not line.startswith(field)]
    assert words_of("\n".join(lines)) == f"FILE:1: partners[0].{field}: is missing"


def test_a_partner_without_key_and_identity_is_refused() -> None:
    assert words_of(table(key="")) == (
        "FILE:1: partners[0].keys: there is neither a key nor an identity to know the partner by; "
        '"antiscrape key NAME" makes a key and prints its hash'
    )
    (found,) = compiled(table("signer", 'identities = ["signer"]', key=""))
    assert (found.key_hashes, found.identities) == ((), ("signer",))


def test_two_partners_are_told_apart() -> None:
    text = table("museum", 'identities = ["x"]') + table("museum", 'identities = ["y", "x"]')
    assert problems_of(text) == [
        'FILE:7: partners[1].name: "museum" has this name already',
        'FILE:10: partners[1].keys[0]: "museum" has this key already',
        'FILE:9: partners[1].identities[1]: "museum" has this identity already',
    ]


def test_a_key_in_capitals_is_the_same_key() -> None:
    twice = table() + table("press", key=f"sha256:{HASH[7:].upper()}")
    assert words_of(twice) == 'FILE:8: partners[1].keys[0]: "museum" has this key already'


def test_a_key_that_one_partner_lists_twice_is_refused() -> None:
    text = table(key=f'{HASH}", "{HASH}')
    assert words_of(text) == 'FILE:4: partners[0].keys[1]: "museum" has this key already'


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (f"keys = {[f'sha256:{number:064x}' for number in range(MOST_KEYS + 1)]}", "8 elements"),
        (f"identities = {[str(number) for number in range(MOST_IDENTITIES + 1)]}", "32 elements"),
        (f'identities = ["{"x" * 281}"]', "280 characters"),
        ('identities = [""]', "is empty"),
        ('identities = ["\\u2028"]', "cannot be shown"),
        ("identities = 5", "is not a list"),
        ("refuse = true", "unknown setting"),
    ],
)
def test_what_is_too_much_or_nothing_is_refused(lines: str, words: str) -> None:
    key = "" if lines.startswith("keys") else HASH
    assert words in words_of(table("museum", lines, key=key))


@pytest.mark.parametrize("name", ["", "a b", "-a", ".a", "A", "é", "a/b", "a\\n", "a" * 65, "a\\u0000", "٣"])
def test_a_name_that_metrics_and_logs_could_not_hold_is_refused(name: str) -> None:
    assert words_of(table(name)).startswith("FILE:2: partners[0].name: ")


@pytest.mark.security("J9")
@pytest.mark.parametrize(
    "line",
    [
        f'keys = ["{KEY}"]',
        f'keys = ["{HASH}", "x {KEY}"]',
        f'keys = ["sha256:{KEY}"]',
        f'keys = "{KEY}"',
        f'identities = ["{KEY}"]',
        f'identities = "{KEY}"',
        f'until = "{KEY}"',
    ],
)
def test_a_key_in_place_of_its_hash_is_refused_and_not_shown(line: str) -> None:
    text = table("museum", line, key="" if line.startswith("keys") else HASH)
    problem = words_of(text)
    assert problem.startswith("FILE:4: partners[0].")
    assert KEY[4:12] not in problem
    assert '"antiscrape key NAME"' in problem


@pytest.mark.security("J9")
def test_a_key_in_place_of_the_whole_list_is_not_shown() -> None:
    """As it happens to a variable of the environment: ANTISCRAPE__PARTNERS=ask_..."""
    assert words_of(f'partners = "{KEY}"').startswith("FILE:1: partners: holds a key, which belongs nowhere")


@pytest.mark.security("J9")
@pytest.mark.parametrize("field", ["name", "purpose"])
def test_a_key_as_a_name_or_purpose_is_refused_and_not_shown(field: str) -> None:
    written = {"name": "museum", "purpose": "p"} | {field: f"for {KEY}"}
    text = f'[[partners]]\nname = "{written["name"]}"\npurpose = "{written["purpose"]}"\nkeys = ["{HASH}"]\n'
    problem = words_of(text)
    assert f"partners[0].{field}: holds a key, which belongs nowhere in this file" in problem
    assert KEY[4:12] not in problem


@pytest.mark.security("J9")
@pytest.mark.parametrize(
    "secret", ["hunter2-and-more", "9f86d081884c7d65" * 4, "sha256:9f86d081", "sha1:" + "a" * 40]
)
def test_a_key_of_somebody_elses_making_is_not_shown_either(secret: str) -> None:
    """64 hex digits alone may be a key: "openssl rand -hex 32" prints just that."""
    for lines in (f'keys = ["{secret}"]', f'keys = "{secret}"'):
        problem = words_of(table("museum", lines, key=""))
        assert secret[:8] not in problem.replace('"sha256:', "")
        assert '"antiscrape key NAME" makes a key and prints its hash' in problem


def test_a_grant_that_has_ended_is_a_doubt_and_no_error() -> None:
    found = compiled(
        table("museum", "until = 2026-01-31", BOUND) + table("press", "until = 2026-02-01", BOUND, key=OTHER)
    )
    first, second = end_of(date(2026, 1, 31)), end_of(date(2026, 2, 1))
    assert list(doubts(found, first - 1)) == []
    words = 'has passed, so "museum" is nobody any more'
    assert list(doubts(found, first)) == [(("partners", 0, "until"), words)]
    assert [where[1] for where, _ in doubts(found, second)] == [0, 1]


@pytest.mark.security("H9")
@pytest.mark.parametrize(
    ("line", "doubtful"),
    [
        ("", True),
        ('requests = "5/min"', True),
        ('rendition = "marked"', True),
        ('originals = "5/day"', False),
        ('subjects = "5/day"', False),
        ('bytes = "5MB/day"', False),
        ('rendition = "preview"', False),
    ],
)
def test_originals_without_end_are_a_doubt(line: str, doubtful: bool) -> None:  # noqa: FBT001  a parameter of the table
    found = list(doubts(compiled(table("museum", line)), 0.0))
    assert [where for where, _ in found] == ([("partners", 0)] if doubtful else [])


def test_what_is_written_is_read_again() -> None:
    text = table("museum", "until = 2027-12-31", 'originals = "5/day"', 'beyond = "decoy"')
    (line,) = File.model_validate(tomllib.loads(text)).partners
    written = line.model_dump(mode="json", exclude_unset=True)
    assert written["until"] == "2027-12-31"
    assert File.model_validate({"partners": [written]}).partners == (line,)
    assert partners([PartnerLine.model_validate(written)]) == compiled(text)


def test_the_schema_takes_what_the_loader_takes() -> None:
    schema = File.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    right = tomllib.loads(table("museum", 'until = "2027-12-31"', "originals = 0", 'identities = ["x"]'))
    assert validator.is_valid(right)
    for wrong in (table(key=KEY), table("museum", "orignals = 0"), table("museum", 'rendition = "best"')):
        assert not validator.is_valid(tomllib.loads(wrong))


def test_every_setting_of_a_partner_is_explained() -> None:
    assert all(field.description for field in PartnerLine.model_fields.values())


values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=80)
    | st.dates()
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.security("D9")
@given(st.dictionaries(st.sampled_from(list(PartnerLine.model_fields)), values))
def test_any_values_are_a_partner_or_a_refusal_in_words(written: dict[str, Any]) -> None:
    tree = {"partners": [{"name": "museum", "purpose": "p", "keys": [HASH]} | written]}
    try:
        lines = File.model_validate(tree).partners
    except ValidationError as error:
        problems = report.problems(error, Origins("FILE", {}))
        assert problems
        assert all(problem.startswith("FILE: partners[0]") for problem in problems)
    else:
        assert len(PartnerBook(partners(lines))) == 1
