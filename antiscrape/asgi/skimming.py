"""Skims HTML: passes what needs no reading, and finds the attribute in which a place stands.

Most of a page is text, tags and comments in which there is nothing to sign. From a text on they are passed whole, as
many as there are (``skim``), and of a start tag in which there is something, its element and the attribute are told
(``whole_tag``, ``value_at``). Each of these may give up on what is not plain, and tell less: whoever asks reads on,
state by state, and comes to the same (``MarkupSigner``).

Here they are patterns, which read 100 MB a second; the accelerator (``native/skim.h``) reads a GB. Every pattern is
possessive, so no byte is read more than a fixed number of times (SECURITY D6).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from antiscrape.asgi import accelerator
from antiscrape.asgi.quoted import LONGEST

if TYPE_CHECKING:
    from collections.abc import Callable

# HTML 13.2.5, the tokenizer, as far as it tells tags from what is not. `_S` is its white space.
# Repeated groups are atomic, "(?>(?:x)*)", and not possessive, "(?:x)*+", which means the same: Python 3.11.2
# loses its place where the last round of a possessive group fails (observed; 3.11.7 does not).
S: Final = rb"[ \t\n\f\r]"
NAME: Final = rb"[^ \t\n\f\r/>][^ \t\n\f\r/>=]*+"
#: What follows a tag's name, to its end.
ATTRIBUTES: Final = (
    rb"(?>(?:[ \t\n\f\r/]++|" + NAME + rb"(?:" + S + rb"*+=" + S
    + rb"*+(?:\"[^\"]*+\"|'[^']*+'|[^ \t\n\f\r\"'>][^ \t\n\f\r>]*+|(?=>))|(?!" + S + rb"*+=)))*)>"
)  # fmt: skip
# The elements whose content has no tags, and what ends them.
_OPAQUE = rb"(?:script|style|textarea|title|xmp|iframe|noembed|noframes|plaintext)"
OPAQUE: Final = frozenset(_OPAQUE[3:-1].split(b"|"))
# The rest of a usual tag, whose values are all in double quotes, read from one "=" to the next: half the time that it
# takes attribute by attribute. An "=" that follows a blank or a quote begins a name (13.2.5.32), and one in the element's
# name is part of that (13.2.5.8): neither is passed here.
_USUAL = rb"[^ \t\n\f\r/>\"'=]*+(?![\"'=])[^>\"'=]*+(?>(?:(?<![ \t\n\f\r/\"'])=\"[^\"]*+\"[^>\"'=]*+)*)>"
# What begins the name of an element whose content may have tags, and of no "</body".
_OPEN = rb"(?:[a-hj-moqru-wyz]|p(?!laintext)|i(?!frame)|s(?!cript|tyle)|t(?!extarea|itle)|n(?!oembed|oframes)|x(?!mp))"
_COMMON = rb"(?:" + _OPEN + rb"|/[ac-zAC-Z])"
# Whole constructs in which nothing is to be done, as many as there are.
_PASSED = re.compile(
    rb"(?>[^<]*+(?:<(?:" + _COMMON + _USUAL
    + rb"|(?:(?!(?i:" + _OPAQUE + rb")[ \t\n\f\r/>])|/(?!(?i:body)[ \t\n\f\r/>]))[a-zA-Z][^ \t\n\f\r/>]*+" + ATTRIBUTES
    + rb"|(?=[^a-zA-Z/!?])|(?P<o>(?i:" + _OPAQUE + rb"))(?=[ \t\n\f\r/>])" + ATTRIBUTES
    + rb"(?<!/>)[^<]*+(?>(?:<(?!/(?i:(?P=o))[ \t\n\f\r/>])[^<]*+)*)</(?i:(?P=o))" + ATTRIBUTES
    + rb"|!--(?:-?>|.*?--!?>)|(?:!(?!--)|\?|/(?=[^a-zA-Z>]))[^>]*+>|/>)[^<]*+)*)",
    re.DOTALL,
)  # fmt: skip
# A start tag as most are written: what of it stands between quotes is told by the quotes alone.
_PLAIN = re.compile(
    rb"<(" + _OPEN + rb"[a-z0-9]*+)(?>(?:[ \n]++[a-z:-]++(?:=\"[^\"]*+\"|(?=[ \n>])))*)[ \n]*+/?>"
)


class Skimmer(NamedTuple):
    """What reads what is plain. Of the body it is given all that there is, and places in that."""

    #: From ``at``, in a text, on: how far nothing is to be done, of what is whole before ``place``; ``</body`` stops it.
    skim: Callable[[bytes, int, int], int]
    #: Of the start tag at ``at``: its element, in lower case, and where the name and the tag end. None where it is not
    #: whole, or not plain, or its element's content has no tags.
    whole_tag: Callable[[bytes, int], tuple[bytes, int, int] | None]
    #: Of the attribute in whose value ``place`` stands, and which comes, in such a tag, after ``at``, the end of the name or of
    #: an attribute: the name, in lower case, and where the value begins, and ends, and the attribute does.
    value_at: Callable[[bytes, int, int], tuple[bytes, int, int, int] | None]


def _skim(data: bytes, at: int, place: int) -> int:
    passed = _PASSED.match(data, at, place)
    return passed.end() if passed else at


def _whole_tag(data: bytes, at: int) -> tuple[bytes, int, int] | None:
    tag = _PLAIN.match(data, at, at + LONGEST)
    return (tag[1], tag.end(1), tag.end()) if tag else None


def _value_at(data: bytes, at: int, place: int) -> tuple[bytes, int, int, int] | None:
    equals = data.rfind(b'="', at, place)
    # Where everything is protected, the slash of "/>" is a place too.
    if equals < 0 or data.find(b'"', equals + 2, place) >= 0:
        return None
    stop = data.index(b'"', place)
    return data[at:equals].split()[-1], equals + 2, stop, stop + 1


#: By patterns alone.
PATTERNS: Final = Skimmer(_skim, _whole_tag, _value_at)


def skimmer_of(module: Any) -> Skimmer:
    """Return what skims by an accelerator, or by patterns where that is None."""
    return PATTERNS if module is None else Skimmer(module.skim, module.whole_tag, module.value_at)


#: The quickest that is here.
SKIMMER: Final = skimmer_of(accelerator.module)
