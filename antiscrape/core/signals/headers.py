"""What the header fields of one request say against its claim to be a person's browser.

Every row holds for kinds of value, not strings of one browser version: brand lists, Accept lists
and orders change with each release. What privacy settings and forward proxies do to honest
browsers weighs little, so that none of it alone costs anybody an original.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from antiscrape.core.agent import Engine
from antiscrape.core.signals.table import Signal

if TYPE_CHECKING:
    from antiscrape.core.traits import Traits

# RFC 9110 §12.5.4 / RFC 4647 §2.1: comma-separated language ranges with optional weights. Quantifiers give
# nothing back: blanks on both sides of a comma would else be split in every way there is (SECURITY D5).
# Groups are atomic, "(?>(?:x)*)", and not possessive: Python 3.11.2 has those wrong.
_WEIGHT = rb"(?>(?:\s*+;\s*+q=[01](?>(?:\.\d{0,3}+)?))?)"
_RANGE = rb"(?:\*|[A-Za-z]{1,8}+(?>(?:-[A-Za-z0-9]{1,8}+)*))" + _WEIGHT + rb"\s*+"
_LANGUAGES = re.compile(rb"\s*+" + _RANGE + rb"(?>(?:,\s*+(?>(?:" + _RANGE + rb")?)){0,60})")
_BRAND = re.compile(rb'"(?:Chromium|Google Chrome|Microsoft Edge|HeadlessChrome)";\s*v="(\d{1,5})"')
_SITES = frozenset({b"", b"none", b"same-origin", b"same-site", b"cross-site"})
_MODES = frozenset({b"", b"navigate", b"no-cors", b"cors", b"same-origin", b"websocket"})
_NAVIGATED = frozenset({b"document", b"iframe", b"frame", b"fencedframe", b"embed", b"object", b"empty"})
_ONCE = frozenset({
    b"user-agent", b"referer", b"content-type", b"content-length", b"sec-fetch-dest", b"sec-fetch-mode",
    b"sec-fetch-site", b"sec-ch-ua", b"authorization", b"from", b"range", b"if-range",
})  # fmt: skip
#: The fields whose values the signals of one request may read: a profile is remembered by these.
READ = (
    b"user-agent", b"accept", b"accept-language", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site",
    b"sec-fetch-user", b"sec-ch-ua", b"sec-ch-ua-mobile", b"sec-ch-ua-platform",
)  # fmt: skip
#: No browser's own field is this long.
_LONGEST_VALUE = 4096


def _saved(t: Traits) -> bool:
    # What Chromium sends for <a download> and "Save": a navigation to nowhere, without Accept and client hints.
    return t.value(b"sec-fetch-mode") == b"navigate" and t.value(b"sec-fetch-dest") == b"empty"


def _accept_missing(t: Traits) -> bool:
    return b"accept" not in t.fields and not _saved(t)


def _no_image_accepted(t: Traits) -> bool:
    accept = t.value(b"accept")
    return (
        t.on_image
        and bool(accept)
        and b"image/" not in accept
        and (t.browser or accept != b"*/*")
        and t.value(b"sec-fetch-dest") != b"empty"
    )


def _any_page_accepted(t: Traits) -> bool:
    return (
        t.browser
        and t.on_page
        and t.value(b"accept").strip() == b"*/*"
        and t.value(b"sec-fetch-dest") in {b"", b"document"}
    )


def _fetch_metadata_missing(t: Traits) -> bool:
    return t.secure and t.modern and b"sec-fetch-site" not in t.fields and b"sec-fetch-mode" not in t.fields


def _fetch_metadata_contradicts(t: Traits) -> bool:
    site, mode = t.value(b"sec-fetch-site"), t.value(b"sec-fetch-mode")
    dest, user = t.value(b"sec-fetch-dest"), t.value(b"sec-fetch-user")
    if site not in _SITES or mode not in _MODES:
        return True
    if user and (user != b"?1" or mode != b"navigate"):
        return True
    if mode == b"navigate":
        return bool(dest) and dest not in _NAVIGATED
    return bool(mode) and dest == b"document"


def _fetch_metadata_in_part(t: Traits) -> bool:
    present = sum(name in t.fields for name in (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest"))
    return 0 < present < 3


def _image_by_script(t: Traits) -> bool:
    return t.on_image and t.value(b"sec-fetch-dest") == b"empty" and not _saved(t)


def _hints_missing(t: Traits) -> bool:
    return (
        t.secure
        and t.agent.engine is Engine.CHROMIUM
        and t.agent.version >= 89
        and b"sec-ch-ua" not in t.fields
        and b"sec-purpose" not in t.fields
        and not _saved(t)
    )


def _hints_foreign(t: Traits) -> bool:
    return b"sec-ch-ua" in t.fields and t.agent.engine in {Engine.GECKO, Engine.WEBKIT}


def _hints_version(t: Traits) -> bool:
    if t.agent.engine is not Engine.CHROMIUM or b"sec-ch-ua" not in t.fields:
        return False
    brands = {int(version) for version in _BRAND.findall(t.value(b"sec-ch-ua"))}
    return bool(brands) and t.agent.version not in brands


def _hints_platform(t: Traits) -> bool:
    claimed = t.value(b"sec-ch-ua-platform").strip(b' "').decode("latin-1")
    if not claimed or not t.agent.platform or t.agent.engine is not Engine.CHROMIUM:
        return False
    if t.value(b"sec-ch-ua-mobile") == b"?1" and not t.agent.mobile:
        return True
    same = {"Chromium OS": "Chrome OS", "ChromeOS": "Chrome OS"}.get(claimed, claimed)
    return same not in {t.agent.platform, "Unknown"}


def _order_foreign(t: Traits) -> bool:
    if t.relayed or not t.browser or b"sec-purpose" in t.fields:
        return False
    names = t.names
    if b"accept-language" not in t.fields or b"accept-encoding" not in t.fields:
        return False
    language_first = names.index(b"accept-language") < names.index(b"accept-encoding")
    return language_first is not (t.agent.engine is Engine.GECKO)


def _value_too_long(t: Traits) -> bool:
    return any(len(t.value(name)) > _LONGEST_VALUE for name in READ)


def _bytes_foreign(t: Traits) -> bool:
    return any(not t.value(name).isascii() for name in READ)


#: A partner's; whether it is good, is not told by the name.
_KEY = b"x-antiscrape-key"


def _own_prefix(t: Traits) -> bool:
    if b"antiscrape" not in b" ".join(t.names):
        return False
    return any(
        name != _KEY and name.replace(b"_", b"-").replace(b".", b"-").startswith(b"x-antiscrape-")
        for name in t.names
    )


_FETCH = "W3C Fetch Metadata Request Headers §2"
_HINTS = "WICG User-Agent Client Hints §3"
_MEASURED = "measured on 161 scraper runs and 66 people's sessions"

SIGNALS: tuple[Signal[Traits], ...] = (
    Signal("accept-missing", "headers", 15, "The request names no media type that it accepts.",
           "WHATWG Fetch §2.2.2: browsers always send Accept, but for what is saved", _accept_missing),
    Signal("accept-language-missing", "headers", 20, "The request names no language; every graphical browser does.",
           "RFC 9110 §12.5.4; " + _MEASURED, lambda t: b"accept-language" not in t.fields),
    Signal("accept-language-malformed", "headers", 10, "The Accept-Language field is not a list of languages.",
           "RFC 9110 §12.5.4, RFC 4647 §2.1",
           lambda t: b"accept-language" in t.fields and _LANGUAGES.fullmatch(t.value(b"accept-language")) is None),
    Signal("accept-encoding-missing", "headers", 10, "The request accepts no compression.",
           "RFC 9110 §12.5.3", lambda t: b"accept-encoding" not in t.fields),
    Signal("image-not-accepted", "headers", 15, "An image was requested by a client that does not say it accepts images.",
           "WHATWG Fetch §2.2.2 (Accept by destination); " + _MEASURED, _no_image_accepted),
    Signal("page-accepted-as-anything", "headers", 20, 'A page was requested with "Accept: */*" by what claims to be a browser.',
           "WHATWG Fetch §2.2.2: a navigation's Accept names text/html", _any_page_accepted),
    Signal("fetch-metadata-missing", "headers", 25, "The claimed browser always sends Sec-Fetch fields, and none came.",
           _FETCH, _fetch_metadata_missing),
    Signal("fetch-metadata-in-part", "headers", 20, "Of the three Sec-Fetch fields that come together, some are missing.",
           _FETCH, _fetch_metadata_in_part),
    Signal("fetch-metadata-contradicts", "headers", 30, "The Sec-Fetch fields contradict each other; no browser sends them so.",
           _FETCH, _fetch_metadata_contradicts),
    Signal("image-fetched-by-script", "headers", 30, "An image was fetched by a script, not shown by a page.",
           _FETCH + " (Sec-Fetch-Dest: empty, not a navigation); never seen of a person on an image; " + _MEASURED, _image_by_script),
    Signal("client-hints-missing", "headers", 15, "A Chromium browser sends Sec-CH-UA, and none came.",
           _HINTS, _hints_missing),
    Signal("client-hints-foreign", "headers", 20, "Sec-CH-UA came from what claims to be Firefox or Safari, which do not send it.",
           _HINTS, _hints_foreign),
    Signal("client-hints-other-version", "headers", 25, "The version in Sec-CH-UA is not the one in the User-Agent.",
           _HINTS, _hints_version),
    Signal("client-hints-other-platform", "headers", 20, "The platform in Sec-CH-UA is not the one in the User-Agent.",
           _HINTS, _hints_platform),
    Signal("field-order-foreign", "headers", 10, "The fields come in an order that the claimed browser does not use.",
           _MEASURED, _order_foreign),
    Signal("field-repeated", "headers", 20, "A field that may come once came several times.",
           "RFC 9110 §5.3", lambda t: not _ONCE.isdisjoint(t.repeated)),
    Signal("field-too-long", "headers", 20, "A header field is longer than any browser sends.",
           "an over-long input is hostile, not skipped (CVE-2025-54365)", _value_too_long),
    Signal("field-bytes-foreign", "headers", 20, "A header field carries bytes outside ASCII, which browsers never send there.",
           "RFC 9110 §5.5", _bytes_foreign),
    Signal("http-too-old", "headers", 10, "What claims to be a modern browser spoke HTTP/1.0.",
           "RFC 9112 §2.3", lambda t: t.http_version == "1.0" and t.modern and not t.relayed),
    Signal("reserved-field-sent", "headers", 40, "The client sent a field that only this software may set.",
           "CVE-2025-29927 in kind", _own_prefix),
)  # fmt: skip
