"""The explanation names the route that the judge went by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from antiscrape.cli import main

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = {
    "ANTISCRAPE_SECRET": "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f",
    "ANTISCRAPE__SITE__IGNORE_CASE": "true",
}


def what(path: str) -> Mapping[str, object]:
    """Return what the explanation says of the resource at ``path``, where case does not count."""
    request = f"GET {quote(path)} HTTP/1.1\nHost: photos.example\nUser-Agent: curl/8.5.0\n"
    done = CliRunner().invoke(main, ["explain", "--json"], input=request, env=ENVIRONMENT)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)["what"]
    assert isinstance(told, dict)
    return told


@pytest.mark.security("B11")
@pytest.mark.parametrize(
    ("path", "kind", "route"),
    [
        ("/ROBOTS.txt", "exempt", "/robots.txt"),
        ("/robot\u017f.txt", "untold", ""),
        ("/media/\u212a.jpg", "image", "/media/**"),
        ("/\u017ftatic/x", "untold", ""),
    ],
)
def test_letters_that_only_unicode_folds_lead_to_no_route(path: str, kind: str, route: str) -> None:
    told = what(path)
    assert (told["kind"], told["route"], told["odd"]) == (kind, route, False)
