"""What a running site sees of one request of the doctor's, as it is told and as it is read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from antiscrape.operate.meter import policy_version

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy

#: The fields by which proxies speak of a client, of themselves, or of what was asked.
FORWARDING: Final = (
    "x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip", "fastly-client-ip",
    "x-client-ip", "x-forwarded-proto", "x-forwarded-host", "via",
)  # fmt: skip
#: Those that hold the client's address.
ADDRESSED: Final = FORWARDING[:7]


@dataclass(frozen=True, slots=True)
class View:
    """One request as the running site sees it, and who it is that sees."""

    nonce: str
    time: float  # of the site's clock, seconds since 1970
    version: str
    site: str
    mode: str
    policy: str  # its version, less what the command line says
    keys: tuple[str, ...]  # the ids of the secrets in use, oldest to newest
    client: str  # the address that it believes
    peer: str  # that it was connected from
    port: int  # likewise; 0 where there is none
    trusted: bool  # whether the peer is one of the trusted proxies
    fields: dict[str, str]  # of the forwarding fields, those that came
    host: str
    secure: bool  # whether it is told that the client's connection is encrypted
    server: str  # what serves: the module that called the application
    limits: (
        bool  # whether the connection's protocol is ours, which holds slow and oversize requests to limits
    )
    store_away: bool | None  # None where each process counts for itself


def write_view(view: View) -> bytes:
    """Return the view as JSON."""
    return json.dumps(asdict(view)).encode()


def read_view(body: bytes) -> View | None:
    """Return the view that ``body`` is, None where it is anything else."""
    try:
        told: dict[str, Any] = json.loads(body)
        view = View(**{field.name: told[field.name] for field in fields(View)})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return replace(view, keys=tuple(view.keys)) if isinstance(view.fields, dict) else None


def plan_of(policy: Policy) -> str:
    """Return the version of a policy without what ``antiscrape serve`` sets in it: the admin socket, its own store."""
    return policy_version(
        replace(policy, record=replace(policy.record, admin=""), store=replace(policy.store, namespace=""))
    )
