"""The gate: gather what the judge needs, ask it, and write down what it said.

This is the only place where the pure judge meets state. Nothing here awaits: the memory store
answers at once, and what a request of a known client costs is a few dictionary look-ups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.core.clearance import Level
from antiscrape.core.crawler import Answer
from antiscrape.core.identity import Principal
from antiscrape.core.judge import decide
from antiscrape.core.observation import WITHIN, Charge, NeedsUsage, Observation, Profile, Usage
from antiscrape.core.quota import may_be_told, quotas_of
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.role import UNASKED
from antiscrape.core.signals import Panel
from antiscrape.core.spread import ALONE, share_ration
from antiscrape.core.verdict import Budget
from antiscrape.gate.clients import Clients
from antiscrape.gate.consequences import Consequences
from antiscrape.gate.faces import Faces
from antiscrape.gate.holders import ProvenPlaces, take_over
from antiscrape.gate.members import Members
from antiscrape.gate.passage import Case, Passage, is_usual, picture_of, purse_of, taking_of
from antiscrape.gate.places import Places
from antiscrape.gate.shortcuts import Shortcuts
from antiscrape.gate.springs import Springs
from antiscrape.gate.visits import REVIEW, Visits

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.account import Account
    from antiscrape.core.grants import Grants
    from antiscrape.core.history import History
    from antiscrape.core.obedience import RobotsBook
    from antiscrape.core.quota import Quota
    from antiscrape.core.request import RequestHead
    from antiscrape.core.rules import Allowance, Policy
    from antiscrape.core.spread import GroupFacts, Spread
    from antiscrape.core.traps import TrapTags
    from antiscrape.core.verdict import Verdict
    from antiscrape.gate.holders import Holding
    from antiscrape.gate.passage import Place
    from antiscrape.ports import Agents, Ledger, Networks, Roles, UsageStore

    _Charge = Callable[[History, Charge, Allowance, Resource, float], Usage]

# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11.
_IMAGE: Final = Kind.IMAGE
_TRAP: Final = Kind.TRAP
_ORIGINAL_SIZE: Final = Size.ORIGINAL
_YES: Final = Answer.YES
_REQUESTS: Final = Budget.REQUESTS
_CHARGE_REQUEST: Final = Charge.REQUEST
_CHARGE_ORIGINAL: Final = Charge.ORIGINAL


class Gate:
    """Judges requests by one policy."""

    def __init__(
        self,
        policy: Policy,
        *,
        store: UsageStore,
        agents: Agents,
        grants: Grants | None,
        clock: Callable[[], float],
        wall: Callable[[], float],
        networks: Networks | None = None,
        roles: Roles | None = None,
        account_key: bytes = b"",
        spread: Spread | None = None,
        trap_tags: TrapTags | None = None,
        robots: RobotsBook | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.policy = policy
        self._store = store
        #: Where all workers count, if nothing is admitted before it was charged there.
        self.ledger = ledger
        self.grants = self._grants = grants
        self.clock = self._clock = clock
        self.wall = self._wall = wall
        self._networks = networks
        self._roles = roles
        self._spread = spread
        self._springs = Springs(store, trap_tags, spread, wall)
        self._robots = robots
        self.place, self._learn = (places := Places(policy)).find, places.learn
        self._places, self._proven = places.known, (proven := ProvenPlaces(policy))
        #: By the level of a clearance, and by kind: see ``Places.asked``.
        self._asked = {None: places.asked, Level.BROWSER: places.asked, Level.PROVEN: proven.asked}
        met = None if networks is None else self._place_in_network
        self.clients = clients = Clients(policy.identity, store, met)
        self._believes, self._find, self._history = clients.believes, clients.principal, clients.history
        # Who is behind a peer, and, by trusted peer, behind what it forwards.
        self._direct, self._relayed = clients.direct, clients.relayed
        self._charge = store.charge
        self._charge_request = store.charge_request
        self._panel = Panel(policy.signals)
        self._visit_of, self.visits = (visits := Visits(self._review)).find, visits
        self.members = self._members = Members(policy, self._panel, store=store, key=account_key, wall=wall)
        self._face = Faces(self._panel, agents, roles).find
        self._consequences = Consequences(policy, store)
        self.shortcuts = Shortcuts(
            self._direct, self._relayed, self._places, self._face, self._find, self._charge_request,
            store.records if clients.lists else {}, clients.term, store.keeps, store.sharing, store.spend_new, spread,
            believes=self._believes, strips=grants is not None,
        )  # fmt: skip

    def judge(  # noqa: C901, PLR0912  every request comes through here, where a call costs more than a branch
        self, passage: Passage, account: Account | None = None, owner: str = "", held: Holding | None = None
    ) -> Passage:
        """Return the passage with its verdict, charged; raise ``RequestError`` where it has no single reading.

        ``account`` is whose request it is, ``owner`` whose picture it is for, if the site says so; ``held`` its clearance.
        """
        passage.find = self._find
        passage.account, passage.held = account, held
        shape = passage.shape
        place = self._places.young.get(passage.raw_path) or self.place(passage.raw_path)
        passage.resource = resource = place.resource
        if shape.chain < 0 or not self._believes:
            history = self._direct.young.get(passage.peer)
        else:
            relayed, history = self._relayed.get(passage.peer), None
            if relayed is not None and not shape.repeated:
                history = relayed.young.get(passage.values[shape.chain])
        now = self._clock()
        if history is None or history.gone:
            history = self._history(passage, now)
        within = place.within
        if account is not None or owner or held is not None:
            history, place, within = self._told(passage, history, place, owner, now)
            resource = passage.resource
        passage.history = history
        face, picked, kind = history.face, shape.pick(passage.values), resource.kind
        if (
            face.shape is not shape
            or face.picked != picked
            or face.kind is not kind
            or face.secure is not passage.secure
            or face.http_version != passage.http_version
            or face.scheme != passage.scheme
        ):
            face = self._face(passage, kind, picked)
            if face.kept:
                history.face = face
        passage.profile = face.profile
        passage.role = face.role
        passage.look = look = face.look
        passage.habits = habits = history if look == history.look else self._visit_of(history, look, now)
        if kind is _TRAP:
            self._springs.spring(passage, history, habits, now)
        habits.note_request(resource, passage, now)
        visit = habits.visit
        if habits.news and (place.watched or not habits.requests & REVIEW):
            visit = self._review(habits)
        if habits is history:
            payer, held_until = history, history.held_until
        else:  # a ban is the address's, a cooling whose who paid
            payer = purse_of(passage)
            held_until = max(payer.held_until, history.held_until)
        if within is None or face.odd or visit.score or held_until > now:
            self._decide(passage, now, self._charge)
        elif place.limit is None or self._charge_request(payer, place.limit, now) is None:
            passage.verdict = within
        else:  # nothing was charged; the judge says what follows
            self._decide(passage, now, self._charge)
        return passage

    async def settle(self, passage: Passage, ledger: Ledger) -> Verdict:
        """Have what a judgement charged charged where all workers count, and judge again where there is no room."""
        exceeded = await ledger.settle()
        if exceeded is not None:
            spent = Usage(exceeded)
            self._decide(passage, self._clock(), lambda *_: spent)
        return passage.verdict

    def hear_trapped(self, history: History, look: bytes) -> None:
        """Take note that a visit went into a trap elsewhere."""
        habits = history
        if look and history.look != look:
            habits = self._visit_of(history, look, self._clock())
        habits.own_oddities().traps += 1
        self._review(habits)

    def name(self, passage: Passage, account: Account) -> bool:
        """Charge what is still to come to the account that the answer names; tell whether that is news."""
        if passage.account is not None and passage.account.name == account.name:
            return False
        passage.account = account
        # The habits stay where they were noted; what speaks against the account comes beside them.
        network = passage.principal.rollup
        passage.history = history = self._members.find(passage, account, network, self._clock())
        passage.beside = history.outside
        return True

    def forget_networks(self) -> None:
        """Look every address up anew at its next request: the lists have changed."""
        self.clients.forget()

    def judge_image(self, passage: Passage, size: Size) -> Verdict:
        """Judge again, now that the answer turned out to be an image of ``size``; charge only the image."""
        now = self._clock()
        untold = passage.resource.kind is Kind.UNTOLD
        self.note_image(passage, size)
        if size is _ORIGINAL_SIZE:
            self._review(passage.habits)
        if untold:
            passage.profile = self._face(passage, _IMAGE, passage.shape.pick(passage.values)).profile
        self._decide(passage, now, self._store.charge_image)
        return passage.verdict

    def note_image(self, passage: Passage, size: Size) -> None:
        """Add to the visit an image whose size was not known when it was asked for."""
        told = passage.resource
        passage.resource = told._replace(kind=Kind.IMAGE, size=size)
        if told.kind is Kind.UNTOLD or told.size is Size.UNTOLD:
            passage.habits.note_kind(passage.resource, passage, self._clock())

    def learn(self, passage: Passage, kind: Kind, size: Size = Size.UNTOLD) -> None:
        """Remember what a path that no route names turned out to hold, for the next request to it.

        Only what makes the next judgement stricter is taken over: a path that once gave a thumbnail
        may give the original to another query, header or hour.
        """
        if size is Size.ORIGINAL and self.site_query(passage):
            size = Size.UNTOLD
        self._learn(passage.raw_path, kind, size)
        self._proven.learn(passage.raw_path, kind, size)

    def note_kind(self, passage: Passage, kind: Kind) -> None:
        """Add to the visit what an untold resource turned out to be."""
        passage.habits.note_kind(passage.resource._replace(kind=kind), passage, self._clock())

    def note_bytes(self, passage: Passage, amount: int) -> None:
        """Charge the bytes of an original that is being sent."""
        allowance = passage.allowance
        if allowance.bytes:
            now = self._clock()
            payer = self._payer(passage, now) if passage.role.payer else purse_of(passage)
            self._store.charge_bytes(payer, allowance, amount, now)

    def quotas(self, passage: Passage) -> tuple[Quota, ...]:
        """Return what the client of a judged request may know of its request budgets: nothing, if it is suspected."""
        verdict, spent = passage.verdict, passage.verdict.exceeded
        if not may_be_told(verdict) or (
            spent is not None and (spent.shared or spent.budget is not _REQUESTS)
        ):
            return ()
        now = self._clock()
        allowance = passage.role.allowance or self.policy.standings[verdict.standing]
        payer = self._payer(passage, now) if passage.role.payer else purse_of(passage)
        return quotas_of(payer, allowance.requests, now)

    def site_query(self, head: RequestHead) -> bytes:
        """Return the query that the site is given: the request's, without the grant that only we read."""
        if self._grants is None or not head.query or not self._grants.covers(head.raw_path):
            return head.query
        return self._grants.strip(head.query)

    def _told(
        self, passage: Passage, history: History, place: Place, owner: str, now: float
    ) -> tuple[History, Place, Verdict | None]:
        """Take what the site says of a request, and its clearance; return whose it is, where, and the usual verdict."""
        if owner and not passage.resource.subject:
            passage.resource = passage.resource._replace(subject=owner)
        # An account or a clearance outranks its network's budget, not what the operator denies.
        passage.beside = history.outside
        if passage.account is not None:
            return self._members.find(passage, passage.account, history.network, now), place, None
        if passage.held is None:
            return history, place, None
        return take_over(passage.held, history), *self._proven.meet(passage, place)

    def _review(self, history: History) -> Profile:
        """Read a visit's signals anew."""
        history.news = False
        score, findings = self._panel.of_visit(history)
        history.visit = visit = (
            Profile(score, findings).joined(history.outside) if findings else history.outside
        )
        return visit

    def _place_in_network(self, history: History, principal: Principal) -> None:
        """Hold against a client what its network tells."""
        if self._networks is None:
            return
        facts = self._networks.facts(principal.address)
        history.asn = facts.asn
        outside = Profile(*self._panel.of_address(facts))
        if outside != history.outside:
            history.outside = outside
            self._review(history)

    def _decide(self, passage: Passage, now: float, charge: _Charge) -> None:
        """Ask the judge, and the store what the judge asks for."""
        resource, grant = passage.resource, None
        if resource.kind is _IMAGE:
            resource, grant = picture_of(passage, self._grants, self._wall)
        if self._roles is not None:
            self._prove(passage, self._roles, now)
        role = passage.role
        payer = self._payer(passage, now) if role.payer else purse_of(passage)
        facts, visit = ALONE, passage.habits.visit
        if passage.account is not None or passage.holding is not None:
            visit = visit.joined(passage.beside)
        if role.name:
            visit = visit.joined(Profile(*self._panel.of_claim(role)))
        if self._spread is not None and resource.size is _ORIGINAL_SIZE and resource.kind is _IMAGE:
            facts = self._grouped(passage, self._spread, resource, now)
            if facts is not ALONE:
                visit = visit.joined(Profile(*self._panel.of_group(facts)))
        passage.grant = grant
        case = Case(payer, resource, visit, grant, facts)
        asked = self._asked[passage.level][resource.kind] if is_usual(passage, case) else None
        verdict = self._settle(passage, case, now, charge, asked)
        if asked is None or verdict is not asked.within:  # from a plain verdict nothing follows
            if self._consequences.begins(payer, verdict, now):
                # With another standing comes another budget, and the wait that is told is that one's.
                verdict = self._settle(passage, case, now, charge)
            verdict = self._consequences.follow(passage, payer, verdict, now)
        passage.verdict = verdict

    def _settle(
        self, passage: Passage, case: Case, now: float, charge: _Charge, asked: NeedsUsage | None = None
    ) -> Verdict:
        """Put a case before the judge, unless what it will ask is known, and charge what it asks for."""
        answer = asked or self._ask(passage, case, now, None)
        while isinstance(answer, NeedsUsage):
            passage.allowance = allowance = answer.allowance
            usage = self._spend(case, answer.charge, allowance, now, charge)
            answer = answer.within if usage is WITHIN else self._ask(passage, case, now, usage)
        return answer

    def _spend(self, case: Case, what: Charge, allowance: Allowance, now: float, charge: _Charge) -> Usage:
        """Charge what a case asks for to its payer and its group."""
        if what is not _CHARGE_ORIGINAL:
            return charge(case.payer, what, allowance, case.resource, now)
        beyond = None
        if case.payer.trouble is not None and allowance.subjects:
            beyond = self._consequences.beyond(case.payer, case.resource, now)
        if beyond is not None:  # it is not shown, so it is not charged
            usage = charge(case.payer, _CHARGE_REQUEST, allowance, case.resource, now)
            return Usage(beyond) if usage is WITHIN else usage
        usage = charge(case.payer, what, allowance, case.resource, now)
        if usage is WITHIN and case.group.ration is not None:
            spent = share_ration(case.group, allowance.originals, case.resource.identity, now)
            usage = WITHIN if spent is None else Usage(spent)
        return usage

    def _grouped(self, passage: Passage, spread: Spread, resource: Resource, now: float) -> GroupFacts:
        """Tell the groups of an original that is asked for; nobody who has proven who they are is in one."""
        history = passage.history
        if passage.account is not None or passage.role.allowance is not None or history.rollup is None:
            return ALONE
        known, seen = history.key, passage.habits.habits
        if spread.passes(known, resource.identity, now, shown=bool(seen.thumbnails or seen.assets)):
            return ALONE
        return spread.note(taking_of(passage, resource), now)

    def _payer(self, passage: Passage, now: float) -> History:
        """Return the history of a partner's budgets: one, from wherever the partner asks."""
        name = passage.role.payer
        return self._store.find(Principal(name, name, name), now)

    def _prove(self, passage: Passage, roles: Roles, now: float) -> None:
        """Ask once what is in a request's claim to be somebody."""
        if passage.role is not UNASKED:  # a signature's nonce is good for one look
            return
        passage.role = role = roles.find(passage, passage.client, now)
        if role.token and self._robots is not None and passage.resource.kind is not _TRAP:
            target = passage.raw_path + (b"?" + passage.query if passage.query else b"")
            if self._robots.disallowed(passage.host, role.token, target, now) is _YES:
                passage.habits.note_disobeyed(passage.resource)

    def _ask(self, passage: Passage, case: Case, now: float, usage: Usage | None) -> Verdict | NeedsUsage:
        banned = passage.history.banned_until > now
        role, account = passage.role.allowance, passage.account
        seen = Observation(
            passage.resource,
            passage.profile,
            case.visit,
            banned,
            case.grant,
            usage,
            role,
            member=None if account is None else self._members.allowance(account),
            cooling=self._consequences.cooling(case.payer, now) if role is None else 0.0,
            level=passage.level,
        )
        return decide(seen, self.policy)
