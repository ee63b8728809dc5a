"""Checks of what strangers can reach: the admin socket, the metrics, and the edge's encryption."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from antiscrape.core.identity import read_address
from antiscrape.errors import EdgeError
from antiscrape.operate.doctor.edge import TOOL
from antiscrape.operate.doctor.findings import doubt, fine, unseen, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.operate.doctor.findings import Said
    from antiscrape.operate.doctor.patient import Patient

#: Of the metrics' text, and of nothing else.
_METRICS: Final = b"antiscrape_build_info{"
_DAY: Final = 86_400.0
#: Days before its end at which a certificate should have been renewed: ACME clients do it 30 days before.
_SOON: Final = 14.0


def check_admin_address(patient: Patient) -> Iterator[Said]:
    """Whether the admin socket is for this machine alone."""
    address = patient.policy.record.admin
    if not address:
        yield doubt(
            "there is no admin socket: nobody hears of trouble", 'set record.admin = "127.0.0.1:9465"'
        )
        return
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    bound = read_address(host)
    if address.startswith("unix:") or host == "localhost" or (bound is not None and bound.is_loopback):
        yield fine(f"the admin socket is at {address}, for this machine alone")
    else:
        yield doubt(
            f"the admin socket is at {address}, which other machines reach",
            "a firewall or network policy has to keep all but your own Prometheus away",
        )


def check_admin_outside(patient: Patient) -> Iterator[Said]:
    """Whether the metrics answer at the edge's address, or through the edge."""
    edge, address = patient.edge, patient.policy.record.admin
    if edge is None or patient.unreachable:
        return
    found = []
    through = patient.ask("/metrics", TOOL)
    if through is not None and _METRICS in through.body:
        found.append(f"through the edge, at {edge.authority}/metrics")
    port = address.rpartition(":")[2]
    beside = address and not address.startswith("unix:") and not _is_here(edge.host)
    if beside and port.isdecimal():
        try:
            if _METRICS in edge.ask("/metrics", TOOL, port=int(port)).body:
                found.append(f"at {edge.host}:{port}")
        except EdgeError:
            pass
    for place in found:
        yield wrong(
            f"everybody can read the metrics {place}",
            "bind record.admin to 127.0.0.1 or a unix socket, and let the edge pass /metrics to the site",
        )
    if not found:
        yield fine("the metrics are not to be had from outside")


def check_encryption(patient: Patient) -> Iterator[Said]:
    """Whether the edge speaks TLS, for how long its certificate holds, and whether it speaks HTTP/2."""
    edge = patient.edge
    if edge is None or patient.unreachable:
        return
    if not edge.encrypted:
        if not _is_here(edge.host):
            yield doubt(
                f"{edge.authority} is asked without encryption",
                "give the doctor the https URL; a site without one shows everybody on the way who looks at whom",
            )
        return
    try:
        protocol, certificate = edge.shake_hands()
    except EdgeError as error:
        yield unseen(f"the certificate of {edge.authority}: {error}")
        return
    end = certificate.get("notAfter")
    days = (ssl.cert_time_to_seconds(end) - patient.wall()) / _DAY if isinstance(end, str) else None
    if days is not None and days < _SOON:
        yield wrong(
            f"the certificate of {edge.authority} ends in {max(0.0, days):.0f} days",
            "see why it is not renewed by itself (certbot renew --dry-run)",
        )
    elif days is not None:
        yield fine(f"the certificate of {edge.authority} holds for {days:.0f} days")
    if protocol != "h2":
        yield doubt(
            f"{edge.authority} speaks no HTTP/2: forty pictures of a page then queue on six connections",
            "turn it on at the edge (nginx: http2 on)",
        )


def _is_here(host: str) -> bool:
    """Tell whether the edge is on this machine, where the admin socket is meant to answer."""
    address = read_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)
