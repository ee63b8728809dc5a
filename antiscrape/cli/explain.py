"""``antiscrape explain``: why a request gets what it gets."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Literal

import click

from antiscrape import clock
from antiscrape.asgi.head import HeadReader
from antiscrape.asgi.opaque import opening
from antiscrape.core.tokens import KeyRing
from antiscrape.gate import Gate
from antiscrape.lookups.agents import AgentBook
from antiscrape.lookups.networks import NetworkBook
from antiscrape.lookups.roles import open_roles
from antiscrape.operate.explain import Explainer, plain
from antiscrape.operate.moment import Moment
from antiscrape.operate.pasted import MOST_BYTES, PEER, Given, read_requests
from antiscrape.operate.prose import step_lines, story_lines
from antiscrape.parts import lay_trap
from antiscrape.settings.load import load
from antiscrape.signing import grants_of
from antiscrape.stores.memory import memory_store

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy


@click.command("explain")
@click.option(
    "--config", envvar="ANTISCRAPE_CONFIG", metavar="FILE", help="The policy; without it, the defaults."
)
@click.option("--peer", default=PEER, show_default=True, metavar="ADDRESS", help="Who the request comes from, where it does not say.")  # fmt: skip
@click.option("--scheme", type=click.Choice(["https", "http"]), default="https", show_default=True, help="How the site is reached, where the request does not say.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def command(*, config: str | None, peer: str, scheme: Literal["https", "http"], as_json: bool) -> None:
    """Read a request from stdin and say why it gets what it gets.

    The request is a head as browsers' tools and curl -v show it, or a JSON object. It is judged by the
    judge of the live site, as the first of a client that nobody knows.

    \b
        curl -sv -o /dev/null https://photos.example/media/1.jpg 2>&1 | antiscrape explain
        echo '{"target": "/media/1.jpg", "headers": {"Host": "photos.example"}}' | antiscrape explain

    Several JSON objects, one a line, are judged in order: one line each, and the story of the last. Their
    keys are method, target, headers (an object, or pairs in order), peer, scheme, http_version, time
    (seconds; without it, one after the line above) and answer, what the site answered: original,
    thumbnail, page, api, asset or not-found.

    The exit status is 0, whatever the verdict, and 2 where the input or the policy cannot be read.
    """  # noqa: D301  click's mark for lines that are not to be joined
    loaded = load(config, require_secret=False)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    requests = read_requests(sys.stdin.buffer.read(MOST_BYTES + 1), Given(scheme, peer=peer))
    explainer = explainer_of(loaded.policy)
    steps = [explainer.judge(asked) for asked in requests]
    story = explainer.story(requests[-1], steps[-1])
    if as_json:
        told = plain(story)
        if isinstance(told, dict) and len(steps) > 1:
            told["requests"] = [plain(step) for step in steps]
        click.echo(json.dumps(told, indent=2))
        return
    if len(steps) > 1:
        for number, step in enumerate(steps, 1):
            for line in step_lines(number, step):
                click.echo(line)
        click.echo("")
    for line in story_lines(story):
        click.echo(line)


def explainer_of(policy: Policy) -> Explainer:
    """Return an explainer by ``policy``, put together as the live site is."""
    policy, _ = lay_trap(policy, KeyRing(policy.secrets))
    grants = grants_of(policy) if policy.grants.prefixes else None
    moment, agents = Moment(clock.wall()), AgentBook()
    store = memory_store(policy)
    networks = NetworkBook(policy.networks.lists, policy.networks.asn_database) if policy.networks else None
    # no event loop runs here, so DNS is not asked: lists and keys tell, as far as they are on this machine
    roles, _ = open_roles(policy, clock=moment.monotonic, wall=moment.wall, tell=lambda *_: None)
    gate = Gate(
        policy,
        store=store,
        agents=agents,
        grants=grants,
        clock=moment.monotonic,
        wall=moment.wall,
        networks=networks,
        roles=roles,
    )
    reader = HeadReader(policy.hosts, chain=policy.identity.header).read
    read = reader if grants is None else opening(reader, grants)
    return Explainer(gate, read=read, agents=agents, grants=grants, moment=moment)
