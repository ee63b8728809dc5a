"""The meter: every number that one process can tell of itself, read from plain integers when somebody asks.

The request path counts with ``+= 1`` on integers of its own and knows nothing of this module. A
family's labels take their values from enumerations or from the operator, never from a client, so
the number of series is bounded whatever is sent (SECURITY J7).
"""

from __future__ import annotations

import platform
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from antiscrape.core.verdict import Action, Rendition, Standing
from antiscrape.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from antiscrape.core.rules import Policy

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

#: What a renderer may count; a word that is not among them is counted as ``other``.
OUTCOMES: Final = (
    "jpeg", "png", "webp", "avif", "gif", "cached", "joined", "found", "refused", "unreadable", "memory", "unfit",
    "busy", "lost", "closed", "fault", "other",
)  # fmt: skip
#: The levels that a renderer may tell, and the families they are told as.
_LEVELS: Final = {
    "queued": "antiscrape_image_queue",
    "workers": "antiscrape_image_workers",
    "cache_bytes": "antiscrape_image_cache_bytes",
    "copies_bytes": "antiscrape_image_copies_bytes",
    "folder_bytes": "antiscrape_image_folder_bytes",
}


#: The same of a shared store.
_STATES: Final = {
    "away": "antiscrape_store_away",
    "workers": "antiscrape_store_workers",
    "waiting": "antiscrape_store_waiting",
    "age": "antiscrape_store_exchange_age_seconds",
    "opened": "antiscrape_store_breaker_opened",
}


class Verdicts(Protocol):
    """What is read of a recorder."""

    @property
    def verdicts(self) -> Mapping[tuple[Standing, Action, Rendition], int]:
        """Verdicts that are not plain allows."""
        ...

    @property
    def plain(self) -> Mapping[Standing, int]:
        """Plain allows."""
        ...

    @property
    def malformed(self) -> int:
        """Requests that could not be judged."""
        ...


class Sink(Protocol):
    """What is read of an event sink."""

    @property
    def dropped(self) -> int:
        """Events lost."""
        ...


class Store(Protocol):
    """What is read of a usage store."""

    def __len__(self) -> int:
        """Return the number of principals held."""
        ...


class Shared(Protocol):
    """What is read of the way to a shared store."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What was called for, by what became of it."""
        ...

    def states(self) -> Mapping[str, float]:
        """How it stands at this moment."""
        ...


class Images(Protocol):
    """What is read of a renderer."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Renditions asked for, by outcome."""
        ...

    @property
    def traces(self) -> Mapping[str, int]:
        """Traced copies asked for, by outcome."""
        ...

    @property
    def folder(self) -> Mapping[str, int]:
        """What became of files in the folder of renditions."""
        ...


class Meter:
    """Reads one process's figures.

    ``policy`` is the one that was loaded, before a trap is laid, so that its version is the same
    under every secret. ``levels`` tells of the renderer how much of ``queued``, ``workers`` and
    ``cache_bytes`` there is; a level that is not told makes no series. ``check`` are the browser check's counts,
    ``originals`` are those that passed where they are marked, by outcome; None where they are not.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        recorder: Verdicts,
        sink: Sink,
        store: Store,
        images: Images,
        levels: Callable[[], Mapping[str, int]] = dict,
        shared: Shared | None = None,
        check: Mapping[str, int] | None = None,
        originals: Mapping[str, int] | None = None,
    ) -> None:
        self._recorder = recorder
        self._sink = sink
        self._store = store
        self._images = images
        self._levels = levels
        self._shared = shared
        self._fixed: Figures = {
            "antiscrape_build": {(__version__, platform.python_version()): 1},
            "antiscrape_workers": {(): 1},
            "antiscrape_principals_limit": {(): policy.store.max_principals},
        }
        #: What others add to the figures, and why this process should be left alone for a while ("" for no reason).
        self.more: Callable[[], Figures] = dict
        self.unwell: Callable[[], str] = str
        #: Reloads by outcome, and whether the last one was refused.
        self.reloads = dict.fromkeys(("done", "refused"), 0)
        self.refused = False
        self.follow(policy, check=check, originals=originals)

    def follow(
        self,
        policy: Policy,
        *,
        check: Mapping[str, int] | None = None,
        originals: Mapping[str, int] | None = None,
    ) -> None:
        """Go on with another policy, and with its own counts of the check and of marked originals."""
        self.version = policy_version(policy)
        self._check, self._originals = check, originals
        self._fixed["antiscrape_policy"] = {(policy.site, policy.mode.value, self.version): 1}

    def read(self) -> Figures:
        """Return what is counted now. Another thread than the event loop's may call this.

        Each mapping that the request path writes to is copied whole first, which no other thread
        can come between, and only then walked through.
        """
        levels = self._levels()
        return {
            **self._fixed,
            "antiscrape_verdicts": self._verdicts(),
            "antiscrape_malformed_requests": {(): self._recorder.malformed},
            "antiscrape_principals": {(): len(self._store)},
            "antiscrape_events_dropped": {(): self._sink.dropped},
            "antiscrape_reloads": _by_word(self.reloads),
            "antiscrape_reload_refused": {(): int(self.refused)},
            "antiscrape_image_renditions": self._renditions(),
            "antiscrape_image_traces": _by_word(self._images.traces),
            "antiscrape_image_folder": _by_word(self._images.folder),
            **({} if self._originals is None else {"antiscrape_originals_traced": _by_word(self._originals)}),
            **{family: {(): levels[name]} for name, family in _LEVELS.items() if name in levels},
            **self._of_store(),
            **self.more(),
            **({} if self._check is None else {"antiscrape_check": _by_word(self._check)}),
        }

    def _of_store(self) -> Figures:
        """Return what there is to tell of a shared store; nothing where there is none."""
        if self._shared is None:
            return {}
        states, counts = self._shared.states(), dict(self._shared.counts)
        return {
            **{family: {(): states[name]} for name, family in _STATES.items()},
            "antiscrape_store_exchanges": {(name,): count for name, count in counts.items()},
        }

    def _verdicts(self) -> dict[tuple[str, ...], float]:
        plain, others = dict(self._recorder.plain), dict(self._recorder.verdicts)
        counts: dict[tuple[str, ...], float] = {
            (standing.value, Action.ADMIT.value, Rendition.ORIGINAL.value): count
            for standing, count in plain.items()
        }
        for (standing, action, rendition), count in others.items():
            labels = (standing.value, action.value, rendition.value)
            counts[labels] = counts.get(labels, 0) + count
        return counts

    def _renditions(self) -> dict[tuple[str, ...], float]:
        counts: dict[tuple[str, ...], float] = dict.fromkeys([(word,) for word in OUTCOMES], 0)
        for word, count in dict(self._images.counts).items():
            counts[word if word in OUTCOMES else "other",] += count
        return counts


def _by_word(counts: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    return {(word,): count for word, count in dict(counts).items()}


def policy_version(policy: Policy) -> str:
    """Return 16 hex digits that differ wherever two policies do, but in their secrets."""
    # The representation names every field but the secrets, and is the same in every process.
    return blake2b(repr(policy).encode(), digest_size=8).hexdigest()


def merge(living: Iterable[Figures], dead: Iterable[Figures] = ()) -> Figures:
    """Return the figures of several processes as one; of the dead, only their counters are left."""
    merged: Figures = {}
    for alive, group in ((True, living), (False, dead)):
        for figures in group:
            for name, values in figures.items():
                family = BY_NAME.get(name)
                if family is not None and (alive or family.merge is Merge.TOTAL):
                    _add(merged.setdefault(name, {}), values, family.merge)
    return merged


_TAKE: Final[Mapping[Merge, Callable[[float, float], float]]] = {
    Merge.TOTAL: float.__add__,
    Merge.SUM: float.__add__,
    Merge.LEAST: min,
    Merge.MOST: max,
    Merge.INFO: max,
}


def _add(sums: dict[tuple[str, ...], float], values: Mapping[tuple[str, ...], float], how: Merge) -> None:
    for labels, value in values.items():
        known = sums.get(labels)
        sums[labels] = float(value) if known is None else _TAKE[how](known, float(value))
