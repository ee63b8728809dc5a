"""The composition root: the only module that knows every room."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

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
from antiscrape.asgi.unenforced import warn_of_server
from antiscrape.browser.challenge import LASTS as CHALLENGE_LASTS
from antiscrape.browser.room import open_room
from antiscrape.browser.steps import LASTS as STEP_LASTS
from antiscrape.core.clearance import Clearances
from antiscrape.core.obedience import RobotsBook
from antiscrape.core.preferences import Statements
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from antiscrape.core.spread import Spread
from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import payload_for, trace_keys
from antiscrape.core.traps import TrapLinks, TrapTags
from antiscrape.core.verdict import Mode
from antiscrape.evidence.events import open_sink
from antiscrape.evidence.recorder import Recorder
from antiscrape.evidence.takers import Takers
from antiscrape.gate import Gate
from antiscrape.gate.holders import Holders
from antiscrape.images.dimensions import long_side
from antiscrape.images.renderer import PillowRenderer
from antiscrape.images.splice import LOOKED_AT, mark
from antiscrape.lookups.agents import AgentBook
from antiscrape.lookups.networks import NetworkBook, keep_fresh
from antiscrape.lookups.roles import crawler_tokens, open_roles
from antiscrape.operate.doctor.tokens import PATH as DOCTOR
from antiscrape.operate.meter import Meter
from antiscrape.settings import load_policy
from antiscrape.settings.load import load_secrets
from antiscrape.signing import grants_of
from antiscrape.stores.once import Once
from antiscrape.stores.opening import Opened, open_store
from antiscrape.stores.shared import SharedStore

_LOG = logging.getLogger("antiscrape")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from antiscrape.asgi.accounts import AskAccount, AskOwner
    from antiscrape.asgi.middleware import Keeper
    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send
    from antiscrape.core.grants import Grants
    from antiscrape.core.rules import Policy
    from antiscrape.evidence.events import LineSink, NoSink
    from antiscrape.ports import Agents, EventSink


class AntiscrapeMiddleware(Middleware):
    """Keeps the images of an ASGI app open to people and worthless to harvesters.

    ::

        app = AntiscrapeMiddleware(app, policy=load_policy("antiscrape.toml"))

    ``policy`` defaults to ``load_policy()``: the built-in defaults, the file named by
    ``ANTISCRAPE_CONFIG``, and the environment. Raise ``ConfigurationError`` where the policy cannot
    be carried out.

    ``account`` and ``owner`` are plain callables that are asked with the scope of each request: for the
    account that is signed in (its name, or an ``Account`` with the time it was made; None for nobody) and
    for the subject that the requested picture shows (``""`` where that is not known). Whatever they raise
    is recorded and means nobody.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        policy: Policy | None = None,
        account: AskAccount | None = None,
        owner: AskOwner | None = None,
    ) -> None:
        # its version, in the metrics, must not depend on the secret
        policy = loaded = load_policy() if policy is None else policy
        keys = KeyRing(policy.secrets)
        policy, trap = lay_trap(lay_check(lay_inspection(policy)), keys)
        sink, renderer = open_sink(policy.record.events), _renderer(policy, keys)
        recorder = _recorder(policy, keys, sink, networks := _networks(policy))
        takers = takers_of(policy, keys, recorder)
        marker = marker_of(policy, keys, takers)
        opened = _open_store(policy, keys, recorder)
        roles, keepers = open_roles(policy, clock=clock.monotonic, wall=clock.wall, tell=recorder.tell)
        check = _check(policy, keys, opened, agents := AgentBook())
        gate = Gate(
            policy,
            store=opened.store,
            agents=agents,
            grants=(grants := _grants(policy)),
            clock=clock.monotonic,
            wall=clock.wall,
            networks=networks,
            roles=roles,
            account_key=keys.derive("account"),
            trap_tags=None if trap is None else trap.tags,
            robots=(robots := RobotsBook()),
            ledger=opened.strict,
            spread=Spread(key=keys.derive("spread"), started=clock.monotonic()) if policy.spread else None,
        )
        super().__init__(
            app,
            gate=gate,
            renderer=renderer,
            recorder=recorder,
            long_side=long_side,
            rewriters=_rewriters(policy, grants, trap, check),
            preferences=preference_writer(policy, robots),
            keepers=[*keepers, *_keepers(policy, opened, networks, gate, recorder)],
            maze=None if trap is None else Maze(keys, trap.base),
            partners=roles.partners,
            takers=takers,
            marker=marker,
            accounts=_accounts(policy, keys, account, owner),
            check=check,
            inspection=(inspection := _inspection(loaded, keys, opened)),
        )
        self._looks = inspection
        self._grants, self._tell = grants, recorder.tell
        #: The courier carries what workers tell each other; None where each counts for itself.
        self.policy, self.store, self.courier = policy, opened.store, opened.courier
        self.meter = _meter(loaded, recorder, sink, opened, renderer, check, marker)

    @property
    def checks(self) -> Mapping[str, int]:
        """Count what became of browser checks here, by outcome (``asked``, ``proven``, ``denied`` ...); empty where there is none."""
        return {} if self._check is None else dict(self._check.counts)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and end with the app, and say what its server does not enforce."""
        warn_of_server()
        await super()._lifespan(scope, receive, send)

    def reload_keys(self, secrets: Sequence[bytes] | None = None) -> tuple[str, ...]:
        """Sign and verify with other secrets from the next request on; return their ids, oldest to newest.

        Without ``secrets`` they are read anew from where ``load_policy()`` reads them: a file may have changed, the
        environment of a process does not. No request is held up, and none is refused that carries a grant
        or a clearance of a secret that is still there; one that was taken off ends at once. What else is derived from the
        secret (traps, names in a shared store) stays until the next start. Raise ``SecretError`` where they cannot
        be used, and go on with those that were.
        """
        ring = KeyRing(load_secrets() if secrets is None else secrets)
        if self._grants is not None:
            self._grants.rekey(ring)
        if self._check is not None:
            self._check.rekey(ring)
        self._looks.rekey(ring)
        self._tell("keys", [f"signing with {ring.ids[-1]}, {len(ring.ids) - 1} more verify"])
        return ring.ids


def protect(app: ASGIApp, policy: Policy | None = None) -> AntiscrapeMiddleware:
    """Return ``app`` behind antiscrape."""
    return AntiscrapeMiddleware(app, policy=policy)


def _renderer(policy: Policy, keys: KeyRing) -> PillowRenderer:
    return PillowRenderer(
        policy.images,
        key=keys.derive("renditions"),
        trace=policy.trace,
        trace_keys=trace_keys(keys)[0],
    )


def _meter(
    policy: Policy,
    recorder: Recorder,
    sink: LineSink | NoSink,
    opened: Opened,
    renderer: PillowRenderer,
    check: Desk | None,
    marker: Marker | None,
) -> Meter:
    return Meter(
        policy,
        recorder=recorder,
        sink=sink,
        store=opened.store,
        images=renderer,
        levels=renderer.levels,
        shared=opened.courier,
        check=None if check is None else check.counts,
        originals=None if marker is None else marker.counts,
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
    return Marker(takers, partial(mark, trace_keys(keys)[0]), reach=LOOKED_AT)


def _recorder(policy: Policy, keys: KeyRing, sink: EventSink, networks: NetworkBook | None) -> Recorder:
    addresses = policy.record.addresses
    return Recorder(
        sink, site=policy.site, keys=keys, addresses=addresses, wall=clock.wall, networks=networks
    )


def _open_store(policy: Policy, keys: KeyRing, recorder: Recorder) -> Opened:
    if policy.store.address is None:
        warn_of_neighbours()

    def tell(sentence: str) -> None:
        """Say what became of the shared store where an operator looks: among the events, and in the log."""
        recorder.tell("store", [sentence])
        _LOG.warning("%s", sentence)

    return open_store(policy, keys.derive("store"), clock=clock.monotonic, tell=tell)


def _grants(policy: Policy) -> Grants | None:
    # In shadow mode no page is signed, so no request is held to its grant.
    signs = policy.mode is Mode.ENFORCE and bool(policy.grants.prefixes)
    return grants_of(policy) if signs else None


def _rewriters(
    policy: Policy, grants: Grants | None, trap: TrapLinks | None, check: Desk | None
) -> Rewriters | None:
    tag = None if check is None else check.tag
    rewrites = (grants is not None and policy.grants.rewrite) or trap is not None or tag is not None
    return Rewriters(policy, grants, clock.wall, trap, tag) if rewrites else None


def _check(policy: Policy, keys: KeyRing, opened: Opened, agents: Agents) -> Desk | None:
    """Return the browser check, where there is one: in shadow no clearance is needed, so none is given."""
    rules = policy.clearance
    if not rules.enabled or policy.mode is not Mode.ENFORCE:
        return None
    clearances = Clearances(keys, policy.site)
    holders = Holders(
        rules, clearances, store=opened.store, agents=agents, clock=clock.monotonic, wall=clock.wall
    )
    lasts = float(max(CHALLENGE_LASTS, STEP_LASTS)) + 60.0  # clocks of two workers may differ
    once = Once(lasts=lasts, clock=clock.monotonic, courier=opened.courier)
    return Desk(open_room(rules, keys, holders=holders, once=once, clock=clock.monotonic, wall=clock.wall))


def _networks(policy: Policy) -> NetworkBook | None:
    rules = policy.networks
    return NetworkBook(rules.lists, rules.asn_database) if rules else None


def _keepers(
    policy: Policy, opened: Opened, networks: NetworkBook | None, gate: Gate, recorder: Recorder
) -> Iterator[Keeper]:
    """Yield what works beside the traffic."""
    if isinstance(opened.store, SharedStore):
        opened.store.trapped = gate.hear_trapped
        yield opened.keep
    if networks is not None:
        refused = partial(recorder.tell, "networks")
        yield partial(
            keep_fresh, networks, policy.networks.reload, changed=gate.forget_networks, refused=refused
        )


def _accounts(
    policy: Policy, keys: KeyRing, account: AskAccount | None, owner: AskOwner | None
) -> Accounts | None:
    if not policy.accounts.enabled and account is None and owner is None:
        return None
    key = keys.derive("session")
    return Accounts(policy.accounts, key=key, clock=clock.monotonic, account=account, owner=owner)


def preference_writer(policy: Policy, robots: RobotsBook) -> PreferenceWriter | None:
    """Return what says how the site wants to be crawled; nothing is said in shadow."""
    if policy.preferences is None or policy.mode is not Mode.ENFORCE:
        return None
    traps = [route.pattern.removesuffix("**") for route in policy.routes if route.kind is Kind.TRAP]
    statements = Statements(policy.preferences, tokens=crawler_tokens(), traps=traps)
    return PreferenceWriter(statements, robots, now=clock.monotonic)


def _inspection(policy: Policy, keys: KeyRing, opened: Opened) -> Inspection:
    courier = opened.courier
    return Inspection(policy, keys, wall=clock.wall, store=None if courier is None else courier.states)


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
