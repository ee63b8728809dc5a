"""Signs URLs in text where a quotation mark tells by itself that a URL may start: JSON, and CSS's ``url()``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from antiscrape.asgi.spelling import JSON, PLAIN, Codec, Occurrences, Urls

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes of one attribute or string that are held back. Servers refuse URLs of more than 8 kB; twice
#: that leaves room for a srcset of a dozen, and for one written in entities.
LONGEST: Final = 16_384

_STRING = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*)"', re.DOTALL)
_CSS_URL = re.compile(
    rb"url\([ \t\r\n\f]*+(?:\"([^\"\\\r\n]++)\"|'([^'\\\r\n]++)'|([^\"'()\\\s]++))[ \t\r\n\f]*+\)"
)
# A width or density descriptor ends a candidate of a srcset (HTML 4.8.4.2.1).
_DESCRIBED = re.compile(rb" [0-9.]{1,10}[wx](?:,|$)")
# Between a name and its colon stands at most a space or two; what is further off is not looked for.
_MOST_SPACE: Final = 64
_SPACE = re.compile(rb"[ \t\r\n]{0,%d}" % _MOST_SPACE)


class Strings:
    """Signs the quoted URLs of a body in which a quote tells by itself where a URL starts."""

    opening: bytes
    token: re.Pattern[bytes]
    codec: Codec
    keys: bool  # a token before a colon is a name, not a value

    def __init__(self, urls: Urls) -> None:
        self._urls = urls
        self._held = b""
        self._before = b""  # the byte before what is held

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Return what of the body is settled; all of it with the ``last`` chunk."""
        data = self._held + chunk
        places = Occurrences(self._urls, data)
        out: list[bytes] = []
        done, stop = 0, len(data)
        place = places.after(0)
        while place < len(data):
            start = data.rfind(self.opening, max(done, place - self._urls.reach), place)
            place += 1
            if start >= 0 and (data[start - 1 : start] if start else self._before) != b"\\":
                token = self.token.match(data, start, start + LONGEST)
                settled = self._settled(data, token) if token else len(data) - start >= LONGEST
                if not settled and not last:
                    stop = start
                    break
                if token:
                    place = token.end()
                    if not (self.keys and self._names(data, place)):
                        span = token.span(token.lastindex or 0)
                        out += data[done : span[0]], self._signed(data[slice(*span)])
                        done = span[1]
            place = places.after(place)
        else:
            if not last:
                # a URL that the next chunk completes belongs to a string opened at most this far back
                held = data.rfind(self.opening, max(done, stop - 2 * self._urls.reach))
                stop = max(done, held if held >= 0 else stop - len(self.opening) + 1)
        out.append(data[done:stop])
        self._before = data[stop - 1 : stop] if stop else self._before
        self._held = b"" if last else data[stop:]
        return b"".join(out)

    @property
    def pending(self) -> bytes:
        """What was read and is not settled."""
        return self._held

    def _signed(self, raw: bytes) -> bytes:
        """Sign a token: one URL, or the candidates of a srcset, as APIs hand them to scripts."""
        if _DESCRIBED.search(raw):
            return self._urls.sign_candidates(raw, self.codec)
        return self._urls.sign(raw, self.codec)

    def _settled(self, data: bytes, token: re.Match[bytes]) -> bool:
        """Tell whether it can be seen that ``token`` is a name or a value."""
        end = _after_space(data, token.end())
        return not self.keys or end < len(data) or end - token.end() == _MOST_SPACE

    @staticmethod
    def _names(data: bytes, end: int) -> bool:
        return data.startswith(b":", _after_space(data, end))


def _after_space(data: bytes, at: int) -> int:
    space = _SPACE.match(data, at)
    return space.end() if space else at


class JsonStrings(Strings):
    """Signs the string values of JSON, and leaves the names alone."""

    opening, token, codec, keys = b'"', _STRING, JSON, True


class CssStrings(Strings):
    """Signs the ``url()`` of a style sheet; one that is written with CSS escapes stays as it is."""

    opening, token, keys = b"url(", _CSS_URL, False
    codec = PLAIN


class JsonSigner(JsonStrings):
    r"""Signs the string values of a JSON body that are protected URLs; slashes written ``\/`` stay so.

    ``sign`` returns a URL signed (or raises ``ValueError``: then it stays as it is), ``prefixes`` are
    decoded paths, ``host`` is the site's own Host, so that absolute URLs are told from foreign ones.
    """

    def __init__(
        self, sign: Callable[[str], str], prefixes: tuple[str, ...], host: str, *, ignore_case: bool = False
    ) -> None:
        super().__init__(Urls(sign, prefixes, host, fold=ignore_case))


class CssSigner(CssStrings):
    """Signs the ``url()`` of a style sheet's body. The arguments are those of ``JsonSigner``."""

    def __init__(
        self, sign: Callable[[str], str], prefixes: tuple[str, ...], host: str, *, ignore_case: bool = False
    ) -> None:
        super().__init__(Urls(sign, prefixes, host, fold=ignore_case))
