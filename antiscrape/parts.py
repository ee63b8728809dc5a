"""The parts that a policy is carried out by, one function a part, and how they are put together.

Where another policy is put in the place of one that runs, its parts are built beside the others, which go on. What it
says the same of is taken over as it is: lists, proven crawlers, the browser check. What is noted of clients (what
they spent, bans, visits, pictures) belongs to no policy: it is the ``Estate``'s, or handed on from gate to gate.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape import clock
from antiscrape.asgi.accounts import Accounts
from antiscrape.asgi.bodies import Rewriters
from antiscrape.asgi.check import Desk
from antiscrape.asgi.inspection import Inspection
from antiscrape.asgi.marking import Marker
from antiscrape.asgi.middleware import Middleware
from antiscrape.asgi.neighbours import warn_of_neighbours
from antiscrape.asgi.preferences import PreferenceWriter
from antiscrape.asgi.traps import Maze
from antiscrape.browser.challenge import LASTS as CHALLENGE_LASTS
from antiscrape.browser.room import open_room
from antiscrape.browser.steps import LASTS as STEP_LASTS
from antiscrape.core.clearance import Clearances
from antiscrape.core.preferences import Statements
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from antiscrape.core.spread import Spread
from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import payload_for, trace_keys
from antiscrape.core.traps import TrapLinks, TrapTags
from antiscrape.core.verdict import Mode
from antiscrape.evidence.recorder import Recorder
from antiscrape.evidence.takers import Takers
from antiscrape.gate import Gate
from antiscrape.gate.holders import Holders, lingering
from antiscrape.images.dimensions import long_side
from antiscrape.images.renderer import PillowRenderer
from antiscrape.images.splice import mark, reach
from antiscrape.lookups.networks import NetworkBook, keep_fresh
from antiscrape.lookups.roles import crawler_tokens, open_roles
from antiscrape.operate.doctor.tokens import PATH as DOCTOR
from antiscrape.operate.meter import Meter
from antiscrape.signing import grants_of
from antiscrape.stores.issues import Issues
from antiscrape.stores.once import Once
from antiscrape.stores.opening import Opened, open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.accounts import AskAccount, AskOwner
    from antiscrape.asgi.lifetime import Keeper
    from antiscrape.asgi.sources import Sources
    from antiscrape.asgi.types import ASGIApp
    from antiscrape.core.grants import Grants
    from antiscrape.core.obedience import RobotsBook
    from antiscrape.core.overload import Load
    from antiscrape.core.rules import Policy
    from antiscrape.evidence.events import LineSink, NoSink
    from antiscrape.lookups.agents import AgentBook
    from antiscrape.lookups.roles import RoleBook
    from antiscrape.ports import Agents, EventSink

_LOG: Final = logging.getLogger("antiscrape")
#: The parts of a policy that say who may claim to be whom.
_CLAIMS: Final = ("crawlers", "partners", "bots", "signatures")


class Estate(NamedTuple):
    """What outlives every policy. ``keys`` are the secrets of the start, from which names and paths are derived."""

    keys: KeyRing
    recorder: Recorder
    renderer: PillowRenderer
    opened: Opened
    takers: Takers | None
    account: AskAccount | None
    owner: AskOwner | None
    forget_networks: Callable[[], None]
    agents: AgentBook
    robots: RobotsBook
    sources: Sources
    load: Load


class Parts(NamedTuple):
    """What one policy is carried out by."""

    loaded: Policy  # as it was read: its version must not depend on the secret
    policy: Policy  # with the routes of its trap and its check
    house: Middleware
    gate: Gate
    grants: Grants | None
    check: Desk | None
    inspection: Inspection
    marker: Marker | None
    accounts: Accounts | None
    networks: tuple[NetworkBook | None, tuple[Keeper, ...]]
    roles: tuple[RoleBook, tuple[Keeper, ...]]
    spread: Spread | None


def put_together(app: ASGIApp, estate: Estate, loaded: Policy, former: Parts | None = None) -> Parts:
    """Return the parts of a policy, which go on with what ``former`` knows; raise ``ConfigurationError``."""
    keys, opened, recorder = estate.keys, estate.opened, estate.recorder
    policy, trap = lay_trap(lay_check(lay_inspection(loaded)), keys)
    networks = _networks(loaded, estate, former)
    roles = _roles(loaded, estate, former)
    check = _check(policy, estate, former)
    spread = _spread(policy, keys, former)
    grants = grants_in_use(policy)
    gate = Gate(
        policy,
        store=opened.store,
        agents=estate.agents,
        grants=grants,
        clock=clock.monotonic,
        wall=clock.wall,
        networks=networks[0],
        roles=roles[0],
        account_key=keys.derive("account"),
        trap_tags=None if trap is None else trap.tags,
        robots=estate.robots,
        ledger=opened.strict,
        spread=spread,
    )
    if former is not None:
        gate.visits.follow(former.gate.visits)
        gate.members.follow(former.gate.members)
    same_accounts = former is not None and former.loaded.accounts == loaded.accounts
    accounts = former.accounts if former and same_accounts else accounts_of(policy, estate)
    marker = marker_of(policy, keys, estate.takers)
    if marker is not None and former is not None and former.marker is not None:
        marker.counts = former.marker.counts
    house = Middleware(
        app,
        gate=gate,
        renderer=estate.renderer,
        recorder=recorder,
        long_side=long_side,
        rewriters=rewriters_of(policy, grants, trap, check),
        preferences=preference_writer(policy, estate.robots),
        maze=None if trap is None else Maze(keys, trap.base),
        partners=roles[0].partners,
        takers=estate.takers,
        marker=marker,
        accounts=accounts,
        check=check,
        inspection=(inspection := inspection_of(loaded, opened)),
        sources=estate.sources,
        load=estate.load,
    )
    return Parts(
        loaded, policy, house, gate, grants, check, inspection, marker, accounts, networks, roles, spread
    )


def _networks(
    policy: Policy, estate: Estate, former: Parts | None
) -> tuple[NetworkBook | None, tuple[Keeper, ...]]:
    """Return the lists of networks and what keeps them fresh; those of the former policy, if it has the same."""
    if former is not None and former.loaded.networks == policy.networks:
        return former.networks
    book = networks_of(policy)
    if book is None:
        # What the former lists said of a client has to be taken back, which takes lists that say nothing.
        return (None if former is None or former.networks[0] is None else NetworkBook(())), ()
    refused = partial(estate.recorder.tell, "networks")
    every = policy.networks.reload
    return book, (partial(keep_fresh, book, every, changed=estate.forget_networks, refused=refused),)


def _roles(policy: Policy, estate: Estate, former: Parts | None) -> tuple[RoleBook, tuple[Keeper, ...]]:
    """Return who may claim to be whom, and what keeps that fresh; whoever is proven stays so."""
    if former is not None and all(getattr(former.loaded, name) == getattr(policy, name) for name in _CLAIMS):
        return former.roles
    told = estate.recorder.tell
    proven = None if former is None else former.roles[0].proven
    return open_roles(policy, clock=clock.monotonic, wall=clock.wall, tell=told, proven=proven)


def read_again(former: Parts, parts: Parts) -> tuple[str, ...]:
    """Read anew the lists of networks that a policy takes over from the former one; return what was not taken up.

    Whoever has a policy read again has often changed a list, and would wait ``networks.reload`` for it.
    """
    book = parts.networks[0]
    return book.reload() if book is not None and book is former.networks[0] else ()


def _check(policy: Policy, estate: Estate, former: Parts | None) -> Desk | None:
    """Return the browser check. What it counts and what was spent there, it goes on with."""
    desk = None if former is None else former.check
    if desk is None or former is None:
        return check_of(policy, estate.keys, estate.opened, estate.agents)
    loaded = former.loaded
    if (loaded.clearance, loaded.grants, loaded.mode) == (policy.clearance, policy.grants, policy.mode):
        return desk
    made = check_of(policy, estate.keys, estate.opened, estate.agents)
    if made is not None:
        made.follow(desk)
    return made


def _spread(policy: Policy, keys: KeyRing, former: Parts | None) -> Spread | None:
    if not policy.spread:
        return None
    if former is not None and former.spread is not None:
        return former.spread
    return Spread(key=keys.derive("spread"), started=clock.monotonic())


def renderer_of(policy: Policy, keys: KeyRing) -> PillowRenderer:
    """Return what makes renditions, in workers of its own."""
    return PillowRenderer(
        policy.images,
        key=keys.derive("renditions"),
        trace=policy.trace,
        trace_keys=trace_keys(keys)[0],
    )


def meter_of(estate: Estate, policy: Policy, sink: LineSink | NoSink) -> Meter:
    """Return what tells the figures of one process."""
    return Meter(
        policy,
        recorder=estate.recorder,
        sink=sink,
        store=estate.opened.store,
        images=estate.renderer,
        levels=estate.renderer.levels,
        shared=estate.opened.courier,
    )


def takers_of(
    policy: Policy, keys: KeyRing, recorder: Recorder, wall: Callable[[], float] = clock.wall
) -> Takers | None:
    """Return what names the takers of pictures, where the policy wants any to be named."""
    if not policy.trace.renditions and not policy.trace.originals:
        return None
    return Takers(name=recorder.name, pack=partial(payload_for, trace_keys(keys)[0]), wall=wall)


def marker_of(policy: Policy, keys: KeyRing, takers: Takers | None) -> Marker | None:
    """Return what marks originals, where the policy wants that; in shadow nothing is changed."""
    if takers is None or not policy.trace.originals or policy.mode is not Mode.ENFORCE:
        return None
    return Marker(takers, partial(mark, trace_keys(keys)[0]), reach=reach)


def recorder_of(policy: Policy, keys: KeyRing, sink: EventSink) -> Recorder:
    """Return what counts verdicts and writes events."""
    addresses = policy.record.addresses
    return Recorder(sink, site=policy.site, keys=keys, addresses=addresses, wall=clock.wall)


def store_of(policy: Policy, keys: KeyRing, recorder: Recorder) -> Opened:
    """Return the store of what was spent, opened."""
    if policy.store.address is None:
        warn_of_neighbours()

    def tell(sentence: str) -> None:
        """Say what became of the shared store where an operator looks: among the events, and in the log."""
        recorder.tell("store", [sentence])
        _LOG.warning("%s", sentence)

    return open_store(policy, keys.derive("store"), clock=clock.monotonic, tell=tell)


def grants_in_use(policy: Policy) -> Grants | None:
    """Return what signs URLs and reads grants: nothing in shadow, where no page is signed and no request held to its grant."""
    signs = policy.mode is Mode.ENFORCE and bool(policy.grants.prefixes)
    return grants_of(policy) if signs else None


def rewriters_of(
    policy: Policy, grants: Grants | None, trap: TrapLinks | None, check: Desk | None
) -> Rewriters | None:
    """Return what changes pages on their way out, where anything is to be put into them."""
    tag = None if check is None else check.tag
    rewrites = (grants is not None and policy.grants.rewrite) or trap is not None or tag is not None
    return Rewriters(policy, grants, clock.wall, trap, tag) if rewrites else None


def check_of(policy: Policy, keys: KeyRing, opened: Opened, agents: Agents) -> Desk | None:
    """Return the browser check, where there is one: in shadow no clearance is needed, so none is given."""
    rules = policy.clearance
    if not rules.enabled or policy.mode is not Mode.ENFORCE:
        return None
    clearances = Clearances(KeyRing(policy.secrets), policy.site)
    holders = Holders(
        rules,
        clearances,
        store=opened.store,
        agents=agents,
        clock=clock.monotonic,
        wall=clock.wall,
        lingers=lingering(policy),
    )
    lasts = float(max(CHALLENGE_LASTS, STEP_LASTS)) + 60.0  # clocks of two workers may differ
    once = Once(lasts=lasts, clock=clock.monotonic, courier=opened.courier)
    issues = Issues(clock=clock.monotonic, wall=clock.wall, courier=opened.courier)
    return Desk(open_room(rules, keys, holders=holders, once=once, issues=issues, wall=clock.wall))


def networks_of(policy: Policy) -> NetworkBook | None:
    """Return the lists of networks, where there are any."""
    rules = policy.networks
    return NetworkBook(rules.lists, rules.asn_database) if rules else None


def accounts_of(policy: Policy, estate: Estate) -> Accounts | None:
    """Return what tells whose request it is, where the site says so."""
    account, owner = estate.account, estate.owner
    if not policy.accounts.enabled and account is None and owner is None:
        return None
    key = estate.keys.derive("session")
    return Accounts(policy.accounts, key=key, clock=clock.monotonic, account=account, owner=owner)


def preference_writer(policy: Policy, robots: RobotsBook) -> PreferenceWriter | None:
    """Return what says how the site wants to be crawled; nothing is said in shadow."""
    if policy.preferences is None or policy.mode is not Mode.ENFORCE:
        return None
    traps = [route.pattern.removesuffix("**") for route in policy.routes if route.kind is Kind.TRAP]
    statements = Statements(policy.preferences, tokens=crawler_tokens(), traps=traps)
    return PreferenceWriter(statements, robots, now=clock.monotonic)


def inspection_of(policy: Policy, opened: Opened) -> Inspection:
    """Return what answers the doctor's questions."""
    courier = opened.courier
    return Inspection(
        policy, KeyRing(policy.secrets), wall=clock.wall, store=None if courier is None else courier.states
    )


def lay_inspection(policy: Policy) -> Policy:
    """Return the policy with a route for the doctor's questions, which are never judged."""
    return replace(policy, routes=(Route(DOCTOR, Kind.EXEMPT, Size.UNTOLD), *policy.routes))


def lay_check(policy: Policy) -> Policy:
    """Return the policy with a route for the browser check, whose requests are judged whatever else lies there."""
    rules = policy.clearance
    if not rules.enabled or policy.mode is not Mode.ENFORCE:
        return policy
    return replace(policy, routes=(Route(rules.path + "/**", Kind.API, Size.UNTOLD), *policy.routes))


def lay_trap(policy: Policy, keys: KeyRing) -> tuple[Policy, TrapLinks | None]:
    """Return the policy with a route for its trap, and what is put into pages (None for nothing).

    The path is derived from the secret: every worker lays the same one, and nobody can look it up.
    """
    rules = policy.traps
    inject = rules.inject and policy.mode is Mode.ENFORCE
    if not inject and not rules.path:
        return policy, None
    links = TrapLinks(
        rules.path or f"/{keys.derive('trap').hex()[:12]}",
        TrapTags(keys) if rules.tagged else None,
        pictures=rules.pictures,
    )
    routes = (Route(links.base + "/**", Kind.TRAP, Size.UNTOLD), *policy.routes)
    return replace(policy, routes=routes), links if inject else None
