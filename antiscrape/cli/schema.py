"""``antiscrape schema``: the settings' JSON Schema, or the settings file of every default."""

from __future__ import annotations

import click

from antiscrape.settings import document


@click.command()
@click.option(
    "--defaults",
    is_flag=True,
    help="Print the settings file of every default instead, each setting explained.",
)
def command(*, defaults: bool) -> None:
    """Print the JSON Schema of the settings file, with which editors complete and check it.

    Put "#:schema ./antiscrape.schema.json" on the first line of your file.
    """
    click.echo(document.toml() if defaults else document.schema(), nl=False)
