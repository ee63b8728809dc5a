"""What passes the gate: a request on its way, and what is known beforehand of where it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.grant_tokens import Holder
from antiscrape.core.grants import WHOLE
from antiscrape.core.request import RequestHead
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.spread import ALONE, Taking, from_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.account import Account
    from antiscrape.core.budgets import Limit
    from antiscrape.core.clearance import Level
    from antiscrape.core.grants import Grant, Grants
    from antiscrape.core.history import History
    from antiscrape.core.identity import Principal
    from antiscrape.core.observation import NeedsUsage, Profile
    from antiscrape.core.role import Role
    from antiscrape.core.rules import Allowance
    from antiscrape.core.spread import GroupFacts
    from antiscrape.core.verdict import Verdict
    from antiscrape.gate.holders import Holding

_IMAGE: Final = Kind.IMAGE
_TRAP: Final = Kind.TRAP
_ORIGINAL_SIZE: Final = Size.ORIGINAL


class Passage(RequestHead):
    """One request on its way through: it comes as a head and goes with a verdict.

    ``history`` is where its account is kept. One object and not two: every request makes one.
    """

    __slots__ = (
        "account",
        "allowance",
        "beside",
        "find",
        "grant",
        "habits",
        "held",
        "history",
        "look",
        "profile",
        "resource",
        "role",
        "taker",
        "verdict",
    )

    resource: Resource
    history: History
    habits: History  # of the visit: the same record, but where several share an address
    profile: Profile
    verdict: Verdict
    account: Account | None  # whose it is, as the site says
    role: Role  # what became of its claim to be somebody, as far as anybody asked
    beside: Profile  # what speaks against it beside its habits: set where there is an account
    # set only where more than the usual was asked
    allowance: Allowance
    grant: Grant | None
    look: bytes
    find: Callable[[RequestHead], Principal]
    held: Holding | None
    # set only where a lesser rendition or a marked original was sent: the trace in it, 0 for none
    taker: int

    @property
    def holding(self) -> Holding | None:
        """The clearance that came with it; None, too, where it was judged without anybody asking for one."""
        try:
            return self.held
        except AttributeError:
            return None

    @property
    def level(self) -> Level | None:
        """What its clearance found, None without one."""
        holding = self.holding
        return None if holding is None else holding.level

    @property
    def principal(self) -> Principal:
        """Whom the budgets are kept for."""
        return self.find(self)

    @property
    def client(self) -> str:
        """The client's canonical address, as the policy believes it."""
        return self.principal.address

    @property
    def holder(self) -> Holder:
        """Who it is, in each of the ways in which a grant may be bound."""
        account = "" if self.account is None else self.account.name
        held = self.holding
        if held is None:
            return Holder(self.principal.rollup, account)
        return Holder(self.principal.rollup, account, held.name, held.former)


class Case(NamedTuple):
    """A request as it is put before the judge: who pays, for what, and what speaks against it beside its fields."""

    payer: History
    resource: Resource
    visit: Profile
    grant: Grant | None
    group: GroupFacts


class Place:
    """What the gate knows of one path before anybody asks for it.

    ``within`` is the verdict where nothing speaks against a request and ``limit`` has room (None: there is
    nothing to charge); it is None where more has to be asked first. Of a picture that shows no subject we know,
    ``picture`` is what is asked then (``Places.asked``). ``watched`` tells that the visit is reviewed at each request.
    """

    __slots__ = ("limit", "picture", "resource", "watched", "within")

    def __init__(
        self, resource: Resource, limit: Limit | None, within: Verdict | None, asked: NeedsUsage | None
    ) -> None:
        self.resource = resource
        self.picture = asked if resource.kind is _IMAGE and not resource.subject else None
        self.limit = limit
        self.within = None if resource.kind is _IMAGE or resource.subject else within
        self.watched = resource.kind is _TRAP or resource.size is _ORIGINAL_SIZE


def picture_of(
    passage: Passage, grants: Grants | None, wall: Callable[[], float]
) -> tuple[Resource, Grant | None]:
    """Return which picture is asked for, whatever grant its URL has, and what that is worth; note one that was had.

    ``wall`` gives seconds since 1970.
    """
    resource, query, grant = passage.resource, passage.query, None
    if grants is not None:
        if grants.covers(passage.raw_path):
            grant = grants.read(passage.raw_path, query, now=wall(), visitor=passage)
            if grant.invented:
                passage.habits.note_invented(hash(query))
        query = query and grants.strip(query)
    resource = resource.asked_with(query)
    if resource.size is _ORIGINAL_SIZE and passage.habits.originals:
        passage.habits.note_again(resource, passage)
    return resource, grant


def purse_of(passage: Passage) -> History:
    """Return the record that pays for a request: the address's, or that of a visit which has drawn pages beside others.

    Hundreds of people behind one address have hundreds of browsers; a harvester that would have as many budgets
    has to draw as many pages, and still meets the budget of the network around the address.
    """
    habits, history = passage.habits, passage.history
    if passage.holding is not None:  # one cookie is one budget, in however many disguises it comes
        return history
    if habits is history or passage.account is not None or not (habits.thumbnails or habits.assets):
        return history
    return habits


def is_usual(passage: Passage, case: Case) -> bool:
    """Tell whether nothing at all speaks against a request, and nobody is behind it of whom more is known.

    What the judge asks then depends on the kind of resource alone (``Places.asked``).
    """
    return (
        not (passage.profile.score or case.visit.score)
        and case.group is ALONE
        and case.payer.trouble is None
        and passage.history.trouble is None
        and passage.account is None
        and passage.role.allowance is None
        and (case.grant is None or case.grant is WHOLE)
    )


def taking_of(passage: Passage, resource: Resource) -> Taking:
    """Return what groups are told of a request for an original; ``resource`` is named with its query."""
    history = passage.history
    return Taking(
        principal=history.key,
        network=history.network,
        look=passage.look,
        image=resource.identity,
        number=resource.number,
        asn=history.asn,
        shown=bool(passage.habits.thumbnails or passage.habits.assets),
        paged=bool(passage.habits.pages),
        elsewhere=from_elsewhere(passage),
    )
