"""``antiscrape version``: what runs here, for a bug report."""

from __future__ import annotations

import importlib.metadata
import json
import platform

import click

from antiscrape.asgi import accelerator
from antiscrape.version import __version__

#: The distributions that a request passes through.
_PARTS = (
    "starlette",
    "uvicorn",
    "httptools",
    "uvloop",
    "aiohttp",
    "itsdangerous",
    "google-re2",
    "prometheus-client",
)
#: What Pillow decodes with, by its names for them.
_CODECS = {"libjpeg": "jpg", "libjpeg-turbo": "libjpeg_turbo", "libwebp": "webp", "zlib": "zlib"}


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def command(*, as_json: bool) -> None:
    """Print the versions of antiscrape, of Python, and of the parts that matter, one a line.

    \b
        antiscrape version
        antiscrape version --json
    """  # noqa: D301  click's mark for lines that are not to be joined
    found = versions()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    width = max(map(len, found))
    for name, version in found.items():
        click.echo(f"{name:<{width}}  {version or 'not there'}")


def versions() -> dict[str, str | None]:
    """Return versions by name, None for what is not installed."""
    found: dict[str, str | None] = {
        "antiscrape": __version__,
        "accelerator": accelerator.STATE,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.machine()}",
    }
    for name in (*_PARTS, "pillow"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found | _codecs()


def _codecs() -> dict[str, str | None]:
    """Ask Pillow, which may have been built with others than those of the system."""
    try:
        from PIL import features  # noqa: PLC0415  a broken Pillow is what somebody may be looking for
    except ImportError:
        return dict.fromkeys(_CODECS)
    return {name: features.version(feature) for name, feature in _CODECS.items()}
