"""The gate: gather what the judge needs, ask it, and write down what it said.

This is the only place where the pure judge meets state. Nothing here awaits: the memory store
answers at once, and what a request of a known client costs is a few dictionary look-ups.
"""

from __future__ import annotations

from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from antiscrape.core.identity import Identity, Principal
from antiscrape.core.judge import decide
from antiscrape.core.memo import Memo
from antiscrape.core.observation import CLEAN, WITHIN, NeedsUsage, Observation, Profile
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.routes import RouteTable
from antiscrape.core.signals import READ, Panel
from antiscrape.core.traits import read_traits
from antiscrape.core.verdict import Mode, Standing, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from antiscrape.core.grants import Grants, GrantState
    from antiscrape.core.history import History
    from antiscrape.core.observation import Charge, Usage
    from antiscrape.core.request import RequestHead
    from antiscrape.core.rules import Allowance, Policy
    from antiscrape.ports import Agents, UsageStore

    _Charge = Callable[[History, Charge, Allowance, Resource, float], Usage]

#: The header profiles of one site's visitors are some thousands; longer ones are worked out each time.
_PROFILES = 8192
_LONGEST_PROFILE = 2048
#: Orders of names: each browser has one for each kind of request.
_SHAPES = 2048
_LONGEST_SHAPE = 1024
#: Paths that are asked for again; the long tail of a large site is worked out anew in microseconds.
_PATHS = 32_768
_LONGEST_PATH = 512
#: A visit's signals are read at every original, after a trap, and at every eighth of all other requests.
_REVIEW = 7
# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11.
_IMAGE: Final = Kind.IMAGE
_TRAP: Final = Kind.TRAP
_ORIGINAL_SIZE: Final = Size.ORIGINAL
_HANDSHAKES: Final = frozenset({"ws", "wss"})
_SHADOW: Final = Mode.SHADOW
_BANNED: Final = Standing.BANNED


class Passage:
    """One request on its way through: what was seen of it, what was decided, where its account is kept."""

    __slots__ = (
        "grant",
        "head",
        "history",
        "identity",
        "principal",
        "profile",
        "resource",
        "secure",
        "verdict",
    )

    head: RequestHead
    resource: Resource
    principal: Principal
    history: History
    profile: Profile
    secure: bool
    verdict: Verdict
    grant: GrantState | None  # set for images only
    identity: Identity

    @property
    def client(self) -> str:
        """The client's canonical address, as the policy believes it."""
        return self.principal.address

    @property
    def scheme(self) -> str:
        """How the client reached the site: as a trusted proxy says, else as the server saw it."""
        said = self.identity.scheme(self.head.peer, self.head.fields)
        return said or self.head.scheme


class Shape:
    """One order of field names, as one client sends them, and how to take the values that signals read."""

    __slots__ = ("last", "last_key", "values")

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.last_key: object = None
        self.last = CLEAN
        present = [name for name in READ if name in names]
        self.values: Callable[[Mapping[bytes, bytes]], object] = itemgetter(*present) if present else len


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
        self._peers = self._identity.peers
        self._panel = Panel(policy.signals)
        self._shapes: Memo[tuple[bytes, ...], Shape] = Memo(_SHAPES)
        self._profiles: Memo[tuple[object, ...], Profile] = Memo(_PROFILES)
        self._usual = {kind: self._usual_answer(kind) for kind in Kind}
        self._paths: Memo[bytes, Resource] = Memo(_PATHS)

    def _usual_answer(self, kind: Kind) -> tuple[Verdict | NeedsUsage, Allowance]:
        """Return what the judge says of a request against which nothing speaks."""
        answer = decide(
            Observation(Resource(kind, "", 0), CLEAN, CLEAN, banned=False, grant=None), self.policy
        )
        return answer, self.policy.standings[answer.standing]

    def judge(self, head: RequestHead, *, secure: bool) -> Passage:
        """Return the verdict on a request, charged; raise ``RequestError`` where it has no single reading."""
        fields = head.fields
        resource = self._paths.young.get(head.raw_path) or self._resource(head.raw_path)
        kind = resource.kind
        principal = self._peers.young.get(head.peer) or self._identity.find(head.peer, fields, head.repeated)
        now = self._clock()
        history = self._store.find_known(principal.key) or self._store.find(principal, now)
        shape = self._shapes.young.get(head.names)
        # Requests come in bursts of one client's, and to compare its values costs a third of hashing them.
        if shape is None or head.repeated:
            profile = self._profile(head, kind, secure=secure)
        elif shape.last_key == (kind, secure, head.http_version, shape.values(fields)):
            profile = shape.last
        else:
            profile = self._profile(head, kind, secure=secure)
        history.note_request(resource, fields, now)
        if not history.requests & _REVIEW or kind is _TRAP or resource.size is _ORIGINAL_SIZE:
            history.visit = Profile(*self._panel.of_visit(history))
        passage = Passage()
        passage.head = head
        passage.secure = secure
        passage.resource = resource
        passage.principal = principal
        passage.identity = self._identity
        passage.history = history
        passage.profile = profile
        if kind is _IMAGE or profile.score or history.visit.score or history.banned_until > now:
            self._decide(passage, now, self._store.charge)
            return passage
        answer, allowance = self._usual[kind]
        if isinstance(answer, NeedsUsage):
            usage = self._store.charge(history, answer.charge, allowance, resource, now)
            if usage is WITHIN:
                passage.verdict = answer.within
                return passage
            answer = self._ask(passage, None, now, usage)
        passage.verdict = self._finish(passage, answer, now)
        return passage

    def judge_image(self, passage: Passage, size: Size) -> Verdict:
        """Judge again, now that the answer turned out to be an image of ``size``; charge only the image."""
        now = self._clock()
        untold = passage.resource.kind is Kind.UNTOLD
        self.note_image(passage, size)
        if size is _ORIGINAL_SIZE:
            passage.history.visit = Profile(*self._panel.of_visit(passage.history))
        if untold:
            passage.profile = self._profile(passage.head, Kind.IMAGE, secure=passage.secure)
        self._decide(passage, now, self._store.charge_image)
        return passage.verdict

    def note_image(self, passage: Passage, size: Size) -> None:
        """Add to the visit an image whose size was not known when it was asked for."""
        told = passage.resource
        passage.resource = told._replace(kind=Kind.IMAGE, size=size)
        if told.kind is Kind.UNTOLD or told.size is Size.UNTOLD:
            passage.history.note_kind(passage.resource, passage.head.fields, self._clock())

    def learn(self, passage: Passage, kind: Kind, size: Size = Size.UNTOLD) -> None:
        """Remember what a path that no route names turned out to hold, for the next request to it.

        Only what makes the next judgement stricter is taken over: a path that once gave a thumbnail
        may give the original to another query, header or hour.
        """
        raw_path = passage.head.raw_path
        known = self._paths.get(raw_path)
        if known is not None and known.kind in {Kind.UNTOLD, kind}:
            learned = (
                Size.ORIGINAL if size is Size.ORIGINAL and not self.site_query(passage.head) else known.size
            )
            self._paths.put(raw_path, known._replace(kind=kind, size=learned))

    def note_kind(self, passage: Passage, kind: Kind) -> None:
        """Add to the visit what an untold resource turned out to be."""
        passage.history.note_kind(passage.resource._replace(kind=kind), passage.head.fields, self._clock())

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

    def _resource(self, raw_path: bytes) -> Resource:
        known = self._paths.get(raw_path)
        if known is None:
            known = self._routes.classify(raw_path)
            if len(raw_path) <= _LONGEST_PATH:
                self._paths.put(raw_path, known)
        return known

    def _profile(self, head: RequestHead, kind: Kind, *, secure: bool) -> Profile:
        """Return what the header fields say; what was seen before costs a look-up."""
        if head.repeated or head.scheme in _HANDSHAKES:
            return self._read_profile(head, kind, secure=secure)
        shape = self._shape(head.names)
        values = shape.values(head.fields)
        key = (kind, secure, head.http_version, values)
        known = self._profiles.get((shape, key))
        if known is None:
            known = self._read_profile(head, kind, secure=secure)
            if len(str(values)) > _LONGEST_PROFILE:
                return known
            self._profiles.put((shape, key), known)
        shape.last_key, shape.last = key, known
        return known

    def _read_profile(self, head: RequestHead, kind: Kind, *, secure: bool) -> Profile:
        agent = self._agents.read(head.fields.get(b"user-agent"))
        traits = read_traits(head, agent, kind, secure=secure)
        if head.scheme in _HANDSHAKES:
            return Profile(*self._panel.of_handshake(traits))
        return Profile(*self._panel.of_request(traits))

    def _shape(self, names: tuple[bytes, ...]) -> Shape:
        shape = self._shapes.get(names)
        if shape is None:
            shape = Shape(names)
            if sum([len(name) for name in names]) <= _LONGEST_SHAPE:
                self._shapes.put(names, shape)
        return shape

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
        head, resource, history = passage.head, passage.resource, passage.history
        grant = None
        if self._grants is not None and resource.kind is _IMAGE and self._grants.covers(head.raw_path):
            grant = self._grants.check(head.raw_path, head.query, now=self._wall())
        answer = self._ask(passage, grant, now, None)
        while isinstance(answer, NeedsUsage):
            if head.query and resource.kind is _IMAGE:
                resource = self._with_query(resource, head.query)
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
