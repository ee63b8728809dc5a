"""Another policy in the place of one that runs: what changes with it, what stays, and that nothing falls between."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha512
from typing import TYPE_CHECKING

import pytest

from antiscrape import AntiscrapeMiddleware, sign_url
from antiscrape.core.verdict import Mode, Standing
from antiscrape.errors import ConfigurationError
from antiscrape.operate.meter import policy_version
from antiscrape.settings import load_policy
from tests.fuzz import sized
from tests.house import answers, drive, person, photo, policy_of, scope_of, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from antiscrape.asgi.types import Message, Receive, Scope, Send
    from antiscrape.core.rules import Policy
    from tests.house import Answer

PHOTO = photo()


@asynccontextmanager
async def site(
    policy: Policy, body: bytes = PHOTO, kind: bytes = b"image/jpeg"
) -> AsyncIterator[AntiscrapeMiddleware]:
    made = AntiscrapeMiddleware(answers(body, kind), policy=policy)
    try:
        yield made
    finally:
        await made._estate.renderer.aclose()


async def ask(app: AntiscrapeMiddleware, path: str, **more: object) -> Answer:
    headers = more.pop("headers", None) or person()
    return await drive(app, scope_of(path, headers, **more))  # type: ignore[arg-type]  # as the test says


def test_what_was_spent_and_who_is_banned_stays() -> None:
    """A reload is no amnesty: of a budget of four pictures the second half is left, whatever else changes."""

    async def run() -> None:
        policy = policy_of({"ANTISCRAPE__STANDING__BROWSER__ORIGINALS": "4/hour"})
        async with site(policy) as app:
            had = [(await ask(app, f"/photos/{n}.jpg")).body == PHOTO for n in range(2)]
            history = app.store.find_known("203.0.113.7")
            assert history is not None
            app.store.ban(app.store.find_known("203.0.113.7"), 1e9)  # type: ignore[arg-type]  # it is known
            app.reload(policy_of({"ANTISCRAPE__STANDING__BROWSER__ORIGINALS": "5/hour"}))
            assert (await ask(app, "/photos/2.jpg")).status == 403
            app.store.lift(history)
            had += [(await ask(app, f"/photos/{n}.jpg")).body == PHOTO for n in range(2, 6)]
            assert had == [True] * 5 + [False]
            assert app.store.find_known("203.0.113.7") is history

    asyncio.run(run())


def test_signals_weigh_what_the_new_policy_says_for_those_who_are_known_too() -> None:
    """Whoever went into a trap is a bot, until an operator finds that this trap catches people."""

    async def run() -> None:
        trap = {"ANTISCRAPE__TRAPS__PATH": "/pit", "ANTISCRAPE__SIGNALS__TRAP_FOLLOWED__WEIGHT": "50"}
        async with site(policy_of(trap)) as app:
            await ask(app, "/pit/1")
            assert (await ask(app, "/photos/1.jpg")).body != PHOTO
            app.reload(policy_of(trap | {"ANTISCRAPE__SIGNALS__TRAP_FOLLOWED__WEIGHT": "0"}))
            for thread in threading.enumerate():
                if thread.name == "antiscrape-unread":
                    thread.join()
            assert (await ask(app, "/photos/2.jpg")).body == PHOTO

    asyncio.run(run())


def test_a_request_under_way_ends_by_the_policy_it_began_with() -> None:
    """The site answers only after the reload: who was to get a preview gets one, though now nobody would."""

    async def run() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            begun.set()
            await go_on.wait()
            await answers(PHOTO)(scope, receive, send)

        app = AntiscrapeMiddleware(slow, policy=policy_of())
        try:
            waiting = asyncio.create_task(ask(app, "/photos/1.jpg", headers=tool()))
            await begun.wait()
            app.reload(policy_of(mode=Mode.OFF))
            later = asyncio.create_task(ask(app, "/photos/1.jpg", headers=tool()))
            go_on.set()
            assert (await waiting).body != PHOTO
            assert (await later).body == PHOTO
        finally:
            await app._estate.renderer.aclose()

    asyncio.run(run())


@pytest.mark.security("J8")
def test_what_cannot_be_carried_out_changes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(policy_of()) as app:
            house, version = app.house, app.meter.version
            policy = policy_of()
            missing = replace(
                policy, networks=replace(policy.networks, asn_database=str(tmp_path / "none.mmdb"))
            )
            with pytest.raises(ConfigurationError):
                app.reload(missing)
            assert app.house is house
            assert app.meter.version == version
            app.refuse(["it is wrong"])
            figures = app.meter.read()
            assert figures["antiscrape_reloads"]["refused",] == 1
            assert figures["antiscrape_reload_refused"][()] == 1
            changed = policy_of({"ANTISCRAPE__SCORE__BOT_AT": "41"})
            assert app.reload(changed) == ()
            figures = app.meter.read()
            assert figures["antiscrape_reload_refused"][()] == 0
            assert list(figures["antiscrape_policy"]) == [("site", "enforce", policy_version(changed))]

    asyncio.run(run())


def test_what_needs_a_new_process_stays_and_is_named() -> None:
    async def run() -> None:
        policy = policy_of()
        async with site(policy) as app:
            images = replace(policy.images, workers=policy.images.workers + 1)
            record = replace(policy.record, admin="127.0.0.1:1")
            other = replace(policy, images=images, record=record, site="another", tell=policy.tell)
            assert app.reload(other) == ("site.name", "[images]", "[record]")
            assert app.policy.images == policy.images
            assert app.meter.version == policy_version(policy)

    asyncio.run(run())


@pytest.mark.security("F3")
def test_a_new_secret_signs_and_the_old_one_holds_until_it_is_taken_off() -> None:
    """Fault 23: ten rotations under requests, and no grant of a secret that is still there is refused."""

    async def run() -> None:
        signed = {"ANTISCRAPE__GRANTS__PREFIXES": '["/media/"]'}
        first = policy_of(signed)
        async with site(first) as app:
            policy, former = first, first
            for turn in range(10):
                secrets = (policy.secrets[-1], sha512(b"%d" % turn).digest())
                former, policy = policy, replace(first, secrets=secrets)
                app.reload(policy)
                for number in range(sized(2, 10_000)):
                    path = sign_url(f"/media/{turn}.jpg", (former, policy)[number % 2], now=None)
                    peer = f"{20 + number % 80}.{number // 80}.{turn}.7"  # no two of a network
                    assert (await ask(app, path, peer=peer)).body == PHOTO
            taken_off = sign_url("/media/1.jpg", first, now=None)
            assert (await ask(app, taken_off, peer="198.51.100.99")).body != PHOTO

    asyncio.run(run())


async def turns() -> None:
    """Let the event loop go round until what minds the keepers has nothing left to do."""
    for _ in range(20):
        await asyncio.sleep(0)


def with_list(folder: Path) -> tuple[Policy, Path]:
    """Return a policy that names a list of networks, and that list."""
    listed, config = folder / "list.txt", folder / "site.toml"
    listed.write_text("192.0.2.0/24\n")
    config.write_text(f'[networks]\nhosting = ["{listed}"]\n')
    environ = {"ANTISCRAPE_SECRET": "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f", "ANTISCRAPE__RECORD__EVENTS": "off"}
    return load_policy(config, environ=environ), listed


def test_keepers_that_stay_are_not_disturbed_and_those_of_the_former_policy_end(tmp_path: Path) -> None:
    """The lists of networks are read by a keeper: it lives as long as the policy names them."""
    policy, _ = with_list(tmp_path)

    async def run() -> None:
        told: asyncio.Queue[Message] = asyncio.Queue()
        heard: asyncio.Queue[Message] = asyncio.Queue()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for what in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{what}.complete"})

        def keepers() -> set[asyncio.Task[object]]:
            return {task for task in asyncio.all_tasks() if "keep_fresh" in repr(task.get_coro())}

        made = AntiscrapeMiddleware(app, policy=policy)
        life = asyncio.create_task(made({"type": "lifespan"}, told.get, heard.put))
        await told.put({"type": "lifespan.startup"})
        await heard.get()
        await turns()
        first = keepers()
        made.reload(replace(policy, bot_at=41))
        await turns()
        assert len(first) == 1
        assert keepers() == first
        book = made._parts.networks[0]
        made.reload(policy_of())
        await turns()
        assert keepers() == set()
        assert book is not None
        assert made._parts.networks[0] is not book
        await told.put({"type": "lifespan.shutdown"})
        await heard.get()
        await life

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_list_that_was_changed_is_read_with_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits ``networks.reload`` for it, and what cannot be used is told, and leaves the list that was."""
    policy, listed = with_list(tmp_path)

    async def run() -> None:
        async with site(policy) as app:
            told: list[tuple[str, Sequence[str]]] = []
            monkeypatch.setattr(app._estate.recorder, "tell", lambda what, said: told.append((what, said)))

            async def hosted() -> bool:
                scope = scope_of("/p/1", person(kind="page"), peer="203.0.113.7")
                await drive(app, scope)
                findings = scope["state"]["antiscrape"].verdict.findings
                return any(one.name == "address-of-a-data-centre" for one in findings)

            assert not await hosted()
            listed.write_text("192.0.2.0/24\n203.0.113.0/24\n")
            app.reload(policy)
            assert await hosted()
            listed.write_text("no list\n")
            app.reload(policy)
            assert await hosted()
            assert any(what == "networks" and str(listed) in said[0] for what, said in told)

    asyncio.run(run())


def test_crawlers_that_were_proven_are_so_under_another_policy() -> None:
    async def run() -> None:
        async with site(policy_of()) as app:
            found = app._parts.roles[0].proven
            app.reload(policy_of({"ANTISCRAPE__CRAWLERS__VERIFY": "false"}))
            assert app._parts.roles[0].proven is not found
            assert app._parts.roles[0].proven.resolver is found.resolver is not None

    asyncio.run(run())


def test_a_mode_that_is_turned_off_and_on_again_counts_on() -> None:
    async def run() -> None:
        async with site(policy_of()) as app:
            for mode in (Mode.OFF, Mode.SHADOW, Mode.ENFORCE):
                app.reload(policy_of(mode=mode))
                await ask(app, "/robots.txt")
            assert app.meter.reloads["done"] == 3
            assert sum(app._estate.recorder.plain.values()) == 2
            assert app._estate.recorder.plain[Standing.BROWSER] == 2

    asyncio.run(run())
