"""The tables of what lesser renditions look like, and of what they say about their rights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from antiscrape.core.preferences import Wish
from antiscrape.core.renditions import Layout, RenditionRules, RightsRules, Unread
from antiscrape.settings.names import Line
from antiscrape.settings.preferences import Url  # noqa: TC001  pydantic reads annotations when it runs
from antiscrape.settings.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from antiscrape.settings.preferences import Preferences
    from antiscrape.settings.table import Remark

File = Annotated[Line, Field(max_length=4096)]
#: The terms of the PLUS vocabulary that need no second statement beside them, by the words of the setting.
TERMS = {
    "unstated": "",
    "allowed": "DMI-ALLOWED",
    "no-training": "DMI-PROHIBITED-AIMLTRAINING",
    "no-generative-training": "DMI-PROHIBITED-GENAIMLTRAINING",
    "only-search": "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING",
    "prohibited": "DMI-PROHIBITED",
}


class Renditions(Table):
    """What marked pictures, decoys and previews look like. A relative path starts at this file's folder."""

    marked_size: int = Field(
        default=1200,
        ge=64,
        le=4096,
        description="Pixels of a marked picture's long side at most. Verified crawlers and link cards get these.",
    )
    mark_layout: Layout = Field(
        default="tiled",
        description="tiled: the mark stands aslant all over a marked picture, so that no part of it can be cut out "
        "without. corner: once, in the lower right. The words are images.mark.",
    )
    mark_image: File = Field(
        default="",
        description="A picture (PNG, WebP, AVIF, JPEG, GIF) to mark with in place of the words; transparent parts stay "
        'so. Previews carry it, too. "" for none.',
    )
    mark_font: File = Field(
        default="",
        description="A font (TTF, OTF, TTC) for the words. The built-in one has Latin letters only. Empty: that one.",
    )
    keep_size: bool = Field(
        default=False,
        description="Give renditions the original's width and height, for layouts that take a picture's size from its "
        "file. It takes bytes and time and shows no more.",
    )
    largest: int = Field(
        default=2048, ge=64, le=8192, description="Pixels of the long side of such a file at most."
    )
    frames: int = Field(
        default=1,
        ge=1,
        le=60,
        description="How many frames of an animation a marked picture keeps. 1: it stands still, as every preview does.",
    )
    decoys: File = Field(
        default="",
        description="A folder of pictures to serve where a decoy is due, each URL always the same one. Of these the first "
        "24 by name are taken; show nobody in them. Empty: patterns of soft colours, which cost a tenth of a picture.",
    )
    svg: Unread = Field(
        default="pass",
        description="SVG is a program and nothing here draws it. pass: everybody gets it, for sites have their icons in "
        "it. placeholder: who does not get originals does not get these.",
    )
    other_formats: Unread = Field(
        default="placeholder",
        description="The same for pictures in formats that are not decoded here: BMP, TIFF, JPEG XL, HEIC, JPEG 2000. "
        "pass gives harvesters originals, wherever a site stores faces in one of these.",
    )

    def rules(self, folder: Path) -> RenditionRules:
        """Return what goes to the workers, with absolute paths."""
        values: dict[str, Any] = dict(self)
        for name in ("mark_image", "mark_font", "decoys"):
            values[name] = str((folder / values[name]).absolute()) if values[name] else ""
        return RenditionRules(**values)

    def contradictions(self) -> Iterator[Remark]:
        """Yield a bound on the kept size that lies below the size itself."""
        if self.keep_size and self.largest < self.marked_size:
            yield ("largest",), f"is less than marked_size, which is {self.marked_size}"

    def doubts(self) -> Iterator[Remark]:
        """Yield a way for originals to harvesters."""
        if self.other_formats == "pass":
            words = "gives harvesters every TIFF, BMP, HEIC and JPEG XL as the site has it"
            yield ("other_formats",), words


class Rights(Table):
    """What every rendition says of its rights, as XMP and IPTC within the file. Empty: nothing of that."""

    data_mining: Literal[
        "preferences",
        "unstated",
        "allowed",
        "no-training",
        "no-generative-training",
        "only-search",
        "prohibited",
    ] = Field(
        default="preferences",
        description="What may be mined from the picture (plus:DataMining, IPTC Photo Metadata 2023.1). preferences: what "
        "[preferences] says, if it is enabled: train no is no-training, with search and answer no, too, prohibited.",
    )
    notice: Annotated[Line, Field(max_length=500)] = Field(
        default="", description='Who holds the rights (dc:rights, IPTC 2:116), such as "© Photos e.V.".'
    )
    credit: Annotated[Line, Field(max_length=200)] = Field(
        default="", description="Who is to be named (photoshop:Credit, IPTC 2:110)."
    )
    email: Annotated[Line, Field(max_length=200)] = Field(
        default="", description="Where to ask (Iptc4xmpCore:CreatorContactInfo, IPTC 2:118)."
    )
    url: Url = Field(
        default="", max_length=1000, description="The page of the terms (xmpRights:WebStatement)."
    )
    terms: Annotated[Line, Field(max_length=2000)] = Field(
        default="", description="The terms in words (xmpRights:UsageTerms)."
    )

    def rules(self, preferences: Preferences) -> RightsRules:
        """Return what is written into files; ``preferences`` are asked where this table leaves it to them."""
        values = dict(self)
        told = values.pop("data_mining")
        term = _preferred(preferences) if told == "preferences" else TERMS[told]
        return RightsRules(data_mining=term, **values)


def _preferred(preferences: Preferences) -> str:
    """Return the term that says what ``preferences`` say, so that a file and its site cannot disagree."""
    wishes = (preferences.train, preferences.search, preferences.answer)
    if not preferences.enabled:
        return ""
    if all(wish is Wish.NO for wish in wishes):
        return TERMS["prohibited"]
    if preferences.train is Wish.NO:
        return TERMS["no-training"]
    return TERMS["allowed"] if all(wish is Wish.YES for wish in wishes) else ""
