"""The meter: every number that one process can tell of itself, read from plain integers when somebody asks.

The request path counts with ``+= 1`` on integers of its own and knows nothing of this module. A
family's labels take their values from enumerations or from the operator, never from a client, so
the number of series is bounded whatever is sent (SECURITY J7).
"""

from __future__ import annotations

import platform
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

from antiscrape.core.verdict import Action, Rendition, Standing
from antiscrape.operate.families import BY_NAME, Merge
from antiscrape.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from antiscrape.core.rules import Policy
    from antiscrape.operate.families import Figures

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
        self.more: list[Callable[[], Figures]] = []
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
            **{name: told for add in self.more for name, told in add().items()},
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
