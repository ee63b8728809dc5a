"""``antiscrape refresh``: fetch the lists by which crawlers are verified."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from antiscrape import clock
from antiscrape.errors import ConfigurationError
from antiscrape.lookups.crawlers import load_book, refresh
from antiscrape.lookups.roles import crawlers_folder
from antiscrape.settings.load import load


@click.command()
@click.argument("file", required=False)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder for the lists; by default the one that crawlers.ranges names.",
)
def command(file: str | None, into: Path | None) -> None:
    """Fetch the networks that crawlers' operators publish, by a settings FILE.

    A list that cannot be had, is empty, ten times as long as before or no list leaves its last good
    copy where it is. The exit status is 0 where every list is fresh, and 1 where one is not. The server
    does the same by itself, as often as crawlers.refresh says.
    """
    policy = load(file, require_secret=False).policy
    folder = into or (Path(policy.crawlers.ranges) if policy.crawlers.ranges else None)
    if folder is None:
        raise ConfigurationError(
            "no folder for the lists; set crawlers.ranges in the settings, or give --into FOLDER"
        )
    folder.mkdir(parents=True, exist_ok=True)
    book = load_book(crawlers_folder(), folder, now=clock.monotonic(), wall=clock.wall())
    found = asyncio.run(refresh(book.sources, folder))
    for one in found:
        kept = f"kept as it was: {one.problem}" if one.problem else "fresh"
        click.echo(f"{one.source.file:32} {one.entries:6} networks  {kept}")
    sys.exit(1 if any(one.problem for one in found) else 0)
