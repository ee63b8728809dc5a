"""The site's side of ``antiscrape doctor``: it tells whoever holds the secret how it sees their request.

Whoever does not, is not told that there is anything: the request is the site's, like any other of its path.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from antiscrape.core.identity import Identity
from antiscrape.operate.doctor.tokens import FIELD, PATH, Passwords
from antiscrape.operate.doctor.view import FORWARDING, View, plan_of, write_view
from antiscrape.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from antiscrape.asgi.types import Scope, Send
    from antiscrape.core.rules import Policy
    from antiscrape.core.tokens import KeyRing
    from antiscrape.gate import Passage

_FIELD: Final = FIELD.encode()
_PATH: Final = PATH.encode()
#: Of a field's value; what is beyond it no proxy of the site's has written.
_MOST: Final = 1024
_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"private, no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class Served(NamedTuple):
    """What serves: the module that called the application, and whether the connection is held to our limits."""

    server: str
    limits: bool


class Inspection:
    """Answers the doctor's questions, at ``path``. ``policy`` is the one that was loaded; ``store`` tells how the shared store stands."""

    path: Final = _PATH

    def __init__(
        self,
        policy: Policy,
        keys: KeyRing,
        *,
        wall: Callable[[], float],
        store: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        self._policy, self._plan, self._wall, self._store = policy, plan_of(policy), wall, store
        self._identity = Identity(policy.identity)
        self._names = dict.fromkeys((*FORWARDING, policy.identity.header.lower()))
        self._passwords = Passwords(keys, policy.site)
        self._ids = keys.ids

    def rekey(self, keys: KeyRing) -> None:
        """Believe other secrets from now on."""
        self._passwords.rekey(keys)
        self._ids = keys.ids

    async def answer(self, passage: Passage, scope: Scope, send: Send) -> int:
        """Answer a doctor's question and return the status; 0, and nothing is sent, for any other request."""
        if passage.raw_path != _PATH or passage.method != "GET":
            return 0
        said = passage.value(_FIELD)
        nonce = None if said is None else self._passwords.read(said, now=self._wall())
        if nonce is None:
            return 0
        body = write_view(self._look(passage, scope, nonce))
        headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return 200

    def _look(self, passage: Passage, scope: Scope, nonce: bytes) -> View:
        values = {name: passage.value(name.encode("latin-1")) for name in self._names}
        client, served = scope.get("client"), what_serves()
        return View(
            nonce=nonce.hex(),
            time=self._wall(),
            version=__version__,
            site=self._policy.site,
            mode=self._policy.mode.value,
            policy=self._plan,
            keys=self._ids,
            client=passage.client,
            peer=passage.peer,
            port=client[1] or 0 if client else 0,
            trusted=self._identity.trusts(passage.peer),
            fields={
                name: value[:_MOST].decode("latin-1") for name, value in values.items() if value is not None
            },
            host=passage.host,
            secure=passage.scheme in {"https", "wss"} or values["x-forwarded-proto"] == b"https",
            server=served.server,
            limits=served.limits,
            store_away=None if self._store is None else self._store()["away"] > 0,
        )


def what_serves() -> Served:
    """Tell what called the application, by the task in which it runs; no server says so itself.

    Uvicorn starts each request in a task of its own, whose outermost frame belongs to the module of the parser.
    """
    task = asyncio.current_task()
    coroutine: Any = None if task is None else task.get_coro()
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None:
        return Served("unknown", limits=False)
    transport = getattr(frame.f_locals.get("self"), "transport", None)
    find = getattr(
        transport, "get_protocol", None
    )  # asyncio's transports have it, other servers' own may not
    limits = find is not None and type(find()).__module__.startswith("antiscrape.")
    return Served(str(frame.f_globals.get("__name__", "unknown")), limits=limits)
