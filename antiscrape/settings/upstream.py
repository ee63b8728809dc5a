"""The table ``[upstream]``: the site behind ``antiscrape serve``, and how long it may take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from antiscrape.core.forwarding import Patience, UpstreamRules
from antiscrape.settings.names import Listed
from antiscrape.settings.routes import (
    Pattern,  # noqa: TC001  pydantic reads annotations when it runs
)
from antiscrape.settings.table import Remark, Table
from antiscrape.settings.units import Duration, lasting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What names a site in full is read where connections are opened; here only what no site's name can hold.
_URL = re.compile(r"(?:https?://[^\s/?#@]+/?|unix:/[^\x00-\x1f]+)")
_CHECKED = re.compile(r"(?:/[\x21\x22\x24-\x7e]*)?")


def _url(text: str) -> str:
    if _URL.fullmatch(text) is None:
        msg = "is not a site; expected http://host:port, https://host:port or unix:/path, without path or credentials"
        raise ValueError(msg)
    return text


def _check_path(text: str) -> str:
    if _CHECKED.fullmatch(text) is None:
        msg = 'is not a path; expected one such as "/health", in ASCII'
        raise ValueError(msg)
    return text


Url = Annotated[str, Field(max_length=512), AfterValidator(_url)]


class PatienceLine(Table):
    """How long the site may be silent on some of its paths."""

    pattern: Pattern = Field(
        description='A path in which "*" is anything but a slash and "**" anything; the first line that matches tells.'
    )
    read_timeout: Annotated[Duration, lasting("100ms", "1d")] = Field(
        description="How long the site may be silent there."
    )


class Upstream(Table):
    """The site behind antiscrape serve; as middleware, none of this is used."""

    urls: Annotated[tuple[Url, ...], Listed] = Field(
        default=(),
        max_length=64,
        description="Where the site is: http://host:port, https://host or unix:/path. Of several, which have to be alike, "
        "the one with the fewest requests is asked. --upstream, which may be given several times, goes before this.",
    )
    connect_timeout: Annotated[Duration, lasting("10ms", "1min")] = Field(
        default=5.0,
        description="How long a connection may take to open, or to become free; then the client gets a 504.",
    )
    read_timeout: Annotated[Duration, lasting("100ms", "1d")] = Field(
        default=60.0,
        description="How long the site may be silent, before its answer and between its parts (events of a stream among them).",
    )
    send_timeout: Annotated[Duration, lasting("100ms", "1h")] = Field(
        default=60.0, description="How long the site may take in none of a request's body."
    )
    continue_timeout: Annotated[Duration, lasting("0s", "1min")] = Field(
        default=1.0,
        description="How long to wait for the site to ask for a body whose client waits to be asked (Expect: 100-continue).",
    )
    connections: int = Field(
        default=512, ge=1, le=65_536, description="The most connections of one worker to one of the sites."
    )
    keep_alive: Annotated[Duration, lasting("0s", "1h")] = Field(
        default=4.0,
        description="How long an idle connection is kept. Below what the site keeps them for (uvicorn and Node 5 s, nginx "
        "75 s), or requests are sent to connections that are just closing.",
    )
    fail_after: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="Of several sites, one that failed (no connection, no answer in time, nonsense) so often in a row is "
        "left alone for a while. An answer with an error is none of these.",
    )
    eject_least: Annotated[Duration, lasting("100ms", "1h")] = Field(
        default=1.0, description="For how long at first; twice as long after every further failure."
    )
    eject_most: Annotated[Duration, lasting("100ms", "1d")] = Field(
        default=60.0, description="For how long at most."
    )
    check_path: Annotated[str, AfterValidator(_check_path)] = Field(
        default="",
        max_length=512,
        description='Ask every site for this path, such as "/health", and leave it alone while it does not answer 2xx or '
        '3xx. "": only requests tell.',
    )
    check_interval: Annotated[Duration, lasting("100ms", "1h")] = Field(
        default=5.0, description="How often each site is asked for it."
    )
    ca_file: str = Field(
        default="",
        max_length=4096,
        description="The authorities (PEM) that vouch for sites at https://, in place of the system's. A relative path "
        "starts at this file's folder.",
    )
    routes: Annotated[tuple[PatienceLine, ...], Listed] = Field(
        default=(),
        max_length=1000,
        description="Paths on which the site may be silent for longer, or less long, such as exports and streams of "
        'events: {pattern = "/export/**", read_timeout = "10min"}.',
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield a pause that shrinks, and a site that stands there twice."""
        if self.eject_most < self.eject_least:
            yield ("eject_most",), "is less than eject_least"
        for number, url in enumerate(self.urls):
            if url in self.urls[:number]:
                yield ("urls", number), "stands there twice"

    def rules(self, folder: Path) -> UpstreamRules:
        """Return the rules; relative paths start at ``folder``."""
        values = dict(self)
        values["ca_file"] = str(folder / self.ca_file) if self.ca_file else ""
        values["routes"] = tuple(Patience(line.pattern, line.read_timeout) for line in self.routes)
        return UpstreamRules(**values)
