"""The gate: gather what the judge needs, ask it, and write down what it said.

This is the only place where the pure judge meets state. Nothing here awaits: the memory store
answers at once, and what a request of a known client costs is a few dictionary look-ups.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeVar

from antiscrape.core.identity import Identity, Principal
from antiscrape.core.judge import decide
from antiscrape.core.memo import Memo
from antiscrape.core.observation import CLEAN, WITHIN, Face, NeedsUsage, Observation, Profile, Usage
from antiscrape.core.request import RequestHead
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.routes import RouteTable
from antiscrape.core.signals import Panel
from antiscrape.core.traits import read_traits
from antiscrape.core.verdict import Mode, Standing, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.budgets import Limit
    from antiscrape.core.grants import Grants, GrantState
    from antiscrape.core.history import History
    from antiscrape.core.observation import Charge
    from antiscrape.core.rules import Allowance, Policy
    from antiscrape.ports import Agents, UsageStore

    _Charge = Callable[[History, Charge, Allowance, Resource, float], Usage]

#: The looks of one site's visitors are some thousands; longer ones are worked out each time.
_FACES = 8192
_LONGEST_FACE = 2048
#: Paths that are asked for again; the long tail of a large site is worked out anew in microseconds.
_PATHS = 32_768
_LONGEST_PATH = 512
#: Addresses, and chains of them, whose clients are found at once.
_CLIENTS = 65_536
_LONGEST_NAME = 128
#: Trusted proxies that are remembered at once: a site has a handful, a CDN some dozens.
_PROXIES = 64
#: A visit's signals are read at every original, after a trap, and at every eighth of all other requests, where it
#: has news.
_REVIEW = 7
# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11.
_IMAGE: Final = Kind.IMAGE
_TRAP: Final = Kind.TRAP
_ORIGINAL_SIZE: Final = Size.ORIGINAL
_HANDSHAKES: Final = frozenset({"ws", "wss"})
_SHADOW: Final = Mode.SHADOW
_BANNED: Final = Standing.BANNED

Named = TypeVar("Named", str, bytes)


class Passage(RequestHead):
    """One request on its way through: it comes as a head and goes with a verdict.

    ``history`` is where its account is kept. One object and not two: every request makes one.
    """

    __slots__ = ("find", "grant", "history", "profile", "resource", "verdict")

    resource: Resource
    history: History
    profile: Profile
    verdict: Verdict
    grant: GrantState | None  # set for images only
    find: Callable[[RequestHead], Principal]

    @property
    def principal(self) -> Principal:
        """Whom the budgets are kept for."""
        return self.find(self)

    @property
    def client(self) -> str:
        """The client's canonical address, as the policy believes it."""
        return self.principal.address


class Place:
    """What the gate knows of one path before anybody asks for it.

    ``within`` is the verdict where nothing speaks against a request and ``limit`` has room (None: there is
    nothing to charge); it is None where more has to be asked first. ``watched`` tells that the visit is
    reviewed at each request.
    """

    __slots__ = ("limit", "resource", "watched", "within")

    def __init__(self, resource: Resource, limit: Limit | None, within: Verdict | None) -> None:
        self.resource = resource
        self.limit = limit
        self.within = None if resource.kind is _IMAGE or resource.subject else within
        self.watched = resource.kind is _TRAP or resource.size is _ORIGINAL_SIZE


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
    ) -> None:
        self.policy = policy
        self._store = store
        self._agents = agents
        self._grants = grants
        self._clock = clock
        self._wall = wall
        self._routes = RouteTable(policy.routes, ignore_case=policy.ignore_case)
        self._identity = Identity(policy.identity)
        self._chain = policy.identity.header.lower().encode("latin-1")
        self._believes = self._identity.believes
        self._find = self._principal
        #: Who is behind a peer, and, by trusted peer, behind what it forwards.
        self._direct: Memo[str, History] = Memo(_CLIENTS)
        self._relayed: dict[str, Memo[bytes, History]] = {}
        self._charge = store.charge
        self._charge_request = store.charge_request
        self._panel = Panel(policy.signals)
        self._faces: Memo[tuple[object, ...], Face] = Memo(_FACES)
        self._usual = {kind: self._usual_answer(kind) for kind in Kind}
        self._places: Memo[bytes, Place] = Memo(_PATHS)

    def _usual_answer(self, kind: Kind) -> tuple[Limit | None, Verdict | None]:
        """Return the limit to charge where nothing speaks against a request, and the verdict within it.

        No limit is charged where there is none; no verdict stands where there are several.
        """
        clean = Observation(Resource(kind, "", 0), CLEAN, CLEAN, banned=False, grant=None)
        answer = decide(clean, self.policy)
        if not isinstance(answer, NeedsUsage):
            return None, answer
        allowance = self.policy.standings[answer.standing]
        several = allowance.requests and allowance.only is None
        return allowance.only, None if several else answer.within

    def judge(self, passage: Passage) -> Passage:
        """Return the passage with its verdict, charged; raise ``RequestError`` where it has no single reading."""
        passage.find = self._find
        shape = passage.shape
        place = self._places.young.get(passage.raw_path) or self._place(passage.raw_path)
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
        passage.profile = profile = face.profile
        history.note_request(resource, passage, now)
        visit = history.visit
        if history.news and (place.watched or not history.requests & _REVIEW):
            visit = self._review(history)
        within = place.within
        if within is None or profile.score or visit.score or history.banned_until > now:
            self._decide(passage, now, self._charge)
        elif place.limit is None or (exceeded := self._charge_request(history, place.limit, now)) is None:
            passage.verdict = within
        else:
            passage.verdict = self._finish(passage, self._ask(passage, None, now, Usage(exceeded)), now)
        return passage

    def judge_image(self, passage: Passage, size: Size) -> Verdict:
        """Judge again, now that the answer turned out to be an image of ``size``; charge only the image."""
        now = self._clock()
        untold = passage.resource.kind is Kind.UNTOLD
        self.note_image(passage, size)
        if size is _ORIGINAL_SIZE:
            self._review(passage.history)
        if untold:
            passage.profile = self._face(passage, _IMAGE, passage.shape.pick(passage.values)).profile
        self._decide(passage, now, self._store.charge_image)
        return passage.verdict

    def note_image(self, passage: Passage, size: Size) -> None:
        """Add to the visit an image whose size was not known when it was asked for."""
        told = passage.resource
        passage.resource = told._replace(kind=Kind.IMAGE, size=size)
        if told.kind is Kind.UNTOLD or told.size is Size.UNTOLD:
            passage.history.note_kind(passage.resource, passage, self._clock())

    def learn(self, passage: Passage, kind: Kind, size: Size = Size.UNTOLD) -> None:
        """Remember what a path that no route names turned out to hold, for the next request to it.

        Only what makes the next judgement stricter is taken over: a path that once gave a thumbnail
        may give the original to another query, header or hour.
        """
        raw_path = passage.raw_path
        place = self._places.get(raw_path)
        if place is None:
            return
        known = place.resource
        if known.kind in {Kind.UNTOLD, kind}:
            learned = Size.ORIGINAL if size is Size.ORIGINAL and not self.site_query(passage) else known.size
            self._places.put(raw_path, Place(known._replace(kind=kind, size=learned), *self._usual[kind]))

    def note_kind(self, passage: Passage, kind: Kind) -> None:
        """Add to the visit what an untold resource turned out to be."""
        passage.history.note_kind(passage.resource._replace(kind=kind), passage, self._clock())

    def note_bytes(self, passage: Passage, amount: int) -> None:
        """Charge the bytes of an original that is being sent."""
        allowance = self.policy.standings[passage.verdict.standing]
        if allowance.bytes:
            self._store.charge_bytes(passage.history, allowance, amount, self._clock())

    def site_query(self, head: RequestHead) -> bytes:
        """Return the query that the site is given: the request's, without the grant that only we read."""
        if self._grants is None or not head.query or not self._grants.covers(head.raw_path):
            return head.query
        return self._grants.strip(head.query)

    def _place(self, raw_path: bytes) -> Place:
        place = self._places.get(raw_path)
        if place is None:
            resource = self._routes.classify(raw_path)
            place = Place(resource, *self._usual[resource.kind])
            if len(raw_path) <= _LONGEST_PATH:
                self._places.put(raw_path, place)
        return place

    def _review(self, history: History) -> Profile:
        """Read a visit's signals anew."""
        history.news = False
        history.visit = visit = Profile(*self._panel.of_visit(history))
        return visit

    def _principal(self, head: RequestHead) -> Principal:
        shape = head.shape
        chain = head.values[shape.chain] if shape.chain >= 0 else None
        return self._identity.find(head.peer, chain, repeated=self._chain in shape.repeated)

    def _history(self, head: RequestHead, now: float) -> History:
        """Return the history of a client that was not seen lately under this address or chain."""
        chain = head.shape.chain
        if chain < 0 or not self._identity.trusts(head.peer):
            return self._remembered(self._direct, head.peer, head, now)
        relayed = self._relayed.get(head.peer)
        if relayed is None:
            if len(self._relayed) >= _PROXIES:
                self._relayed.clear()
            relayed = self._relayed[head.peer] = Memo(_CLIENTS)
        return self._remembered(relayed, head.values[chain], head, now)

    def _remembered(self, memo: Memo[Named, History], name: Named, head: RequestHead, now: float) -> History:
        once = bool(head.shape.repeated) or len(name) > _LONGEST_NAME
        known = None if once else memo.get(name)
        if known is None or known.gone:
            known = self._store.find(self._principal(head), now)
            if not once:
                memo.put(name, known)
        return known

    def _face(self, head: RequestHead, kind: Kind, picked: object) -> Face:
        """Return how a request looks; what was seen before costs a look-up."""
        key = (head.shape, kind, head.secure, head.scheme, head.http_version, picked)
        known = self._faces.get(key)
        if known is None:
            # What nobody else sends is not worth its room.
            kept = head.shape.kept and len(str(picked)) <= _LONGEST_FACE
            known = Face(head, kind, picked, self._read_profile(head, kind), kept=kept)
            if kept:
                self._faces.put(key, known)
        return known

    def _read_profile(self, head: RequestHead, kind: Kind) -> Profile:
        agent = self._agents.read(head.value(b"user-agent"))
        traits = read_traits(head, agent, kind)
        if head.scheme in _HANDSHAKES:
            return Profile(*self._panel.of_handshake(traits))
        return Profile(*self._panel.of_request(traits))

    def _with_query(self, resource: Resource, query: bytes) -> Resource:
        """Tell ``/photo?id=1`` from ``/photo?id=2``; a grant makes no other picture."""
        if self._grants is not None:
            query = self._grants.strip(query)
        if not query:
            return resource
        digest = blake2b(query, digest_size=8, key=resource.identity.to_bytes(8, "big")).digest()
        return resource._replace(identity=int.from_bytes(digest, "big"))

    def _decide(self, passage: Passage, now: float, charge: _Charge) -> None:
        """Ask the judge, and the store what the judge asks for."""
        resource, history = passage.resource, passage.history
        grant = None
        if self._grants is not None and resource.kind is _IMAGE and self._grants.covers(passage.raw_path):
            grant = self._grants.check(passage.raw_path, passage.query, now=self._wall())
        answer = self._ask(passage, grant, now, None)
        while isinstance(answer, NeedsUsage):
            if passage.query and resource.kind is _IMAGE:
                resource = self._with_query(resource, passage.query)
            allowance = self.policy.standings[answer.standing]
            usage = charge(history, answer.charge, allowance, resource, now)
            answer = answer.within if usage is WITHIN else self._ask(passage, grant, now, usage)
        passage.grant = grant
        passage.verdict = self._finish(passage, answer, now)

    def _ask(
        self, passage: Passage, grant: GrantState | None, now: float, usage: Usage | None
    ) -> Verdict | NeedsUsage:
        history = passage.history
        banned = history.banned_until > now
        seen = Observation(passage.resource, passage.profile, history.visit, banned, grant, usage)
        return decide(seen, self.policy)

    def _finish(self, passage: Passage, answer: Verdict | NeedsUsage, now: float) -> Verdict:
        """See to what follows from a verdict: a ban that begins, a shadow that changes nothing."""
        if isinstance(answer, NeedsUsage):  # the judge had the usage it asked for
            raise TypeError("the judge asked twice")
        if answer.standing is _BANNED and passage.history.banned_until <= now:
            self._store.ban(passage.history, now + self.policy.ban_seconds)
        if self.policy.mode is _SHADOW and not answer.plain:
            return answer._replace(shadowed=True)
        return answer
