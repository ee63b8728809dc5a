"""Checks of what caches make of pictures: one is asked for as a browser and as a tool, in both orders.

Each pair of questions goes to a URL that no cache has seen. Where antiscrape alone answers, a browser's picture and
a tool's differ and neither depends on who came first; a cache that mixes gives the second one the first one's.
"""

from __future__ import annotations

import re
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from antiscrape.core.resource import Kind
from antiscrape.core.routes import RouteTable
from antiscrape.core.verdict import Mode, Rendition, Standing
from antiscrape.errors import RequestError
from antiscrape.operate.doctor.edge import BROWSER, PAGE, TOOL
from antiscrape.operate.doctor.findings import doubt, fine, unseen, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.operate.doctor.edge import Edge, Reply
    from antiscrape.operate.doctor.findings import Said
    from antiscrape.operate.doctor.patient import Patient

#: One attribute's value, quoted or not: linear, and wrong at worst about which picture is asked for.
_SOURCE: Final = re.compile(
    rb"""<img\b[^>]{0,2000}?\ssrc\s{0,9}=\s{0,9}["']?([^"'\s>]{1,2000})""", re.IGNORECASE
)
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

    @property
    def all(self) -> tuple[Reply, ...]:
        """The four answers."""
        return tuple(self)


def check_pictures(patient: Patient) -> Iterator[Said]:
    """Whether a browser and a tool get what is meant for them, whoever came first."""
    if patient.view is None or patient.edge is None:
        return
    policy = patient.policy
    if (
        patient.view.mode != Mode.ENFORCE.value
        or policy.standings[Standing.BOT].rendition is Rendition.ORIGINAL
    ):
        yield unseen("whether caches mix renditions: by this policy everybody gets the same")
        return
    target = patient.image or _first_picture(patient, patient.edge)
    if not target:
        yield unseen(
            f"whether caches mix renditions: the page {patient.edge.path} shows no picture of this site",
            "name one: --image /media/1.jpg",
        )
        return
    pictures = _ask(patient, target)
    if pictures is None or {reply.status for reply in pictures.all} != {HTTPStatus.OK}:
        seen = "nothing" if pictures is None else ", ".join(str(reply.status) for reply in pictures.all)
        yield unseen(
            f"whether caches mix renditions: {target} is answered with {seen}",
            "name a picture that is there: --image PATH; 429 and 403 mean that this address has had too much",
        )
        return
    yield from _compared(target, pictures, shared=policy.grants.shared_caches)


def _compared(target: str, pictures: Pictures, *, shared: bool) -> Iterator[Said]:
    first, second, third, fourth = (reply.body for reply in pictures.all)
    kept = next((reply.kept for reply in (pictures.tool_second, pictures.tool_first) if reply.kept), "")
    kept = kept or ("" if shared else next((reply.kept for reply in pictures.all if reply.kept), ""))
    if first == second != third or third == fourth != first:
        who = (
            "a harvester gets the original that a person had" if first == second else "people get the preview"
        )
        yield wrong(
            f"a cache mixes renditions of {target}: {who} {'just before' if first == second else ''}".rstrip(),
            _DO,
        )
    elif kept:
        yield wrong(f"a cache answers for {target}, which is not to be kept ({kept})", _DO)
    elif first == second:
        yield doubt(
            f"a browser and a tool get the same picture of {target}",
            "a cache may ignore queries in its key; or this address has had too much, and gets previews only; or the "
            "picture's route says that it is none: antiscrape explain tells which",
        )
    else:
        yield fine(f"a browser and a tool get each their own {target}, whoever comes first")
    loose = [
        reply
        for reply in (pictures.tool_first, pictures.tool_second)
        if not reply.directives & {"private", "no-store"}
    ]
    if loose and first != second:
        said = loose[0].fields.get("cache-control", "none at all")
        yield wrong(
            f"the preview of {target} arrives with another Cache-Control than it was sent with: {said}",
            "let the field pass as it comes",
        )


def _ask(patient: Patient, target: str) -> Pictures | None:
    """Ask four times, in pairs of one URL each; None where any of them was not answered."""
    mark = "&" if "?" in target else "?"
    one, other = (f"{target}{mark}doctor={secrets.token_hex(4)}" for _ in range(2))
    questions = ((one, BROWSER), (one, TOOL), (other, TOOL), (other, BROWSER))
    found = [reply for url, fields in questions if (reply := patient.ask(url, fields)) is not None]
    return Pictures(*found) if len(found) == len(questions) else None


def _first_picture(patient: Patient, edge: Edge) -> str:
    """Return the path and query of the first picture on the page that lies under a route of pictures, or ``""``."""
    page = patient.ask(edge.path, PAGE)
    if page is None or page.status != HTTPStatus.OK:
        return ""
    routes = RouteTable(patient.policy.routes, ignore_case=patient.policy.ignore_case)
    base = f"{'https' if edge.encrypted else 'http'}://{edge.authority}{edge.path}"
    for place, match in enumerate(_SOURCE.finditer(page.body[:_MOST_PAGE])):
        if place >= _MOST_PICTURES:
            break
        found = urlsplit(urljoin(base, match[1].decode("latin-1").replace("&amp;", "&")))
        if found.netloc != edge.authority or not found.path.isascii():
            continue
        try:
            kind = routes.classify(found.path.encode()).kind
        except RequestError:
            continue
        if kind is Kind.IMAGE:
            return f"{found.path}?{found.query}" if found.query else found.path
    return ""


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
