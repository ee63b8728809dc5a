"""Which text bodies are rewritten on their way out, and what that means for their header fields."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from antiscrape.asgi.caching import keep_private, mark_tags, unmark_tags
from antiscrape.asgi.inflating import can_inflate, coding_of
from antiscrape.asgi.media import Media
from antiscrape.asgi.rewriting import CssSigner, HtmlSigner, JsonSigner, XmlSigner, media_kind
from antiscrape.asgi.spelling import PLAIN, Urls
from antiscrape.asgi.texts import Bounded, Chain, Plan
from antiscrape.asgi.traps import SitemapWriter, private_fields
from antiscrape.browser.tag import visitor_of
from antiscrape.core.grant_tokens import NOBODY
from antiscrape.core.verdict import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.rewriting import TextKind
    from antiscrape.asgi.texts import BodyWriter
    from antiscrape.asgi.types import Headers
    from antiscrape.browser.tag import Tag
    from antiscrape.core.grants import Grants, Manner
    from antiscrape.core.rules import Policy
    from antiscrape.core.traps import TrapLinks
    from antiscrape.gate import Passage

_TRUSTED: Final = frozenset({Standing.CRAWLER, Standing.PARTNER})
_MEDIA: Final = {"html": Media.HTML, "json": Media.JSON, "css": Media.STYLE, "xml": Media.XML}
_SIGNERS: Final[dict[TextKind, Callable[..., BodyWriter]]] = {
    "json": JsonSigner,
    "css": CssSigner,
    "xml": XmlSigner,
}
#: Where a document is shown, and what libraries of scripts send that ask for parts of one, in browsers that tell nothing.
_SHOWN: Final = frozenset({b"document", b"iframe", b"frame", b"object", b"embed"})
_OF_SCRIPTS: Final = (b"x-requested-with", b"hx-request", b"turbo-frame")
# RFC 8288 §3: <target>; parameters. imagesrcset is HTML's (4.2.4.4), and its value is a quoted string.
_LINKED: Final = re.compile(rb"<([^<>]*+)>|(?<=[;\s])imagesrcset\s*=\s*\"([^\"\\]*+)\"", re.IGNORECASE)


class Rewriters:
    """Signs the image URLs in bodies and ``Link`` fields, and puts the trap's link and the check's script into pages."""

    def __init__(
        self,
        policy: Policy,
        grants: Grants | None,
        wall: Callable[[], float],
        trap: TrapLinks | None,
        tag: Tag | None = None,
    ) -> None:
        rules = policy.grants
        self._grants = grants if rules.rewrite else None
        self._prefixes = rules.prefixes if self._grants is not None else ()
        self._kinds = frozenset(rules.bodies if self._grants is not None else ())
        self._most = rules.body_bytes
        self._window_seconds = rules.window
        self._ignore_case = policy.ignore_case
        self._wall = wall
        self._trap = trap
        self._tag = tag
        #: The classes of answers that may have to be changed.
        self.media = frozenset(_MEDIA[kind] for kind in self._kinds) | (
            {Media.HTML} if trap or tag else set()
        )
        #: What marks the tag of a body in which these prefixes did not occur.
        self._unsigned = b"-as-" + blake2b(repr(self._prefixes).encode(), digest_size=3).hexdigest().encode()

    @property
    def signs(self) -> bool:
        """Whether bodies change from window to window."""
        return self._grants is not None

    @property
    def signs_styles(self) -> bool:
        """Whether style sheets are signed."""
        return "css" in self._kinds

    def condition(self, field: bytes, passage: Passage) -> bytes:
        """Return the If-None-Match that the site is to be asked.

        A tag of an earlier window, or of another visitor, names a page whose grants are worth nothing soon, or here;
        a 304 would keep it alive.
        """
        return unmark_tags(field, (self._signed(passage), self._unsigned))

    def plan(self, media: Media, content_type: bytes, headers: Headers, passage: Passage) -> Plan | None:
        """Return what becomes of a body, or None where it is passed as it is. ``headers`` are in lower case."""
        kind, coding = media_kind(content_type), coding_of(headers)
        if kind is None or _MEDIA[kind] is not media or (coding and not can_inflate(coding)):
            return None
        writer = self._writer(kind, passage, headers)
        if writer is None:
            return None
        gather = kind == "css" or coding != b""
        changed, same = self.fields(headers, passage)
        return Plan(Bounded(writer, self._most), changed, same, gather=gather, coded=coding != b"")

    def fields(self, headers: Headers, passage: Passage) -> tuple[Headers, Headers]:
        """Return the fields of a rewritten body, which no cache keeps beyond its grants, and of one that is as it was."""
        if self.tagged:
            headers = private_fields(headers)
        if self._grants is None:
            return headers, headers
        linked = self._link(headers, passage)
        changed = keep_private(mark_tags(linked, self._signed(passage)), most=self._window_seconds)
        return changed, changed if linked is not headers else mark_tags(headers, self._unsigned)

    def unsent(self, headers: Headers, passage: Passage) -> Headers:
        """Return the fields of an answer without its body (to HEAD, or 304): of what is in the client's cache, if it is said."""
        changed, same = self.fields(headers, passage)
        asked = passage.fields.get(b"if-none-match", b"")
        return same if self._unsigned in asked and self._signed(passage) not in asked else changed

    @property
    def tagged(self) -> bool:
        """Whether bodies differ from one client to the next."""
        return self._trap is not None and self._trap.tags is not None

    def _signed(self, passage: Passage) -> bytes:
        """Return what marks the tag of a body that was signed in this window, for this visitor."""
        window = b"-as%x" % (int(self._wall()) // self._window_seconds)
        if self._grants is None or not self._grants.manner.binding:
            return window
        named = passage.holder.named(passage.holder.best(self._grants.manner.binding))
        return (
            window
            + b"-"
            + blake2b(named.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest().encode()
        )

    def _link(self, headers: Headers, passage: Passage) -> Headers:
        """Return ``headers`` with the URLs of Link fields signed; the same list where there are none."""
        if not any(name == b"link" for name, _ in headers):
            return headers
        urls = Urls(self._sign_for(passage), self._prefixes, _host(passage), fold=self._ignore_case)

        def sign(match: re.Match[bytes]) -> bytes:
            raw = match[1] if match[2] is None else match[2]
            signed = urls.sign(raw, PLAIN) if match[2] is None else urls.sign_candidates(raw, PLAIN)
            return match[0] if signed == raw else match[0].replace(raw, signed, 1)

        linked = [(name, _LINKED.sub(sign, value) if name == b"link" else value) for name, value in headers]
        return headers if linked == headers else linked

    def _writer(self, kind: TextKind, passage: Passage, headers: Headers) -> BodyWriter | None:
        if kind == "html":
            return self._page(passage, headers)
        trap = self._sitemap(passage) if kind == "xml" else None
        if kind not in self._kinds or self._grants is None or (kind == "xml" and self._grants.feeds is None):
            return trap
        sign = self._sign_for(passage) if kind != "xml" else self._sign_in(self._grants.feeds)
        signer = _SIGNERS[kind](sign, self._prefixes, _host(passage), ignore_case=self._ignore_case)
        return signer if trap is None else Chain(trap, signer)

    def _page(self, passage: Passage, headers: Headers) -> HtmlSigner:
        trap, grants = self._trap, self._grants
        insert = b"" if trap is None else trap.snippet(self._holder(passage, trap), self._wall())
        if self._tag is not None and passage.verdict.standing not in _TRUSTED:
            insert += _check(self._tag, headers, passage)
        return HtmlSigner(
            self._sign_for(passage),
            self._prefixes if "html" in self._kinds else (),
            _host(passage),
            insert=insert,
            within=self._most if _is_document(headers, passage) else 0,
            ignore_case=self._ignore_case,
            card=None if grants is None else self._sign_in(grants.cards),
        )

    def _sitemap(self, passage: Passage) -> SitemapWriter | None:
        """Return what puts the trap's entries into a sitemap, or None for who is given none."""
        trap = self._trap
        if trap is None or passage.verdict.standing in _TRUSTED:
            return None
        origin = f"{'https' if passage.secure else 'http'}://{_host(passage)}"
        entries = trap.entries(origin, self._holder(passage, trap), self._wall())
        return SitemapWriter(entries, found=passage.habits.note_sitemap)

    @staticmethod
    def _holder(passage: Passage, trap: TrapLinks) -> str:
        """Return whom a trap's link names: the address, which is all that is known of whoever follows it."""
        return passage.principal.key if trap.tags is not None else ""

    def _sign_for(self, passage: Passage) -> Callable[[str], str]:
        """Return what signs the URLs of a page for who asked for it."""
        grants, wall = self._grants, self._wall
        if grants is None:
            return _leave
        holder = passage.holder if grants.manner.binding else NOBODY
        return lambda url: grants.sign(url, now=wall(), holder=holder)

    def _sign_in(self, manner: Manner | None) -> Callable[[str], str]:
        """Return what signs URLs that leave the site."""
        grants, wall = self._grants, self._wall
        if grants is None or manner is None:
            return _leave
        return lambda url: grants.sign(url, now=wall(), manner=manner)


def _check(tag: Tag, headers: Headers, passage: Passage) -> bytes:
    """Return what a page is given of the check."""
    policies = [value for name, value in headers if name == b"content-security-policy"]
    held, fields = passage.holding, passage.fields
    done = (held is not None and held.home) or not _is_asked_for(passage)
    visitor = None if done else visitor_of(passage.principal.key, fields.get(b"user-agent"))
    return tag.snippet(policies, fields.get(b"accept-language"), passage.raw_path, passage.query, visitor)


def _is_asked_for(passage: Passage) -> bool:
    """Tell whether an answer is to be a document, and no part of one that a script puts into it."""
    fields = passage.fields
    shown = fields.get(b"sec-fetch-dest")  # Fetch Metadata, section 2.1
    return shown in _SHOWN if shown is not None else not any(name in fields for name in _OF_SCRIPTS)


def _is_document(headers: Headers, passage: Passage) -> bool:
    """Tell whether something may stand at an answer's end: not behind the root of XHTML."""
    essences = {
        value.partition(b";")[0].strip().lower() for name, value in headers if name == b"content-type"
    }
    return essences == {b"text/html"} and _is_asked_for(passage)


def _leave(url: str) -> str:
    return url


def _host(passage: Passage) -> str:
    return passage.fields.get(b"host", b"").decode("latin-1")
