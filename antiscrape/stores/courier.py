"""The courier carries between a shared store's memory and the server: batches ten times a second, bans at once.

Nothing waits for it but a strict store's own charges, and those no longer than the connection's deadline. It starts when the
first record is touched, on whatever event loop serves the request, and schedules itself only while there is something to
tell, now or when it has rested: no thread, no polling of an idle site. While the store is away (``breaker``) every worker holds clients to its share of
the limits, keeps what was spent, and tells it afterwards.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from antiscrape.errors import StoreError
from antiscrape.stores.breaker import State
from antiscrape.stores.connection import Call, Script
from antiscrape.stores.lesser import Lesser
from antiscrape.stores.names import epoch_of
from antiscrape.stores.shared import AT_REST
from antiscrape.stores.wire import EXCHANGE, ONCE, PRESENT, SPEND, pack_spend, unpack_spend

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from antiscrape.stores.breaker import Breaker
    from antiscrape.stores.connection import Connection
    from antiscrape.stores.exchange import Exchange, Telling
    from antiscrape.stores.shared import SharedStore
    from antiscrape.stores.wire import Charging, Outcome

_EXCHANGE: Final = Script(EXCHANGE)
_SPEND: Final = Script(SPEND)
_PRESENT: Final = Script(PRESENT)
_ONCE: Final = Script(ONCE)
#: Seconds between two signs of life, and after which a worker that gives none is gone.
_ALIVE: Final = 2.0
_GONE: Final = 10.0
#: Seconds between two looks whether a store that is away may be asked again.
_AWAY: Final = 0.25
#: Charges of one script call, and messages under way.
_TOGETHER, _UNDER_WAY = 64, 1000
#: Seconds in which one more try is made to tell what is left when the server stops.
_FAREWELL: Final = 1.0


class Courier:
    """Carries what ``store`` has to tell. ``tell`` takes a sentence for the operator's log.

    ``workers`` is how many share the store, 0 for as many as gave a sign of life when it was last there.
    """

    def __init__(
        self,
        store: SharedStore,
        exchange: Exchange,
        connect: Callable[[], Connection],
        *,
        breaker: Breaker,
        clock: Callable[[], float],
        tell: Callable[[str], None],
        interval: float = 0.1,
        workers: int = 0,
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._connect = connect
        self.breaker = breaker
        self._clock = clock
        self._tell = tell
        self._interval = interval
        self._fixed = workers
        self._counted = workers > 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Connection | None = None
        self._tasks: set[asyncio.Future[object]] = set()
        self._posts: set[asyncio.Future[object]] = set()  # messages on their way
        self._timer: asyncio.TimerHandle | None = None
        self._exchanging = False
        self._away_since: float | None = None
        self._charges: list[tuple[Charging, asyncio.Future[Outcome | None]]] = []
        #: Workers that share the store, as far as is known.
        self.workers = max(1, workers)
        #: Exchanges by what became of them, records told, messages heard.
        self.counts = {"exchanged": 0, "failed": 0, "records": 0, "heard": 0, "charged": 0, "unheard": 0}
        self.last_exchange = clock()
        #: Whether other workers' messages are heard.
        self.listening = False
        store.wake = self.wake
        store.shout = self.shout

    @property
    def away(self) -> bool:
        """Whether the store is away, so that each worker counts for itself."""
        return self._away_since is not None

    def states(self) -> Mapping[str, float]:
        """Return what metrics and health tell of the store."""
        return {
            "away": float(self.away),
            "opened": float(self.breaker.opened),
            "workers": float(self.workers),
            "waiting": float(self._exchange.waiting),
            "age": self._clock() - self.last_exchange,
        }

    # -- when

    def wake(self) -> None:
        """See to it that what was spent is told within the interval."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # nobody serves here: a test, a simulation, a shell
            return
        if loop is not self._loop:
            self._begin(loop)
        if self._timer is None and not self._exchanging:
            # Nothing is told while the store is away, but for a probe now and then.
            self._timer = loop.call_later(
                max(self._interval, _AWAY) if self.away else self._interval, self._go
            )

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take up work on a loop; whatever belonged to another one is gone with it."""
        self._loop, self._timer, self._exchanging = loop, None, False
        self._tasks.clear()
        self._posts.clear()
        self._charges.clear()
        self._connection = self._connect()
        self._let_rest()
        self._do(self._keep_present(self._connection))
        self._do(self._listen(self._connection))

    def _do(self, work: Coroutine[object, object, object]) -> None:
        _keep(self._tasks, work)

    def _go(self) -> None:
        self._timer = None
        self._exchanging = True
        self._do(self._run())

    async def _run(self) -> None:
        """Tell what there is to tell, and as long as there is news to read for it, at once once more."""
        try:
            while await self._tell_all() and self._exchange.urgent:
                pass
        finally:
            self._exchanging = False
            if not self._exchange.idle:
                self.wake()

    async def exchange_now(self) -> bool:
        """Tell all that there is to tell, without waiting for the interval; return whether the store has taken it."""
        if self._loop is not asyncio.get_running_loop():
            return False
        told = True
        while told and not self._exchange.idle:
            self._store.rouse_all()
            told = await self._tell_all()
        return told

    async def aclose(self) -> None:
        """Tell what is left, within a second, and let go of the server."""
        self._store.rests = 0.0
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is asyncio.get_running_loop():
            with suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL):
                    await self.exchange_now()
                    await asyncio.gather(*self._posts)
            for task in (tasks := (*self._tasks, *self._posts)):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._loop = self._connection = None

    # -- what

    async def _tell_all(self) -> bool:
        """Make one exchange; tell whether it succeeded."""
        connection, sent = self._connection, self._clock()
        if connection is None or not self.breaker.allows(sent):
            self._exchange.failed(())
            return False
        tellings = self._exchange.collect(sent)
        if not tellings:
            return False
        try:
            results = await connection.run_many(
                [Call(_EXCHANGE, one.keys, one.arguments) for one in tellings]
            )
        except BaseException:
            self._exchange.failed(tellings)
            raise
        now, failed = self._clock(), None
        for telling, result in zip(tellings, results, strict=True):
            failed = self._take(telling, result, sent, now) or failed
        self._heard(failed, now)
        return failed is None

    def _take(self, telling: Telling, result: object, sent: float, now: float) -> StoreError | None:
        """Take one answer; return what was wrong with it."""
        if isinstance(result, bytes):
            try:
                self._exchange.apply(telling, result, sent, now)
            except ValueError as error:
                result = _nonsense(error)
            else:
                self.counts["exchanged"] += 1
                self.counts["records"] += len(telling.lights) + len(telling.fulls)
                return None
        self.counts["failed"] += 1
        self._exchange.failed((telling,))
        return result if isinstance(result, StoreError) else _nonsense(None)

    async def confirm(self, charging: Charging) -> Outcome | None:
        """Charge a request where all workers' are counted; None where the store is away, and nothing was charged."""
        self.wake()
        if not self.breaker.allows(self._clock()):
            return None
        future: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._charges.append((charging, future))
        if len(self._charges) == 1:  # what comes in one turn of the loop goes in one call
            asyncio.get_running_loop().call_soon(lambda: self._do(self._charge()))
        return await future

    async def _charge(self) -> None:
        waiting, self._charges = self._charges[:_TOGETHER], self._charges[_TOGETHER:]
        if self._charges:
            self._do(self._charge())
        shards: dict[bytes, list[tuple[Charging, asyncio.Future[Outcome | None]]]] = {}
        for charging, future in waiting:
            shards.setdefault(epoch_of(charging.levels[0][0][0]), []).append((charging, future))
        if len(shards) == 1:  # the usual case: no tasks of their own
            await self._charge_together(waiting)
        else:
            await asyncio.gather(*map(self._charge_together, shards.values()))

    async def _charge_together(self, waiting: list[tuple[Charging, asyncio.Future[Outcome | None]]]) -> None:
        charges = [charging for charging, _ in waiting]
        failed: StoreError | None = None
        outcomes: list[Outcome] = []
        try:
            if self._connection is not None:
                blob = await self._connection.run(_SPEND, *pack_spend(charges))
                outcomes = unpack_spend(blob if isinstance(blob, bytes) else b"", charges)
                self.counts["charged"] += len(charges)
        except StoreError as error:
            failed = error
        except ValueError as error:
            failed = _nonsense(error)
        finally:
            for at, (_, future) in enumerate(waiting):
                if not future.done():
                    future.set_result(outcomes[at] if outcomes else None)
        self._heard(failed, self._clock())

    async def spend_once(self, token: bytes, lasts: float) -> bool | None:
        """Spend a token for all workers; tell whether nobody had, None where the store is away.

        ``lasts`` is how many seconds it is remembered.
        """
        self.wake()
        if self._connection is None or not self.breaker.allows(self._clock()):
            return None
        key, failed, first = self._exchange.names.once(token), None, None
        try:
            reply = await self._connection.run(_ONCE, [key], [b"%d" % (lasts * 1000)])
            first = bool(int(reply)) if isinstance(reply, (int, bytes)) else None
        except StoreError as error:
            failed = error
        except ValueError as error:
            failed = _nonsense(error)
        self._heard(failed, self._clock())
        return first

    def shout(self, message: bytes) -> None:
        """Let all workers know at once."""
        self.wake()
        if self._connection is not None and len(self._posts) < _UNDER_WAY:
            _keep(self._posts, self._publish(self._connection, message))

    async def _publish(self, connection: Connection, message: bytes) -> None:
        try:
            await connection.publish(self._exchange.names.channel, message)
        except StoreError:  # it stands in the journal, too
            self.counts["unheard"] += 1

    async def _listen(self, connection: Connection) -> None:
        async with aclosing(connection.listen(self._exchange.names.channel)) as messages:
            async for message in messages:
                self.listening = True
                if message is not None:  # what was missed before stands in the records
                    self.counts["heard"] += self._store.hear(message)

    async def _keep_present(self, connection: Connection) -> None:
        """Give signs of life, and learn how many others do, until the loop ends; it takes the connection with it."""
        arguments = [self._store.origin, b"%d" % (_GONE * 1000)]
        try:
            while True:
                if not self._fixed and not self.away:
                    with suppress(StoreError, ValueError):  # the exchanges say what is wrong
                        found = await connection.run(_PRESENT, [self._exchange.names.workers], arguments)
                        self.workers = max(1, int(found)) if isinstance(found, (int, bytes)) else self.workers
                        self._counted = True
                        self._let_rest()
                await asyncio.sleep(_ALIVE)
        finally:
            await connection.aclose()

    def _let_rest(self) -> None:
        """Let journals rest, as far as all workers together may, where it is known how many these are."""
        self._store.rests = AT_REST / self.workers if self._counted and not self.away else 0.0

    # -- whether

    def _heard(self, failed: StoreError | None, now: float) -> None:
        """Take note of how an exchange ended, and say so where that is news."""
        if failed is None:
            self.breaker.succeeded()
            self.last_exchange = now
            if self._away_since is not None:
                self._tell(
                    f"the store is back after {now - self._away_since:.0f} s; what was spent is being told"
                )
                self._away_since = self._store.lesser = None
                self._counted = self._fixed > 0  # the others may have come and gone meanwhile
                self._let_rest()
            return
        self.breaker.failed(now, failed)
        if self._away_since is None and self.breaker.state is not State.CLOSED:
            self._away_since = now
            self._store.lesser = Lesser(self.workers) if self.workers > 1 else None
            self._let_rest()
            share = f"1/{self.workers} of each limit" if self.workers > 1 else "the limits as they are"
            self._tell(
                f"{failed}; until it is back each worker counts for itself and holds clients to {share}"
            )


def _keep(tasks: set[asyncio.Future[object]], work: Coroutine[object, object, object]) -> None:
    """Start a task, and hold it until it is done: the loop itself does not."""
    task: asyncio.Future[object] = asyncio.ensure_future(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _nonsense(error: ValueError | None) -> StoreError:
    words = "the store does not answer as the script does that it was given"
    return StoreError(f"{words}: {error}" if error else words, fault="nonsense", away=False)
