"""The explanation: one request, judged by the judge of the live site, and every reason for its verdict.

Nothing is decided here. The gate judges as it does in service, on a store of its own; what is added
is only what a verdict leaves out because nobody asks for it on the request path: which route and
which proxy's word led to it, what the signals rest on, and how far the next standing is.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.consequences import strikes_of
from antiscrape.core.identity import LOCAL, read_address
from antiscrape.core.resource import Kind, Size
from antiscrape.core.routes import pattern_source
from antiscrape.core.signals import OF_REQUEST, SIGNALS
from antiscrape.core.verdict import Action, Rendition, Standing, Verdict
from antiscrape.errors import RequestError
from antiscrape.gate.passage import purse_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from antiscrape.core.grants import Grants
    from antiscrape.core.resource import Resource
    from antiscrape.core.rules import Allowance, Policy
    from antiscrape.gate import Gate, Passage
    from antiscrape.operate.moment import Moment
    from antiscrape.operate.pasted import Asked
    from antiscrape.ports import Agents

_OF_REQUEST: Final = frozenset(signal.name for signal in OF_REQUEST)
_KINDS: Final = {"page": Kind.PAGE, "api": Kind.API, "asset": Kind.ASSET}
_SIZES: Final = {"original": Size.ORIGINAL, "thumbnail": Size.THUMBNAIL}


class Who(NamedTuple):
    """The principal, and how it was found."""

    address: str
    counted_as: str
    rollup: str
    found: str
    agent: str
    line: str = ""


class What(NamedTuple):
    """The resource, and the route that named it."""

    kind: str
    size: str
    subject: str
    route: str
    odd: bool


class Sign(NamedTuple):
    """One signal that fired. ``of`` is ``request`` or ``visit``."""

    name: str
    weight: int
    family: str
    of: str
    sentence: str
    source: str


class Ruling(NamedTuple):
    """The verdict; ``action`` and ``rendition`` say what is carried out unless ``shadowed``.

    With ``strikes_at`` strikes a cooling begins (0: never).
    """

    action: str
    rendition: str
    standing: str
    score: int
    unknown_at: int
    bot_at: int
    banned_at: int
    ban_left: float
    exceeded: Mapping[str, object] | None
    shadowed: bool
    instead_of: str  # the standing that was lowered for repeated excess, or ""
    cooling_left: float
    strikes: int
    strikes_at: int


class Ration(NamedTuple):
    """What the standing may have; ``taken`` counts what the client has had."""

    requests: str
    originals: str
    subjects: str
    bytes: str
    rendition: str
    beyond: str
    refuse: bool
    taken: Mapping[str, int]


class Picture(NamedTuple):
    """What an image gets. ``assumed`` says what had to be supposed of the answer, or is ``""``."""

    rendition: str
    assumed: str


class Change(NamedTuple):
    """The smallest set of signals without which the score would be under ``below``."""

    below: int
    without: tuple[str, ...]
    score: int
    standing: str


class Story(NamedTuple):
    """Everything about one request; of one that could not be judged there is only ``malformed``."""

    method: str
    target: str
    host: str
    scheme: str
    mode: str
    malformed: str = ""
    who: Who | None = None
    what: What | None = None
    verdict: Ruling | None = None
    signals: tuple[Sign, ...] = ()
    grant: str = ""
    budgets: Ration | None = None
    image: Picture | None = None
    changes: tuple[Change, ...] = ()


class Step(NamedTuple):
    """One request of several, in short. ``news`` are the signals that the one before had not."""

    time: float
    method: str
    target: str
    kind: str
    verdict: Verdict | None
    malformed: str
    news: tuple[str, ...]


class Explainer:
    """Judges requests in order, and tells of the last why it got what it got.

    ``read`` makes a request head of an ASGI scope, as the server's side does; ``gate`` reads its
    clocks from ``moment``.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        read: Callable[[dict[str, Any]], Passage],
        agents: Agents,
        grants: Grants | None,
        moment: Moment,
    ) -> None:
        self._gate = gate
        self._policy: Policy = gate.policy
        self._read = read
        self._agents = agents
        self._grants = grants
        self._moment = moment
        self._passage: Passage | None = None
        self._routed: Resource | None = None
        self._assumed = ""
        self._seen: frozenset[str] = frozenset()

    def judge(self, asked: Asked) -> Step:
        """Judge one request, and its answer as far as that is told."""
        now = self._moment.advance(asked)
        self._passage = None
        target = asked.target.decode("utf-8", "backslashreplace")
        try:
            passage = self._gate.judge(self._read(asked.scope))
        except RequestError as error:
            return Step(now, asked.method, target, "", None, str(error), ())
        self._routed, self._assumed = passage.resource, ""
        self._answer(asked, passage)
        if asked.time is None:
            passage.habits.forget_pace()
        self._passage = passage
        names = frozenset(finding.name for finding in passage.verdict.findings)
        news, self._seen = tuple(sorted(names - self._seen)), names
        kind = passage.resource.kind.value
        return Step(now, asked.method, target, kind, passage.verdict, "", news)

    def story(self, asked: Asked, step: Step) -> Story:
        """Tell the whole of the request that was judged last."""
        story = Story(
            asked.method, step.target, "", asked.scheme, self._policy.mode.value, malformed=step.malformed
        )
        passage, routed = self._passage, self._routed
        if passage is None or routed is None:
            return story
        verdict = passage.verdict
        return story._replace(
            host=passage.host,
            who=self._who(passage),
            what=self._what(routed),
            verdict=self._ruling(passage, verdict),
            signals=tuple(_signs(verdict)),
            grant=self._grant(passage, routed.kind),
            budgets=self._ration(passage, verdict.standing),
            changes=tuple(self._changes(verdict)),
            image=self._picture(asked, passage),  # the last: it may judge once more
        )

    def _answer(self, asked: Asked, passage: Passage) -> None:
        """Do what the site's answer leads to; an image of unknown size is taken for a large one."""
        gate, verdict, resource = self._gate, passage.verdict, passage.resource
        if verdict.action is not Action.ADMIT:
            return
        if asked.answer == "not-found":
            passage.habits.note_answer(found=False, cookie_offered=False)
        elif asked.answer in _KINDS:
            if resource.kind is Kind.UNTOLD:
                gate.note_kind(passage, _KINDS[asked.answer])
                gate.learn(passage, _KINDS[asked.answer])
        elif asked.answer and (resource.kind is Kind.UNTOLD or _is_open(resource, verdict)):
            gate.judge_image(passage, _SIZES[asked.answer])
            gate.learn(passage, Kind.IMAGE, _SIZES[asked.answer])
        elif _is_open(resource, verdict):
            gate.judge_image(passage, Size.ORIGINAL)
            self._assumed = "taken for one of full size, which its route does not tell"
        elif resource.kind is Kind.IMAGE and resource.size is Size.UNTOLD:  # its preview's maker saw its size
            gate.note_image(passage, _SIZES.get(asked.answer, Size.ORIGINAL))

    def _who(self, passage: Passage) -> Who:
        principal, rules = passage.principal, self._policy.identity
        peer = read_address(passage.peer)
        trusted = rules.trust_unix if peer is None else any(peer in net for net in rules.trusted_proxies)
        shown = LOCAL if peer is None else str(peer)
        if rules.header.encode() not in passage.fields:
            found = "the peer of the connection"
        elif trusted:
            found = f"{rules.header}, which the trusted proxy {shown} sent, read from the right"
        else:
            found = (
                f"the peer of the connection; its {rules.header} is not believed, for it is no trusted proxy"
            )
        agent = self._agents.read(passage.fields.get(b"user-agent"))
        claim = f"{agent.engine.value} {agent.version}" if agent.version else agent.engine.value
        words = [agent.kind.value, agent.name.strip("^$/ ")]
        words += [f"({claim}{' on ' + agent.platform if agent.platform else ''})" if agent.version else ""]
        told = " ".join(dict.fromkeys(word for word in words if word))
        role = passage.role
        if role.name:
            how = "its signature" if role.signed else "its key" if role.payer else "its address"
            told += f"; says that it is {role.name}, and {how} says: {role.proof.value}"
        return Who(principal.address, principal.key, principal.rollup, found, told, principal.line)

    def _what(self, resource: Resource) -> What:
        flags = re.DOTALL | (re.IGNORECASE | re.ASCII if self._policy.ignore_case else 0)
        for route in self._policy.routes:
            if re.fullmatch(pattern_source(route.pattern), resource.path, flags):
                odd = route.kind is not resource.kind and resource.kind is Kind.UNTOLD
                return What(resource.kind.value, resource.size.value, resource.subject, route.pattern, odd)
        return What(resource.kind.value, resource.size.value, resource.subject, "", odd=False)

    def _ruling(self, passage: Passage, verdict: Verdict) -> Ruling:
        policy, spent, cooling = self._policy, verdict.exceeded, verdict.cooling
        exceeded, now, rules = None, self._moment.monotonic(), policy.cooling
        if spent is not None:
            exceeded = {**spent._asdict(), "budget": spent.budget.value, "wait": round(spent.wait, 1)}
        return Ruling(
            verdict.action.value,
            verdict.rendition.value,
            verdict.standing.value,
            verdict.score,
            policy.unknown_at,
            policy.bot_at,
            policy.banned_at,
            round(max(0.0, passage.history.banned_until - now), 1),
            exceeded,
            verdict.shadowed,
            "" if cooling is None else cooling.instead_of.value,
            0.0 if cooling is None else round(cooling.left, 1),
            strikes_of(purse_of(passage), rules.within, now),
            rules.strikes if rules.enabled else 0,
        )

    def _ration(self, passage: Passage, standing: Standing) -> Ration:
        allowance, history = self._allowance(passage, standing), passage.history
        limits = (allowance.requests, allowance.originals, allowance.subjects, allowance.bytes)
        texts = [", ".join([limit.text for limit in some]) or "unlimited" for some in limits]
        taken = {
            "requests": passage.habits.requests,
            "originals": len(history.originals or ()),
            "subjects": len(history.subjects or ()),
        }
        ends = allowance.rendition.value, allowance.beyond.value, allowance.refuse
        return Ration(texts[0], texts[1], texts[2], texts[3], *ends, taken)

    def _allowance(self, passage: Passage, standing: Standing) -> Allowance:
        return passage.role.allowance or self._policy.standings[standing]

    def _grant(self, passage: Passage, kind: Kind) -> str:
        """Return the state of the grant, or ``unasked`` where the policy asks for none."""
        if (
            self._grants is None
            or kind not in {Kind.IMAGE, Kind.UNTOLD}
            or not self._grants.covers(passage.raw_path)
        ):
            return "unasked"
        now = self._moment.wall()
        return self._grants.check(passage.raw_path, passage.query, now=now, visitor=passage).value

    def _picture(self, asked: Asked, passage: Passage) -> Picture:
        verdict, resource = passage.verdict, passage.resource
        if verdict.action is not Action.ADMIT:
            return Picture(Rendition.REFUSED.value, "")
        if resource.kind is Kind.IMAGE:
            return Picture(verdict.rendition.value, self._assumed)
        if resource.kind is Kind.UNTOLD and not asked.answer:
            verdict = self._gate.judge_image(passage, Size.ORIGINAL)
            return Picture(verdict.rendition.value, "if the site answers with an image of full size")
        if resource.kind is Kind.EXEMPT:
            return Picture(verdict.rendition.value, "")
        return Picture(
            self._allowance(passage, verdict.standing).rendition.value,
            "within the budgets, asked for by this client; this is none",
        )

    def _changes(self, verdict: Verdict) -> Iterator[Change]:
        policy = self._policy
        weighed = sorted(verdict.findings, key=lambda finding: -finding.weight)
        known: set[tuple[str, ...]] = set()
        for below in (policy.banned_at, policy.bot_at, policy.unknown_at):
            if verdict.score < below:
                continue
            score, without = verdict.score, []
            for finding in weighed:  # the heaviest first: no smaller set takes as much away
                if score < below:
                    break
                score -= finding.weight
                without.append(finding.name)
            if tuple(without) not in known:
                known.add(tuple(without))
                yield Change(below, tuple(without), score, self._standing(score).value)

    def _standing(self, score: int) -> Standing:
        if score >= self._policy.bot_at:
            return Standing.BANNED if score >= self._policy.banned_at else Standing.BOT
        return Standing.UNKNOWN if score >= self._policy.unknown_at else Standing.BROWSER


def _signs(verdict: Verdict) -> Iterator[Sign]:
    for finding in sorted(verdict.findings, key=lambda finding: (-finding.weight, finding.name)):
        signal = SIGNALS[finding.name]
        of = "request" if finding.name in _OF_REQUEST else "visit"
        yield Sign(finding.name, finding.weight, signal.family, of, signal.sentence, signal.source)


def _is_open(resource: Resource, verdict: Verdict) -> bool:
    """Tell whether what an image gets depends on its size, which no route tells."""
    return (
        resource.kind is Kind.IMAGE
        and resource.size is Size.UNTOLD
        and verdict.rendition is Rendition.ORIGINAL
    )


def plain(value: object) -> object:
    """Return a story as JSON knows it: objects, lists, texts and numbers."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return value.value if isinstance(value, Enum) else value
