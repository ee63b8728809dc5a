"""Checks of what the edge says of its clients, and whom antiscrape believes.

The doctor sends no forwarding field, so the first address in the chain that arrives was written by the hop nearest
to it, and is the one that antiscrape should take for the client. Then it lies about who it is: nobody may believe it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.core.identity import Identity, read_address
from antiscrape.operate.doctor.findings import doubt, fine, unseen, wrong
from antiscrape.operate.doctor.patient import DISGUISE
from antiscrape.operate.doctor.view import ADDRESSED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.operate.doctor.findings import Said
    from antiscrape.operate.doctor.patient import Patient
    from antiscrape.operate.doctor.view import View

_LISTS: Final = ("x-forwarded-for", "forwarded")


def check_client_address(patient: Patient) -> Iterator[Said]:
    """Whether the address that antiscrape believes is the client's."""
    view = patient.view
    if view is None or patient.plain is None:
        return
    header = patient.policy.identity.header.lower()
    direct = view.port == patient.plain.reply.port
    chain, hop = view.fields.get(header), view.peer or "a unix socket"
    others = [name for name in ADDRESSED if name in view.fields and name != header]
    if chain is None and others and not direct:
        yield wrong(
            f"it believes that you are {view.client}: your proxy at {hop} tells the client in {others[0]}, and the "
            f"policy reads {header}, which does not come",
            f'set identity.header = "{others[0]}", or have the proxy set {header}',
        )
    elif chain is not None and not view.trusted:
        yield wrong(
            f"it believes that everybody is {view.client}: your proxy at {hop} says that you are {chain}, and is not "
            "among identity.trusted_proxies, so all clients share one budget and one ban",
            _trust(view),
        )
    elif chain is None and not direct and not view.trusted:
        yield doubt(
            f"it believes that you are {view.client}, which something between us is, and which tells nothing of you",
            f"if that is a proxy of yours, have it set {header} and name it in identity.trusted_proxies; if it is "
            "your own provider's address, all is well",
        )
    elif chain is None and not direct:
        yield wrong(
            f"it believes that everybody is {view.client}: your proxy at {hop} is trusted and tells no client",
            f"have the proxy set {header} (nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for)",
        )
    else:
        yield from _walked(view, header, chain)


def _walked(view: View, header: str, chain: str | None) -> Iterator[Said]:
    """Say whether the walk along the chain ended where it begins."""
    entries = [entry.strip() for entry in chain.split(",")] if chain and header == _LISTS[0] else []
    first = read_address(entries[0]) if entries else None
    if first is None or str(first) == view.client:
        how = f"by {header}" if chain is not None else "for you are connected to it"
        yield fine(f"it believes that you are {view.client}, {how}")
        return
    yield wrong(
        f"it believes that you are {view.client}, and the hop nearest to you said {entries[0]}: {view.client} is a "
        "proxy that is not trusted, so all clients behind it share one budget and one ban",
        f"add {view.client} or its network to identity.trusted_proxies, if it is yours",
    )


def check_disguise(patient: Patient) -> Iterator[Said]:
    """Whether a client may choose its own address."""
    disguised = None if patient.disguised is None else patient.disguised.view
    view = patient.view
    if view is None or disguised is None:
        return
    rules = patient.policy.identity
    chain = disguised.fields.get(rules.header.lower(), "")
    if (
        disguised.client == DISGUISE
        and chain.split(",")[-1].strip() != DISGUISE
        and Identity(rules).trusts(view.client)
    ):
        yield unseen(
            f"whether a client may choose its address: you ask from {view.client}, which is trusted to speak for others",
            "run the doctor on another machine, too",
        )
    elif disguised.client == DISGUISE:
        yield wrong(
            f"a client may choose its address: the doctor said that it is {DISGUISE}, and was believed",
            "have the proxy set the field anew, not pass the client's on, and trust no more networks than the proxies'",
        )
    elif disguised.client != view.client:
        yield wrong(
            f"a client may change its address: {view.client} became {disguised.client} when the doctor lied about it",
            "have the proxy set the field anew, not pass the client's on",
        )
    else:
        yield fine("a client's own word for its address is not believed")


def check_scheme(patient: Patient) -> Iterator[Said]:
    """Whether antiscrape knows that the client's connection is encrypted."""
    view = patient.view
    if view is None or patient.edge is None or not patient.edge.encrypted:
        return
    if view.secure:
        yield fine("it knows that the connection is encrypted")
    else:
        yield wrong(
            "it takes an encrypted connection for a plain one: cookies are set without Secure, and what browsers "
            "send over https only is not expected",
            "have the proxy set X-Forwarded-Proto (nginx: proxy_set_header X-Forwarded-Proto $scheme)",
        )


def check_host(patient: Patient) -> Iterator[Said]:
    """Whether the Host arrives that was asked for."""
    view, edge = patient.view, patient.edge
    if view is None or edge is None:
        return
    asked = edge.host.lower().rstrip(".")
    if view.host.removeprefix("[").removesuffix("]") == asked:
        yield fine(f"the Host arrives as {view.host}")
    else:
        yield wrong(
            f"you asked for {asked}, and antiscrape sees the Host {view.host}",
            "have the proxy pass the client's on (nginx: proxy_set_header Host $host)",
        )


def _trust(view: View) -> str:
    if not view.peer:
        return "set identity.trust_unix = true, if only your proxy may open the socket"
    return f'add "{view.peer}" or its network to identity.trusted_proxies'
