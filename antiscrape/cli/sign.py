"""``antiscrape sign``: image URLs with the grant that the site's own pages would give them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from antiscrape.core.grant_tokens import Holder
from antiscrape.core.identity import Identity
from antiscrape.operate.prose import shown
from antiscrape.settings import load_policy
from antiscrape.signing import UnboundError, sign_url

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command("sign")
@click.option(
    "--config", envvar="ANTISCRAPE_CONFIG", metavar="FILE", help="The policy; without it, the defaults."
)
@click.option("--account", default="", metavar="NAME", help="Whom a grant is for that the policy binds.")
@click.option("--address", metavar="IP", help="The same, by address: the network around it.")
@click.option(
    "--lasting", is_flag=True, help="For an e-mail or a card: for everybody, for days, opening less."
)
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    config: str | None,
    account: str,
    address: str | None,
    lasting: bool,
    urls: tuple[str, ...],
) -> None:
    """Print image URLs signed, one a line; "-" reads more of them from stdin, one a line.

    \b
        antiscrape sign --config antiscrape.toml https://photos.example/media/1.jpg
        ls media | sed 's,^,/media/,' | antiscrape sign -

    The secret is the site's: ANTISCRAPE_SECRET, or what the policy names. A URL for which the policy asks
    for no grant is printed as it is, so that lines stay in step, and told on stderr; then, and where a URL
    cannot be signed, the exit status is 1. It is 2 where the policy or the secret is wrong.
    """  # noqa: D301  click's mark for lines that are not to be joined
    policy = load_policy(config)
    network = Identity(policy.identity).find(address).rollup if address else ""
    holder = Holder(network, account)
    status = 0
    for url in _all(urls):
        try:
            signed, problem = (
                sign_url(url, policy, holder=holder, lasting=lasting),
                "the policy asks for no grant there (grants.prefixes, site.hosts)",
            )
        except UnboundError:
            signed, problem = url, "the policy binds grants, so say --account or --address"
        except ValueError:
            signed, problem = url, "it can be read in more than one way, or is no URL"
        click.echo(signed if signed != url else shown(url))
        if signed == url:
            click.echo(f"antiscrape: {shown(url[:200])}: not signed: {problem}", err=True)
            status = 1
    ctx.exit(status)


def _all(urls: tuple[str, ...]) -> Iterator[str]:
    for url in urls:
        if url == "-":
            yield from (_text(line) for line in sys.stdin.buffer if line.strip())
        else:
            yield _text(os.fsencode(url))


def _text(url: bytes) -> str:
    """Return a URL as text; bytes that are no UTF-8 become escapes that nothing is signed with."""
    return url.strip().decode("utf-8", "backslashreplace")
