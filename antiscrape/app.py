"""The composition root: what a site is put behind, and how its policy is changed while it serves."""

from __future__ import annotations

from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Final

from antiscrape.asgi.lifetime import Changing, Lifetime
from antiscrape.asgi.sources import Sources
from antiscrape.core.obedience import RobotsBook
from antiscrape.core.tokens import KeyRing
from antiscrape.evidence.events import open_sink
from antiscrape.lookups.agents import AgentBook
from antiscrape.operate.sentinel import Sentinel
from antiscrape.parts import (
    Estate,
    meter_of,
    put_together,
    read_again,
    recorder_of,
    renderer_of,
    store_of,
    takers_of,
)
from antiscrape.settings import load_policy
from antiscrape.settings.load import load_secrets
from antiscrape.stores.shared import SharedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from antiscrape.asgi.accounts import AskAccount, AskOwner
    from antiscrape.asgi.lifetime import Keeper
    from antiscrape.asgi.middleware import Middleware
    from antiscrape.asgi.types import ASGIApp
    from antiscrape.core.rules import Policy
    from antiscrape.gate import Gate
    from antiscrape.operate.families import Figures
    from antiscrape.parts import Parts

#: What lasts as long as the process, by its field of a policy, and as the settings call it: the store's
#: connections, the image workers and their caches, the event log and all sockets are opened once.
LASTING: Final = {
    "site": "site.name",
    "store": "[store]",
    "images": "[images]",
    "trace": "[trace]",
    "record": "[record]",
    "serve": "[serve]",
    "upstream": "[upstream]",
}


class AntiscrapeMiddleware(Changing):
    """Keeps the images of an ASGI app open to people and worthless to harvesters.

    ::

        app = AntiscrapeMiddleware(app, policy=load_policy("antiscrape.toml"))

    ``policy`` defaults to ``load_policy()``: the built-in defaults, the file named by
    ``ANTISCRAPE_CONFIG``, and the environment. Raise ``ConfigurationError`` where the policy cannot
    be carried out.

    ``account`` and ``owner`` are plain callables that are asked with the scope of each request: for the
    account that is signed in (its name, or an ``Account`` with the time it was made; None for nobody) and
    for the subject that the requested picture shows (``""`` where that is not known). Whatever they raise
    is recorded and means nobody.
    """

    #: What requests go to at this moment.
    house: Middleware

    def __init__(
        self,
        app: ASGIApp,
        *,
        policy: Policy | None = None,
        account: AskAccount | None = None,
        owner: AskOwner | None = None,
    ) -> None:
        self.app = app
        policy = load_policy() if policy is None else policy
        keys, sink = KeyRing(policy.secrets), open_sink(policy.record.events)
        recorder = recorder_of(policy, keys, sink)
        opened, takers = store_of(policy, keys, recorder), takers_of(policy, keys, recorder)
        self._sentinel = Sentinel(
            policy.overload, tell=lambda sentence: recorder.tell("overload", [sentence])
        )
        self._estate = estate = Estate(
            keys, recorder, renderer_of(policy, keys), opened, takers, account, owner,
            self._forget_networks, AgentBook(), RobotsBook(), Sources(), self._sentinel.load,
        )  # fmt: skip
        self._parts = parts = put_together(app, estate, policy)
        self.meter = meter_of(estate, policy, sink)
        #: The courier carries what workers tell each other; None where each counts for itself.
        self.store, self.courier = opened.store, opened.courier
        self.meter.more.append(self._figures)
        self.meter.unwell = self._sentinel.unwell
        kept = [self._sentinel.keep, *([opened.keep] if isinstance(opened.store, SharedStore) else [])]
        super().__init__(
            parts.house,
            lambda keepers: Lifetime(app, estate.renderer, [*kept, *keepers]),
            _keepers(parts),
        )
        self._take_up(parts)

    @property
    def policy(self) -> Policy:
        """The policy that is carried out, with the routes of its trap and its check."""
        return self._parts.policy

    @property
    def checks(self) -> Mapping[str, int]:
        """Count what became of browser checks here, by outcome (``asked``, ``proven``, ``denied`` ...); empty where there is none."""
        check = self._parts.check
        return {} if check is None else dict(check.counts)

    def reload(self, policy: Policy | None = None) -> tuple[str, ...]:
        """Carry out another policy from the next request on; return which settings of it need a new process.

        Without ``policy`` it is read anew, as ``load_policy()`` reads it, and so are the lists of networks. No request is held up, and each is judged by
        one policy wholly. What clients have spent, bans, standings and renditions are kept. The tables ``[store]``,
        ``[images]``, ``[trace]``, ``[record]``, ``[serve]`` and ``[upstream]`` and the site's name stay what they were until the process is
        started anew; those that differ are returned. To be called in the thread of the event loop; ``prepare`` does
        the work in any. Raise ``ConfigurationError`` where the policy cannot be carried out, and go on with the one
        that was.
        """
        return self.prepare(load_policy() if policy is None else policy)()

    def prepare(self, policy: Policy) -> Callable[[], tuple[str, ...]]:
        """Do all of ``reload`` that takes time; return what does the rest at once."""
        former = self._parts
        lasting = {name: getattr(former.loaded, name) for name in LASTING}
        waiting = tuple(LASTING[name] for name in LASTING if getattr(policy, name) != lasting[name])
        policy = replace(policy, **lasting)
        self.store.follow(policy)
        parts = put_together(self.app, self._estate, policy, former)
        objections = read_again(former, parts)

        def commit() -> tuple[str, ...]:
            self._parts = parts
            self._take_up(parts)
            self._change(parts.house, _keepers(parts))
            self._forget_networks()
            if objections:
                self._estate.recorder.tell("networks", objections)
            if policy.signals != former.loaded.signals:
                # beside the traffic: 200,000 clients take some 40 ms
                Thread(target=self._unread, args=(parts.gate,), name="antiscrape-unread").start()
            self.meter.reloads["done"] += 1
            said = [f"version {self.meter.version}", *(f"{name} waits for a new start" for name in waiting)]
            self._estate.recorder.tell("policy", said)
            return waiting

        return commit

    def refuse(self, problems: Sequence[str]) -> None:
        """Take note of a policy that could not be taken in place of the present one."""
        self.meter.reloads["refused"] += 1
        self.meter.refused = True
        self._estate.recorder.tell("policy-refused", problems)

    def reload_keys(self, secrets: Sequence[bytes] | None = None) -> tuple[str, ...]:
        """Sign and verify with other secrets from the next request on; return their ids, oldest to newest.

        Without ``secrets`` they are read anew from where ``load_policy()`` reads them: a file may have changed, the
        environment of a process does not. No request is held up, and none is refused that carries a grant
        or a clearance of a secret that is still there; one that was taken off ends at once. What else is derived from the
        secret (traps, names in a shared store) stays until the next start. Raise ``SecretError`` where they cannot
        be used, and go on with those that were.
        """
        ring = KeyRing(load_secrets() if secrets is None else secrets)
        parts = self._parts
        if parts.grants is not None:
            parts.grants.rekey(ring)
        if parts.check is not None:
            parts.check.rekey(ring)
        parts.inspection.rekey(ring)
        self._estate.recorder.tell("keys", [f"signing with {ring.ids[-1]}, {len(ring.ids) - 1} more verify"])
        return ring.ids

    def _take_up(self, parts: Parts) -> None:
        """Have all that outlives a policy go by this one."""
        estate, store = self._estate, self.store
        estate.recorder.networks = parts.networks[0]
        if isinstance(store, SharedStore):
            store.trapped = parts.gate.hear_trapped
        if parts.check is not None:
            parts.check.rekey(KeyRing(parts.loaded.secrets))
        self.meter.refused = False
        self._sentinel.follow(parts.loaded.overload)
        self.meter.follow(
            parts.loaded,
            check=None if parts.check is None else parts.check.counts,
            originals=None if parts.marker is None else parts.marker.counts,
        )

    def _figures(self) -> Figures:
        return {**self._sentinel.figures(), "antiscrape_faults": {(): self._estate.recorder.faults}}

    def _unread(self, gate: Gate) -> None:
        self.store.unread()
        gate.visits.unread()

    def _forget_networks(self) -> None:
        self._parts.gate.forget_networks()


def _keepers(parts: Parts) -> tuple[Keeper, ...]:
    return *parts.networks[1], *parts.roles[1]


def protect(app: ASGIApp, policy: Policy | None = None) -> AntiscrapeMiddleware:
    """Return ``app`` behind antiscrape."""
    return AntiscrapeMiddleware(app, policy=policy)
