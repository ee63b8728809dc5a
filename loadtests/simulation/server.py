"""What a real valkey-server spends on the scripts: processor time by call and record, and memory by what it remembers."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from antiscrape.stores.names import triple
from antiscrape.stores.wire import EXCHANGE, News, pack_exchange, unpack_exchange

if TYPE_CHECKING:
    import redis

#: Seconds that originals and subjects are kept by the default policy.
_KEEP: Final = (86_400.0, 86_400.0)
_ENTRIES: Final = 10  # originals and subjects of a record that is read again
_TOGETHER: Final = 128
_FEW: Final = 4  # originals of a record that is as small as most are
#: Records that are told in turn: many enough that none is told twice a second.
_RECORDS: Final = 5000


class Costs(NamedTuple):
    """Processor time in microseconds: of a call, and of each light and full record in it.

    ``check`` is what a mixed load took, as a share of what these figures foretell for it.
    """

    call: float
    light: float
    full: float
    check: float

    def seconds(self, calls: float, lights: float, fulls: float) -> float:
        """Return the processor time (seconds) of so many calls with so many records."""
        return (calls * self.call + lights * self.light + fulls * self.full) / 1e6


class Memory(NamedTuple):
    """Bytes of a server's memory for one record, measured with so many of them.

    ``light`` is a visitor's without an original, ``person`` a person's day, ``network`` that of a network of eight such,
    ``harvester`` that of one who had the day's ration.
    """

    records: int
    light: float
    person: float
    network: float
    harvester: float


class Server:
    """A valkey-server, driven as one worker drives it: one call after another, none of them pipelined."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._sha = self._client.script_load(EXCHANGE)
        self._number = 0
        self._now = 0.0
        self._client.flushall()
        self.tell([], [])

    def tell(self, lights: list[tuple[bytes, float]], fulls: list[News]) -> None:
        """Make one call."""
        self._number += 1
        names, seconds = [name for name, _ in lights], [spent for _, spent in lights]
        keys, arguments = pack_exchange(
            b"{0}:epoch", b"{0}:told", self._number, _KEEP, 0.1, names, seconds, fulls
        )
        blob = self._client.evalsha(self._sha, len(keys), *keys, *arguments)
        self._now = unpack_exchange(blob, len(lights), len(fulls)).now

    def news(self, name: str, *, since: float = 0.0, originals: int = 1, subjects: int = 1) -> News:
        """Return what is told of a record that had so much just now."""
        base = time.monotonic_ns()
        return News(
            triple(b"{0}:" + name.encode().ljust(16, b"-")),
            since=since,
            requests=0.5,
            rates=[("bytes 400MB/hour", 0.0, 2.7)],
            originals=[(base + one, self._now) for one in range(originals)],
            subjects=[(base + one, self._now) for one in range(subjects)],
        )

    def processor(self) -> float:
        """Return the seconds of processor time that the server has used."""
        told = self._client.info("cpu")
        return float(told["used_cpu_user_main_thread"] + told["used_cpu_sys_main_thread"])

    def memory(self) -> int:
        """Return the bytes that the server has allocated."""
        return int(self._client.info("memory")["used_memory"])

    def empty(self) -> None:
        """Forget everything."""
        self._client.execute_command("FLUSHALL", "SYNC")
        self._client.execute_command("MEMORY", "PURGE")
        self.tell([], [])

    # -- measuring

    def _call(self, calls: int, lights: int, fulls: int) -> float:
        """Return the microseconds that one call with so many records takes."""
        begin = self.processor()
        for number in range(calls):
            first = number * 31
            self.tell(
                [(b"{0}:light-%011d" % ((first + one) % _RECORDS), 0.5) for one in range(lights)],
                [self.news(f"full{(first + one) % _RECORDS}", since=self._now) for one in range(fulls)],
            )
        return (self.processor() - begin) / calls * 1e6

    def costs(self, calls: int) -> Costs:
        """Measure what calls and records take; each three times, of which the middle one counts."""
        for place in range(0, _RECORDS, 50):
            names = [f"full{one}" for one in range(place, place + 50)]
            self.tell([], [self.news(name, originals=_ENTRIES, subjects=_ENTRIES) for name in names])
        rounds = []
        for _ in range(3):
            one = self._call(calls, 1, 0)
            lights = (self._call(calls // 10, 101, 0) - one) / 100
            fulls = (self._call(calls // 10, 1, 40) - one) / 40
            rounds.append((one - lights, lights, fulls, self._call(calls // 4, 12, 4)))
        call, light, full, mixed = (median(column) for column in zip(*rounds, strict=True))
        return Costs(call, light, full, mixed / (call + 12 * light + 4 * full))

    def memory_of(self, records: int) -> Memory:
        """Measure what records take, by what stands in them."""
        kinds = {"light": (0, 0), "person": (4, 4), "network": (32, 32), "harvester": (60, 60)}
        taken = []
        for _ in range(2):  # the server's own buffers grow in the first round, which tells nothing
            taken = [self._taken(kind, records, *entries) for kind, entries in kinds.items()]
        return Memory(records, *taken)

    def _taken(self, kind: str, records: int, originals: int, subjects: int) -> float:
        """Return the bytes that each of so many records of one kind takes; of large records a tenth are made."""
        self.empty()
        before = self.memory()
        count = records if originals <= _FEW else records // 10
        for first in range(0, count, _TOGETHER):
            names = [f"{kind}{one}" for one in range(first, min(first + _TOGETHER, count))]
            if originals:
                self.tell([], [self.news(one, originals=originals, subjects=subjects) for one in names])
            else:
                self.tell([(b"{0}:" + one.encode().ljust(16, b"-"), 300.0) for one in names], [])
        return (self.memory() - before) / count
