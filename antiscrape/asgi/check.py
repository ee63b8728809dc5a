"""The check's own paths: the script, its challenge and answer, and the step for those without a script.

``P`` is the policy's path:

* ``GET P/VERSION/check.js`` and what it loads; under any other version the same, for a tag of the operator's own;
* ``GET P/challenge``, which a page may ask for ahead of its script, or ``POST``: a challenge, or ``{"seconds": …}`` where nothing has to be earned;
* ``POST P/answer``: ``{"seconds": …}`` and the cookie, or ``{}``;
* ``GET`` and ``POST P/step``, ``GET P/done``: the form, and whether its cookie came back.

All of them are judged and budgeted as requests of a client like any others. Verifying costs milliseconds, so it is
done in threads of its own, by few at once, and only for an answer whose challenge is genuine, current and unspent.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote

from antiscrape.browser.challenge import Outcome
from antiscrape.browser.page import POLICY_OF_FORM
from antiscrape.browser.steps import Fault
from antiscrape.browser.tag import visitor_of
from antiscrape.core.clearance import NAME, Level, family_of, network_of
from antiscrape.core.probes import DENIED, judge_probes, read_probes
from antiscrape.core.returning import safe_path
from antiscrape.core.verdict import Standing

if TYPE_CHECKING:
    from antiscrape.asgi.types import Headers, Receive, Send
    from antiscrape.browser.parts import Part
    from antiscrape.browser.room import Room
    from antiscrape.core.tokens import KeyRing
    from antiscrape.gate import Passage

#: An answer has some 700 bytes, a form at most a path beside its token.
_LONGEST: Final = 4096
_YEAR: Final = b"public, max-age=31536000, immutable"
_HOUR: Final = b"public, max-age=3600"
_NO_STORE: Final = (b"cache-control", b"private, no-store")
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
_NOINDEX: Final = (b"x-robots-tag", b"noindex, nofollow")
_JSON: Final = b"application/json"
_FORM: Final = b"application/x-www-form-urlencoded"
#: To these no clearance is given: it would be a fresh start for what they did.
_LOW: Final = frozenset({Standing.BOT, Standing.BANNED})
#: Doublings of the work for what speaks against a client.
_SUSPICION: Final = {Standing.UNKNOWN: 2, Standing.BOT: 4}
#: Answers that are verified at once, and that may wait for it.
_THREADS: Final = 2
_MOST_WAITING: Final = 64


class Desk:
    """Answers the requests below the check's path, for one ``room`` of what they need."""

    def __init__(self, room: Room) -> None:
        self._room = room
        #: Finds whose clearance a request comes with.
        self.holders = room.holders
        #: What pages are given, None for nothing.
        self.tag = room.tag
        self._base = room.rules.path.encode()
        #: Where the paths of the check begin.
        self.below = self._base + b"/"
        self._mention = room.rules.cookie.encode() + b"="
        self._threads = ThreadPoolExecutor(_THREADS, "antiscrape-check")
        self._waiting = 0
        #: What became of challenges, answers and steps.
        self.counts = dict.fromkeys(
            ("asked", "proven", "browser", "denied", "stale", "wrong", "spent", "rationed", "busy"), 0
        )

    def rekey(self, keys: KeyRing) -> None:
        """Go on with other secrets: clearances, challenges and forms of one that was taken off end at once."""
        self._room.rekey(keys)

    @property
    def signs(self) -> tuple[str, bytes]:
        """What a request has to do with the check by: where its path begins, and what its cookie mentions."""
        return self._room.rules.path, self._mention

    def follow(self, former: Desk) -> None:
        """Go on with what another desk has counted, given and taken."""
        self.counts, room = former.counts, former._room
        self._room = self._room._replace(once=room.once, issues=room.issues)
        self.holders.follow(former.holders)

    def owns(self, passage: Passage) -> bool:
        """Tell whether a request is to be answered here."""
        return passage.raw_path.startswith(self.below)

    async def answer(self, passage: Passage, receive: Receive, send: Send) -> int:
        """Answer one request, and return the status."""
        path = passage.raw_path[len(self.below) :].decode("latin-1")
        method = passage.method
        if method == "POST" and path in {"challenge", "answer", "step"}:
            return await self._posted(path, passage, receive, send)
        if method not in {"GET", "HEAD"}:
            return await self._plain(send, 405, b"Method not allowed\n", (b"allow", b"GET, HEAD, POST"))
        if path == "challenge":
            if not _same_origin(passage):
                return await self._plain(send, 403, b"Forbidden\n")
            return await _send_json(send, self._challenge(passage), head=method == "HEAD")
        if path == "step":
            return await self._form(passage, send, _target(passage))
        if path == "done":
            return await self._done(passage, send)
        version, _, name = path.rpartition("/")
        part = self._room.parts.get(name) if version and "/" not in version else None
        if part is None:
            return await self._plain(send, 404, b"Not found\n")
        return await _send_part(send, passage, part, _YEAR if version == self._room.parts.version else _HOUR)

    async def _posted(self, path: str, passage: Passage, receive: Receive, send: Send) -> int:
        if not _same_origin(passage):
            return await self._plain(send, 403, b"Forbidden\n")
        body = await _body(receive)
        if body is None:
            return await self._plain(send, 413, b"Content too large\n", (b"connection", b"close"))
        kind = (passage.value(b"content-type") or b"").partition(b";")[0].strip().lower()
        if path == "step":
            return await self._step(passage, send, body if kind == _FORM else b"")
        told: object = None
        if kind == _JSON:
            try:
                told = json.loads(body)
            except (ValueError, RecursionError):
                told = None
        if not isinstance(told, dict):
            return await self._plain(send, 400, b"Bad request\n")
        if path == "challenge":
            return await _send_json(send, self._challenge(passage))
        return await self._answered(passage, send, told)

    def _challenge(self, passage: Passage) -> dict[str, Any]:
        room, held = self._room, passage.holding
        self.counts["asked"] += 1
        if held is not None and held.home and held.level is Level.PROVEN:
            return {"seconds": max(0, held.until - int(room.wall()))}
        standing, client = passage.verdict.standing, passage.principal.key
        work = room.rules.work + _SUSPICION.get(standing, 0) + self._waiting.bit_length()
        work += room.issues.doublings(client, room.rules.issues)
        return room.challenges.issue(self._holder(passage), work)

    async def _answered(self, passage: Passage, send: Send, told: dict[str, Any]) -> int:
        """Take an answer; verify its work where all that is cheap to know is in order."""
        room = self._room
        opened = room.challenges.open(
            {"challenge": told.get("challenge"), "solution": told.get("solution")}, self._holder(passage)
        )
        if isinstance(opened, Outcome):
            self.counts[opened.value] += 1
            return await _send_json(send, {})
        if self._waiting >= _MOST_WAITING:
            self.counts["busy"] += 1
            return await self._plain(send, 503, b"Busy\n", (b"retry-after", b"10"))
        if not await room.once.spend_once(opened.token):
            self.counts["spent"] += 1
            return await _send_json(send, {})
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._threads, room.challenges.verify, opened)
        finally:
            self._waiting -= 1
        if not right:
            self.counts["wrong"] += 1
            return await _send_json(send, {})
        found = judge_probes(read_probes(told.get("probes")), room.holders.agent(passage))
        passage.habits.note_probes(found)
        if found & DENIED:
            self.counts["denied"] += 1
            return await _send_json(send, {})
        cookie = await self._clear(passage, Level.BROWSER if found else Level.PROVEN)
        if cookie is None:
            return await _send_json(send, {})
        return await _send_json(send, {"seconds": int(room.rules.lasts)}, cookie)

    async def _clear(self, passage: Passage, level: Level) -> tuple[bytes, bytes] | None:
        """Return the field that gives a client its clearance, None where it has had too many, or stands too low."""
        room, verdict = self._room, passage.verdict
        if verdict.standing in _LOW or verdict.cooling is not None:
            self.counts["denied"] += 1
            return None
        limit = room.rules.issues if level is Level.PROVEN else room.rules.steps
        if await room.issues.issue(passage.principal.key, limit):
            self.counts["rationed"] += 1
            return None
        self.counts["proven" if level is Level.PROVEN else "browser"] += 1
        if self.tag is not None:
            self.tag.cleared(visitor_of(passage.principal.key, passage.value(b"user-agent")))
        token = room.holders.issue(passage, secrets.token_bytes(NAME), level)
        secure = passage.scheme == "https" or passage.value(b"x-forwarded-proto") == b"https"
        kept = int(room.rules.lasts + room.holders.lingers)
        age = f"Path=/; Max-Age={kept}; HttpOnly; SameSite=Lax"
        return b"set-cookie", f"{room.rules.cookie}={token}; {age}{'; Secure' if secure else ''}".encode()

    # -- without a script

    async def _form(
        self, passage: Passage, send: Send, back: str, notice: str = "", status: int = 200
    ) -> int:
        token = self._room.steps.issue(self._holder(passage))
        body = self._room.pages.form(self._tag(passage), token, back, notice=notice)
        return await _send_page(send, passage, body, status)

    async def _step(self, passage: Passage, send: Send, body: bytes) -> int:
        """Take a form that was sent; whatever is wrong with it, a fresh one is the answer."""
        told = dict(parse_qsl(body.decode("latin-1"), max_num_fields=8)) if body.count(b"&") < 8 else {}
        back = safe_path(told.get("to", "/"))
        opened = self._room.steps.open(told.get("token", ""), self._holder(passage))
        if isinstance(opened, Fault):
            self.counts["stale"] += 1
            return await self._form(passage, send, back, opened.value, 422)
        if not await self._room.once.spend_once(opened):
            self.counts["spent"] += 1
            return await self._form(passage, send, back, Fault.LATE.value, 422)
        cookie = await self._clear(passage, Level.BROWSER)
        if cookie is None:
            return await self._form(passage, send, back, "many", 429)
        return await _redirect(send, f"{self._room.rules.path}/done?to={quote(back, safe='/')}", cookie)

    async def _done(self, passage: Passage, send: Send) -> int:
        """Send back whoever returns with the cookie; tell the others why nothing has changed."""
        back = _target(passage)
        if passage.holding is not None:
            return await _redirect(send, back)
        again = f"{self._room.rules.path}/step?to={quote(back, safe='/')}"
        return await _send_page(
            send, passage, self._room.pages.no_cookies(self._tag(passage), again, back), 200
        )

    def _tag(self, passage: Passage) -> str:
        return self._room.languages.choose(passage.value(b"accept-language"))

    def _holder(self, passage: Passage) -> str:
        """Return whom a challenge is for: what a clearance is bound to as well."""
        family = family_of(self._room.holders.agent(passage))
        return f"{passage.host} {network_of(passage.principal)} {family}"

    @staticmethod
    async def _plain(send: Send, status: int, body: bytes, *fields: tuple[bytes, bytes]) -> int:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), _NO_STORE, _NOSNIFF, *fields]
        return await _send(send, status, headers, body)


def _target(passage: Passage) -> str:
    query = (
        dict(parse_qsl(passage.query[:4096].decode("latin-1"), max_num_fields=100))
        if passage.query.count(b"&") < 100
        else {}
    )
    return safe_path(query.get("to", "/"))


def _same_origin(passage: Passage) -> bool:
    """Tell whether a request that changes something comes from a page of the same origin, as far as its browser says."""
    site = passage.value(b"sec-fetch-site")
    if site is not None and site != b"same-origin":
        return False
    origin = passage.value(b"origin")
    return origin is None or origin.partition(b"://")[2].lower() == (passage.value(b"host") or b"").lower()


async def _body(receive: Receive) -> bytes | None:
    """Return a request's body, None where it is longer than any of ours."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        body += bytes(message.get("body", b""))
        if len(body) > _LONGEST:
            return None
        if not message.get("more_body", False):
            return body


async def _send_json(
    send: Send, told: dict[str, Any], *fields: tuple[bytes, bytes], head: bool = False
) -> int:
    headers = [(b"content-type", _JSON), _NO_STORE, _NOSNIFF, *fields]
    return await _send(send, 200, headers, json.dumps(told).encode(), head=head)


async def _send_page(send: Send, passage: Passage, body: bytes, status: int) -> int:
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", POLICY_OF_FORM),
        (b"referrer-policy", b"same-origin"),  # without any, a browser would send its form with "Origin: null"
        _NO_STORE, _NOSNIFF, _NOINDEX,
    ]  # fmt: skip
    return await _send(send, status, headers, body, head=passage.method == "HEAD")


async def _redirect(send: Send, location: str, *fields: tuple[bytes, bytes]) -> int:
    return await _send(
        send, 303, [(b"location", location.encode("ascii")), _NO_STORE, _NOSNIFF, *fields], b""
    )


async def _send_part(send: Send, passage: Passage, part: Part, age: bytes) -> int:
    packed = b"gzip" in (passage.value(b"accept-encoding") or b"")
    headers = [
        (b"content-type", part.content_type), (b"cache-control", age), (b"vary", b"accept-encoding"),
        (b"etag", b"W/" + part.etag), _NOSNIFF,
    ]  # fmt: skip
    if (passage.value(b"if-none-match") or b"").strip().removeprefix(b"W/") == part.etag:
        return await _send(send, 304, headers, b"")
    body = part.packed if packed else part.plain
    if packed:
        headers.append((b"content-encoding", b"gzip"))
    return await _send(send, 200, headers, body, head=passage.method == "HEAD")


async def _send(send: Send, status: int, headers: Headers, body: bytes, *, head: bool = False) -> int:
    if status != 304:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body, "more_body": False})
    return status
