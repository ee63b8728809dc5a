"""``antiscrape keys``: make the site's secret, rotate it, and see how old it is; no secret is ever shown again."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from antiscrape import clock
from antiscrape.core.tokens import KeyRing, key_id
from antiscrape.errors import SecretError
from antiscrape.settings.secret_file import Dated, read_file, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.rules import GrantRules

#: 256 bits, in 43 characters.
_RANDOM = 32
_DAY = 86_400.0
_CONFIG = click.option(
    "--config",
    envvar="ANTISCRAPE_CONFIG",
    metavar="FILE",
    help="The policy, which names the file in site.secret_file.",
)


@click.group("keys")
def command() -> None:
    """Make, rotate and list the secrets from which all keys of the site are derived.

    They stand in a file, oldest to newest: the newest signs, all verify. ANTISCRAPE_SECRET_FILE or site.secret_file
    names it. ("antiscrape key" is another thing: a key for a partner.)
    """


@command.command("new")
@click.argument("file", type=click.Path(path_type=Path))
def new(*, file: Path) -> None:
    """Make a secret, and FILE with it, which nobody else may read."""
    write_file(file, [_made()], new=True)
    click.echo(f"made {file}; name it in ANTISCRAPE_SECRET_FILE, or in site.secret_file")


@command.command("rotate")
@_CONFIG
@click.option(
    "--announce", is_flag=True, help="Add a secret that verifies, and signs only after the next rotation."
)
@click.option("--dry-run", is_flag=True, help="Change nothing, and say what would be.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
def rotate(*, config: str | None, file: Path | None, announce: bool, dry_run: bool) -> None:
    """Let a new secret sign, and take off those that have signed nothing that still holds.

    What a secret signed holds, by the policy, for two windows of the longest-lived grants from the moment when the
    next one took its place; a secret whose successor has no date is kept. "antiscrape serve" takes
    it up by itself; in your own server, call reload_keys().

    Where several workers or machines reload one after the other, announce it first, and reload:

    \b
        antiscrape keys rotate --announce FILE     all know the secret, none signs with it
        antiscrape keys rotate FILE                it signs, and all know it already
    """  # noqa: D301  click's mark for lines that are not to be joined
    path = _file(config, file)
    found, now = read_file(path), clock.wall()
    gone = set(_spent(found, _longest(config), now))
    kept = [dated for place, dated in enumerate(found) if place not in gone]
    following = _next(kept)
    if announce and following is not None:
        raise SecretError("one is announced already; rotate without --announce lets it sign")
    if announce:
        kept.insert(-1, _made()._replace(announced=True))
    elif following is None:
        kept.append(_made())
    else:  # what it replaces signs until now
        kept = [dated for dated in kept if dated is not following] + [
            following._replace(made=now, announced=False)
        ]
    if not dry_run:
        write_file(path, kept)
    for place in sorted(gone):
        click.echo(f"off    {key_id(found[place].secret)}  nothing that it signed still holds")
    _list(kept, now)


@command.command("show")
@_CONFIG
@click.argument("file", type=click.Path(path_type=Path), required=False)
def show(*, config: str | None, file: Path | None) -> None:
    """List the ids and ages of the secrets, and what each does."""
    _list(read_file(_file(config, file)), clock.wall())


def _made() -> Dated:
    return Dated(secrets.token_urlsafe(_RANDOM).encode(), clock.wall())


def _file(config: str | None, file: Path | None) -> Path:
    """Return the file of secrets: the one that is named here, in the environment, or in the policy."""
    from antiscrape.settings.load import secret_file  # noqa: PLC0415  `--help` needs no policy

    path = file or secret_file(config, os.environ)
    if path is None:
        raise SecretError(
            "no file of secrets is named: not here, in ANTISCRAPE_SECRET_FILE, or in site.secret_file"
        )
    return path


def _longest(config: str | None) -> float:
    """Return how many seconds the longest-lived grants of the policy hold."""
    from antiscrape.settings import load_policy  # noqa: PLC0415  as above

    rules: GrantRules = load_policy(config, require_secret=False).grants
    outside = rules.outside if rules.cards is not None or rules.feeds is not None else 0
    return 2.0 * max(rules.window, outside)


def _spent(found: list[Dated], longest: float, now: float) -> Iterator[int]:
    """Yield the places of the secrets that were superseded longer ago than ``longest``; never the last."""
    announced = _next(found)
    for place in range(len(found) - 1):
        superseded = found[place + 1].made if found[place + 1] is not announced else None
        if found[place] is not announced and superseded is not None and superseded + longest < now:
            yield place


def _next(found: list[Dated]) -> Dated | None:
    """Return the secret that is announced, if one is."""
    return next((dated for dated in found[:-1] if dated.announced), None)


def _list(found: list[Dated], now: float) -> None:
    KeyRing([dated.secret for dated in found])
    following = _next(found)
    for dated in found:
        does = "signs" if dated is found[-1] else "next " if dated is following else "holds"
        click.echo(f"{does}  {key_id(dated.secret)}  {_age(dated.made, now)}")


def _age(made: float | None, now: float) -> str:
    if made is None:
        return "of an age that nobody wrote down"
    days = max(0.0, now - made) / _DAY
    return f"{days:.0f} days old" if days >= 1 else f"{days * 24:.0f} hours old"
