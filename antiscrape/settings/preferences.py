"""The table of what the site says about being crawled."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, Strict

from antiscrape.core.crawler import Purpose
from antiscrape.core.preferences import PreferenceRules, Wish, is_url
from antiscrape.settings.names import Listed
from antiscrape.settings.table import Table


def _url(text: str) -> str:
    if text and not is_url(text):
        msg = 'is not an absolute URL; expected "https://" and ASCII without spaces, quotes or "#"'
        raise ValueError(msg)
    return text


PurposeName = Annotated[Purpose, Strict(strict=False)]
WishName = Annotated[Wish, Strict(strict=False)]
Url = Annotated[str, AfterValidator(_url)]


class Preferences(Table):
    """What the site says about being crawled, to crawlers that ask. The law of some countries counts it."""

    enabled: bool = Field(
        default=False,
        description="Say all of this, and take what robots.txt asks for as evidence against a crawler that does "
        "otherwise. false: nothing is said and no robots.txt is changed.",
    )
    robots: bool = Field(
        default=True,
        description="Serve /robots.txt where the site has none, and extend the site's own where it has one: with the "
        "crawlers of the purposes below, with the paths of traps, with the wishes.",
    )
    disallow: Annotated[tuple[PurposeName, ...], Listed] = Field(
        default=(Purpose.AI_TRAINING,),
        description="The purposes whose crawlers robots.txt asks to stay away: search, preview, archive, feed, "
        "ai-training, ai-assistant, monitoring, federation.",
    )
    train: WishName = Field(default=Wish.NO, description="May models be trained on it: yes, no or unstated.")
    search: WishName = Field(default=Wish.UNSTATED, description="May a search index link to it.")
    answer: WishName = Field(default=Wish.UNSTATED, description="May a model answer a question with it.")
    content_usage: bool = Field(
        default=True,
        description="Say so as Content-Usage, a field and a robots.txt record (draft-ietf-aipref-attach).",
    )
    content_signal: bool = Field(
        default=True, description="Say so as Content-Signal, a robots.txt record (contentsignals.org)."
    )
    tdmrep: bool = Field(
        default=True,
        description="Reserve text and data mining by two fields and /.well-known/tdmrep.json (W3C TDMRep; Directive "
        "(EU) 2019/790, Article 4).",
    )
    tdm_policy: Url = Field(
        default="", description='The URL of the terms on which mining is allowed; "" for none.'
    )
    noai: bool = Field(
        default=True,
        description="Mark images and pages with X-Robots-Tag: noai, noimageai, which dataset tools obey.",
    )
    license: Url = Field(default="", description='The URL of an RSL licence document; "" for none.')

    def rules(self) -> PreferenceRules | None:
        """Return what is said, None for nothing."""
        if not self.enabled:
            return None
        return PreferenceRules(**{name: value for name, value in self if name != "enabled"})
