"""What a visit looks like: the mix, the order and the pace of requests.

Pages that were never requested prove nothing (hover prefetch, the back/forward cache, a shared
link), and neither does a missing Referer (privacy settings). So each row asks for a number of
occurrences that no recorded person reached, or weighs too little to cost anything alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiscrape.core.habits import NONE
from antiscrape.core.signals.table import Signal

if TYPE_CHECKING:
    from antiscrape.core.history import History

_MEASURED = "measured on 161 scraper runs and 66 people's sessions"
_REPLAYED = "120 scraper runs and 41 people's sessions, judged on their own clock"

#: Pages that followed each other at once, from which on a visit is in a hurry: twice what people came to.
_HURRY = 8
#: Visits beside this one at its address that have drawn pages, from which on it may be several people's.
_CROWD = 6


def _reached(h: History, count: int, least: int) -> bool:
    # What one person never does in a minute, two with one browser may; what they had is weighed by its shares.
    return count >= least and (count >= 2 * least or h.crowd.size < _CROWD)


def _one_by_one(h: History) -> bool:
    # A page that shows a whole gallery of large pictures, in the order of their numbers, is asked for once, and
    # its browser asks for all of them: people on a site without thumbnails take them by the page, not one by one.
    return 2 * h.pages >= h.images - h.thumbnails


def _numbers_walked(h: History) -> bool:
    # "Next, next, next" walks too, but each of its pages brings smaller pictures of its own; so does a driven
    # browser, until it has walked further than anybody's patience. Who also hurries is known sooner.
    if h.run < (12 if h.hurry < _HURRY else 8) or (h.pages and not _one_by_one(h)):
        return False
    return h.run >= 40 or h.thumbnails < 2 * (h.images - h.thumbnails)


def _no_thumbnails(h: History) -> bool:
    if h.thumbnails:
        return False
    return (h.images >= 5 and _one_by_one(h)) if h.pages else h.images >= 10


def _subject_after_subject(h: History) -> bool:
    # Two subjects may share a bit, so that twelve bits are twelve people or some more.
    subjects = h.ring.bit_count()
    return subjects >= 12 and h.thumbnails < 2 * subjects


def _sitemap_walked(h: History) -> bool:
    # To read a sitemap is nobody's fault; crawlers of good will do, and so does who looks after a site.
    taken = h.pages + h.images - h.thumbnails
    return h.odd.sitemap and taken >= 8 and h.thumbnails < taken


def _by_the_clock(h: History) -> bool:
    # A slideshow that plays by itself is as regular, on one page, with the small pictures of what it shows.
    return h.pace is not None and h.pace.equal >= 8 and (not h.thumbnails or _one_by_one(h))


def _always_anew(h: History) -> bool:
    # What one of several people with one browser has had, the next has yet to see.
    return h.odd.again >= 8 and not h.crowd.size


def is_calm(h: History) -> bool:
    """Tell whether nothing about a visit comes near to what any signal of a visit tells of, the families beside this one included.

    Nearly every visit is calm, and it is read at every original: this costs a tenth of reading the rows. A visit that is
    not calm need not have a finding.
    """
    did = h.habits
    if did.odd is not NONE or did.run >= 8 or did.hurry >= _HURRY or did.typed >= 8 or did.unreferred >= 8:
        return False
    if did.images >= 5 and not (did.pages and (did.thumbnails or 2 * did.pages < did.images)):
        return False
    if did.pages >= 4 and not (did.assets or did.thumbnails):
        return False
    if did.cookies_offered >= 4 and not h.cookies_returned:
        return False
    pace = did.pace
    return did.minute_pages <= 40 and did.ring.bit_count() < 12 and (pace is None or pace.equal < 8)


SIGNALS: tuple[Signal[History], ...] = (
    Signal("images-without-a-page", "navigation", 20, "Many images were requested, but never a page that shows them.",
           _MEASURED, lambda h: h.images >= 5 and not h.pages),
    Signal("pages-without-rendering", "navigation", 20, "Many pages were requested, but nothing that is needed to show them.",
           _MEASURED + ": 50 of 78 scrapers, text browsers",
           lambda h: h.pages >= 4 and not h.assets and not h.thumbnails),
    Signal("originals-without-thumbnails", "navigation", 10, "Large images were taken, and none of the small ones beside them.",
           _MEASURED + ": people load at least 2.5 smaller pictures per original",
           _no_thumbnails),
    Signal("cookie-never-returned", "navigation", 10, "The site's cookie was offered again and again and never came back.",
           "RFC 6265 §5.4; " + _MEASURED, lambda h: h.cookies_offered >= 4 and not h.cookies_returned),
    Signal("much-not-found", "navigation", 20, "A large share of the requests asked for what does not exist.",
           "guessing of identifiers; no recorded person came near",
           lambda h: h.unfound >= 12 and h.unfound * 4 > h.requests),
    Signal("numbers-walked", "navigation", 20, "Originals were asked for in the order of their numbers, without the pictures around them.",
           _MEASURED + ": 128 of 161 scraper runs; people 23 in a row, with at least 4 smaller pictures each",
           _numbers_walked),
    Signal("images-fetched-by-script-again", "navigation", 20, "Images were fetched by a script again and again.",
           "W3C Fetch Metadata Request Headers §2.1; " + _MEASURED, lambda h: h.scripted >= 3),
    Signal("images-opened-as-pages", "navigation", 25, "Image after image was opened by itself or saved, as if it were a page.",
           _MEASURED + ": people at most 12 a session, with four smaller pictures to each; several may share an address",
           lambda h: h.opened >= 16 and h.thumbnails < 2 * h.opened),
    Signal("referer-never-sent", "navigation", 10, "No image request named the page that it belongs to.",
           "RFC 9110 §10.1.3; " + _MEASURED, lambda h: h.unreferred >= 8 and h.unreferred == h.images),
    Signal("pages-faster-than-reading", "navigation", 25, "Pages were opened faster than anybody reads.",
           _MEASURED + ": people at most 18 pages a minute", lambda h: _reached(h, h.minute_pages, 41)),
    Signal("pages-typed-one-by-one", "navigation", 15, "Page after page was opened as if its address had been typed, few of them by a link.",
           "W3C Fetch Metadata Request Headers §2.3; " + _REPLAYED + ": 46 runs; people at most 4 such pages",
           lambda h: 2 * h.typed > h.pages and _reached(h, h.typed, 8)),
    Signal("pages-in-a-hurry", "navigation", 20, "Pages were opened at once after one another, and none of them was looked at.",
           _REPLAYED + ": 98 runs; people at most 4 in a row (tabs opened from one page)",
           lambda h: _reached(h, h.hurry, _HURRY)),
    Signal("page-claimed-never-opened", "navigation", 25, "Originals named a page as where they belong that was never asked for.",
           "RFC 9110 §10.1.3; " + _REPLAYED + ": 1 run, at each of its 12 addresses; no person",
           lambda h: h.odd.claimed >= 3 and not (h.pages or h.thumbnails)),
    Signal("originals-out-of-nowhere", "navigation", 15, "Originals were asked for one by one, and nothing of the site before them.",
           _REPLAYED + ": 13 runs; no person", lambda h: h.odd.abrupt >= 3 and not (h.pages or h.thumbnails)),
    Signal("subject-after-subject", "navigation", 15, "The pages of many people were opened, and few of their pictures shown.",
           _REPLAYED + ": 4 runs; people at most one such page a session", _subject_after_subject),
    Signal("sitemap-walked", "navigation", 15, "The sitemap was read, and what it lists asked for without the pictures around it.",
           "sitemaps.org, protocol 0.9; " + _REPLAYED + ": 2 runs, the only two that read it", _sitemap_walked),
    Signal("refusals-ignored", "navigation", 15, "Page after page was asked for although they were refused.",
           "RFC 6585 §4; " + _REPLAYED + " (which could not know that they were refused): 29 runs; no person",
           lambda h: h.odd.refused >= 8),
    Signal("cadence-too-regular", "navigation", 10, "Originals were asked for one by one at equal intervals, as if by the clock.",
           _MEASURED + ': 3 runs, up to 18 in a row; people at most 3, who press "next". A random pause hides it',
           _by_the_clock),
    Signal("never-conditional", "navigation", 5, "Originals were fetched in full again and again, and never by asking whether they had changed.",
           "RFC 9110 §13.1, RFC 9111 §4.3; " + _MEASURED + ": 1 run; people at most 3 such originals (saved after a look), "
           "or more where a site forbids to store them", _always_anew),
    Signal("robots-disobeyed", "navigation", 20, "A crawler fetched what robots.txt asks one of its name not to.",
           "RFC 9309 §2.2; twice may be a prefetch, or a link from elsewhere", lambda h: h.odd.disobeyed >= 3),
)  # fmt: skip
