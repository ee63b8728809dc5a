r"""Signs the image URLs in HTML, JSON, CSS and XML bodies as they stream by, and touches no other byte.

What is signed grows by a query parameter at its end; its own spelling (entities, ``\/``, quotes) is kept.

Most of a site's bytes hold no protected URL, so every body is first searched for the bytes that each of
its protected URLs contains, at the speed of ``bytes.find``: some GB/s. Where they do not occur, the bytes
are sent at once, less the few that the next chunk may complete. Only where they do occur does a scan tell
whether they stand in an attribute, in a JSON string, or in text; for HTML it reads what has passed until
then after all. A page into which something is to be put is read whole: where it ends, its markup alone tells.
That is why no parser is used here: lxml and lexbor build trees and write them anew, in other
bytes (SECURITY J2), and read 100 kB in a millisecond whether there is anything to sign or not; lol-html,
which keeps bytes, has no package for Python.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from antiscrape.asgi.ahead import Ahead
from antiscrape.asgi.feeds import FeedSigner
from antiscrape.asgi.markup import MarkupSigner
from antiscrape.asgi.quoted import CssSigner, JsonSigner
from antiscrape.asgi.skimming import SKIMMER
from antiscrape.asgi.spelling import Urls

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.skimming import Skimmer

__all__ = ("CssSigner", "HtmlSigner", "JsonSigner", "TextKind", "XmlSigner", "media_kind")

TextKind = Literal["html", "json", "css", "xml"]

_JSON_TYPE = re.compile(rb"(?:application|text)/(?:[a-z0-9.+-]+\+)?json\Z")
_XML_TYPE = re.compile(rb"(?:application|text)/(?:[a-z0-9.+-]+\+)?xml\Z")
_HTML_TYPES: Final = frozenset({b"text/html", b"application/xhtml+xml"})
# In these every byte below 0x80 means ASCII, wherever it stands. UTF-16, ISO-2022 and Shift_JIS are not such.
_ASCII_CHARSET = re.compile(
    rb"utf-?8|us-ascii|ascii|latin1|iso-?8859-\d{1,2}(?:-[ie])?|windows-125[0-8]|cp125[0-8]"
)
_CHARSET = re.compile(rb";\s*charset\s*=\s*\"?([^\s;\"]*)")


def media_kind(content_type: bytes) -> TextKind | None:
    """Tell whether a body of this Content-Type is signed, and as what.

    None for every other type and for a charset in which a byte below 0x80 may not mean ASCII.
    """
    value = content_type.lower()
    essence = value.partition(b";")[0].strip()
    kind: TextKind | None = None
    if essence in _HTML_TYPES:
        kind = "html"
    elif _JSON_TYPE.match(essence):
        kind = "json"
    elif essence == b"text/css":
        kind = "css"
    elif _XML_TYPE.match(essence):
        kind = "xml"
    charsets = _CHARSET.findall(value)
    return kind if all(_ASCII_CHARSET.fullmatch(charset) for charset in charsets) else None


class HtmlSigner(Ahead):
    """Signs an HTML body as ``MarkupSigner`` does, and puts ``insert`` before ``</body>``, or where it ends, once.

    ``within`` is the most bytes that a body may have at whose end it is put, 0 for none. ``card`` signs the pictures of cards (``og:image``), as ``sign`` does where it is not given. ``skimmer`` reads what is plain. A document that starts with the byte order mark of UTF-16
    stays as it is. The other arguments are those of ``JsonSigner``.
    """

    def __init__(
        self,
        sign: Callable[[str], str],
        prefixes: tuple[str, ...],
        host: str,
        *,
        insert: bytes = b"",
        within: int = 0,
        ignore_case: bool = False,
        card: Callable[[str], str] | None = None,
        skimmer: Skimmer = SKIMMER,
    ) -> None:
        urls = Urls(sign, prefixes, host, fold=ignore_case)
        cards = None if card is None else Urls(card, prefixes, host, fold=ignore_case)
        scan = MarkupSigner(urls, insert, within=within, cards=cards, skimmer=skimmer)
        super().__init__(urls, scan, ends=within > 0)


class XmlSigner(Ahead):
    """Signs a feed or a sitemap as ``FeedSigner`` does. The arguments are those of ``JsonSigner``."""

    def __init__(
        self, sign: Callable[[str], str], prefixes: tuple[str, ...], host: str, *, ignore_case: bool = False
    ) -> None:
        urls = Urls(sign, prefixes, host, fold=ignore_case)
        super().__init__(urls, FeedSigner(urls))
