"""The composition root: the only module that knows every room."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from antiscrape import clock
from antiscrape.asgi.bodies import Rewriters
from antiscrape.asgi.middleware import Middleware
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from antiscrape.core.tokens import KeyRing
from antiscrape.core.verdict import Mode
from antiscrape.evidence.events import open_sink
from antiscrape.evidence.recorder import Recorder
from antiscrape.gate import Gate
from antiscrape.images.dimensions import long_side
from antiscrape.images.renderer import PillowRenderer
from antiscrape.lookups.agents import AgentBook
from antiscrape.operate.meter import Meter
from antiscrape.settings import load_policy
from antiscrape.signing import grants_of
from antiscrape.stores.memory import MemoryStore

if TYPE_CHECKING:
    from antiscrape.asgi.types import ASGIApp
    from antiscrape.core.rules import Policy


class AntiscrapeMiddleware(Middleware):
    """Keeps the images of an ASGI app open to people and worthless to harvesters.

    ::

        app = AntiscrapeMiddleware(app, policy=load_policy("antiscrape.toml"))

    ``policy`` defaults to ``load_policy()``: the built-in defaults, the file named by
    ``ANTISCRAPE_CONFIG``, and the environment. Raise ``ConfigurationError`` where the policy cannot
    be carried out.
    """

    def __init__(self, app: ASGIApp, *, policy: Policy | None = None) -> None:
        policy = load_policy() if policy is None else policy
        keys = KeyRing(policy.secrets)
        loaded = policy  # its version, in the metrics, must not depend on the secret
        policy, trap = lay_trap(policy, keys)
        # In shadow mode no page is signed, so no request is held to its grant.
        signs = policy.mode is Mode.ENFORCE and bool(policy.grants.prefixes)
        grants = grants_of(policy) if signs else None
        store = MemoryStore(
            max_principals=policy.store.max_principals,
            rollup_factor=policy.identity.rollup_factor,
            standings=policy.standings,
        )
        gate = Gate(
            policy, store=store, agents=AgentBook(), grants=grants, clock=clock.monotonic, wall=clock.wall
        )
        sink, renderer = open_sink(policy.record.events), PillowRenderer(policy.images)
        recorder = Recorder(
            sink,
            site=policy.site,
            keys=keys,
            addresses=policy.record.addresses,
            wall=clock.wall,
        )
        rewrites = (grants is not None and policy.grants.rewrite) or bool(trap)
        super().__init__(
            app,
            gate=gate,
            renderer=renderer,
            recorder=recorder,
            long_side=long_side,
            rewriters=Rewriters(policy, grants, clock.wall, trap) if rewrites else None,
        )
        self.policy = policy
        self.store = store
        self.meter = Meter(
            loaded, recorder=recorder, sink=sink, store=store, images=renderer, levels=renderer.levels
        )


def protect(app: ASGIApp, policy: Policy | None = None) -> AntiscrapeMiddleware:
    """Return ``app`` behind antiscrape."""
    return AntiscrapeMiddleware(app, policy=policy)


def lay_trap(policy: Policy, keys: KeyRing) -> tuple[Policy, bytes]:
    """Return the policy with a route for its trap, and the link that is put into pages (``b""`` for none).

    The path is derived from the secret: every worker lays the same one, and nobody can look it up.
    """
    inject = policy.traps.inject and policy.mode is Mode.ENFORCE
    if not inject and not policy.traps.path:
        return policy, b""
    path = policy.traps.path or f"/{keys.derive('trap').hex()[:12]}/"
    routes = (Route(path.rstrip("/") + "/**", Kind.TRAP, Size.UNTOLD), *policy.routes)
    # A browser never draws what is in a template, an assistive technology never reads it, and a text
    # browser has nothing to show for a link without words.
    link = f'<template><a href="{path}archive" rel="nofollow"></a></template>'
    return replace(policy, routes=routes), link.encode() if inject else b""
