"""``antiscrape demo``: a photo site behind antiscrape, a person and three harvesters, and what each took home."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import click

from antiscrape.errors import ConfigurationError


@click.command(name="demo")
@click.option("--once", is_flag=True, help="End after the report instead of serving the site on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of the site on 127.0.0.1; 0: any free one."
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("artifacts/demo/report.html"),
    show_default=True,
    help="Where the report is written.",
)
@click.option("--open-report", is_flag=True, help="Open the report in a browser.")
def command(*, once: bool, port: int, report: Path, open_report: bool) -> None:
    """Show what people and harvesters get from the same photo site.

    Serves a small photo site behind antiscrape on loopback, sends a person and three real harvesters
    (curl, requests, Scrapy), compares what each holds with the site's files, and writes a report. Exits
    with 1 if the person missed an original or a harvester got one. Nothing is downloaded.
    """
    missing = [
        name for name in ("jinja2", "numpy", "uvicorn", "httptools", "uvloop") if find_spec(name) is None
    ]
    if missing:
        raise ConfigurationError(f"the demo needs {', '.join(missing)}; install antiscrape[demo]")
    # Loaded here, so that --help and the message above need none of it.
    from antiscrape.demo.run import Options, run_demo  # noqa: PLC0415
    from antiscrape.demo.terminal import Terminal  # noqa: PLC0415

    try:
        status = run_demo(Options(report=report, once=once, port=port, open_report=open_report), Terminal())
    except KeyboardInterrupt:
        # What a shell expects of a program that was interrupted: 128 + SIGINT.
        status = 130
    sys.exit(status)
