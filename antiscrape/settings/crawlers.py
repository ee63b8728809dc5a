"""The tables of verified crawlers: how they are verified, and what each purpose may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, Strict

from antiscrape.core.crawler import Purpose
from antiscrape.core.rules import BotRule, SignatureRules
from antiscrape.core.verdict import Rendition
from antiscrape.settings.names import Line, Listed
from antiscrape.settings.preferences import PurposeName, Url  # noqa: TC001  pydantic reads annotations when it runs
from antiscrape.settings.standings import Originals, Requests, StandingTable, Within
from antiscrape.settings.table import Remark, Table, refuse
from antiscrape.settings.units import Duration, lasting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Crawlers(Table):
    """How crawlers that say who they are, are verified. A name alone proves nothing."""

    verify: bool = Field(
        default=True,
        description="Verify them: by the lists of networks that their operators publish, and by asking DNS for the "
        "address's name and back, off the request path. Who is proven is a crawler, who is disproven an impostor, and "
        "who is neither is judged by what it looks like. Needs antiscrape[verify] for DNS.",
    )
    ranges: Annotated[Line, Field(max_length=4096)] = Field(
        default="",
        description='The folder that keeps the lists which "antiscrape refresh" and the server fetch; a relative path '
        'starts at this file\'s folder. "": none are fetched, and DNS alone verifies.',
    )
    refresh: Annotated[Duration, lasting("1h", "30d")] = Field(
        default=86_400.0,
        description="How often the lists are fetched anew. One that is empty, ten times as long as before, or no list is "
        "refused, and the last good one stays.",
    )


class PurposeTable(StandingTable):
    """What the verified crawlers of one purpose may have."""

    requests: Requests = "300/min"


class _Search(PurposeTable):
    """They build an index that people search; a marked image tells where it comes from."""

    rendition: Within = Rendition.MARKED


class _Preview(PurposeTable):
    """They draw the card of a link in a chat or on a social site."""

    requests: Requests = "120/min"
    rendition: Within = Rendition.MARKED


class _Archive(PurposeTable):
    """They keep pages for later generations."""

    requests: Requests = "60/min"
    originals: Originals = "0"
    rendition: Within = Rendition.PREVIEW


class _Feed(PurposeTable):
    """They fetch feeds for their readers."""

    requests: Requests = "60/min"
    rendition: Within = Rendition.MARKED


class _AiTraining(PurposeTable):
    """They gather what models are trained on: the people in the pictures were not asked."""

    requests: Requests = "60/min"
    originals: Originals = "0"
    rendition: Within = Rendition.PREVIEW


class _AiAssistant(PurposeTable):
    """They fetch a page because somebody has just asked about it."""

    requests: Requests = "60/min"
    originals: Originals = "0"
    rendition: Within = Rendition.PREVIEW


class _Monitoring(PurposeTable):
    """They look whether the site is up."""

    requests: Requests = "60/min"
    originals: Originals = "0"
    rendition: Within = Rendition.PREVIEW


class _Federation(PurposeTable):
    """Servers of the Fediverse, which fetch for their members."""

    rendition: Within = Rendition.MARKED


class Purposes(Table):
    """What verified crawlers may have, by what they do with it: budgets as in [standing]."""

    search: _Search = _Search.usual()
    preview: _Preview = _Preview.usual()
    archive: _Archive = _Archive.usual()
    feed: _Feed = _Feed.usual()
    ai_training: _AiTraining = _AiTraining.usual()
    ai_assistant: _AiAssistant = _AiAssistant.usual()
    monitoring: _Monitoring = _Monitoring.usual()
    federation: _Federation = _Federation.usual()

    def rows(self) -> Iterator[tuple[Purpose, StandingTable]]:
        """Yield each purpose's table."""
        for purpose in Purpose:
            yield purpose, getattr(self, purpose.value.replace("-", "_"))


class Signatures(Table):
    """Web Bot Auth: requests that bots sign (RFC 9421). Which bots, stands in [[bots]]. Needs antiscrape[verify]."""

    window: Annotated[Duration, lasting("1min", "1d")] = Field(
        default=86_400.0, description="The longest time between a signature's creation and its end."
    )
    skew: Annotated[Duration, lasting("0s", "10min")] = Field(
        default=60.0, description="How far a bot's clock may be off."
    )
    paths: bool = Field(
        default=False,
        description="Refuse a signature that covers no path: it is good for every picture, and for whoever has seen it.",
    )
    directory_proof: bool = Field(
        default=False, description="Take only those keys of a directory that have signed its answer."
    )

    def rules(self) -> SignatureRules:
        """Return what a signature must be like."""
        return SignatureRules(round(self.window), round(self.skew), self.paths, self.directory_proof)


class BotLine(Table):
    """One bot that signs its requests."""

    name: Line = Field(min_length=1, max_length=64, description="What events and reports call it.")
    purpose: Annotated[PurposeName | None, Strict(strict=False)] = Field(
        default=None,
        description="What it does with what it takes, as in [crawler]; left out for a bot that a partner names.",
    )
    agent: Url = Field(
        default="", description="The origin of its key directory (its Signature-Agent), fetched over https."
    )
    keys: Annotated[Line, Field(max_length=4096)] = Field(
        default="", description="A file of its public keys (JWK or JWKS), from this file's folder."
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield a bot without keys."""
        if not self.agent and not self.keys:
            yield ("name",), "has neither agent nor keys, so nothing it signs can be checked"

    def rule(self, folder: Path) -> BotRule:
        """Return the bot with its file's place."""
        return BotRule(self.name, self.purpose, self.agent, str(folder / self.keys) if self.keys else "")


def _distinct(lines: tuple[BotLine, ...]) -> tuple[BotLine, ...]:
    names = [line.name for line in lines]
    refuse(
        ((number, "name"), f'"{name}" stands in a line before')
        for number, name in enumerate(names)
        if name in names[:number]
    )
    return lines


#: The bots that sign: a list in the file.
BotLines = Annotated[tuple[BotLine, ...], Listed, AfterValidator(_distinct)]
