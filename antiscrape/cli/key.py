"""``antiscrape key``: a new key for a partner, and the lines of the settings that know it by its hash."""

from __future__ import annotations

import json
import secrets
import sys
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from antiscrape.core.partner import LONGEST_KEY, is_key, new_key
from antiscrape.errors import ConfigurationError
from antiscrape.settings import report
from antiscrape.settings.origins import Origins
from antiscrape.settings.partners import PartnerLine, write_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

#: 256 bits: twice what a key needs, and 43 characters.
_RANDOM = 32
#: Commented out, so that a table without a purpose is refused until somebody writes one.
_ASKED = '# purpose = ""  # what it takes pictures for, in a line; the settings ask for it'


@click.command("key")
@click.argument("name")
@click.option("--purpose", metavar="TEXT", help="What the partner takes pictures for, in a line.")
@click.option("--until", metavar="DAY", help="The last day of the grant, such as 2027-12-31.")
@click.option(
    "--stdin",
    "given",
    is_flag=True,
    help="Make no key; read one that you have from stdin and print its hash.",
)
def command(*, name: str, purpose: str | None, until: str | None, given: bool) -> None:
    """Make a key for the partner NAME; print it once, and the [[partners]] lines with its hash.

    \b
        antiscrape key museum --purpose "catalogue of portraits" --until 2027-12-31

    The key goes to the partner, who sends it as "X-Antiscrape-Key: ask_..." or as "Authorization: Bearer
    ask_...". The lines go into the settings file. Nothing keeps the key, so nothing can print it again. To
    change a key, add the new hash to the partner's keys, and take the old one off when nobody uses it.
    """  # noqa: D301  click's mark for lines that are not to be joined
    key = _read_key() if given else new_key(secrets.token_bytes(_RANDOM))
    line = _checked(name, purpose, until, write_hash(key.encode()))
    if not given:
        click.echo(f"{key}\n")
    for text in _written(line, said=purpose is not None):
        click.echo(text)
    if not given:
        click.echo("antiscrape: the key is shown this once; only its hash goes into the settings", err=True)


def _read_key() -> str:
    text = sys.stdin.buffer.read(LONGEST_KEY + 64).strip()
    if not is_key(text):
        raise ConfigurationError(
            'stdin: no key of antiscrape; expected "ask_" and at least 22 letters and digits'
        )
    return text.decode("ascii")


def _checked(name: str, purpose: str | None, until: str | None, digest: str) -> PartnerLine:
    try:
        return PartnerLine.model_validate(
            {
                "name": name,
                "purpose": "left to be said" if purpose is None else purpose,
                "until": until,
                "keys": [digest],
            }
        )
    except ValidationError as error:
        raise ConfigurationError(*report.problems(error, Origins("the command line", {}))) from None


def _written(line: PartnerLine, *, said: bool) -> Iterator[str]:
    yield "[[partners]]"
    yield f"name = {_quoted(line.name)}"
    yield f"purpose = {_quoted(line.purpose)}" if said else _ASKED
    if line.until is not None:
        yield f"until = {line.until.isoformat()}"
    yield f"keys = [{', '.join(map(_quoted, line.keys))}]"


def _quoted(text: str) -> str:
    # JSON's strings are TOML's (TOML 1.0: the same escapes, but for "\/")
    return json.dumps(text, ensure_ascii=False)
