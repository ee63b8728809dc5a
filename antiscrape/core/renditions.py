"""What lesser renditions look like, and what they say of whose they are: the part of a policy that goes to the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: Where a marked picture carries its mark: aslant all over, or once in the lower right corner.
Layout: TypeAlias = Literal["tiled", "corner"]
#: What becomes of a picture that is not decoded here, for those who do not get originals.
Unread: TypeAlias = Literal["placeholder", "pass"]


@dataclass(frozen=True, slots=True)
class RightsRules:
    """What every rendition says of its rights; empty: nothing of that.

    ``data_mining`` is a term of the PLUS vocabulary, such as ``DMI-PROHIBITED-AIMLTRAINING``.
    """

    data_mining: str = ""
    notice: str = ""
    credit: str = ""
    email: str = ""
    url: str = ""
    terms: str = ""


@dataclass(frozen=True, slots=True)
class RenditionRules:
    """How marked pictures and decoys are made. Paths are absolute, or empty for none."""

    marked_size: int = 1200  # pixels of the long side: fills a laptop's window, prints badly
    mark_layout: Layout = "tiled"
    mark_image: str = ""
    mark_font: str = ""
    keep_size: bool = False  # files have the original's width and height, within ``largest``
    largest: int = 2048
    frames: int = 1  # of an animation, in a marked picture
    decoys: str = ""  # a folder of the operator's pictures
    svg: Unread = "pass"
    other_formats: Unread = "placeholder"
