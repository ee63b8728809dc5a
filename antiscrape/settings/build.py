"""From settings to a policy: text becomes limits and networks, once, at the start."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from antiscrape.core.budgets import parse_limits
from antiscrape.core.rules import (
    Allowance,
    CrawlerRules,
    IdentityRules,
    ImageRules,
    Policy,
    RecordRules,
    Route,
    SignalRule,
    TrapRules,
)
from antiscrape.core.verdict import Standing
from antiscrape.settings.partners import partners
from antiscrape.settings.routes import ALWAYS_EXEMPT
from antiscrape.settings.units import read_network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiscrape.settings.identity import Identity
    from antiscrape.settings.model import Settings
    from antiscrape.settings.routes import RouteLine
    from antiscrape.settings.standings import Standings, StandingTable


def build(
    settings: Settings, secrets: Sequence[bytes], folder: Path = Path(), *, store_password: str = ""
) -> Policy:
    """Compile ``settings``; ``secrets`` run from oldest to newest, relative paths start at ``folder``."""
    site, score = settings.site, settings.score
    return Policy(
        secrets=tuple(secrets),
        standings=_standings(settings.standing),
        routes=_routes(settings.routes),
        signals=MappingProxyType(
            {name: SignalRule(table.weight, table.mode) for name, table in settings.signals.rows()}
        ),
        mode=site.mode,
        site=site.name,
        hosts=site.hosts,
        ignore_case=site.ignore_case,
        unknown_at=score.unknown_at,
        bot_at=score.bot_at,
        banned_at=score.banned_at,
        ban_seconds=score.ban,
        cooling=settings.cooling.rules(),
        tell=settings.budgets.tell,
        crawlers=_crawlers(settings, folder),
        partners=partners(settings.partners),
        bots=tuple(line.rule(folder) for line in settings.bots),
        signatures=settings.signatures.rules(),
        identity=_identity(settings.identity),
        networks=settings.networks.rules(folder),
        accounts=settings.accounts.rules(),
        clearance=settings.clearance.rules(),
        images=_images(settings, folder),
        trace=settings.trace.rules(),
        grants=settings.grants.rules(),
        spread=settings.spread.enabled,
        traps=TrapRules(**dict(settings.traps)),
        preferences=settings.preferences.rules(),
        store=settings.store.rules(store_password),
        overload=settings.overload.rules(),
        upstream=settings.upstream.rules(folder),
        record=RecordRules(**dict(settings.record)),
        serve=settings.serve.rules(folder),
    )


def _standings(tables: Standings) -> Mapping[Standing, Allowance]:
    return MappingProxyType({Standing(name): _allowance(Standing(name), table) for name, table in tables})


def _allowance(standing: Standing, table: StandingTable) -> Allowance:
    return Allowance(
        standing=standing,
        rendition=table.rendition,
        beyond=table.beyond,
        requests=parse_limits(table.requests),
        originals=parse_limits(table.originals),
        subjects=parse_limits(table.subjects),
        bytes=parse_limits(table.bytes, sizes=True),
        refuse=table.refuse,
    )


def _crawlers(settings: Settings, folder: Path) -> CrawlerRules:
    table = settings.crawlers
    return CrawlerRules(
        purposes=MappingProxyType(
            {purpose: _allowance(Standing.CRAWLER, row) for purpose, row in settings.crawler.rows()}
        ),
        verify=table.verify,
        ranges=str(folder / table.ranges) if table.ranges else "",
        refresh=table.refresh,
    )


def _routes(lines: Sequence[RouteLine]) -> tuple[Route, ...]:
    written = {line.pattern for line in lines}
    missing = [line for line in ALWAYS_EXEMPT if line.pattern not in written]
    return tuple(Route(line.pattern, line.kind, line.size) for line in (*missing, *lines))


def _images(settings: Settings, folder: Path) -> ImageRules:
    table = settings.images
    values = dict(table)
    values["cache_folder"] = str(folder / table.cache_folder) if table.cache_folder else ""
    looks, rights = settings.renditions.rules(folder), settings.rights.rules(settings.preferences)
    return ImageRules(**values, renditions=looks, rights=rights)


def _identity(table: Identity) -> IdentityRules:
    networks = [network for text in table.trusted_proxies for network in read_network(text)]
    return IdentityRules(
        trusted_proxies=tuple(dict.fromkeys(networks)),
        trust_unix=table.trust_unix,
        header=table.header,
        ipv4_rollup=table.ipv4_rollup,
        ipv6_prefix=table.ipv6_prefix,
        ipv6_line=table.ipv6_line,
        ipv6_rollup=table.ipv6_rollup,
        line_factor=table.line_factor,
        rollup_factor=table.rollup_factor,
    )
