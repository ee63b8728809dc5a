"""Unjudged: what becomes of a request where the code that judges it raises (SECURITY section 2).

It is neither refused nor let through: the site is asked, pages pass, and of a picture there is the preview, which is
what somebody gets of whom nothing is known. Nothing is charged, for nobody knows to whom. It is counted and told,
and the client sees nothing of it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from antiscrape.asgi.answers import send_error
from antiscrape.core.history import History
from antiscrape.core.observation import CLEAN
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.role import NOBODY
from antiscrape.core.verdict import Action, Mode, Rendition, Standing, Verdict
from antiscrape.errors import AntiscrapeError, RequestError

if TYPE_CHECKING:
    from antiscrape.asgi.accounts import Accounts
    from antiscrape.asgi.middleware import Middleware
    from antiscrape.asgi.types import Scope, Send
    from antiscrape.gate import Gate, Passage

_DEFAULT: Final = Verdict(Action.ADMIT, Rendition.PREVIEW, Standing.UNKNOWN, 0)


async def see_to(
    error: Exception, house: Middleware, accounts: Accounts | None, scope: Scope, send: Send
) -> tuple[Scope, Passage] | None:
    """See to a request whose judgement raised: answer what has no single reading (None), go on with the rest."""
    answer: AntiscrapeError = AntiscrapeError()
    if isinstance(error, RequestError):
        house.recorder.refuse(error)
        answer = error
    else:
        house.recorder.fault(error)
        with suppress(Exception):  # it may be the reader that raises
            passage = give_default(house.read(scope), house.gate)
            if accounts is not None:
                scope = {**scope, "headers": accounts.without(scope["headers"])}
            return scope, passage
    await send_error(send, answer, http_version=scope.get("http_version", "1.1"))
    return None


def settle_for_default(passage: Passage, gate: Gate) -> Verdict:
    """Give a passage the verdict on what could not be judged; in shadow it changes nothing, like any other."""
    passage.allowance = gate.policy.standings[_DEFAULT.standing]
    passage.verdict = verdict = _DEFAULT._replace(shadowed=gate.policy.mode is Mode.SHADOW)
    return verdict


def give_default(passage: Passage, gate: Gate) -> Passage:
    """Give a passage that was only read all that a judged one has, and the verdict on what could not be judged."""
    history = History(gate.clock())
    passage.find = gate.shortcuts.find
    passage.account = passage.held = None
    # Whatever else it is, as a picture it is not shown in full, and nobody is asked again when it turns out to be one.
    passage.resource = Resource(Kind.IMAGE, passage.raw_path.decode("latin-1"), 0, Size.ORIGINAL)
    passage.history = passage.habits = history
    passage.profile = passage.beside = CLEAN
    passage.role, passage.look = NOBODY, b""
    settle_for_default(passage, gate)
    return passage
