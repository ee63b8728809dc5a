"""Holders: whose clearance a request comes with, and whether it is theirs to come with.

What a Cookie field holds is worked out once; the next request with the same field costs a look-up and a few
comparisons. A clearance is its holder's own record, under the budget of the network that it comes from, so a
thousand of them behind one network are no thousand budgets.

Two things end it before its time. Another network may use it for a while (``roaming``), in which the browser
quietly earns a new one. And one that comes from more addresses within ten minutes than a person has, was passed on
(of IPv6 a /64 is one, for a person's browser takes a new address of it as it likes): it is revoked, which all workers hear of as they hear of a ban (SECURITY G6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.clearance import Level, clearance_key, family_of, network_of, tokens_in
from antiscrape.core.identity import Principal
from antiscrape.core.memo import Memo
from antiscrape.gate.places import Places

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.agent import Agent
    from antiscrape.core.clearance import Clearance, ClearanceRules, Clearances
    from antiscrape.core.history import History
    from antiscrape.core.rules import Policy
    from antiscrape.core.tokens import KeyRing
    from antiscrape.core.verdict import Verdict
    from antiscrape.gate.passage import Passage, Place
    from antiscrape.ports import Agents, UsageStore

#: Cookie fields that are found at once, and clearances whose addresses are counted.
_REMEMBERED: Final = 65_536
#: A longer field is read anew each time: browsers send some hundred bytes.
_LONGEST: Final = 2048
#: Seconds within which addresses are counted.
COUNTED: Final = 600.0


class Holding(NamedTuple):
    """A clearance in use: what it found, when it ends (seconds since 1970), and the record of its budgets."""

    name: str
    level: Level
    until: int
    history: History
    #: Whether it is at home: in the network that it was given to.
    home: bool = True
    #: The name of the one that it renewed.
    former: str = ""


class _Known(NamedTuple):
    """What a Cookie field was found to hold at one host, for one address and one User-Agent."""

    holding: Holding
    host: str
    address: str
    agent: bytes | None


class Use:
    """Where one clearance came from lately, by address; and when it first came from another network."""

    __slots__ = ("addresses", "moved")

    def __init__(self) -> None:
        self.addresses: dict[str, float] = {}
        self.moved = 0.0

    def spread(self, address: str, now: float, most: int) -> bool:
        """Take note of an address; tell whether they are more than ``most`` within ``COUNTED`` seconds."""
        seen = self.addresses
        seen[address] = now
        if len(seen) <= most:
            return False
        self.addresses = {one: at for one, at in seen.items() if at > now - COUNTED}
        return len(self.addresses) > most


class Holders:
    """Finds whose clearance a request comes with. ``clock`` never steps, ``wall`` gives seconds since 1970."""

    def __init__(
        self,
        rules: ClearanceRules,
        clearances: Clearances,
        *,
        store: UsageStore,
        agents: Agents,
        clock: Callable[[], float],
        wall: Callable[[], float],
        lingers: float = 0.0,
    ) -> None:
        self._rules = rules
        #: Seconds for which a clearance that has ended can be renewed (``lingering``).
        self.lingers = lingers
        self._clearances = clearances
        self._store = store
        self._agents = agents
        self._clock, self._wall = clock, wall
        self._name = rules.cookie.encode("ascii")
        self._mention = self._name + b"="
        self._known: Memo[bytes, _Known] = Memo(_REMEMBERED)
        self._uses: Memo[str, Use] = Memo(_REMEMBERED)

    def find(self, passage: Passage) -> Holding | None:
        """Return the clearance that a request comes with, None where it has none that is its own; never raise.

        ``passage.find`` has been set.
        """
        field = passage.value(b"cookie")
        if field is None or self._mention not in field:
            return None
        known = self._known.young.get(field)
        if (
            known is not None
            and known.host == passage.host
            and known.address == passage.principal.address
            and known.agent == passage.value(b"user-agent")
            and self._stands(known.holding)
        ):
            return known.holding
        return self._read(field, passage)

    def follow(self, former: Holders) -> None:
        """Go on counting from where clearances come that another has found."""
        self._uses = former._uses

    def rekey(self, keys: KeyRing) -> None:
        """Go on with other secrets: what only one that was taken off had sealed ends at once."""
        self._clearances.rekey(keys)
        self._known.clear()

    def agent(self, passage: Passage) -> Agent:
        """Return what a request claims to be sent by."""
        return self._agents.read(passage.value(b"user-agent"))

    def issue(self, passage: Passage, name: bytes, level: Level) -> str:
        """Return a clearance for whoever sent a request; ``name`` is random. It renews the one that came with it."""
        held = passage.holding
        return self._clearances.make(
            name,
            level,
            now=self._wall(),
            lasts=self._rules.lasts,
            network=network_of(passage.principal),
            family=family_of(self.agent(passage)),
            host=passage.host,
            former=held.name if held is not None else self._ended(passage),
        )

    def _ended(self, passage: Passage) -> str:
        """Return the name of a clearance that has ended lately, at home, and that nobody had revoked; or ``""``."""
        field = passage.value(b"cookie")
        if field is None or not self.lingers:
            return ""
        family, network = family_of(self.agent(passage)), network_of(passage.principal)
        for text in tokens_in(field, self._name):
            ended = self._clearances.read(
                text, now=self._wall(), family=family, host=passage.host, past=self.lingers
            )
            if ended is not None and self._clearances.is_of(ended, network):
                history = self._record(ended, passage)
                return "" if history.banned_until > self._clock() else ended.name
        return ""

    def _record(self, clearance: Clearance, passage: Passage) -> History:
        principal = passage.principal
        owner = Principal(clearance_key(clearance.name), principal.rollup, principal.address, principal.line)
        return self._store.find(owner, self._clock())

    def revoke(self, history: History) -> None:
        """End a clearance, whose record is ``history``, for all workers."""
        self._store.ban(history, self._clock() + self._rules.lasts)

    def _stands(self, holding: Holding) -> bool:
        """Tell whether a clearance that was genuine still is, and was not revoked."""
        history = holding.history
        if history.gone or holding.until <= self._wall() or not holding.home:
            return False
        return not history.held_until or history.banned_until <= self._clock()

    def _read(self, field: bytes, passage: Passage) -> Holding | None:
        family, now = family_of(self.agent(passage)), self._wall()
        for text in tokens_in(field, self._name):
            clearance = self._clearances.read(text, now=now, family=family, host=passage.host)
            if clearance is not None:
                holding = self._take(clearance, passage)
                if holding is not None:
                    if len(field) <= _LONGEST:
                        host, agent = passage.host, passage.value(b"user-agent")
                        self._known.put(field, _Known(holding, host, passage.principal.address, agent))
                    return holding
        return None

    def _take(self, clearance: Clearance, passage: Passage) -> Holding | None:
        """Return the holding of a genuine clearance, None where it was revoked or has been elsewhere too long."""
        principal, now = passage.principal, self._clock()
        history = self._record(clearance, passage)
        if history.banned_until > now:
            return None
        use = self._uses.get(clearance.name)
        if use is None:
            self._uses.put(clearance.name, use := Use())
        if use.spread(principal.key, now, self._rules.addresses):
            self.revoke(history)
            return None
        home = self._clearances.is_of(clearance, network_of(principal))
        if not home:
            use.moved = use.moved or now
            if now - use.moved >= self._rules.roaming:
                return None
        return Holding(clearance.name, clearance.level, clearance.until, history, home, clearance.former)


class ProvenPlaces:
    """Places as the holders of a proven clearance meet them: the same, with the verdict and the limit of theirs."""

    def __init__(self, policy: Policy) -> None:
        self._places = Places(policy, Level.PROVEN)
        self.learn, self.asked = self._places.learn, self._places.asked

    def meet(self, passage: Passage, place: Place) -> tuple[Place, Verdict | None]:
        """Return the place that a holder asks for, and the verdict if nothing speaks against the request.

        None for what the judge has to be asked, as is everything that the site says of the request.
        """
        if passage.held is None or passage.held.level is not Level.PROVEN or passage.beside.score:
            return place, None
        proven = self._places.known.young.get(passage.raw_path) or self._places.find(passage.raw_path)
        return (proven, proven.within) if proven.resource == passage.resource else (place, None)


def lingering(policy: Policy) -> float:
    """Return for how many seconds after its end a clearance can be renewed: as long as a page lives that was made for it."""
    grants = policy.grants
    bound = grants.prefixes and grants.binding == "clearance"
    return min(2.0 * grants.window, policy.clearance.lasts) if bound else 0.0


def take_over(holding: Holding, network: History) -> History:
    """Return the record of a clearance's budgets; ``network`` is that of the network it comes from just now."""
    holding.history.asn = network.asn
    return holding.history
