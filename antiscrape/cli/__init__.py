"""The ``antiscrape`` command: one file a subcommand, loaded only when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from antiscrape.errors import AntiscrapeError
from antiscrape.version import __version__

#: Each names a module here whose ``command`` is the subcommand.
COMMANDS = (
    "check",
    "demo",
    "doctor",
    "explain",
    "key",
    "keys",
    "refresh",
    "release",
    "schema",
    "serve",
    "sign",
    "trace",
    "verdict",
    "version",
)


class Commands(click.Group):
    """A group that imports a subcommand's module when it is needed, so that ``--help`` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the base class's signature
        """Name the subcommands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  the base class's signature
        """Load one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"antiscrape.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a subcommand; an error that antiscrape foresaw becomes words on stderr and exit status 2."""
        try:
            return super().invoke(ctx)
        except AntiscrapeError as error:
            for line in str(error).splitlines():
                click.echo(f"antiscrape: {line}", err=True)
            ctx.exit(2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="antiscrape", message="%(prog)s %(version)s")
def main() -> None:
    """Keep a photo site open to people and worthless to harvesters.

    Start with "antiscrape demo", then "antiscrape serve --upstream http://127.0.0.1:8000".
    """
