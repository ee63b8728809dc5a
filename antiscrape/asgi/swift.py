"""The swift way: requests of known clean clients in C, where the accelerator was built.

``native`` does what ``HeadReader.read``, ``Gate.judge`` and ``Responder.send`` do for a request about which
everything is as usual, on the same objects, and leaves every other request to them as it came.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from antiscrape.asgi import accelerator
from antiscrape.asgi.breaking import excuse
from antiscrape.asgi.caching import CDN_FIELDS, private_value
from antiscrape.asgi.media import KNOWN, Media
from antiscrape.asgi.responder import responder_of
from antiscrape.asgi.types import SHORTCUTS
from antiscrape.core.budgets import Limit
from antiscrape.core.habits import NONE, VISIT, Habits, Oddities, Pace
from antiscrape.core.history import HABITS, TICK, History
from antiscrape.core.journal import Journal
from antiscrape.core.memo import Memo
from antiscrape.core.observation import Face
from antiscrape.core.purse import Network
from antiscrape.core.request import Shape
from antiscrape.core.resource import Kind, Size
from antiscrape.core.role import NOBODY
from antiscrape.core.rules import Allowance
from antiscrape.core.spending import spend_one
from antiscrape.core.spread import THIRD, Member
from antiscrape.errors import UpstreamError
from antiscrape.gate import Passage
from antiscrape.gate.passage import Place
from antiscrape.gate.visits import REVIEW

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from antiscrape.asgi.head import HeadReader
    from antiscrape.asgi.responder import Responder, Tools
    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send
    from antiscrape.core.verdict import Verdict
    from antiscrape.evidence.recorder import Recorder
    from antiscrape.gate import Gate

#: In the order in which the accelerator is told of them.
CLASSES: Final = (
    Passage, History, Network, Place, Face, Memo, Limit, Shape, Allowance, Habits, Oddities, Member, Pace, Journal
)  # fmt: skip


class Relay(Protocol):
    """What the site is given in place of the server's ``send``; ``status`` is 0 until it answers.

    ``responder`` is what sees to the answer instead, None as long as it passes.
    """

    passage: Passage
    status: int
    responder: Responder | None

    @property
    def send(self) -> Send:
        """What takes the site's messages: the relay itself."""
        ...

    def __call__(self, message: Message) -> Awaitable[None]:
        """Take one message of the site."""
        ...


if TYPE_CHECKING:
    Begin = Callable[[Scope, Send], Relay | None]
    Way = Callable[[Scope, Receive, Send], Awaitable[None]]


class Ways(NamedTuple):
    """How a request is read and judged, and, where there is a shorter way, how both are done at once.

    ``begin`` returns None, and has changed nothing, for a request about which something is not as usual. ``relay``
    takes the answer to a request that was judged already.
    """

    read: Callable[[Scope], Passage]
    judge: Callable[[Passage], Passage]
    begin: Begin | None
    relay: Callable[[Passage, Send], Relay] | None


#: The accelerator, told of the classes; or None.
module: Any = accelerator.module
if module is not None:
    module.bind(*CLASSES)


def ways_through(reader: HeadReader, gate: Gate, tools: Tools, *, plain: Verdict) -> Ways:
    """Return the ways through one middleware; ``plain`` is the verdict that ``begin`` may give."""
    if module is None:
        return Ways(reader.read, gate.judge, None, None)
    known, spread = gate.shortcuts, gate.shortcuts.spread
    swift = module.Swift(
        read=reader.read,
        judge=gate.judge,
        find_face=known.face,
        find=known.find,
        clock=gate.clock,
        charge=known.charge,
        shapes=reader.shapes,
        hosts=reader.hosts,
        direct=known.direct,
        relayed=known.relayed,
        places=known.places,
        trap=Kind.TRAP,
        untold=Kind.UNTOLD,
        noted=tuple(HABITS - {Kind.IMAGE, Kind.TRAP}),
        plain=plain,
        media=KNOWN,
        passing=tools.passing,
        shortcuts=tuple(SHORTCUTS),
        responder=partial(responder_of, tools),
        picture=Kind.IMAGE,
        original=Size.ORIGINAL,
        thumbnail=Size.THUMBNAIL,
        nobody=NOBODY,
        members=None if spread is None else spread.members,
        image=Media.IMAGE,
        cdn=tuple(CDN_FIELDS),
        private=private_value,
        note_bytes=gate.note_bytes,
        spend_new=known.spend_new,
        none_odd=NONE,
        records=known.records,
        term=known.term,
        sharing=known.sharing,
        visit=VISIT,
        tick=TICK,
        keeps=-1.0 if known.keeps is None else known.keeps,
        warm=0.0 if spread is None else spread.warm,
        review=REVIEW,
        third=THIRD,
        believes=known.believes,
        strips=known.strips,
        spends=known.charge is spend_one,
        shadow=tools.shadow or tools.lending is not None,
    )
    return Ways(swift.read, swift.judge, swift.begin, swift.relay)


def door_of(
    begin: Begin,
    *,
    app: ASGIApp,
    others: Way,
    plain: Verdict,
    recorder: Recorder,
    beside: tuple[str, bytes] | None,
) -> Way:
    """Return what serves the requests that ``begin`` takes by ``app``, and leaves the rest to ``others``.

    A request whose verdict is the ``plain`` one is counted, any other is recorded. ``beside`` are where paths begin and what
    a cookie mentions by which a request has to do with the browser's check: it is one of the others.
    """
    below, mention = beside or (None, None)
    door: Way = module.Door(
        begin=begin,
        app=app,
        others=others,
        excuse=excuse,
        broken=UpstreamError,
        plain=plain,
        standing=plain.standing,
        allowed=recorder.plain,
        record=recorder.record,
        below=below,
        mention=mention,
    )
    return door
