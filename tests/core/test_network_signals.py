"""The signals of the networks family, one by one and in every combination that lists can give."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.networks import NOTHING, Label, ListRule, NetworkFacts, facts_of
from antiscrape.core.signals.networks import SIGNALS

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy

EVERY = [
    NetworkFacts(hosting=hosting, tor=tor, vpn=vpn, deny=deny, allow=allow)
    for hosting, tor, vpn, deny, allow in product((False, True), repeat=5)
]


def fired(facts: NetworkFacts) -> set[str]:
    return {signal.name for signal in SIGNALS if signal.test(facts)}


def score(facts: NetworkFacts) -> int:
    return sum(signal.weight for signal in SIGNALS if signal.test(facts))


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        (NOTHING, set()),
        (NetworkFacts(hosting=True), {"address-of-a-data-centre"}),
        (NetworkFacts(tor=True), {"address-of-tor"}),
        (NetworkFacts(vpn=True), {"address-of-a-vpn"}),
        (NetworkFacts(deny=True), {"address-denied"}),
        (NetworkFacts(hosting=True, deny=True), {"address-of-a-data-centre", "address-denied"}),
        (NetworkFacts(asn=15169, owner="A network"), set()),
    ],
)
def test_each_list_has_its_signal_and_an_owner_alone_has_none(facts: NetworkFacts, names: set[str]) -> None:
    assert fired(facts) == names


def test_a_tunnel_explains_the_data_centre_that_it_ends_in() -> None:
    assert fired(NetworkFacts(hosting=True, vpn=True)) == {"address-of-a-vpn"}
    assert fired(NetworkFacts(hosting=True, tor=True)) == {"address-of-tor"}
    assert fired(NetworkFacts(hosting=True, tor=True, vpn=True)) == {"address-of-tor"}


def test_the_operators_allow_list_silences_the_family_and_earns_nothing() -> None:
    assert all(fired(facts) == set() for facts in EVERY if facts.allow)
    assert all(signal.weight > 0 for signal in SIGNALS)


def test_nobody_is_suspect_for_the_address_alone_unless_the_operator_says_so(policy: Policy) -> None:
    """People come out of data centres, VPNs and Tor: it takes something else beside the address."""
    undenied = [facts for facts in EVERY if not facts.deny]
    assert max(map(score, undenied)) < policy.unknown_at


def test_a_data_centre_tips_the_scale_where_any_header_is_odd_too(policy: Policy) -> None:
    slightest = 5  # weights come in steps of five
    assert score(NetworkFacts(hosting=True)) + slightest >= policy.unknown_at


def test_tunnels_weigh_less_than_bare_data_centres() -> None:
    bare = score(NetworkFacts(hosting=True))
    assert 0 < score(NetworkFacts(tor=True)) < bare
    assert 0 < score(NetworkFacts(vpn=True)) < bare


def test_the_deny_list_alone_makes_a_bot_and_bans_nobody(policy: Policy) -> None:
    for facts in EVERY:
        if facts.deny and not facts.allow:
            assert policy.bot_at <= score(facts) < policy.banned_at


def test_the_rows_read_like_those_of_the_other_families() -> None:
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)
    for signal in SIGNALS:
        assert signal.family == "networks"
        assert signal.weight % 5 == 0
        assert signal.sentence.endswith(".")
        assert signal.source


def test_the_answers_of_a_table_are_spelled_out_as_facts() -> None:
    assert facts_of(0) is NOTHING
    for facts in EVERY:
        bits = sum(label.bit for label in Label if getattr(facts, label.value))
        assert facts_of(bits) == facts
        assert facts_of(bits) is facts_of(bits), "nothing is allocated on the request path"


def test_an_operator_writes_the_deny_and_the_allow_list_by_hand() -> None:
    assert {label for label in Label if ListRule("x", label).own} == {Label.DENY, Label.ALLOW}
