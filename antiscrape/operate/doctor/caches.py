"""Checks of what caches make of pictures: one is asked for as a browser and as a tool, in both orders.

Each pair of questions goes to a URL that no cache has seen. Where antiscrape alone answers, a browser's picture and
a tool's differ and neither depends on who came first; a cache that mixes gives the second one the first one's.
"""

from __future__ import annotations

import re
import secrets
from html import unescape
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from antiscrape.core.grant_tokens import Holder
from antiscrape.core.grants import Grants
from antiscrape.core.identity import Identity
from antiscrape.core.resource import Kind
from antiscrape.core.routes import RouteTable
from antiscrape.core.tokens import KeyRing
from antiscrape.core.verdict import Mode, Rendition, Standing
from antiscrape.errors import RequestError
from antiscrape.operate.doctor.edge import BROWSER, PAGE, TOOL
from antiscrape.operate.doctor.findings import doubt, fine, unseen, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.operate.doctor.edge import Edge, Reply
    from antiscrape.operate.doctor.findings import Said
    from antiscrape.operate.doctor.patient import Patient

_IMAGE: Final = re.compile(rb"<img(?=\s)", re.IGNORECASE)
#: An attribute's value, quoted or not: wrong at worst about which picture is asked for.
_SOURCE: Final = re.compile(rb"""\ssrc\s{0,9}=\s{0,9}["']?([^"'\s>]{1,2000})""", re.IGNORECASE)
#: Bytes of a tag.
_MOST_TAG: Final = 4096
#: Of a page that are looked through.
_MOST_PAGE: Final = 2**20
_MOST_PICTURES: Final = 40
_DO: Final = (
    "let the cache obey Cache-Control, which antiscrape sets to private or no-store wherever the answer depends on who "
    "asks: remove rules that ignore it or cache pictures by their suffix"
)


class Pictures(NamedTuple):
    """One picture as it came: to a browser and then to a tool, and to a tool and then to a browser."""

    browser_first: Reply
    tool_second: Reply
    tool_first: Reply
    browser_second: Reply


def check_pictures(patient: Patient) -> Iterator[Said]:
    """Whether a browser and a tool get what is meant for them, whoever came first."""
    view, edge, policy = patient.view, patient.edge, patient.policy
    if view is None or edge is None:
        return
    if view.mode != Mode.ENFORCE.value or policy.standings[Standing.BOT].rendition is Rendition.ORIGINAL:
        yield unseen("whether caches mix renditions: by this policy everybody gets the same")
        return
    album = Album(patient, edge, view.client)
    target = patient.image or album.first()
    if not target:
        yield unseen(
            f"whether caches mix renditions: the page {edge.path} shows no picture of this site",
            "name one: --image /media/1.jpg",
        )
        return
    shown, pictures = album.plain(target), album.ask(target)
    if pictures is None or {reply.status for reply in pictures} != {HTTPStatus.OK}:
        seen = "nothing" if pictures is None else ", ".join(str(reply.status) for reply in pictures)
        yield unseen(
            f"whether caches mix renditions: {shown} is answered with {seen}",
            "name a picture that is there: --image PATH; 429 and 403 mean that this address has had too much",
        )
        return
    yield from _compared(shown, pictures, shared=policy.grants.shared_caches)


def _compared(shown: str, pictures: Pictures, *, shared: bool) -> Iterator[Said]:
    first, second, third, fourth = (reply.body for reply in pictures)
    previews = (pictures.tool_second, pictures.tool_first)
    kept = next((reply.kept for reply in (previews if shared else pictures) if reply.kept), "")
    if first == second != third:
        yield wrong(
            f"a cache mixes renditions of {shown}: a harvester gets the original that a person had", _DO
        )
    elif third == fourth != first:
        yield wrong(
            f"a cache mixes renditions of {shown}: a person gets the preview that a harvester had", _DO
        )
    elif kept:
        yield wrong(f"a cache answers for {shown}, which is not to be kept ({kept})", _DO)
    elif first == second and not pictures.tool_second.is_lesser:
        yield wrong(
            f"a tool gets the original of {shown}",
            f"if a cache leaves queries out of its key: {_DO}; if none does, antiscrape explain tells why a tool is "
            "taken for a person, or the picture for none",
        )
    elif first == second:
        yield doubt(
            f"a browser gets the preview of {shown}, as a tool does",
            "ask from an address that has had nothing today; if it is so from there, a cache gives everybody what it has",
        )
    else:
        yield fine(f"a browser and a tool get each their own {shown}, whoever comes first")
    loose = [reply for reply in previews if not reply.directives & {"private", "no-store"}]
    if loose and first != second:
        said = loose[0].fields.get("cache-control", "none at all")
        yield wrong(
            f"the preview of {shown} arrives with another Cache-Control than it was sent with: {said}",
            "let the field pass as it comes",
        )


class Album:
    """The site's pictures, each under URLs that no cache has seen, signed for ``client`` where the policy asks for it."""

    def __init__(self, patient: Patient, edge: Edge, client: str) -> None:
        self._patient, self._edge = patient, edge
        policy = patient.policy
        self._routes = RouteTable(policy.routes, ignore_case=policy.ignore_case)
        self._grants = None
        if policy.grants.prefixes:
            self._grants = Grants(
                KeyRing(policy.secrets), policy.grants, policy.site, ignore_case=policy.ignore_case
            )
        self._holder = Holder(Identity(policy.identity).find(client).rollup)

    def first(self) -> str:
        """Return the path and query of the first picture on the page that lies under a route of pictures, or ``""``."""
        edge = self._edge
        page = self._patient.ask(edge.path, PAGE)
        if page is None or page.status != HTTPStatus.OK:
            return ""
        base = f"{'https' if edge.encrypted else 'http'}://{edge.authority}{edge.path}"
        for tag in _IMAGE.split(page.body[:_MOST_PAGE], _MOST_PICTURES)[1:]:
            match = _SOURCE.search(tag[:_MOST_TAG].partition(b">")[0])
            if match is None:
                continue
            found = urlsplit(urljoin(base, unescape(match[1].decode("latin-1"))))
            target = f"{found.path}?{found.query}" if found.query else found.path
            if found.netloc == edge.authority and target.isascii() and self._is_picture(target):
                return target
        return ""

    def plain(self, target: str) -> str:
        """Return the picture's path as the site knows it, which is no secret as a signed query may be."""
        path = target.partition("?")[0]
        opened = None if self._grants is None else self._grants.opened(path.encode())
        return path if opened is None else opened.decode()

    def ask(self, target: str) -> Pictures | None:
        """Ask four times, in pairs of one URL each; None where any of them was not answered."""
        one, other = self._fresh(target), self._fresh(target)
        questions = ((one, BROWSER), (one, TOOL), (other, TOOL), (other, BROWSER))
        found = [reply for url, fields in questions if (reply := self._patient.ask(url, fields)) is not None]
        return Pictures(*found) if len(found) == len(questions) else None

    def _is_picture(self, target: str) -> bool:
        try:
            return self._routes.classify(self.plain(target).encode()).kind is Kind.IMAGE
        except RequestError:
            return False

    def _fresh(self, target: str) -> str:
        """Return a URL of the picture that nobody has asked for."""
        path, query, grants = self.plain(target), target.partition("?")[2], self._grants
        if grants is not None:
            query = grants.strip(query.encode()).decode()
        mark = f"doctor={secrets.token_hex(4)}"
        url = f"{path}?{query}&{mark}" if query else f"{path}?{mark}"
        if grants is None or not grants.covers(path.encode()):
            return url
        try:
            return grants.sign(url, now=self._patient.wall(), holder=self._holder)
        except ValueError:
            return url


def check_browser_check(patient: Patient) -> Iterator[Said]:
    """Whether a cache keeps the page of the browser check, which is made for one client and once."""
    rules = patient.policy.clearance
    if patient.view is None or not rules.enabled or patient.view.mode != Mode.ENFORCE.value:
        return
    target = f"{rules.path}/step"
    replies = [
        patient.ask(target, {**PAGE, "User-Agent": f"{PAGE['User-Agent']} {n}"}) for n in ("", "doctor")
    ]
    first, second = replies
    if first is None or second is None or {first.status, second.status} != {HTTPStatus.OK}:
        yield wrong(
            f"the page of the browser check is not served: {target} is answered with "
            f"{', '.join('nothing' if reply is None else str(reply.status) for reply in replies)}",
            f"have the edge pass {rules.path}/ on to antiscrape; clients without a script are cleared there",
        )
    elif first.body == second.body or first.kept or second.kept:
        yield wrong(
            f"a cache keeps the page of the browser check ({first.kept or second.kept or 'two clients got one page'})",
            f"keep nothing below {rules.path}/ but what says public",
        )
    else:
        yield fine("each client gets its own page of the browser check")
