"""Checks of the process that runs: whether it is there, whether it is what the files say, and what serves it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from antiscrape.operate.doctor.findings import doubt, fine, unseen, wrong
from antiscrape.operate.doctor.local import APART, FAR_APART
from antiscrape.operate.doctor.tokens import FIELD, PATH
from antiscrape.operate.doctor.view import plan_of
from antiscrape.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.operate.doctor.findings import Said
    from antiscrape.operate.doctor.patient import Patient

#: The module of uvicorn's parser that is not to be trusted with requests (SECURITY C1).
_H11: Final = "h11_impl"


def check_reached(patient: Patient) -> Iterator[Said]:
    """Whether antiscrape answers behind the edge."""
    if patient.edge is None:
        return
    if patient.unreachable:
        yield unseen(
            f"{patient.edge.authority} does not answer: {patient.unreachable}", "see the edge's own log"
        )
        return
    asked, view = patient.plain, patient.view
    if asked is not None and view is not None:
        yield fine(f"antiscrape {view.version} answers for {view.site}, in mode {view.mode}")
        return
    if asked is not None and asked.reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        yield wrong(
            f"the edge answers {asked.reply.status}: it does not reach antiscrape, or antiscrape not the site",
            "see that the server runs (systemctl status antiscrape), and where the edge sends requests",
        )
        return
    status = "nothing" if asked is None else asked.reply.status
    yield unseen(
        f"antiscrape does not know this doctor: it answers {PATH} with {status}",
        f"give the server's own settings and secret; else the edge does not lead there, drops the field {FIELD}, "
        "or the running version is older than the doctor",
    )


def check_answers_fresh(patient: Patient) -> Iterator[Said]:
    """Whether the edge keeps answers that are not to be kept; checks and refusals are such."""
    again = patient.again
    if again is None or again.view is None:
        return
    if again.view.nonce != again.nonce or again.reply.kept:
        yield wrong(
            f"the edge keeps what is marked private, no-store: {again.reply.kept or 'it gave an old answer'}; so it "
            "may give one person's check, refusal or picture to everybody",
            "let the cache obey Cache-Control: no proxy_ignore_headers Cache-Control, no rule to cache everything",
        )
    elif "no-store" not in again.reply.directives:
        yield wrong(
            f"the edge changes Cache-Control: {again.reply.fields.get('cache-control', 'it is gone')}",
            "let the field pass as it comes; caches behind the edge and in browsers obey it as well",
        )
    else:
        yield fine("the edge keeps nothing that is marked no-store")


def check_policy(patient: Patient) -> Iterator[Said]:
    """Whether the running policy is the one that the settings describe."""
    view = patient.view
    if view is None:
        return
    if view.version != __version__:
        yield doubt(f"version {view.version} runs, {__version__} is installed here", "restart the server")
    elif view.policy != plan_of(patient.policy):
        yield doubt(
            "the running policy is not the one of these settings",
            "restart the server; if it gets settings from its environment, give the doctor the same",
        )
    else:
        yield fine("the running policy is the one of these settings")
    if view.mode != "enforce":
        yield doubt(
            f"the mode is {view.mode}: harvesters are served originals",
            'set site.mode = "enforce" when ready',
        )


def check_keys(patient: Patient) -> Iterator[Said]:
    """Whether the running process has read the newest secret."""
    view, known = patient.view, [secret.id for secret in patient.secrets]
    if view is None or not known:
        return
    if view.keys[-1:] != (known[-1],):
        yield wrong(
            f"the server signs with {', '.join(view.keys[-1:])} and not with {known[-1]}, which is newer",
            "SIGHUP to the server, or reload_keys()",
        )
    elif gone := set(view.keys) - set(known):
        yield wrong(
            f"the server still believes {', '.join(sorted(gone))}, which was taken off",
            "SIGHUP to the server",
        )
    else:
        yield fine(f"the server signs with {known[-1]}")


def check_server(patient: Patient) -> Iterator[Said]:
    """Tell what parses requests, and whether slow and oversize ones are held to limits."""
    view = patient.view
    if view is None:
        return
    if _H11 in view.server:
        yield wrong(
            f"requests are parsed by {view.server}: h11 takes Content-Length beside Transfer-Encoding, and two "
            "servers that read those differently can be played against each other (request smuggling)",
            "run antiscrape serve, or uvicorn --http httptools",
        )
    elif not view.limits:
        yield doubt(
            f"{view.server} serves, without antiscrape's limits on slow and oversize requests",
            "run antiscrape serve, or set the limits at the edge (nginx: client_header_timeout, client_body_timeout, "
            "large_client_header_buffers)",
        )
    else:
        yield fine("requests are parsed by httptools, and slow and oversize ones end")


def check_running_store(patient: Patient) -> Iterator[Said]:
    """Whether the running process reaches the shared store."""
    view = patient.view
    if view is None:
        return
    if view.store_away:
        yield wrong(
            "the running server does not reach the shared store, and counts for itself",
            "see its log: it says what is wrong with the store",
        )
    elif view.store_away is None and patient.policy.store.address is not None:
        yield wrong("the running server uses no shared store, though the settings name one", "restart it")


def check_clock(patient: Patient) -> Iterator[Said]:
    """Whether the site, its edge and this machine agree on the time."""
    view, asked = patient.view, patient.plain
    if asked is None:
        return
    clocks = [] if view is None else [("the server's clock", asked.ahead(view.time))]
    if asked.reply.date is not None:
        clocks.append(("the edge's Date", asked.ahead(asked.reply.date)))
    apart = [(name, ahead) for name, ahead in clocks if abs(ahead) > APART]
    for name, ahead in apart:
        told = f"{name} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's clock"
        if abs(ahead) > FAR_APART:
            yield wrong(f"{told}: grants and clearances bear a minute", "keep both by NTP")
        else:
            yield doubt(told, "keep both by NTP (timedatectl set-ntp true)")
    if clocks and not apart:
        yield fine("the clocks agree")
