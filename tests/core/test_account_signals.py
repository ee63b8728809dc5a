"""The account family: what is counted of accounts, and what it costs whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.account import DAY, NEW
from antiscrape.core.signals.account import FRESH, MOST_TOLD_APART, SIGNALS, AccountBook, AccountFacts
from tests.costs import calls_of

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy

HOUR = 3600.0
OLD = 400 * DAY


def fired(facts: AccountFacts) -> set[str]:
    return {signal.name for signal in SIGNALS if signal.test(facts)}


def score(facts: AccountFacts) -> int:
    return sum(signal.weight for signal in SIGNALS if signal.test(facts))


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        (AccountFacts(), set()),
        (AccountFacts(age=HOUR, subjects=39), set()),
        (AccountFacts(age=HOUR, subjects=40), {"new-account-looks-at-many"}),
        (AccountFacts(age=2 * DAY, subjects=59), set()),
        (AccountFacts(age=2 * DAY, subjects=60), {"new-account-looks-at-many"}),
        (AccountFacts(age=NEW, subjects=64), set()),
        (AccountFacts(age=None, subjects=64), set()),
        (AccountFacts(networks=17), set()),
        (AccountFacts(networks=18), {"account-in-many-networks"}),
        (AccountFacts(networks=30), {"account-in-many-networks", "account-shared-widely"}),
        (AccountFacts(accounts=49), set()),
        (AccountFacts(accounts=50), {"many-accounts-in-a-network"}),
        (AccountFacts(age=DAY, accounts=12, newcomers=12), {"one-of-many-new-accounts"}),
        (AccountFacts(age=OLD, accounts=12, newcomers=12), set()),
    ],
)
def test_each_count_has_its_signal(facts: AccountFacts, names: set[str]) -> None:
    assert fired(facts) == names


def test_the_rows_read_like_those_of_the_other_families() -> None:
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)
    for signal in SIGNALS:
        assert signal.family == "account"
        assert signal.weight > 0
        assert signal.weight % 5 == 0
        assert signal.sentence.endswith(".")
        assert signal.source


def company(book: AccountBook, people: int, *, age: float | None) -> list[AccountFacts]:
    """Return what is known of each of so many people behind one address in the course of a day."""
    facts = []
    for now in range(2):
        facts = [
            book.seen(f"user-{n}", "192.0.2.0/24", now * 9 * HOUR + n, age=age, subject=f"friend-{n % 7}")
            for n in range(people)
        ]
    return facts


def test_five_hundred_colleagues_behind_one_address_are_not_charged_for_it(policy: Policy) -> None:
    slightest = 15  # of what else may be odd about an office's browser
    for facts in company(AccountBook(), 500, age=OLD) + company(AccountBook(), 500, age=None):
        assert score(facts) + slightest < policy.unknown_at


def test_a_school_that_signs_up_in_one_lesson_is_not_charged_for_that_alone(policy: Policy) -> None:
    for facts in company(AccountBook(), 500, age=HOUR):
        assert score(facts) < policy.unknown_at


def test_one_newcomer_among_five_hundred_colleagues_is_no_farm(policy: Policy) -> None:
    book = AccountBook()
    company(book, 500, age=OLD)
    facts = book.seen("new", "192.0.2.0/24", 10 * HOUR, age=HOUR)
    assert facts.newcomers == 1
    assert "one-of-many-new-accounts" not in fired(facts)


def test_a_person_on_the_move_costs_nothing() -> None:
    """Home, train, office, phone, and the phone's carrier with an address of another network every hour."""
    book = AccountBook()
    for day in range(14):
        for hour in range(24):
            network = f"net-{hour % 6}" if hour % 2 else f"carrier-{day}-{hour % 10}"
            facts = book.seen("ada", network, day * DAY + hour * HOUR, age=OLD)
            assert fired(facts) == set()


def test_a_credential_that_is_used_from_thirty_networks_sees_previews(policy: Policy) -> None:
    book = AccountBook()
    for n in range(30):
        facts = book.seen("shared", f"203.0.{n}.0/24", n * 600.0, age=OLD)
    assert facts.networks == 30
    assert policy.unknown_at <= score(facts) < policy.banned_at


def test_a_farm_of_new_accounts_is_charged_beside_anything_else_odd(policy: Policy) -> None:
    book = AccountBook()
    for n in range(60):
        facts = book.seen(f"bought-{n}", "198.51.100.0/24", n, age=HOUR)
    assert fired(facts) == {"one-of-many-new-accounts", "many-accounts-in-a-network"}
    assert score(facts) + 5 >= policy.unknown_at


def test_a_new_account_that_looks_at_one_person_after_another_sees_previews(policy: Policy) -> None:
    book = AccountBook()
    for n in range(45):
        facts = book.seen("new", "192.0.2.0/24", n * 10.0, age=HOUR, subject=f"person-{n}")
    assert facts.subjects == 45
    assert score(facts) >= policy.unknown_at
    later = book.seen("new", "192.0.2.0/24", 450.0 + HOUR, age=2 * HOUR, subject="person-0")
    assert later.subjects == 1, "an hour later it may look again"
    assert score(later) == 0


def test_looking_at_the_same_people_again_is_no_news() -> None:
    book = AccountBook()
    for n in range(500):
        facts = book.seen("new", "192.0.2.0/24", float(n), age=HOUR, subject=f"friend-{n % 12}")
    assert facts.subjects == 12
    assert fired(facts) == set()


def test_whom_an_old_account_looks_at_is_not_kept() -> None:
    book = AccountBook()
    book.seen("ada", "n", 0.0, age=NEW - 1, subject="grace")
    for n in range(100):
        facts = book.seen("ada", "n", 1.0 + n, age=NEW, subject=f"person-{n}")
    assert facts.subjects == 0
    trail = book._trails.get("ada")
    assert trail is not None
    assert trail.subjects is None


def test_while_nothing_new_happens_the_facts_are_one_object_for_a_minute() -> None:
    book = AccountBook()
    first = book.seen("ada", "home", 0.0, age=OLD)
    assert book.seen("ada", "home", FRESH - 1, age=OLD) is first
    assert book.seen("ada", "home", FRESH, age=OLD) is not first
    assert book.seen("ada", "office", FRESH + 1, age=OLD).networks == 2


def test_more_than_can_be_told_apart_counts_as_the_most() -> None:
    book = AccountBook()
    for n in range(1000):
        facts = book.seen("ada", f"net-{n}", float(n), age=HOUR, subject=f"person-{n}")
    assert facts.networks == facts.subjects == MOST_TOLD_APART
    assert book.seen("ada", "home", 1000 + DAY, age=OLD).networks == 1


def test_the_tables_are_bounded_and_so_is_the_work() -> None:
    """Full sets cost what nearly empty ones do: nothing is walked, sorted or swept."""
    book = AccountBook(bound=100)
    for n in range(5000):
        book.seen(f"user-{n}", f"net-{n}", float(n))
    assert len(book) <= 100
    assert len(book._crowds) <= 100

    def look(now: float) -> None:
        book.seen("ada", f"net-{now}", now, age=HOUR, subject=f"person-{now}")

    book.seen("ada", "home", 6000.0)
    before = calls_of(lambda: look(6001.0))
    for n in range(200):
        look(6002.0 + n)
    assert calls_of(lambda: look(7000.0)) <= before + 12


class Sight(NamedTuple):
    """One request of the model: who, from where, at whom."""

    now: float
    name: str
    network: str
    subject: str


def distinct(log: list[Sight], what: str, by: str, latest: Sight, window: float) -> int:
    """Count what went with the latest sight's name or network within a window, the slow way."""
    return len(
        {
            getattr(sight, what)
            for sight in log
            if getattr(sight, by) == getattr(latest, by) and latest.now - sight.now < window
        }
    )


Waits = st.sampled_from([0.0, 1.0, FRESH - 1, FRESH + 1, HOUR, DAY / 4, DAY / 2])


@given(
    st.lists(
        st.builds(Sight, Waits, st.sampled_from("abc"), st.sampled_from("uvwxyz"), st.sampled_from("pqrst")),
        max_size=60,
    )
)
def test_the_counts_are_those_of_the_last_day_and_hour_to_the_minute(steps: list[Sight]) -> None:
    book, now = AccountBook(), 0.0
    log: list[Sight] = []
    for step in steps:
        now += step.now
        latest = step._replace(now=now)
        log.append(latest)
        facts = book.seen(step.name, step.network, now, age=HOUR, subject=step.subject)
        for counted, what, by, window in (
            (facts.subjects, "subject", "name", HOUR),
            (facts.networks, "network", "name", DAY),
            (facts.accounts, "name", "network", DAY),
            (facts.newcomers, "name", "network", DAY),
        ):
            least = distinct(log, what, by, latest, window - FRESH)
            assert least <= counted <= distinct(log, what, by, latest, window + FRESH)
