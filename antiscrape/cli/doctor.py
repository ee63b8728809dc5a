"""``antiscrape doctor``: what is wrong with a running deployment, in words, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from antiscrape import clock
from antiscrape.core.tokens import key_id
from antiscrape.errors import SecretError, StoreError
from antiscrape.operate.doctor.checks import look, status_of
from antiscrape.operate.doctor.edge import Edge
from antiscrape.operate.doctor.findings import Level
from antiscrape.operate.doctor.patient import Patient, Secret, Store, examine
from antiscrape.settings.load import load, load_secrets, secret_file
from antiscrape.settings.secret_file import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from antiscrape.core.rules import Policy
    from antiscrape.operate.doctor.findings import Finding

_WIDTH = 110


@click.command("doctor")
@click.option("--config", envvar="ANTISCRAPE_CONFIG", metavar="FILE", help="The policy that the server was started with.")  # fmt: skip
@click.option("--image", default="", metavar="PATH", help="The picture to compare; by default the first on the page at URL.")  # fmt: skip
@click.option("--ca", metavar="FILE", help="Certificates of an authority of your own, for an https URL.")
@click.option("--timeout", type=click.FloatRange(0.1, 300), default=10.0, show_default=True, metavar="SECONDS", help="For each wait on the edge.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.argument("url", required=False)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    config: str | None,
    image: str,
    ca: str | None,
    timeout: float,
    as_json: bool,
    url: str | None,
) -> None:
    """Look at the deployment behind URL, and say what is wrong with it and what to do.

    Run it with the settings and the secret of the server, best on another machine than the edge: it asks the site
    through every proxy and cache between, as a browser, as a tool, and as the holder of the secret, who is told what
    the server sees. It takes two originals. Without URL it looks at the files on this machine alone.

    \b
        antiscrape doctor https://photos.example/
        antiscrape doctor --config antiscrape.toml --json https://photos.example/

    Exit status: 0 where nothing has to be mended, 1 where something has, 2 where it could not look.
    """  # noqa: D301  click's mark for lines that are not to be joined
    edge = None if url is None else Edge(url, timeout=timeout, ca=ca)
    patient = admit(config, edge, image)
    examine(patient)
    findings = tuple(look(patient))
    status = status_of(patient, findings)
    if as_json:
        click.echo(
            json.dumps(
                {"url": url, "status": status, "findings": [_plain(one) for one in findings]}, indent=2
            )
        )
    else:
        for line in report(findings):
            click.echo(line)
    ctx.exit(status)


def admit(config: str | None, edge: Edge | None, image: str = "") -> Patient:
    """Return a deployment to be examined, with what this machine's files say; raise ``ConfigurationError``."""
    policy = load(config, require_secret=False).policy
    path = secret_file(config, os.environ)
    return Patient(
        policy,
        edge,
        clock.wall,
        secrets=_secrets(config, path),
        secret_file=path,
        config_file=Path(config) if config else None,
        store=_store(policy),
        image=image,
    )


def _secrets(config: str | None, path: Path | None) -> list[Secret]:
    """Return the secrets in use, without what they are; none where there are none."""
    try:
        if path is not None and "ANTISCRAPE_SECRET" not in os.environ:
            return [Secret(key_id(dated.secret), dated.made) for dated in read_file(path)]
        return [Secret(key_id(secret), None) for secret in load_secrets(config)]
    except SecretError:
        return []


def _store(policy: Policy) -> Store | None:
    """Ask the shared store for its time, where the policy names one."""
    address = policy.store.address
    if address is None:
        return None
    from antiscrape.stores.extras import need_client  # noqa: PLC0415  `--help` needs no store

    need_client()
    from antiscrape.stores.connection import tell_time  # noqa: PLC0415  it needs the client

    asked = clock.wall()
    try:
        told = asyncio.run(tell_time(address))
    except StoreError as error:
        return Store(problem=str(error))
    return Store(ahead=min(0.0, told + 1 - asked) + max(0.0, told - clock.wall()))


def _plain(finding: Finding) -> dict[str, str]:
    return {**finding._asdict(), "level": finding.level.value}


_MARKS = {Level.WRONG: "WRONG", Level.DOUBT: "look", Level.UNSEEN: "?", Level.FINE: "ok"}


def report(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the lines that a person reads, and at the end how many of each there are."""
    margin = " " * 23
    for finding in findings:
        lines = textwrap.wrap(
            finding.says, _WIDTH - len(margin), break_long_words=False, break_on_hyphens=False
        )
        yield f"{_MARKS[finding.level]:<7}{finding.check:<15} {lines[0]}"
        yield from (margin + line for line in lines[1:])
        do = textwrap.wrap(
            f"-> {finding.do}",
            _WIDTH - len(margin),
            subsequent_indent="   ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield from (margin + line for line in do if finding.do)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    yield ""
    yield (
        f"{counts[Level.WRONG]} to be mended, {counts[Level.DOUBT]} to look at, {counts[Level.FINE]} as they should be"
        + (f", {counts[Level.UNSEEN]} not seen" if counts[Level.UNSEEN] else "")
    )
