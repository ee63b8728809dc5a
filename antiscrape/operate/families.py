"""The metric families: every name that is told, what it means, and how several processes' values become one."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

#: Values by label values, by family name.
Figures = dict[str, dict[tuple[str, ...], float]]


class Merge(Enum):
    """How the values of several processes become one."""

    TOTAL = "total"  # a counter: those of dead processes still count, or it would go backwards
    SUM = "sum"
    LEAST = "least"
    MOST = "most"
    INFO = "info"  # the labels are the message; the value is 1


class Family(NamedTuple):
    """One metric family. A counter's ``name`` is written with ``_total``, an info's with ``_info``."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    merge: Merge = Merge.TOTAL


FAMILIES: Final = (
    Family("antiscrape_build", "The running version.", ("version", "python"), Merge.INFO),
    Family(
        "antiscrape_policy",
        "The running policy; the version is a digest of every setting but the secrets.",
        ("site", "mode", "version"),
        Merge.INFO,
    ),
    Family("antiscrape_reloads", "Readings of a changed policy, by outcome: done or refused.", ("outcome",)),
    Family(
        "antiscrape_reload_refused",
        "Workers whose policy file is wrong at this moment: they go on with the policy that they had.",
        (),
        Merge.SUM,
    ),
    Family(
        "antiscrape_overload_rung",
        "What is shed: 0 nothing, 1 check pages, 2 and renditions, 3 and requests of strangers.",
        (),
        Merge.MOST,
    ),
    Family("antiscrape_shed", "What was not done for overload: checks, renditions or requests.", ("what",)),
    Family("antiscrape_loop_lag_seconds", "How late the event loop turned the last time.", (), Merge.MOST),
    Family("antiscrape_loop_stalls", "Turns of the event loop that took a second more than they should."),
    Family(
        "antiscrape_memory_share",
        "Memory that is taken, of what is allowed; 0 without a limit.",
        (),
        Merge.MOST,
    ),
    Family("antiscrape_workers", "Living processes that these figures are of.", (), Merge.SUM),
    Family(
        "antiscrape_verdicts",
        "Requests judged. In shadow mode these are the verdicts that would have been carried out.",
        ("standing", "action", "rendition"),
    ),
    Family("antiscrape_faults", "Requests whose judgement raised: they got what a stranger gets."),
    Family("antiscrape_malformed_requests", "Requests refused unjudged, for they have no single reading."),
    Family("antiscrape_principals", "Clients whose history is held in memory.", (), Merge.SUM),
    Family(
        "antiscrape_principals_limit",
        "Clients whose history may be held (store.max_principals).",
        (),
        Merge.SUM,
    ),
    Family(
        "antiscrape_store_away",
        "Workers that cannot reach the shared store at this moment, and count for themselves.",
        (),
        Merge.SUM,
    ),
    Family(
        "antiscrape_store_workers", "Workers that share the store, as far as each knows.", (), Merge.LEAST
    ),
    Family("antiscrape_store_waiting", "Records that have yet to be told the store.", (), Merge.SUM),
    Family(
        "antiscrape_store_exchange_age_seconds",
        "How long ago the worker last heard the store; an idle worker has nothing to ask.",
        (),
        Merge.MOST,
    ),
    Family("antiscrape_store_breaker_opened", "How often a worker gave the store up for a while."),
    Family(
        "antiscrape_store_exchanges",
        "Calls to the shared store: exchanged and failed are batches, records what they told of, charged requests that "
        "a strict store charged, heard and unheard messages between workers that came in and that could not be sent.",
        ("what",),
    ),
    Family(
        "antiscrape_check",
        "The browser check: challenges asked for, clearances given (proven, browser), and why others were not.",
        ("outcome",),
    ),
    Family("antiscrape_events_dropped", "Events that found no room in the queue or could not be written."),
    Family(
        "antiscrape_image_renditions",
        "Lesser renditions asked for, by what became of them: jpeg, png, webp, avif and gif were made, cached, found "
        "(in images.cache_folder) and joined had been or were being made, all others ended as a placeholder.",
        ("outcome",),
    ),
    Family("antiscrape_image_queue", "Pictures that wait for an image worker at this moment.", (), Merge.SUM),
    Family("antiscrape_image_workers", "Image workers alive at this moment.", (), Merge.SUM),
    Family("antiscrape_image_cache_bytes", "Memory that finished renditions take.", (), Merge.SUM),
    Family("antiscrape_image_copies_bytes", "Memory that traced copies take.", (), Merge.SUM),
    Family(
        "antiscrape_image_folder_bytes", "Bytes in images.cache_folder, when last counted.", (), Merge.MOST
    ),
    Family(
        "antiscrape_image_folder",
        "What became of files in images.cache_folder: stored, found, torn (dropped, for they were not as they were "
        "written), evicted, passed (the disk was too slow) or failed (the disk refused).",
        ("outcome",),
    ),
    Family(
        "antiscrape_image_traces",
        "Traced copies of renditions, by outcome: made, cached, joined, bytes (too small for a trace in pixels, so in "
        "its bytes alone), without, failed (a placeholder was sent).",
        ("outcome",),
    ),
    Family(
        "antiscrape_originals_traced",
        "Originals that passed where they are to name their taker (trace.originals), by outcome: marked; or as they "
        "were, for they are unfit (of another format, or broken), encoded (Content-Encoding) or a part (206).",
        ("outcome",),
    ),
    Family(
        "antiscrape_upstream_away",
        "Workers that leave this site alone at this moment, for it failed them several times in a row or its check fails.",
        ("upstream",),
        Merge.SUM,
    ),
    Family(
        "antiscrape_upstream_connections",
        "Connections to the site, by what they do: busy or idle.",
        ("upstream", "state"),
        Merge.SUM,
    ),
    Family(
        "antiscrape_originals_uncharged",
        "Originals that an edge served and whose length the site did not tell: budgets of bytes know nothing of them.",
    ),
    Family("process_cpu_seconds", "User and system CPU time spent."),
    Family("process_resident_memory_bytes", "Resident memory size.", (), Merge.SUM),
    Family("process_virtual_memory_bytes", "Virtual memory size.", (), Merge.SUM),
    Family("process_open_fds", "Open file descriptors.", (), Merge.SUM),
    Family("process_max_fds", "File descriptors that one process may open.", (), Merge.LEAST),
    Family(
        "process_start_time_seconds",
        "When the oldest living process started, since the Unix epoch.",
        (),
        Merge.LEAST,
    ),
)
BY_NAME: Final = {family.name: family for family in FAMILIES}
