"""``antiscrape verdict``: verdicts for an edge that serves the site itself (nginx, Caddy, Traefik, Envoy, HAProxy, Varnish)."""

from __future__ import annotations

import os
from contextlib import ExitStack
from logging.config import dictConfig
from typing import TYPE_CHECKING, NamedTuple

import click

from antiscrape.cli import serve
from antiscrape.cli.serve import _need_extras, _share, _tell, _with_admin
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.app import AntiscrapeMiddleware
    from antiscrape.asgi.types import ASGIApp
    from antiscrape.core.rules import Policy

#: Beside those of ``serve``.
UPSTREAM = "ANTISCRAPE_VERDICT_UPSTREAM"


class Parts(NamedTuple):
    """What one process serves: the middleware, and the application in front of it."""

    site: AntiscrapeMiddleware
    app: ASGIApp


@click.command("verdict")
@click.option("--upstream", envvar=UPSTREAM, default="", metavar="URL", help="The site, for pictures that an edge cannot serve as they are: http://host:port, https://host or unix:/path.")  # fmt: skip
@click.option("--config", envvar=serve.CONFIG, metavar="FILE", help="The policy; without it, the defaults.")
@click.option("--listen", envvar="ANTISCRAPE_LISTEN", default="127.0.0.1:8079", show_default=True, metavar="ADDRESS", help="host:port, [host]:port or unix:/path. Only edges may reach it.")  # fmt: skip
@click.option("--workers", envvar="ANTISCRAPE_WORKERS", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that serve.")  # fmt: skip
@click.option("--admin", envvar=serve.ADMIN, metavar="ADDRESS", help="Where health and metrics are told, in place of the policy's address.")  # fmt: skip
@click.option("--drain", envvar="ANTISCRAPE_DRAIN", type=click.IntRange(0), default=30, show_default=True, metavar="SECONDS", help="How long running answers may take after SIGTERM.")  # fmt: skip
@click.option("--limit-concurrency", envvar="ANTISCRAPE_LIMIT_CONCURRENCY", type=click.IntRange(1), metavar="N", help="Answer 503 beyond this many connections per worker.")  # fmt: skip
@click.option("--rewrite-host", envvar=serve.REWRITE_HOST, is_flag=True, help="Ask the site under its own name as Host, not the client's.")  # fmt: skip
@click.pass_context
def command(
    ctx: click.Context,
    *,
    upstream: str,
    config: str | None,
    listen: str,
    workers: int,
    admin: str | None,
    drain: int,
    limit_concurrency: int | None,
    rewrite_host: bool,
) -> None:
    """Tell an edge, request by request, what its client may have.

    Originals never pass through this process: the edge serves them. It sends its client here for previews, for
    refusals in words, and for what only an answer tells. The files in config/edge set up nginx, Caddy, Traefik, Envoy,
    HAProxy and Varnish. Whoever asks has to stand in identity.trusted_proxies.
    """
    host, port, uds = serve.read_listen(listen)
    _tell(
        {
            UPSTREAM: upstream or None,
            serve.CONFIG: config,
            serve.ADMIN: serve.said_admin(admin),
            serve.REWRITE_HOST: "1" if rewrite_host else None,
        }
    )
    _need_extras()
    from antiscrape.asgi.neighbours import KNOWN  # noqa: PLC0415
    from antiscrape.serving.admin_server import FOLDER, for_workers  # noqa: PLC0415
    from antiscrape.serving.logs import LOGGING  # noqa: PLC0415  `antiscrape --help` needs no server
    from antiscrape.serving.runner import run  # noqa: PLC0415

    dictConfig(LOGGING)
    policy = _policy()
    with ExitStack() as stack:
        app: ASGIApp | str = "antiscrape.cli.verdict:application"
        said = list(remarks(policy, upstream))
        if workers > 1:
            os.environ.update(stack.enter_context(for_workers(policy.record.admin)))
            said.append(_share(stack, policy, workers))
            os.environ[KNOWN] = "1"
        else:
            os.environ.pop(FOLDER, None)
            parts = build(policy)
            app = _with_admin(parts.app, parts.site)
        status = run(
            app,
            host=host,
            port=port,
            uds=uds,
            workers=workers,
            factory=workers > 1,
            limit_concurrency=limit_concurrency,
            timeout_graceful_shutdown=drain,
            rules=policy.serve,
            identity=policy.identity,
            ready=lambda url: _say_ready(url, upstream, said),
        )
    ctx.exit(status)


def application() -> ASGIApp:
    """Build the application that one process serves, from the environment; raise ``ConfigurationError``."""
    parts = build(_policy())
    return _with_admin(parts.app, parts.site)


def build(policy: Policy) -> Parts:
    """Return what answers edges by a policy, with the site that ``ANTISCRAPE_VERDICT_UPSTREAM`` names behind it."""
    from antiscrape import clock  # noqa: PLC0415
    from antiscrape.app import protect  # noqa: PLC0415  it knows every room, and is needed only here
    from antiscrape.asgi.forward_auth import ForwardAuth, nowhere  # noqa: PLC0415
    from antiscrape.asgi.lengths import Lengths  # noqa: PLC0415
    from antiscrape.asgi.proxy import ReverseProxy  # noqa: PLC0415
    from antiscrape.core.handover import LASTS, SKEW, Handovers  # noqa: PLC0415
    from antiscrape.core.tokens import KeyRing  # noqa: PLC0415
    from antiscrape.stores.once import Once  # noqa: PLC0415
    from antiscrape.upstream import Upstream  # noqa: PLC0415

    url = os.environ.get(UPSTREAM, "")
    if not url:
        site, lengths = protect(nowhere, policy), None
    else:
        behind = Upstream(*url.split(), rules=policy.upstream)
        inner = ReverseProxy(behind, rewrite_host=os.environ.get(serve.REWRITE_HOST) == "1")
        site, lengths = protect(inner, policy), Lengths(inner, clock=clock.monotonic)
        asked = lengths
        site.meter.more += [
            lambda: serve.figures_of(behind),
            lambda: {"antiscrape_originals_uncharged": {(): asked.uncharged}},
        ]
    once = Once(lasts=float(LASTS + SKEW), clock=clock.monotonic, courier=site.courier)
    handovers = Handovers(KeyRing(policy.secrets))
    return Parts(site, ForwardAuth(site, lambda: site.house, handovers=handovers, once=once, lengths=lengths))


def _policy() -> Policy:
    from antiscrape.settings import load_policy  # noqa: PLC0415

    policy = load_policy()
    if not policy.identity.trusted_proxies and not policy.identity.trust_unix:
        raise ConfigurationError(
            "identity.trusted_proxies is empty, so nobody may ask for verdicts; name the edge there, "
            'such as "127.0.0.1" (or set identity.trust_unix, where it comes by a unix socket)'
        )
    return policy


def remarks(policy: Policy, upstream: str) -> Iterator[str]:
    """Yield what an operator has to know of this mode."""
    if not upstream:
        yield (
            "without --upstream lesser renditions are placeholders, bytes are not charged, and only "
            "what [[routes]] name are pictures"
        )
    if policy.grants.prefixes and policy.grants.rewrite:
        yield "pages are not rewritten in this mode: the site has to sign its pictures itself (grants)"
    if upstream and policy.trace.originals:
        yield "[trace] originals marks bytes, so every original passes through this process"


def _say_ready(url: str, upstream: str, said: list[str]) -> None:
    behind = f", with the pictures of {upstream}" if upstream else ""
    click.echo(f"antiscrape: ready on {url} for an edge's questions{behind}", err=True)
    for line in filter(None, said):
        click.echo(f"antiscrape: {line}", err=True)
