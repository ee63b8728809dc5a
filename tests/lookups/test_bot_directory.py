"""A directory is fetched within its bounds, from where the settings say, and a failure takes nothing away."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from antiscrape.lookups import bot_directory
from antiscrape.lookups.bot_directory import (
    LONGEST,
    MEDIA_TYPE,
    PATH,
    SHORTEST,
    USUAL,
    Directories,
    DirectoryError,
    Network,
    fetch_directory,
    is_public,
)
from antiscrape.lookups.bot_keys import Bot, BotKeys, read_key
from tests.house import PATIENCE
from tests.lookups.signers import (
    COVERED,
    DIRECTORY_REQUEST,
    HOST,
    NOW,
    OTHER,
    OURS,
    SET,
    answer_with,
    digest_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path


class Site:
    """A directory on loopback behind TLS: what it answers, what it was asked, and how it is reached."""

    def __init__(self) -> None:
        self.status = 200
        self.body = SET
        self.headers: dict[str, str] = {}
        self.media_type = MEDIA_TYPE
        self.asked: list[web.Request] = []
        self.stall = asyncio.Event()
        self.stall.set()
        self.addresses: Sequence[str] = ["127.0.0.1"]
        self.origin = ""
        self.tls: ssl.SSLContext | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        await self.stall.wait()
        headers = {"Content-Type": self.media_type, **self.headers}
        return web.Response(status=self.status, body=self.body, headers=headers)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        assert host == HOST
        return self.addresses

    @property
    def network(self) -> Network:
        return Network(self.resolve, lambda address: address == "127.0.0.1", self.tls)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the test's host, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


@asynccontextmanager
async def site_of(certificate: Path) -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get(PATH, site.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
        site.origin = f"https://{HOST}:{runner.addresses[0][1]}"
        site.tls = ssl.create_default_context(cafile=str(certificate))
        async with asyncio.timeout(PATIENCE):
            yield site
    finally:
        site.stall.set()
        await runner.cleanup()


def with_site(certificate: Path, job: Callable[[Site], Awaitable[None]]) -> None:
    async def run() -> None:
        async with site_of(certificate) as site:
            await job(site)

    asyncio.run(run())


@pytest.mark.security("H7")
def test_a_directory_is_fetched_and_asked_for_as_the_draft_says(certificate: Path) -> None:
    async def job(site: Site) -> None:
        site.headers = {"Cache-Control": "public, max-age=7200", "Set-Cookie": "a=b"}
        found = await fetch_directory(site.origin, NOW, site.network)
        assert [key.keyid for key in found.keys] == [OURS.keyid, OTHER.keyid]
        assert (found.proven, found.fresh) == (frozenset(), 7200)
        (request,) = site.asked
        assert request.headers["Accept"] == MEDIA_TYPE
        assert request.headers["Accept-Encoding"] == "identity"
        assert "Cookie" not in request.headers
        assert request.path_qs == PATH

    with_site(certificate, job)


@pytest.mark.security("H7")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": 404}, "answered 404"),
        ({"status": 204, "body": b""}, "answered 204"),
        ({"status": 206}, "answered 206"),
        ({"status": 301, "headers": {"Location": PATH + "?again"}}, "answered 301; expected 200, and no redirect"),
        ({"status": 307, "headers": {"Location": "https://169.254.169.254/"}}, "answered 307"),
        ({"media_type": "application/json"}, r"expected application/http-message-signatures-directory\+json"),
        ({"media_type": "text/html"}, "text/html"),
        ({"headers": {"Content-Encoding": "gzip"}}, "compressed"),
        ({"body": b" " * 65_537}, "has more than 65536 bytes"),
        ({"body": b"[" * 65_536}, "nested too deep"),
        ({"body": b"<html>"}, "no JSON"),
        ({"body": b'{"keys": 1}'}, "no list of keys"),
        ({"body": json.dumps({"keys": [{}] * 33}).encode()}, "more than 32 keys"),
        ({"headers": {"X-Long": "x" * 20_000}}, "more than 8190 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_directory_is_refused(certificate: Path, changes: dict[str, Any], words: str) -> None:
    async def job(site: Site) -> None:
        for name, value in changes.items():
            setattr(site, name, value)
        with pytest.raises(DirectoryError, match=words) as refused:
            await fetch_directory(site.origin, NOW, site.network)
        assert HOST in str(refused.value)
        assert len(site.asked) == 1

    with_site(certificate, job)


@pytest.mark.security("H7")
@pytest.mark.parametrize(
    "addresses", [[], ["10.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["169.254.169.254"], ["::1", "127.0.0.1"]]
)
def test_nothing_is_asked_at_an_address_that_will_not_do(certificate: Path, addresses: list[str]) -> None:
    """Of several addresses all have to do: one private among public ones is how a name is made to point inside."""

    async def job(site: Site) -> None:
        site.addresses = addresses
        with pytest.raises(DirectoryError, match="not public"):
            await fetch_directory(site.origin, NOW, site.network)
        assert not site.asked

    with_site(certificate, job)


@pytest.mark.security("H7")
@pytest.mark.parametrize(
    "agent",
    [
        "http://signer.test",
        "https://127.0.0.1",
        "https://[::1]",
        "https://localhost",
        "https://signer.test/x",
        "",
    ],
)
def test_nothing_is_asked_that_is_no_https_origin_with_a_name(agent: str) -> None:
    async def unreachable(host: str, port: int) -> Sequence[str]:
        raise AssertionError(host)

    with pytest.raises(DirectoryError, match="no https origin"):
        asyncio.run(fetch_directory(agent, NOW, Network(unreachable, lambda _: True)))


@pytest.mark.security("H7")
def test_a_certificate_that_nobody_vouches_for_is_none(certificate: Path) -> None:
    async def job(site: Site) -> None:
        site.tls = None
        with pytest.raises(DirectoryError, match="CERTIFICATE_VERIFY_FAILED"):
            await fetch_directory(site.origin, NOW, site.network)
        assert not site.asked

    with_site(certificate, job)


@pytest.mark.security("H7")
def test_a_directory_that_keeps_silent_is_given_up(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot_directory, "PATIENCE", 0.2)

    async def job(site: Site) -> None:
        site.stall.clear()
        with pytest.raises(DirectoryError, match="TimeoutError"):
            await fetch_directory(site.origin, NOW, site.network)

    with_site(certificate, job)


def test_a_directory_that_is_not_there_is_told(certificate: Path) -> None:
    async def job(site: Site) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            origin = f"https://{HOST}:{free.getsockname()[1]}"
            with pytest.raises(DirectoryError, match="ClientConnectorError"):
                await fetch_directory(origin, NOW, site.network)

    with_site(certificate, job)


@pytest.mark.security("H7")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:db8::1",
        "2001::1",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_outside_are_public(address: str) -> None:
    assert is_public(address)


def test_the_system_resolves_what_the_settings_name() -> None:
    found = asyncio.run(bot_directory.resolve_by_system("localhost", 443))
    assert set(found) <= {"127.0.0.1", "::1"}
    assert found


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"", USUAL),
        (b"max-age=0", SHORTEST),
        (b"private, MAX-AGE=600", 600),
        (b'max-age="900"', 900),
        (b"max-age=99999999999", USUAL * 24),
        (b"no-store, max-age=900", SHORTEST),
        (b"s-maxage=5", USUAL),
        (b"x-max-age=5", USUAL),
        (b"max-age=x\xff", USUAL),
    ],
)
def test_a_directory_stays_fresh_within_bounds(field: bytes, seconds: float) -> None:
    assert USUAL * 24 == LONGEST
    assert bot_directory._freshness(field) == seconds


def keys_for(site: Site) -> BotKeys:
    return BotKeys([Bot("Signer", None, site.origin)])


def known(keys: BotKeys, site: Site) -> bool:
    return keys.find(OURS.keyid, site.origin) is not None


@pytest.mark.security("H7")
def test_a_failure_takes_no_key_away_and_an_answer_does(certificate: Path) -> None:
    async def job(site: Site) -> None:
        keys = keys_for(site)
        directories = Directories(keys, network=site.network)
        assert directories.due == 0.0
        assert await directories.refresh(NOW) == []
        assert known(keys, site)
        assert directories.due == NOW + USUAL
        assert await directories.refresh(NOW + USUAL - 1) == []
        assert len(site.asked) == 1, "what is fresh is not fetched"
        site.status, now = 503, NOW + USUAL
        for wait in (30, 60, 120, 240, 300, 300):
            (sentence,) = await directories.refresh(now)
            assert "answered 503" in sentence
            assert known(keys, site)
            assert directories.due == now + wait
            now += wait
        site.status, site.body = 200, json.dumps({"keys": [OTHER.jwk]}).encode()
        assert await directories.refresh(now) == []
        assert not known(keys, site)
        assert directories.due == now + USUAL

    with_site(certificate, job)


@pytest.mark.security("H7")
def test_those_who_ask_at_once_share_one_fetch(certificate: Path) -> None:
    async def job(site: Site) -> None:
        directories = Directories(keys_for(site), network=site.network)
        assert await asyncio.gather(*(directories.refresh(NOW) for _ in range(5))) == [[]] * 5
        assert len(site.asked) == 1

    with_site(certificate, job)


def test_where_proof_is_asked_for_a_key_without_it_does_not_count(certificate: Path) -> None:
    async def job(site: Site) -> None:
        keys = keys_for(site)
        directories = Directories(keys, network=site.network, proof=True)
        await directories.refresh(NOW)
        assert not known(keys, site)
        request = DIRECTORY_REQUEST._replace(authority=site.origin.removeprefix("https://"))
        given = {"tag": '"http-message-signatures-directory"', "expires": f"{NOW + 2 * USUAL:.0f}"}
        signed = OURS.signed(COVERED, request, response=answer_with({}), params=given)
        site.headers = {
            "Content-Digest": digest_of(SET).decode(),
            **{name.decode(): value.decode() for name, value in signed.items()},
        }
        await directories.refresh(NOW + USUAL)
        assert known(keys, site)
        assert keys.find(OTHER.keyid, site.origin) is None

    with_site(certificate, job)


def test_directories_are_kept_fresh_for_as_long_as_somebody_wants_them(certificate: Path) -> None:
    async def job(site: Site) -> None:
        now, told = NOW, list[str]()
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            nonlocal now
            waits.append(seconds)
            now += seconds
            site.status = 500
            if len(waits) == 3:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await Directories(keys_for(site), network=site.network).keep_fresh(
                lambda: now, told.append, sleep
            )
        assert waits == [USUAL, 30.0, 60.0]
        assert ["answered 500" in sentence for sentence in told] == [True, True]

    with_site(certificate, job)


def test_without_directories_nothing_is_kept() -> None:
    directories = Directories(BotKeys([Bot("Pinned", None, keys=(read_key(OURS.jwk),))]))
    assert directories.due == float("inf")

    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            await directories.keep_fresh(lambda: NOW, pytest.fail)

    asyncio.run(run())
