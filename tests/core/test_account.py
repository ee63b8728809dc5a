"""Accounts: their names, what their age is worth, and the sessions by which they are known again."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.account import (
    DAY,
    LONGEST_COOKIE,
    LONGEST_NAME,
    NEW,
    SHORTEST_SESSION,
    Account,
    AccountRules,
    AgeStep,
    SessionBook,
    account_key,
    age_factor,
    age_of,
    aged,
    allowances_by_age,
    canonical_name,
    parse_ages,
    write_ages,
)
from antiscrape.core.budgets import parse_limits
from antiscrape.core.rules import Allowance
from antiscrape.core.verdict import Rendition, Standing
from tests.costs import ends
from tests.house import policy_of

KEY = bytes(range(32))
ADA, BOB = Account("ada", 1_600_000_000.0), Account("bob")
SESSION = b"0123456789abcdef"
OTHER = b"fedcba9876543210"
NAMES = st.text(st.characters(), max_size=400)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("ada", "ada"),
        (" ada\t", "ada"),
        ("Ada", "Ada"),
        ("café", "café"),
        ("", ""),
        ("  ", ""),
        ("a b", "a b"),
    ],
)
def test_an_ordinary_name_stays_as_it_is(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


@pytest.mark.security("A10")
@pytest.mark.parametrize(
    "name", ["a\nb", "a\0", "\x7f", "a\u202eb", "\ud800", "x" * 10_240, "x" * (LONGEST_NAME + 1), "\u2028"]
)
def test_a_name_that_no_log_may_show_becomes_its_digest(name: str) -> None:
    assert re.fullmatch(r"blake2b:[0-9a-f]{32}", canonical_name(name))


def test_nobody_takes_anothers_digest_for_a_name() -> None:
    """An account registered under the digest of a long name would else spend the other's budget."""
    digest = canonical_name("x" * 300)
    assert canonical_name(digest) != digest


@given(NAMES, NAMES)
def test_two_names_stay_two_and_every_name_is_short_and_printable(one: str, other: str) -> None:
    names = [canonical_name(one), canonical_name(other)]
    assert (names[0] == names[1]) is (one.strip(" \t") == other.strip(" \t"))
    for name in names:
        assert len(name) <= LONGEST_NAME
        assert name.isprintable()


@given(NAMES, NAMES)
def test_a_stores_key_tells_accounts_apart_and_tells_nobodys_name(one: str, other: str) -> None:
    key = account_key(one, KEY)
    assert re.fullmatch(r"account:[0-9a-f]{32}", key)
    assert (key == account_key(other, KEY)) is (one == other)
    assert key != account_key(one, bytes(32)), "without the secret a name cannot be looked up"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", ()),
        ("0.25 in the first day, 0.5 in the first week", ((DAY, 0.25), (NEW, 0.5))),
        ("0.25 in the first day, 0.5 in the first week, 1 after", ((DAY, 0.25), (NEW, 0.5))),
        ("0 in the first 30 min", ((1800.0, 0.0),)),
        ("0.1 in the First 2 Days,0.1 in the first 2 weeks", ((2 * DAY, 0.1), (14 * DAY, 0.1))),
        ("1 in the first hour", ((3600.0, 1.0),)),
    ],
)
def test_ages_are_read_as_they_are_said(text: str, steps: tuple[tuple[float, float], ...]) -> None:
    assert parse_ages(text) == steps


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.25", "is not a step"),
        ("1 after", "is not a step"),
        ("0.25 in the first day,", "is not a step"),
        ("-1 in the first day", "is not a step"),
        ("nan in the first day", "is not a step"),
        ("2 in the first day", "more than the whole"),
        ("0.5 in the first month", "unknown time"),
        ("0.5 in the first 0 days", "lasts no time"),
        ("0.5 in the first 400 days", "more than a year"),
        ("0.5 in the first week, 0.25 in the first day", "does not ascend"),
        ("0.5 in the first day, 0.25 in the first week", "does not ascend"),
        ("0.5 in the first day, 0.6 in the first day", "does not ascend"),
        (", ".join(f"0.5 in the first {count} days" for count in range(1, 10)), "at most 8"),
    ],
)
def test_ages_that_say_nothing_clear_are_refused_with_what_was_expected(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_ages(text)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        steps = parse_ages(text)
    except ValueError:
        return
    assert all(0 <= step.factor <= 1 and step.within > 0 for step in steps)


@given(
    st.dictionaries(st.integers(1, 366 * 24 * 60), st.integers(0, 10_000), max_size=8).map(
        lambda raw: tuple(
            AgeStep(minutes * 60.0, share / 10_000)
            for minutes, share in zip(sorted(raw), sorted(raw.values()), strict=True)
            if minutes % 1440 == 0 or minutes <= 9999
        )
    )
)
def test_what_is_written_reads_the_same(steps: tuple[AgeStep, ...]) -> None:
    assert parse_ages(write_ages(steps)) == steps


def test_the_defaults_are_what_the_settings_would_say() -> None:
    assert write_ages(AccountRules().ages) == "0.25 in the first day, 0.5 in the first week"


@pytest.mark.parametrize(
    ("age", "factor"),
    [(-3600, 0.25), (0, 0.25), (DAY - 1, 0.25), (DAY, 0.5), (NEW - 1, 0.5), (NEW, 1.0), (40 * NEW, 1.0)],
)
def test_an_account_grows_into_its_budget(age: float, factor: float) -> None:
    now = 1_700_000_000.0
    assert age_factor(Account("ada", now - age), now, AccountRules()) == factor
    assert age_of(Account("ada", now - age), now) == max(0, age)


def test_an_age_that_nobody_tells_is_worth_what_the_policy_says() -> None:
    assert age_of(BOB, 0.0) is None
    assert age_factor(BOB, 0.0, AccountRules()) == 1.0
    assert age_factor(BOB, 0.0, AccountRules(age_untold=0.5)) == 0.5


@given(st.lists(st.floats(0, 400 * DAY), min_size=2).map(sorted))
def test_an_older_account_never_has_less(ages: list[float]) -> None:
    rules = AccountRules(
        ages=parse_ages("0 in the first hour, 0.1 in the first day, 0.5 in the first 30 days")
    )
    shares = [age_factor(Account("ada", 0.0), age, rules) for age in ages]
    assert all(younger <= older for younger, older in pairwise(shares))


def test_a_share_is_of_what_a_person_takes_and_not_of_requests() -> None:
    """A spent request budget is a wall, and somebody new to a site looks around."""
    member = policy_of().standings[Standing.MEMBER]
    young = aged(member, 0.25)
    assert young.requests == member.requests
    assert [limit.amount for limit in young.originals] == [60, 250]
    assert [limit.amount for limit in young.subjects] == [30, 100]
    assert [limit.amount for limit in young.bytes] == [0.75e9]
    assert young.subjects[0].text == "0.25 of 120/hour"
    assert (young.standing, young.rendition, young.beyond) == (
        member.standing,
        member.rendition,
        member.beyond,
    )


def test_a_new_member_has_no_less_than_whoever_did_not_sign_in() -> None:
    policy = policy_of()
    young, browser = aged(policy.standings[Standing.MEMBER], 0.25), policy.standings[Standing.BROWSER]
    for mine, theirs in ((young.originals, browser.originals), (young.subjects, browser.subjects)):
        assert all(one.amount >= other.amount for one, other in zip(mine, theirs, strict=True))


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_share_leaves_something_unless_nothing_is_meant(amount: int, factor: float) -> None:
    limits = parse_limits(f"{amount}/day") if amount else parse_limits("0")
    allowance = Allowance(Standing.MEMBER, Rendition.ORIGINAL, Rendition.PREVIEW, originals=limits)
    shared = aged(allowance, factor).originals[0]
    assert shared.amount <= amount
    assert (shared.amount >= 1) is (amount > 0 and factor > 0)
    assert shared.amount == int(shared.amount)


def test_every_share_that_an_age_can_have_is_worked_out_beforehand() -> None:
    rules, member = AccountRules(age_untold=0.75), policy_of().standings[Standing.MEMBER]
    ready = allowances_by_age(member, rules)
    assert set(ready) == {0.25, 0.5, 0.75, 1.0}
    assert ready[1.0] is member
    for age in (0.0, 2 * DAY, 2 * NEW):
        assert age_factor(Account("ada", 0.0), age, rules) in ready


def book(*names: str, lifetime: float = 3600.0, bound: int = 1000) -> SessionBook:
    return SessionBook(names or ("sid",), KEY, lifetime=lifetime, bound=bound)


def test_a_session_is_known_again_until_nothing_was_said_for_its_lifetime() -> None:
    sessions = book(lifetime=100)
    assert sessions.find(b"sid=" + SESSION, 0) is None
    assert sessions.learn(b"sid=" + SESSION, {}, ADA, 0) == ""
    assert sessions.find(b"a=b; sid=" + SESSION + b"; c=d", 99) == ADA
    sessions.learn(b"sid=" + SESSION, {}, ADA, 99)
    assert sessions.find(b"sid=" + SESSION, 198) == ADA
    assert sessions.find(b"sid=" + SESSION, 199) is None


def test_who_signs_out_is_forgotten() -> None:
    sessions = book()
    sessions.learn(b"sid=" + SESSION, {}, ADA, 0)
    sessions.learn(b"sid=" + SESSION, {}, None, 1)
    assert sessions.find(b"sid=" + SESSION, 2) is None
    sessions.learn(b"sid=" + SESSION, {}, BOB, 3)
    assert sessions.find(b"sid=" + SESSION, 4) == BOB, "the next one at the same machine"


def test_visitors_who_never_sign_in_take_no_room() -> None:
    sessions = book()
    for number in range(100):
        sessions.learn(b"sid=%016d" % number, {}, None, 0)
    assert len(sessions) == 0


@pytest.mark.security("J3")
def test_a_sign_in_is_remembered_for_the_session_that_it_gives_and_not_for_the_one_before() -> None:
    """The one before may have been planted: whoever planted it would be counted as his victim."""
    sessions = book()
    sessions.learn(b"sid=" + SESSION, {b"sid": OTHER}, ADA, 0)
    assert sessions.find(b"sid=" + SESSION, 1) is None
    assert sessions.find(b"sid=" + OTHER, 1) == ADA
    sessions.learn(None, {b"sid": SESSION}, BOB, 1)
    assert sessions.find(b"sid=" + SESSION, 1) == BOB


@pytest.mark.security("D8")
@pytest.mark.parametrize(
    "cookie",
    [
        b"sid=" + SESSION + b"; sid=" + OTHER,
        b"sid=" + OTHER + b"; sid=" + SESSION,
        b"sid=" + SESSION + b"; sid=" + SESSION,
        b"sid=" + SESSION + b"; sid=",
        b"xsid=" + SESSION,
        b"SID=" + SESSION,
        b'x="; sid=' + SESSION + b'"; sid=' + OTHER,
        b"sid=" + SESSION + b"; " + b"p" * LONGEST_COOKIE,
        b"sid=" + SESSION + b"x",
        b"sid",
        b"",
    ],
)
def test_what_could_be_read_in_another_way_is_nobodys(cookie: bytes) -> None:
    sessions = book()
    sessions.learn(b"sid=" + SESSION, {}, ADA, 0)
    assert sessions.find(cookie, 1) is None


@pytest.mark.parametrize(
    "cookie",
    [
        b"sid=" + SESSION, b";sid=" + SESSION + b";", b"xsid=1; \t sid= " + SESSION + b" ;y", b'sid="' + SESSION + b'"',
        b"a=sid=" + OTHER + b"; sid=" + SESSION, b"\xff\x00; sid=" + SESSION,
    ],
)  # fmt: skip
def test_a_cookie_is_found_wherever_it_stands(cookie: bytes) -> None:
    sessions = book()
    sessions.learn(cookie, {}, ADA, 0)
    assert sessions.find(b"sid=" + SESSION, 1) == ADA


def test_all_cookies_of_a_session_make_it() -> None:
    """Where one says who it is and the other signs it, the first alone is anybody's to write."""
    sessions = book("user", "user.sig")
    sessions.learn(b"user=eyJpZCI6MX0=; user.sig=" + SESSION, {}, ADA, 0)
    assert sessions.find(b"user.sig=" + SESSION + b"; user=eyJpZCI6MX0=", 1) == ADA
    for forged in (b"user=eyJpZCI6MX0=", b"user=eyJpZCI6MX0=; user.sig=" + OTHER, b"user.sig=" + SESSION):
        assert sessions.find(forged, 1) is None


def test_two_cookies_values_do_not_run_into_each_other() -> None:
    sessions = book("a", "b")
    sessions.learn(b"a=" + SESSION + b"; b=x", {}, ADA, 0)
    assert sessions.find(b"a=" + SESSION + b"x", 1) is None
    assert sessions.find(b"b=" + SESSION + b"x", 1) is None


@pytest.mark.parametrize("value", [b"deleted", b"dark", b"1", b"x" * (SHORTEST_SESSION - 1)])
def test_a_value_that_anybody_could_send_is_no_session(value: bytes) -> None:
    sessions = book()
    assert "guess" in sessions.learn(b"sid=" + value, {}, ADA, 0)
    assert sessions.learn(b"sid=" + SESSION, {b"sid": value}, ADA, 0) == "", "the site took the session back"
    assert sessions.find(b"sid=" + value, 1) is None


def test_a_cookie_that_everybody_has_is_found_out() -> None:
    """An operator who names the wrong cookie would have all members share one budget."""
    sessions = book("consent")
    problems = [sessions.learn(b"consent=granted-to-all", {}, Account(f"user-{n}"), n) for n in range(20)]
    assert problems[0] == ""
    assert problems[-1] == "are the same for many accounts"
    assert sessions.find(b"consent=granted-to-all", 20) is None


def test_a_person_may_change_between_accounts_in_one_session() -> None:
    sessions = book()
    for now, account in enumerate((ADA, BOB, ADA, BOB)):
        assert sessions.learn(b"sid=" + SESSION, {}, account, now) == ""
        assert sessions.find(b"sid=" + SESSION, now) == account


def test_an_age_that_only_some_answers_tell_is_kept() -> None:
    sessions = book()
    sessions.learn(b"sid=" + SESSION, {}, ADA, 0)
    sessions.learn(b"sid=" + SESSION, {}, Account("ada"), 1)
    assert sessions.find(b"sid=" + SESSION, 2) == ADA


def test_sessions_are_bounded_and_kept_as_hashes() -> None:
    sessions = book(bound=64)
    for number in range(1000):
        sessions.learn(b"sid=%016d" % number, {}, ADA, 0)
    assert len(sessions) <= 64
    assert SESSION.decode() not in repr(sessions._sessions.young)
    assert SESSION not in b"".join(sessions._sessions.young)


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"sid", b"=", b";", b" ", b"\t", b'"', b"x", b"\0"])).map(b"".join)
)
def test_any_bytes_are_read(cookie: bytes) -> None:
    """Against a reading piece by piece, in which a name that comes twice says nothing."""
    pieces = [piece.strip(b" \t").partition(b"=") for piece in cookie.split(b";")]
    values = [value.strip(b" \t") for name, equals, value in pieces if name == b"sid" and equals]
    held = book()._read(cookie)
    if len(values) > 1:
        assert held is None
    else:
        unquoted = [v[1:-1] if len(v) > 1 and v[:1] == v[-1:] == b'"' else v for v in values]
        assert held == ({b"sid": unquoted[0]} if unquoted and unquoted[0] else {})


@pytest.mark.security("D8")
@pytest.mark.parametrize(
    "cookie",
    [piece * (2**16 // len(piece)) for piece in (b";", b"=", b" ", b"sid=", b"xsid=", b"; ", b'sid="', b" sid=", b"; sid=", b"a=b; ")]
    + [b" " * 2**15 + b"sid=" * 2**13, b"sid=" + b" " * 2**16],
    ids=lambda cookie: repr(cookie[:8]),
)  # fmt: skip
def test_the_longest_cookies_take_no_time(cookie: bytes) -> None:
    sessions = SessionBook([f"{name}sid" for name in "abcdefgh"] + ["sid"], KEY)
    with ends(5):
        for length in (LONGEST_COOKIE, len(cookie)):
            for _ in range(20):
                sessions.find(cookie[:length], 0)
                sessions.learn(cookie[:length], {b"sid": SESSION}, ADA, 0)
