"""The table of lists that tell whose network an address is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from antiscrape.core.networks import Label, ListRule, NetworkRules
from antiscrape.settings.names import Line, Listed
from antiscrape.settings.table import Table
from antiscrape.settings.units import Duration, lasting

if TYPE_CHECKING:
    from pathlib import Path

File = Annotated[Line, Field(min_length=1, max_length=4096)]
Files = Annotated[tuple[File, ...], Listed, Field(max_length=100)]


class Networks(Table):
    """Lists of networks: who owns the address that asks. A relative path starts at this file's folder."""

    hosting: Files = Field(
        default=(),
        description="Files of networks of data centres, a line each, or CSV, or the JSON that clouds publish. Relays and "
        "company proxies lie there too; see config/networks/README.md.",
    )
    tor: Files = Field(default=(), description="Files of the Tor network's exits.")
    vpn: Files = Field(default=(), description="Files of networks of VPNs and open proxies.")
    deny: Files = Field(
        default=(), description="Your own lists: whoever asks from these networks is taken for a bot."
    )
    allow: Files = Field(
        default=(),
        description="Your own lists: nothing is held against these networks for their address. They earn nothing by "
        "it; private networks may stand here.",
    )
    asn_database: Annotated[Line, Field(max_length=4096)] = Field(
        default="",
        description="A MaxMind DB file of autonomous systems, whose names events then tell. Needs antiscrape[networks].",
    )
    reload: Annotated[Duration, lasting("1min", "31d")] = Field(
        default=3600.0,
        description="How often the files are read again. A file that has gone wrong keeps its last good reading, and "
        "that is recorded.",
    )

    def rules(self, folder: Path) -> NetworkRules:
        """Return the lists with their files' places."""
        lists = [
            ListRule(str(folder / name), label) for label in Label for name in getattr(self, label.value)
        ]
        database = str(folder / self.asn_database) if self.asn_database else ""
        return NetworkRules(tuple(lists), database, self.reload)
