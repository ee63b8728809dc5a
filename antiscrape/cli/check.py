"""``antiscrape check``: whether a settings file is right, and what it says."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import click

from antiscrape import clock
from antiscrape.core.budgets import parse_limits
from antiscrape.core.store_address import key_prefix
from antiscrape.core.verdict import Mode
from antiscrape.images.faces.extra import finds_faces
from antiscrape.lookups.networks import NetworkBook
from antiscrape.lookups.roles import open_roles
from antiscrape.settings.load import load
from antiscrape.settings.units import write_duration
from antiscrape.stores.extras import need_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.budgets import Limit
    from antiscrape.core.rules import Allowance, ImageRules, Policy

_COLUMNS = ("standing", "requests", "originals", "subjects", "bytes", "image", "beyond")
#: Limits without any, as the settings write them.
_NONE = parse_limits("unlimited")


@click.command()
@click.argument("file", required=False)
def command(file: str | None) -> None:
    """Check a settings FILE and say in short what it does; without FILE, the one that ANTISCRAPE_CONFIG names.

    The exit status is 0 where it is right and 2 where it is not, with a line for every error. A
    missing secret is a warning here and an error in "antiscrape serve".
    """
    loaded = load(file, require_secret=False)
    _read_files(loaded.policy)
    for warning in (*loaded.warnings, *_ask_store(loaded.policy)):
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"ok: {loaded.source}\n")
    for line in summary(loaded.policy):
        click.echo(line)


def _read_files(policy: Policy) -> None:
    """Read the lists, keys and pictures that the settings name; raise ``ConfigurationError`` with what is wrong in them."""
    if policy.networks:
        NetworkBook(policy.networks.lists, policy.networks.asn_database)
    open_roles(policy, clock=clock.monotonic, wall=clock.wall, tell=lambda *_: None)
    looks = policy.images.renditions
    if looks.mark_font or looks.mark_image or looks.decoys:
        from antiscrape.images.brand import brand_of  # noqa: PLC0415  Pillow is loaded where there is something to see
        from antiscrape.images.decoy import open_pool  # noqa: PLC0415

        brand_of(policy.images)
        open_pool("renditions.decoys", looks.decoys)


def _ask_store(policy: Policy) -> Iterator[str]:
    """Yield what is wrong with the shared store now; raise ``ConfigurationError`` where its client is not installed."""
    address = policy.store.address
    if address is None:
        return
    need_client()
    from antiscrape.stores.connection import try_out  # noqa: PLC0415  it needs the client

    trouble = asyncio.run(try_out(address, key_prefix(policy.store.namespace or policy.site)))
    if trouble is not None:
        yield str(trouble)


def summary(policy: Policy) -> Iterator[str]:
    """Yield what a policy does, in about twenty lines of at most 110 columns or so."""
    hosts = ", ".join(policy.hosts) or "any host"
    yield f"site      {policy.site}, {hosts}"
    yield f"mode      {_MODES[policy.mode]}"
    yield f"proxies   {', '.join(map(str, policy.identity.trusted_proxies)) or 'none trusted: the peer is the client'}"
    yield (
        f"score     unknown from {policy.unknown_at}, bot from {policy.bot_at}, banned from {policy.banned_at} "
        f"for {write_duration(policy.ban_seconds)}"
    )
    modes = Counter(rule.mode for rule in policy.signals.values())
    yield f"signals   {len(policy.signals)}: {_counts({mode.value: modes[mode] for mode in Mode})}"
    yield f"routes    {len(policy.routes)}: {_counts(Counter(route.kind.value for route in policy.routes))}"
    yield f"grants    {_grants(policy)}"
    yield f"networks  {_networks(policy)}"
    yield f"crawlers  {_crawlers(policy)}"
    yield f"says      {'how it wants to be crawled' if policy.preferences else 'nothing about crawling'}"
    yield f"traps     {_traps(policy)}"
    yield f"store     {_store(policy)}"
    yield f"preview   {_preview(policy.images)}"
    yield f"record    events to {policy.record.events}, admin at {policy.record.admin or 'no address'}"
    yield ""
    yield from _table([_COLUMNS, *(_row(allowance) for allowance in policy.standings.values())])


_MODES = {
    Mode.ENFORCE: "enforce: verdicts are carried out",
    Mode.SHADOW: "shadow: verdicts are recorded, nothing is changed",
    Mode.OFF: "off: nothing is judged",
}


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _preview(rules: ImageRules) -> str:
    file = f"shown at {rules.preview_size} pixels"
    if not finds_faces(rules):
        return f"{rules.preview_cells} cells, {file}; faces are not looked for"
    return f"faces looked for at {rules.face_look} pixels and veiled, missed ones below {rules.face_floor}, {file}"


def _traps(policy: Policy) -> str:
    rules = policy.traps
    if not rules.inject:
        return "none"
    more = [
        words
        for on, words in ((rules.pictures, "with a picture"), (rules.tagged, "tagged, so pages are private"))
        if on
    ]
    return ", ".join(["one link in every page", *more])


def _networks(policy: Policy) -> str:
    lists = Counter(rule.label.value for rule in policy.networks.lists)
    asn = ", and an ASN database" if policy.networks.asn_database else ""
    return (f"lists of {_counts(lists)}" if lists else "no lists") + asn


def _crawlers(policy: Policy) -> str:
    rules = policy.crawlers
    how = f"DNS and the lists in {rules.ranges}" if rules.ranges else "DNS"
    return (f"verified by {how}" if rules.verify else "none verified") + f"; {len(policy.bots)} sign"


def _store(policy: Policy) -> str:
    rules = policy.store
    if rules.address is None:
        return f"each worker's memory, {rules.max_principals} clients"
    how = "asked by each request" if rules.mode == "strict" else f"every {write_duration(rules.interval)}"
    return f"{rules.address}, {how}"


def _grants(policy: Policy) -> str:
    rules = policy.grants
    if not rules.prefixes:
        return "none asked for"
    signed = "signed in page bodies" if rules.rewrite else "signed by the site"
    window = write_duration(rules.window)
    return f"{', '.join(rules.prefixes)} {signed}, good for {window} to twice that; bound to {rules.binding}; without: {rules.missing.value}"


def _row(allowance: Allowance) -> tuple[str, ...]:
    if allowance.refuse:
        return (allowance.standing.value, *("-" for _ in _COLUMNS[1:5]), "403", "403")
    budgets = (allowance.requests, allowance.originals, allowance.subjects, allowance.bytes)
    ends = (allowance.rendition.value, allowance.beyond.value)
    return (allowance.standing.value, *map(_limits, budgets), *ends)


def _limits(limits: tuple[Limit, ...]) -> str:
    return "unlimited" if limits == _NONE else ", ".join(limit.text for limit in limits)


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
