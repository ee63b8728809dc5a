"""``antiscrape serve``: the reverse proxy in front of a site."""

from __future__ import annotations

import os
from contextlib import ExitStack
from importlib.util import find_spec
from logging.config import dictConfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from antiscrape.app import AntiscrapeMiddleware
    from antiscrape.asgi.types import ASGIApp
    from antiscrape.core.rules import Policy
    from antiscrape.operate.families import Figures
    from antiscrape.serving.reload import Reloader
    from antiscrape.upstream import Upstream

#: A worker is a new process: these are how it learns what the command was told.
UPSTREAM, CONFIG, REWRITE_HOST = "ANTISCRAPE_UPSTREAM", "ANTISCRAPE_CONFIG", "ANTISCRAPE_REWRITE_HOST"
#: The setting ``[record] admin``, as the environment says it.
ADMIN = "ANTISCRAPE__RECORD__ADMIN"
#: The settings ``[serve] tls_certificate`` and ``tls_key``, likewise.
CERTIFICATE, KEY = "ANTISCRAPE__SERVE__TLS_CERTIFICATE", "ANTISCRAPE__SERVE__TLS_KEY"
#: The settings ``[store] url`` and ``namespace``, likewise.
STORE, NAMESPACE = "ANTISCRAPE__STORE__URL", "ANTISCRAPE__STORE__NAMESPACE"

MOST_PORT = 65_535
#: In place of an address: the sockets that systemd listens on for us.
SYSTEMD = "systemd"


@click.command("serve")
@click.option("--upstream", envvar=UPSTREAM, multiple=True, metavar="URL", help="The site: http://host:port, https://host or unix:/path. Given several times, sites that are alike.")  # fmt: skip
@click.option("--config", envvar=CONFIG, metavar="FILE", help="The policy; without it, the defaults.")
@click.option("--listen", envvar="ANTISCRAPE_LISTEN", default="127.0.0.1:8080", show_default=True, metavar="ADDRESS", help="host:port, [host]:port, unix:/path, or systemd for the sockets that it passes.")  # fmt: skip
@click.option("--workers", envvar="ANTISCRAPE_WORKERS", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that serve.")  # fmt: skip
@click.option("--admin", envvar=ADMIN, metavar="ADDRESS", help="Where health and metrics are told, in place of the policy's address.")  # fmt: skip
@click.option("--drain", envvar="ANTISCRAPE_DRAIN", type=click.IntRange(0), default=30, show_default=True, metavar="SECONDS", help="How long running answers may take after SIGTERM.")  # fmt: skip
@click.option("--limit-concurrency", envvar="ANTISCRAPE_LIMIT_CONCURRENCY", type=click.IntRange(1), metavar="N", help="Answer 503 beyond this many connections per worker.")  # fmt: skip
@click.option("--tls-cert", metavar="FILE", help="Speak TLS with this certificate (PEM, with its chain), in place of the policy's.")  # fmt: skip
@click.option("--tls-key", metavar="FILE", help="The certificate's private key, if it stands in a file of its own.")  # fmt: skip
@click.option("--rewrite-host", envvar=REWRITE_HOST, is_flag=True, help="Send the site its own name as Host, not the client's.")  # fmt: skip
@click.pass_context
def command(
    ctx: click.Context,
    *,
    upstream: tuple[str, ...],
    config: str | None,
    listen: str,
    workers: int,
    admin: str | None,
    drain: int,
    limit_concurrency: int | None,
    tls_cert: str | None,
    tls_key: str | None,
    rewrite_host: bool,
) -> None:
    """Stand in front of a site, and serve people originals and harvesters previews.

    The policy and the secrets are read anew when their files change, and at SIGHUP; what is wrong changes nothing.
    SIGUSR1 replaces several workers one by one, each when another serves in its place, so that no request is lost.
    SIGTERM lets running answers finish. Exit status: 0 after a drain, 2 for a setting that is wrong, 3 for a start
    that failed.
    """
    host, port, uds = ("", 0, None) if listen == SYSTEMD else read_listen(listen)
    _tell(
        {
            UPSTREAM: " ".join(upstream) or None,
            CONFIG: config,
            ADMIN: said_admin(admin),
            REWRITE_HOST: "1" if rewrite_host else None,
        }
    )
    # a path of the command line starts here, one of the settings at their file's folder
    paths = {CERTIFICATE: tls_cert, KEY: tls_key}
    os.environ.update({name: str(Path(path).absolute()) for name, path in paths.items() if path})
    _need_extras()
    from antiscrape.serving.logs import LOGGING  # noqa: PLC0415  `antiscrape --help` needs no server
    from antiscrape.serving.runner import run  # noqa: PLC0415  `antiscrape --help` needs no server
    from antiscrape.serving.systemd import inherited_sockets  # noqa: PLC0415

    dictConfig(LOGGING)
    with ExitStack() as stack:
        made = _make(stack, workers)
        status = run(
            made.app,
            host=host,
            port=port,
            uds=uds,
            workers=workers,
            factory=workers > 1,
            limit_concurrency=limit_concurrency,
            timeout_graceful_shutdown=drain,
            rules=made.policy.serve,
            identity=made.policy.identity,
            inherited=inherited_sockets() if listen == SYSTEMD else (),
            ready=lambda url: _say_ready(url, made.sites, made.counting),
        )
    ctx.exit(status)


class _Made(NamedTuple):
    """What is served, and what else the one process or the workers need."""

    app: ASGIApp | str
    policy: Policy
    sites: str
    counting: str = ""  # how the workers count


def _make(stack: ExitStack, workers: int) -> _Made:
    from antiscrape.asgi.neighbours import KNOWN  # noqa: PLC0415
    from antiscrape.serving.admin_server import FOLDER, for_workers  # noqa: PLC0415

    upstream, policy = _parts()  # what is wrong is said here, once, and not by every worker
    sites = ", ".join(upstream.urls)
    if workers == 1:
        os.environ.pop(FOLDER, None)
        site = _site(upstream, policy)
        return _Made(_with_admin(site.pass_on, site), site.policy, sites)
    os.environ.update(stack.enter_context(for_workers(policy.record.admin)))
    counting = _share(stack, policy, workers)
    os.environ[KNOWN] = "1"
    return _Made("antiscrape.cli.serve:application", policy, sites, counting)


def said_admin(option: str | None) -> str | None:
    """Return the admin address that was said; click takes an empty variable for none, and "" says that none is to listen."""
    return os.environ.get(ADMIN) if option is None else option


def _tell(told: Mapping[str, str | None]) -> None:
    for name, value in told.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def _share(stack: ExitStack, policy: Policy, workers: int) -> str:
    """Have the workers count together, in the store that the policy names or in one of their own; say how they do."""
    from antiscrape.stores.extras import has_private, need_client  # noqa: PLC0415
    from antiscrape.stores.private import private_store  # noqa: PLC0415

    address = policy.store.address
    if address is not None:
        need_client()
        return f"{workers} workers count together, in the store {address}"
    alone = f"{workers} workers count each for itself: a client may get up to {workers} times its budgets"
    if not has_private():
        return f"{alone}; install antiscrape[workers], and they count together"
    try:
        os.environ.update({STORE: stack.enter_context(private_store()), NAMESPACE: "private"})
    except ConfigurationError as error:
        return f"{alone}; {error}"
    return f"{workers} workers count together, in a private Valkey that ends with them"


def _say_ready(url: str, sites: str, counting: str) -> None:
    click.echo(f"antiscrape: ready on {url}, in front of {sites}", err=True)
    if counting:
        click.echo(f"antiscrape: {counting}", err=True)


def application() -> ASGIApp:
    """Build the application that one process serves, from the environment; raise ``ConfigurationError``."""
    site = _site(*_parts())
    return _with_admin(site.pass_on, site)


def _site(upstream: Upstream, policy: Policy) -> AntiscrapeMiddleware:
    from antiscrape.app import protect  # noqa: PLC0415  it knows every room, and is needed only here
    from antiscrape.asgi.proxy import ReverseProxy  # noqa: PLC0415
    from antiscrape.upstream.memory import keep_memory  # noqa: PLC0415

    keep_memory()
    site = protect(ReverseProxy(upstream, rewrite_host=os.environ.get(REWRITE_HOST) == "1"), policy)
    site.meter.more.append(lambda: figures_of(upstream))
    return site


def figures_of(upstream: Upstream) -> Figures:
    """Return what metrics tell of the sites behind, and of the connections to them."""
    states = upstream.states()
    connections = {(one.url, "busy"): one.busy for one in states} | {
        (one.url, "idle"): one.idle for one in states
    }
    return {
        "antiscrape_upstream_away": {(one.url,): not one.well for one in states},
        "antiscrape_upstream_connections": {labels: float(count) for labels, count in connections.items()},
    }


def _with_admin(app: ASGIApp, site: AntiscrapeMiddleware) -> ASGIApp:
    """Return what is served, with what tells of ``site`` and has it go by changed files beside it."""
    from antiscrape.serving.admin_server import FOLDER, AdminServer, WithAdmin  # noqa: PLC0415

    folder = os.environ.get(FOLDER)
    admin = AdminServer(site.meter, site.policy.record.admin, folder=Path(folder) if folder else None)
    return WithAdmin(app, admin, reloader=_reloader(site))


def _reloader(site: AntiscrapeMiddleware) -> Reloader:
    """Return what has the site go by its policy as it is now, whenever its file or the secrets' changes."""
    from antiscrape.serving.reload import Reloader  # noqa: PLC0415
    from antiscrape.settings import load_policy  # noqa: PLC0415
    from antiscrape.settings.load import secret_file  # noqa: PLC0415

    files: list[Path] = []

    def locate() -> None:
        named = os.environ.get(CONFIG)
        secrets = secret_file(None, os.environ)
        files[:] = [Path(file) for file in (named, secrets) if file is not None]

    def load() -> Callable[[], Sequence[str]]:
        policy = load_policy()
        locate()
        return site.prepare(policy)

    locate()
    return Reloader(load, files=lambda: files, refuse=site.refuse)


def _parts() -> tuple[Upstream, Policy]:
    from antiscrape.settings import load_policy  # noqa: PLC0415
    from antiscrape.upstream import Upstream  # noqa: PLC0415

    policy = load_policy()
    return Upstream(*os.environ.get(UPSTREAM, "").split(), rules=policy.upstream), policy


def read_listen(text: str) -> tuple[str, int, str | None]:
    """Return host, port and socket path of an address to listen on; raise ``ConfigurationError``."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ConfigurationError(f"--listen: expected unix:/path/of/socket, got {text!r}")
        return "", 0, path
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    good = colon and host and port.isdecimal() and port.isascii() and int(port) <= MOST_PORT
    if not good or (":" in host) is not bracketed:
        raise ConfigurationError(f"--listen: expected host:port, [host]:port or unix:/path, got {text!r}")
    return host, int(port), None


def _need_extras() -> None:
    missing = [
        name
        for name in ("aiohttp", "httptools", "uvicorn", "uvloop", "websockets")
        if find_spec(name) is None
    ]
    if missing:
        raise ConfigurationError(f"{', '.join(missing)} missing; install antiscrape[serve]")
