"""The recorder: counts every verdict and writes an event of each that is not a plain allow."""

from __future__ import annotations

import logging
import traceback
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from antiscrape.core.networks import NOTHING
from antiscrape.core.verdict import Rendition, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from antiscrape.core.tokens import KeyRing
    from antiscrape.core.verdict import Action
    from antiscrape.errors import RequestError
    from antiscrape.gate import Passage
    from antiscrape.ports import EventSink, Networks

_WEEK: Final = 7 * 86400
_log: Final = logging.getLogger("antiscrape.judge")
#: Places in the code that the log tells of; there are some hundreds that could be.
_MOST_LOGGED: Final = 64
# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11.
_ORIGINAL: Final = Rendition.ORIGINAL


class Recorder:
    """Counts, and tells the event sink.

    ``plain`` counts plain allows by standing, ``verdicts`` all others by standing, action and
    rendition; ``malformed`` counts requests that could
    not be judged. Addresses leave the process as keyed hashes whose key changes every week, unless
    the policy says ``plain``.
    """

    def __init__(
        self,
        sink: EventSink,
        *,
        site: str,
        keys: KeyRing,
        addresses: str,
        wall: Callable[[], float],
        networks: Networks | None = None,
    ) -> None:
        self.verdicts: dict[tuple[Standing, Action, Rendition], int] = {}
        self.plain = dict.fromkeys(Standing, 0)
        self.malformed = 0
        #: Requests whose judgement raised, and the places where it did that the log has told of.
        self.faults = 0
        self._logged: set[str] = set()
        self._sink = sink
        self._site = site
        self._keys = keys
        self._plain = addresses == "plain"
        self._wall = wall
        self.networks = networks
        self._week = -1
        self._key = b""

    def record(self, passage: Passage, status: int) -> None:
        """Take note of a verdict that was carried out; ``status`` is 0 where nothing was answered."""
        verdict = passage.verdict
        if verdict.rendition is _ORIGINAL and verdict.exceeded is None and not verdict.shadowed:
            self.plain[verdict.standing] += 1
            return
        key = (verdict.standing, verdict.action, verdict.rendition)
        self.verdicts[key] = self.verdicts.get(key, 0) + 1
        findings = sorted(verdict.findings, key=lambda finding: -finding.weight)
        event: dict[str, object] = {
            "event": "verdict",
            "time": round(self._wall(), 3),
            "site": self._site,
            "client": self.name(passage.history.key),
            "method": passage.method,
            "host": passage.host,
            "path": passage.resource.path,
            "kind": passage.resource.kind.value,
            "status": status,
            "action": verdict.action.value,
            "rendition": verdict.rendition.value,
            "standing": verdict.standing.value,
            "score": verdict.score,
            "signals": [finding._asdict() for finding in findings],
            "user_agent": (passage.value(b"user-agent") or b"").decode("latin-1"),
        }
        if passage.role.name:
            event["claim"] = {"name": passage.role.name, "proof": passage.role.proof.value}
        if self.networks is not None and (facts := self.networks.facts(passage.client)) != NOTHING:
            event["network"] = {name: value for name, value in facts._asdict().items() if value}
        if taker := getattr(passage, "taker", 0):
            event["trace"] = f"{taker:016x}"
        if passage.resource.subject:
            event["subject"] = passage.resource.subject
        if verdict.exceeded is not None:
            spent = verdict.exceeded
            event["exceeded"] = {
                "budget": spent.budget.value,
                "limit": spent.limit,
                "wait": round(min(spent.wait, _WEEK), 1),
                "shared": spent.shared,
            }
        if verdict.cooling is not None:
            was, left = verdict.cooling
            event["cooling"] = {
                "instead_of": was.value,
                "left": round(left, 1),
                "sentence": f"It spent its request budget again and again, so it is {verdict.standing.value} for a while.",
            }
        if verdict.shadowed:
            event["shadow"] = True
        self._sink.emit(event)

    def tell(self, event: str, problems: Sequence[str]) -> None:
        """Take note of what went wrong beside the traffic, such as a list that could not be read again."""
        told = {
            "event": event,
            "time": round(self._wall(), 3),
            "site": self._site,
            "problems": list(problems),
        }
        self._sink.emit(told)

    def refuse(self, error: RequestError) -> None:
        """Take note of a request that could not be judged."""
        self.malformed += 1
        self._sink.emit(
            {
                "event": "malformed",
                "time": round(self._wall(), 3),
                "site": self._site,
                "status": int(error.status),
                "cause": str(error),
            }
        )

    def fault(self, error: Exception) -> None:
        """Take note that judging a request raised; the log tells of each place in the code once."""
        self.faults += 1
        last = traceback.extract_tb(error.__traceback__)[-1:]
        where = ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in last)
        cause = f"{type(error).__name__} at {where}"
        self.tell("fault", [cause])
        if cause not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(cause)
            _log.error("a request could not be judged; it gets what a stranger gets", exc_info=error)

    def name(self, key: str) -> str:
        """Return what events call the principal of that store key, this week."""
        if self._plain:
            return key
        week = int(self._wall()) // _WEEK
        if week != self._week:
            self._week, self._key = week, self._keys.derive(_purpose(week))
        return _hashed(key, self._key)


def names_at(keys: KeyRing, key: str, when: float) -> tuple[str, ...]:
    """Return what events called the principal of that store key at ``when``, under each secret, the newest first."""
    return tuple(_hashed(key, each) for each in keys.derive_all(_purpose(int(when) // _WEEK)))


def _purpose(week: int) -> str:
    return f"address-{week}"


def _hashed(key: str, with_key: bytes) -> str:
    return blake2b(key.encode(), digest_size=8, key=with_key).hexdigest()
